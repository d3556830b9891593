"""References of a job's input to the output of other jobs of its submission, filled in before it runs.

A reference to a picture is its source (`imagemill.jobs.inputs.OUTPUT`). A reference to a value stands in a
text of the input as a mark, as no value is known when the job is submitted.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic_core import to_json

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Job
from imagemill.jobs.store.queries import View

KEY = "references"
"""The key in `Job.client` of the values that the marks stand for: job and path of each."""
_MARK = re.compile("\ue0f0([0-9]{1,4})\ue0f1")
_PART = re.compile(r"([^.\[\]]+)|\[([0-9]{1,4})\]")


@dataclass(frozen=True, slots=True)
class OutputValue:
    """A value in the output of a task, such as ``enhancedPrompt`` or ``choices[0].message.content``."""

    job: str
    path: str


def mark(number: int) -> str:
    """Return the text that stands for the value with this number; private characters that no prompt has."""
    return f"\ue0f0{number}\ue0f1"


def stored(values: Sequence[OutputValue]) -> list[list[str]]:
    """Return the values as `Job.client` holds them."""
    return [[value.job, value.path] for value in values]


def find(output: Any, path: str) -> Any:
    """Return the value at a path such as ``tags[0].name``. Raises `KeyError`."""
    value = output
    for part in _PART.finditer(path):
        name, index = part.groups()
        try:
            value = value[name] if index is None else value[int(index)]
        except (KeyError, IndexError, TypeError) as error:
            raise KeyError(path) from error
    return value


def fill(job: Job, views: Callable[[Iterable[str]], Mapping[str, View]]) -> Mapping[str, Any]:
    """Return the job's input with the values in place of the marks. Raises `BackendError`."""
    values = [OutputValue(*pair) for pair in job.client.get(KEY, ())]
    if not values:
        return job.input
    found = views({value.job for value in values})
    texts = [_text(value, found.get(value.job)) for value in values]
    return cast("Mapping[str, Any]", _filled(job.input, texts))


def _text(value: OutputValue, view: View | None) -> str:
    output = view.last_event.data.get("output") if view is not None else None
    try:
        found = find(output, value.path)
    except KeyError:
        message = f"the output of job {value.job} has no {value.path!r}, which is an input of this one"
        raise BackendError(FailureCode.BAD_INPUT, message) from None
    return found if isinstance(found, str) else to_json(found).decode()


def _filled(value: Any, texts: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _MARK.sub(lambda found: _of(texts, int(found[1]), found[0]), value)
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        return {name: _filled(each, texts) for name, each in given.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(each, texts) for each in cast("Sequence[Any]", value)]
    return value


def _of(texts: Sequence[str], number: int, mark_: str) -> str:
    return texts[number] if number < len(texts) else mark_
