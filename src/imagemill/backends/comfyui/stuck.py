"""Notice a node that answers over HTTP but executes nothing, and take it back when a trial prompt has run.

ComfyUI's worker is one thread: when it ends or hangs, the server accepts prompts for ever and runs none. The
trial prompt needs no model and takes milliseconds. While it waits in the node's queue, every other process
sees by it that the node is stuck.
"""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from imagemill.backends.comfyui.node import NodeConnection
from imagemill.backends.comfyui.prompt import PromptRun
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.graphs.json_access import mapping, sequence

log = logging.getLogger(__name__)

IDLE_POLLS = 2
"""Checks in a row that must see prompts waiting and none running before the node counts as stuck."""
HANDED_BACK_S = 5.0
"""Seconds for which a job that waited on a stuck node is left to other nodes."""
TRIAL = {"imagemill": "trial"}
"""Marks a trial prompt in its ``extra_data``."""

_GRAPH: Mapping[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


class _Queue:
    """A node's queue: prompt id -> its ``extra_data``."""

    def __init__(self, connection: NodeConnection) -> None:
        queue = connection.client.queue()
        self.running = _entries(queue["queue_running"])
        self.pending = _entries(queue["queue_pending"])

    def trials(self) -> list[str]:
        everything = {**self.running, **self.pending}
        return [reference for reference, extra in everything.items() if extra.get("imagemill") == "trial"]


def _entries(items: object) -> dict[str, Mapping[str, Any]]:
    entries = (sequence(item) for item in sequence(items))
    return {str(entry[1]): mapping(entry[3]) if len(entry) > 3 else {} for entry in entries}


class StuckNodeCheck:
    """Watches the queue of one node. Not thread-safe: the node's health monitor calls it."""

    def __init__(self, connection: NodeConnection) -> None:
        self._connection = connection
        self._idle_polls = 0
        self._trial = ""
        """The trial prompt that is followed."""
        self._trials_since: dict[str, float] = {}
        """Trial prompts in the queue, and the times since which they have been seen there."""

    def check(self) -> None:
        """Mark the node as stuck, or try it and take it back. Raises `ComfyError`."""
        connection = self._connection
        if not self._is_suspicious():
            self._idle_polls = 0
            self._trials_since.clear()
            return
        queue = _Queue(connection)
        if connection.stuck:
            self._try(queue)
            return
        self._note_trials(queue)
        reason = self._reason(queue)
        if reason:
            self._mark_stuck(queue, reason)

    def _is_suspicious(self) -> bool:
        connection = self._connection
        if connection.stuck or connection.abandoned:
            return True
        quiet_s = connection.clock() - connection.active_at
        has_prompts = bool(connection.prompt_runs or connection.queue_remaining)
        return (has_prompts and quiet_s >= connection.settings.wedged_s) or any(self._idle_runs())

    def _reason(self, queue: _Queue) -> str:
        """Why the node executes nothing, as the end of a sentence; empty if it seems to work."""
        connection, now = self._connection, self._connection.clock()
        limit_s = connection.settings.wedged_s
        if not queue.running:
            waits = not queue.pending.keys().isdisjoint(connection.prompt_runs)
            self._idle_polls = self._idle_polls + 1 if waits else 0
            return "prompts wait there and none runs" if self._idle_polls >= IDLE_POLLS else ""
        self._idle_polls = 0
        interrupted = [connection.abandoned.get(reference) for reference in queue.running]
        if all(since is not None and now - since >= limit_s for since in interrupted):
            return f"it does not end a prompt that was interrupted more than {limit_s:g} s ago"
        if any(run.reference in queue.running for run in self._idle_runs()):
            return f"it executes no node of a prompt that it started more than {limit_s:g} s ago"
        if any(now - since >= limit_s for since in self._trials_since.values()):
            return f"a trial prompt waits there for more than {limit_s:g} s"
        return ""

    def _idle_runs(self) -> list[PromptRun]:
        """Our prompts that were started long ago and of which no node runs, by events that would say so."""
        connection = self._connection
        due = connection.clock() - connection.settings.wedged_s
        return [
            run
            for run in tuple(connection.prompt_runs.values())
            if run.announced_at is not None and run.announced_at <= due and not run.executes
            if connection.socket.is_open and run.client_id == connection.socket.client_id
        ]

    def _note_trials(self, queue: _Queue) -> None:
        now = self._connection.clock()
        self._trials_since = {trial: self._trials_since.get(trial, now) for trial in queue.trials()}

    def _mark_stuck(self, queue: _Queue, reason: str) -> None:
        """Stop offering the node, and let its jobs go elsewhere: waiting ones without counting a failure."""
        connection = self._connection
        connection.stuck, self._idle_polls = reason, 0
        waiting = [reference for reference in queue.pending if reference in connection.prompt_runs]
        hung = [run for run in self._idle_runs() if run.reference in queue.running]
        connection.client.delete_pending(waiting)
        for run in hung:
            connection.abandon(run.reference)
            run.notify(BackendError(FailureCode.NODE_BROKEN, connection.problem))
        for reference in waiting:
            if (run := connection.prompt_runs.get(reference)) is not None:
                message = f"{connection.problem} (the job only waited there)"
                run.notify(BackendError(FailureCode.NODE_LOST, message, after_s=HANDED_BACK_S, counts=False))
        self._try(queue)

    def _try(self, queue: _Queue) -> None:
        """Follow the trial prompt, or send one if there is none."""
        connection = self._connection
        trials = queue.trials()
        if trials:
            self._trial = trials[0]
        elif self._trial and connection.client.history(self._trial) is not None:
            self._take_back()
        else:
            self._trial = str(uuid.uuid4())
            # At the front: others' prompts may wait there, too.
            body = {"prompt": _GRAPH, "prompt_id": self._trial, "client_id": str(uuid.uuid4()), "front": True}
            connection.client.post_prompt({**body, "extra_data": TRIAL})

    def _take_back(self) -> None:
        connection = self._connection
        connection.mark_collected(self._trial)
        self._trial = ""
        self._trials_since.clear()
        connection.stuck, connection.active_at = "", connection.clock()
        connection.breaker.succeed()
