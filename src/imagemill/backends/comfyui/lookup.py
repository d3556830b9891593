"""Find a prompt on a node, and cancel it.

Newer servers know prompts as jobs (``/api/jobs``): one request gives a prompt's state, and one cancels
exactly it. On older ones the queue and the history are searched.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.errors import ComfyStatusError, PromptResult
from imagemill.backends.comfyui.node import NodeConnection
from imagemill.domain.dataclass import dataclass
from imagemill.graphs.json_access import mapping, sequence


class PromptState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    NOWHERE = "nowhere"


_JOB_STATES = {"pending": PromptState.WAITING, "in_progress": PromptState.RUNNING}
"""The states of jobs that have not ended."""


@dataclass(frozen=True, slots=True)
class PromptLocation:
    state: PromptState
    result: PromptResult | None = None
    """The result, if done."""
    graph: Mapping[str, Any] | None = None
    """The graph on the node, where the node tells it."""


def locate(connection: NodeConnection, reference: str) -> PromptLocation:
    """Find a prompt on the node. Raises `ComfyError`."""
    if connection.has_jobs_api:
        try:
            return _location(connection.client.job(reference))
        except ComfyStatusError as error:
            _give_up_jobs_api(connection, error)
    return search(connection, reference)


def search(connection: NodeConnection, reference: str) -> PromptLocation:
    """Find a prompt, with its graph, in the queue and the history.

    The queue is read twice, as the prompt may move to the history in between.
    """
    for last in (False, True):
        queue = connection.client.queue()
        for place, items in ((PromptState.RUNNING, "queue_running"), (PromptState.WAITING, "queue_pending")):
            for item in map(sequence, sequence(queue[items])):
                if len(item) > 2 and item[1] == reference:
                    return PromptLocation(place, graph=mapping(item[2]))
        if last:
            break
        entry = connection.client.history(reference)
        if entry is not None:
            graph = mapping([*sequence(entry.get("prompt")), None, None, None][2])
            return PromptLocation(PromptState.DONE, errors.result_of(entry), graph)
    return PromptLocation(PromptState.NOWHERE)


def find_ended(connection: NodeConnection, reference: str) -> PromptLocation:
    """Find a prompt whose end was announced: with the history first, where there are no jobs."""
    if not connection.has_jobs_api and (entry := connection.client.history(reference)) is not None:
        return PromptLocation(PromptState.DONE, errors.result_of(entry))
    return locate(connection, reference)


def cancel(connection: NodeConnection, reference: str) -> bool:
    """Remove a prompt from the queue, or stop it if it runs; never another prompt.

    False means that the node certainly has no such prompt waiting or running. Raises `ComfyError`.
    """
    if connection.has_jobs_api:
        try:
            return connection.client.cancel_job(reference)
        except ComfyStatusError as error:
            _give_up_jobs_api(connection, error)
    connection.client.delete_pending([reference])
    connection.client.interrupt(reference)
    return True


def _give_up_jobs_api(connection: NodeConnection, error: ComfyStatusError) -> None:
    """Use the older routes from now on, if the node no longer has this one: it was replaced by an older
    release. Raises other errors again."""
    if error.status not in (404, 405):
        raise error
    connection.has_jobs_api = False


def _location(job: Mapping[str, Any] | None) -> PromptLocation:
    if job is None:
        return PromptLocation(PromptState.NOWHERE)
    state = _JOB_STATES.get(str(job.get("status")))
    if state is not None:
        return PromptLocation(state)
    return PromptLocation(
        PromptState.DONE, errors.result_of_job(job), mapping(mapping(job.get("workflow")).get("prompt"))
    )
