"""Follow a prompt to its end, by its events and by polling when there are none, and fetch its files."""

import logging
import math
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagemill.backends.base import (
    Output,
    Progress,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
)
from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.errors import (
    ComfyError,
    ComfyStatusError,
    ComfyUnreachable,
    File,
    FileGone,
    FileTooLarge,
    Interrupted,
    PromptResult,
    TruncatedFile,
    failure,
)
from imagemill.backends.comfyui.lookup import PromptLocation, PromptState, cancel, find_ended, locate
from imagemill.backends.comfyui.node import NodeConnection
from imagemill.backends.comfyui.prompt import PromptRun
from imagemill.backends.comfyui.submit import models_of, prepare_graph, resend
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import WorkerSpec

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 1.0
"""Longest wait for an event. The end of the prompt, progress and a stop end it."""
_CANCEL_WAIT_S = 0.1
"""Pause between two requests to cancel a prompt."""
_ENDING_POLL_S = 0.25
"""The last event is due within milliseconds of the one before."""
_NO_SOCKET_POLL_S = 1.0
"""Interval of polling a prompt whose events cannot be received."""
_UNREACHABLE_POLL_S = 0.5
_LONGEST_POLL_S = 10.0
"""Loading a large model sends no events for a minute; the whole queue should not be read each second
meanwhile."""
_CONFIRM_S = 0.3
"""Delay before the second search for a prompt that was not found."""


class PromptFollower:
    """Follows one prompt on behalf of one caller."""

    def __init__(
        self,
        connection: NodeConnection,
        prompt_run: PromptRun,
        request: RenderRequest,
        control: RenderControl,
    ) -> None:
        self._connection, self._prompt_run, self._request, self._control = (
            connection,
            prompt_run,
            request,
            control,
        )
        self._clock = connection.clock
        self._ends = 0
        self._polled_at = self._clock()
        self._poll_s = connection.settings.silence_s
        self._unreachable_since: float | None = None
        self._missing_since: float | None = None
        self._relies_on_events = not request.leaves_nothing
        """Whether the outputs may be taken from the events, before the history is written. A prompt that must
        be deleted from the history at once has to be there first."""
        self._reported: Progress | None = None
        model = next(iter(models_of(request.work)), "")
        self._model = model.lower()

    def run(self, briefly_s: float | None = None) -> RenderResult | None:
        """Follow the prompt to its end.

        ``briefly_s``: follow it for so many seconds at most, and only while its node is quick; return None
        where it has not ended then. Raises `BackendError`, or `RenderCanceled` when the control is stopped;
        then the prompt was removed from the node, unless the control is detached.
        """
        prompt_run, version = self._prompt_run, self._prompt_run.version
        self._control.call_on_stop(prompt_run.notify)
        until = self._clock() + (math.inf if briefly_s is None else briefly_s)
        while True:
            if self._control.stopped:
                if not self._control.detached:
                    self._cancel()
                raise RenderCanceled
            if prompt_run.fatal is not None:
                raise prompt_run.fatal
            rendered = self._poll_if_due()
            if rendered is not None:
                return rendered
            self._report_progress()
            time_left_s, now = self._check_time(), self._clock()
            if briefly_s is not None and (now >= until or not self._connection.is_quick):
                return None
            wait_s = min(time_left_s, self._next_poll() - now, until - now, _LONGEST_WAIT_S)
            version = prompt_run.wait(version, max(0.0, wait_s))

    def _poll_if_due(self) -> RenderResult | None:
        ends = self._prompt_run.ends
        due = self._clock() >= self._next_poll()
        outputs = self._prompt_run.outputs() if self._relies_on_events else None
        if outputs is not None and (due or self._unreachable_since is None):
            return self._finish_by_events(outputs)
        if ends == self._ends and not due:
            return None
        try:
            find = find_ended if ends != self._ends else locate
            found = find(self._connection, self._prompt_run.reference)
            self._ends, self._polled_at, self._unreachable_since = ends, self._clock(), None
            self._poll_s = min(_LONGEST_POLL_S, 1.5 * self._poll_s)
            return self._on_located(found)
        except ComfyError as error:
            self._polled_at = self._clock()
            self._on_node_error(error)
            return None

    def _finish_by_events(self, outputs: Mapping[str, Any]) -> RenderResult | None:
        """Collect the files at once, without the history, which the node writes a moment later."""
        try:
            return self._finish(PromptResult(errors.PromptStatus.SUCCESS, outputs, {}), by_events=True)
        except ComfyError as error:
            self._polled_at = self._clock()
            self._on_node_error(error)
            return None

    def _next_poll(self) -> float:
        """When the node is polled next if no event reports the end of the prompt."""
        prompt_run, connection = self._prompt_run, self._connection
        if self._unreachable_since is not None:
            return self._polled_at + _UNREACHABLE_POLL_S
        if self._missing_since is not None:
            return self._polled_at + _CONFIRM_S
        if not connection.socket.is_open or prompt_run.client_id != connection.socket.client_id:
            return self._polled_at + min(_NO_SOCKET_POLL_S, connection.settings.silence_s)
        if prompt_run.ending:
            return max(self._polled_at, prompt_run.last_event_at) + _ENDING_POLL_S
        if prompt_run.last_event_at > self._polled_at:
            self._poll_s = connection.settings.silence_s
        return max(self._polled_at, prompt_run.last_event_at) + self._poll_s

    def _on_located(self, found: PromptLocation) -> RenderResult | None:
        if found.state is not PromptState.NOWHERE:
            self._missing_since = None
        if found.result is not None:
            return self._finish(found.result)
        match found.state:
            case PromptState.RUNNING:
                self._prompt_run.mark_running(self._clock())
                self._connection.mark_loaded(self._prompt_run.models)
            case PromptState.NOWHERE:
                self._on_missing()
            case _:
                pass
        return None

    def _on_missing(self) -> None:
        now = self._clock()
        if self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since >= _CONFIRM_S:
            self._connection.maybe_restarted = True
            name = self._connection.name
            message = f"{name} no longer knows the prompt: it was restarted, or another client removed it"
            raise BackendError(FailureCode.NODE_LOST, message)

    def _on_node_error(self, error: ComfyError) -> None:
        """Tolerate an error of the node for ``lost_s`` seconds: it may come back with the prompt."""
        now = self._clock()
        if isinstance(error, ComfyUnreachable):
            self._connection.mark_unreachable(error)
        if self._unreachable_since is None:
            self._unreachable_since = now
        elif now - self._unreachable_since >= self._connection.settings.lost_s:
            self._connection.abandon(self._prompt_run.reference)
            lost = failure(self._connection.name, error)
            raise BackendError(FailureCode.NODE_LOST, str(lost)) from error

    def _finish(self, outcome: PromptResult, *, by_events: bool = False) -> RenderResult | None:
        """The files of an ended prompt; None if it was sent again, or if its history is to be waited for."""
        connection, prompt_run = self._connection, self._prompt_run
        if outcome.status is errors.PromptStatus.SUCCESS:
            files = tuple(errors.files_of(outcome.outputs, prompt_run.graph))
            try:
                outputs = collect(connection, prompt_run, self._request, files)
            except FileGone as gone:
                if by_events:
                    # It can be sent again only when its history can be deleted.
                    self._relies_on_events = False
                    return None
                return self._save_again(gone)
            if prompt_run.started_at is not None:
                connection.render_times.learn(
                    self._model, prompt_run.outline.load, self._clock() - prompt_run.started_at
                )
            connection.mark_loaded(prompt_run.models)
            connection.mark_collected(prompt_run.reference, marks=not self._request.leaves_nothing)
            self._report_progress(ended=True)
            return RenderResult(outputs, self._details(outcome.outputs))
        if outcome.status is errors.PromptStatus.INTERRUPTED:
            connection.mark_collected(prompt_run.reference)
            message = f"{connection.name}: another client interrupted the prompt on the node"
            raise Interrupted(FailureCode.BACKEND_UNAVAILABLE, message)
        if errors.is_out_of_memory(outcome.error) and prompt_run.may_resend("out of memory"):
            log.info("%s ran out of memory: models unloaded, prompt sent again", connection.name)
            connection.client.free()
            connection.mark_unloaded()
            resend(connection, prompt_run, prompt_run.graph)
            return None
        connection.mark_collected(prompt_run.reference)
        error = connection.partner.without_key(outcome.error)
        raise errors.execution_failure(connection.name, error, prompt_run.outline.titles)

    def _save_again(self, gone: FileGone) -> None:
        """Send the prompt again with another file name: the node used its cache, but the cached file is
        gone."""
        connection, prompt_run = self._connection, self._prompt_run
        if not prompt_run.may_resend("file gone"):
            message = f"{connection.name} does not have the file {gone} that it reports as saved"
            raise BackendError(FailureCode.BAD_OUTPUT, message)
        inventory = connection.inventory or connection.read_inventory()
        resend(connection, prompt_run, prepare_graph(connection, self._request, inventory, suffix="-again"))

    def _details(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        prompt_run = self._prompt_run
        started = prompt_run.started_at or prompt_run.sent_at
        shown: dict[str, Any] = {
            "prompt_request": prompt_run.graph,
            "prompt_response": {"prompt_id": prompt_run.reference, "outputs": outputs, "node_errors": {}},
            **prompt_run.times.details(started),
        }
        return {
            **({} if self._request.leaves_nothing else shown),
            "node": self._connection.name,
            "waitedMs": round(max(0.0, started - prompt_run.sent_at) * 1000, 1),
            "renderMs": round((self._clock() - started) * 1000, 1),
        }

    def _report_progress(self, *, ended: bool = False) -> None:
        """Report the progress if it is new. It never decreases, in whatever order the events come."""
        if not ended and self._prompt_run.started_at is None:
            return
        progress, last = self._prompt_run.progress(), self._reported
        if ended:
            progress = Progress(progress.total, progress.total, progress.note)
        elif last is not None:
            same = (progress.step, progress.total, progress.note) == (last.step, last.total, last.note)
            if progress.fraction < last.fraction or (same and progress.preview is None):
                return
        self._reported = progress
        self._control.progress(progress)

    def _check_time(self) -> float:
        """Give the prompt up when its time is over; else return the seconds that are left."""
        prompt_run, settings, now = self._prompt_run, self._connection.settings, self._clock()
        if prompt_run.started_at is None:
            waited_s, limit_s = now - prompt_run.sent_at, settings.waiting_s
            message = f"{self._connection.name} did not start the prompt within {limit_s:g} s"
        else:
            waited_s = now - prompt_run.started_at
            limit_s = self._connection.render_times.limit_s(
                self._model, prompt_run.outline.load, self._request.timeout_s
            )
            message = f"{self._connection.name} did not finish the prompt within {limit_s:g} s"
        if waited_s < limit_s:
            return limit_s - waited_s
        stopped = self._cancel()
        if prompt_run.started_at is None:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, message)
        quiet_s = now - max(prompt_run.last_event_at, prompt_run.started_at)
        if stopped or (prompt_run.executes and quiet_s < settings.wedged_s):
            raise BackendError(FailureCode.TIMEOUT, message)
        raise BackendError(FailureCode.NODE_BROKEN, f"{message}, and did not react to its interruption")

    def _cancel(self) -> bool:
        """Remove the prompt from the node; return whether it is gone. Else the health monitor removes it
        later."""
        connection, reference = self._connection, self._prompt_run.reference
        end = self._clock() + connection.settings.cancel_s
        while True:
            version = self._prompt_run.version
            try:
                cancel(connection, reference)
                if locate(connection, reference).state in (PromptState.DONE, PromptState.NOWHERE):
                    connection.mark_collected(reference)
                    return True
            except ComfyError as error:
                log.debug("%s: a prompt could not be stopped yet: %s", connection.name, error)
            if self._clock() >= end:
                connection.abandon(reference)
                return False
            self._prompt_run.wait(version, _CANCEL_WAIT_S)


# Files.


def collect(
    connection: NodeConnection, prompt_run: PromptRun, request: RenderRequest, files: Sequence[File]
) -> tuple[Output, ...]:
    """All files, then the pictures sent over the socket. Raises `BackendError`, `ComfyError`, `FileGone`."""
    count = len(files) + sum(map(len, prompt_run.frames.values()))
    if count > request.most_files:
        message = f"the graph made {count} files or more; at most {request.most_files} are kept"
        raise BackendError(FailureCode.OUTPUT_LIMIT, f"{connection.name}: {message}")
    outputs = [_fetch(connection, file) for file in files]
    outputs += [Output(data, _detect_type(data) or "image/png") for data in _frames(prompt_run)]
    if not outputs and prompt_run.outline.senders:
        message = f"{connection.name}: the pictures that the graph sends over the WebSocket were lost"
        raise BackendError(FailureCode.BAD_OUTPUT, message)
    if not outputs:
        message = "the graph ran but saved no file: add a node that saves its result, such as SaveImage"
        raise BackendError(FailureCode.INVALID_GRAPH, f"{connection.name}: {message}")
    seed = None if isinstance(request.work, WorkerSpec) else request.work.seed
    return tuple(replace(output, seed=seed) for output in outputs)


def _frames(prompt_run: PromptRun) -> Iterator[bytes]:
    ranks = {node_id: rank for rank, node_id in enumerate(prompt_run.graph)}
    for node_id in sorted(prompt_run.frames, key=lambda node_id: ranks.get(node_id, 0)):
        yield from prompt_run.frames[node_id]


def _fetch(connection: NodeConnection, file: File) -> Output:
    """Fetch a file, at most twice: it may be cut off in transit, or still being written."""
    for last in (False, True):
        try:
            data, stated_type = connection.client.view(
                file.name, file.subfolder, file.kind, most=connection.settings.file_bytes
            )
        except ComfyStatusError as error:
            if error.status == 404:
                raise FileGone(file.name) from error
            raise
        except TruncatedFile as error:
            if last or isinstance(error, FileTooLarge):
                raise failure(connection.name, error) from error
            continue
        kind = (
            _detect_type(data)
            or mimetypes.guess_type(file.name)[0]
            or stated_type
            or "application/octet-stream"
        )
        if data and is_complete(data, kind):
            return Output(data, kind, name=file.name)
    raise BackendError(FailureCode.BAD_OUTPUT, f"{connection.name} delivers {file.name} incomplete")


def is_complete(data: bytes, media_type: str) -> bool:
    """Whether a picture ends as its format requires; always True for other files."""
    match media_type:
        case "image/png":
            return data[-8:-4] == b"IEND"
        case "image/jpeg":
            return b"\xff\xd9" in data[-1024:]
        case "image/webp":
            return len(data) >= 8 + int.from_bytes(data[4:8], "little")
        case _:
            return True


def _detect_type(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
