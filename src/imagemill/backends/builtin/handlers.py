"""The tasks of the built-in backend, by name."""

from collections.abc import Mapping

from imagemill.backends.builtin.calls import Task, TaskCall, TaskResult
from imagemill.backends.builtin.language_tasks import LANGUAGE_TASKS
from imagemill.backends.builtin.pixel_tasks import PIXEL_TASKS


def _echo(call: TaskCall) -> TaskResult:
    return TaskResult(values={"message": call.arguments["message"]})


TASKS: Mapping[str, Task] = {"echo": Task(_echo), **LANGUAGE_TASKS, **PIXEL_TASKS}
