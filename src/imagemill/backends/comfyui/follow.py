"""Following a prompt to its end: by its events, and by asking when they stay out."""

import logging
import mimetypes
from collections.abc import Iterable, Iterator, Mapping
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
    TruncatedFile,
    failure,
)
from imagemill.backends.comfyui.node import NodeConnection
from imagemill.backends.comfyui.prompt import PromptRun
from imagemill.backends.comfyui.submit import PromptLocation, PromptState, locate, models_of, prepared, resend
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode


class FileGone(Exception):
    """A file the history names is not there any more: an earlier identical prompt's, removed since."""


def collect(
    link: NodeConnection, flight: PromptRun, order: RenderRequest, files: Iterable[File]
) -> tuple[Output, ...]:
    """All files, then what came over the socket. Raises `BackendError`, `WireError`, `FileGone`."""
    outputs = [_fetch(link, file) for file in files]
    outputs += [Output(data, _sniffed(data) or "image/png") for data in _frames(flight)]
    if not outputs:
        raise BackendError(
            FailureCode.BAD_OUTPUT, f"{link.name}: the prompt ended well and delivered no file"
        )
    return tuple(replace(output, seed=order.work.seed) for output in outputs)


def _frames(flight: PromptRun) -> Iterator[bytes]:
    ranks = {node_id: rank for rank, node_id in enumerate(flight.graph)}
    for key in sorted(flight.frames, key=lambda key: (ranks.get(key[0], 0), key[1])):
        yield flight.frames[key]


def _fetch(link: NodeConnection, file: File) -> Output:
    """Read twice at most: a file may be cut short on the way, or still be written."""
    for last in (False, True):
        try:
            data, told = link.client.view(file.name, file.subfolder, file.kind, most=link.settings.file_bytes)
        except ComfyStatusError as error:
            if error.status == 404:
                raise FileGone(file.name) from error
            raise
        except TruncatedFile as error:
            if last:
                raise failure(link.name, error) from error
            continue
        kind = _sniffed(data) or mimetypes.guess_type(file.name)[0] or told or "application/octet-stream"
        if data and is_whole(data, kind):
            return Output(data, kind, name=file.name)
    raise BackendError(FailureCode.BAD_OUTPUT, f"{link.name} delivers {file.name} cut short")


def is_whole(data: bytes, media_type: str) -> bool:
    """Whether a picture ends as its format ends; other files are not judged."""
    match media_type:
        case "image/png":
            return data[-8:-4] == b"IEND"
        case "image/jpeg":
            return b"\xff\xd9" in data[-1024:]
        case "image/webp":
            return len(data) >= 8 + int.from_bytes(data[4:8], "little")
        case _:
            return True


def _sniffed(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


log = logging.getLogger(__name__)

SLICE_S = 0.1
"""Events wake a follower at once; this is how late it sees the wish to stop and its time running out."""
_ENDING_POLL_S = 0.25
"""The last event is due within milliseconds of the one before."""
_DEAF_POLL_S = 1.0
"""How often a prompt is looked for whose events cannot come."""
_AWAY_POLL_S = 0.5
_LONGEST_POLL_S = 10.0
"""Loading a large model is silent for a minute; a whole queue is not read each second for it."""
_CONFIRM_S = 0.3
"""A prompt that is nowhere is looked for once more."""


class Interrupted(BackendError):
    """Somebody else stopped the prompt on the node; that speaks against neither."""


class PromptFollower:
    def __init__(
        self, link: NodeConnection, flight: PromptRun, order: RenderRequest, watch: RenderControl
    ) -> None:
        self._link, self._flight, self._order, self._watch = link, flight, order, watch
        self._clock = link.clock
        self._ends = 0
        self._polled_at = self._clock()
        self._poll_s = link.settings.silence_s
        self._away_since: float | None = None
        self._away: ComfyError | None = None
        self._missing_since: float | None = None
        self._told: Progress | None = None
        model = next(iter(models_of(order.work)), "")
        self._model = model.lower()

    def run(self) -> RenderResult:
        """Raises `BackendError`, or `RenderCanceled` when the watch says stop: the prompt is off, or left."""
        flight, version = self._flight, -1
        while True:
            if self._watch.stopped:
                if not self._watch.detached:
                    self._cancel()
                raise RenderCanceled
            if flight.fatal_reason:
                raise BackendError(FailureCode.NODE_LOST, flight.fatal_reason)
            rendered = self._look_if_due()
            if rendered is not None:
                return rendered
            self._tell()
            self._check_time()
            version = flight.wait(version, SLICE_S)

    def _look_if_due(self) -> RenderResult | None:
        ends = self._flight.ends
        now = self._clock()
        if ends == self._ends and now < self._next_poll():
            return None
        try:
            found = self._find(ended=ends != self._ends)
            self._ends, self._polled_at, self._away_since = ends, self._clock(), None
            self._poll_s = min(_LONGEST_POLL_S, 1.5 * self._poll_s)
            return self._take(found)
        except ComfyError as error:
            self._polled_at = self._clock()
            self._stay_away(error)
            return None

    def _next_poll(self) -> float:
        """When the node is asked though no event says that the prompt is over."""
        flight, link = self._flight, self._link
        if self._away_since is not None:
            return self._polled_at + _AWAY_POLL_S
        if self._missing_since is not None:
            return self._polled_at + _CONFIRM_S
        if not link.socket.is_open or flight.client_id != link.socket.client_id:
            return self._polled_at + min(_DEAF_POLL_S, link.settings.silence_s)
        if flight.ending:
            return max(self._polled_at, flight.last_event_at) + _ENDING_POLL_S
        if flight.last_event_at > self._polled_at:
            self._poll_s = link.settings.silence_s
        return max(self._polled_at, flight.last_event_at) + self._poll_s

    def _find(self, *, ended: bool) -> PromptLocation:
        if ended and (entry := self._link.client.history(self._flight.reference)) is not None:
            return PromptLocation(PromptState.DONE, entry)
        return locate(self._link, self._flight.reference)

    def _take(self, found: PromptLocation) -> RenderResult | None:
        if found.state is not PromptState.NOWHERE:
            self._missing_since = None
        match found.state:
            case PromptState.DONE:
                return self._finish(found.entry or {})
            case PromptState.RUNNING:
                self._flight.begin(self._clock())
                self._link.load(self._flight.models)
            case PromptState.WAITING:
                pass
            case PromptState.NOWHERE:
                self._miss()
        return None

    def _miss(self) -> None:
        now = self._clock()
        if self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since >= _CONFIRM_S:
            self._link.maybe_restarted = True
            message = (
                f"{self._link.name} no longer knows the prompt: it was restarted, or somebody removed it"
            )
            raise BackendError(FailureCode.NODE_LOST, message)

    def _stay_away(self, error: ComfyError) -> None:
        """The node does not answer as it should: for a while it may come back with the prompt."""
        now = self._clock()
        if isinstance(error, ComfyUnreachable):
            self._link.mark_unreachable(error)
        if self._away_since is None:
            self._away_since = now
        elif now - self._away_since >= self._link.settings.lost_s:
            self._link.abandon(self._flight.reference)
            lost = failure(self._link.name, error)
            raise BackendError(FailureCode.NODE_LOST, str(lost)) from error

    def _finish(self, entry: Mapping[str, Any]) -> RenderResult | None:
        """What the history tells of it; None: it was sent once more."""
        link, flight = self._link, self._flight
        outcome = errors.result_of(entry)
        if outcome.status is errors.PromptStatus.SUCCESS:
            files = tuple(errors.files_of(outcome.outputs, flight.graph))
            try:
                outputs = collect(link, flight, self._order, files)
            except FileGone as gone:
                return self._save_again(gone)
            if flight.started_at is not None:
                link.render_times.learn(self._model, flight.outline.load, self._clock() - flight.started_at)
            link.load(flight.models)
            link.collect(flight.reference, marks=True)
            self._tell(ended=True)
            return RenderResult(outputs, self._details(outcome.outputs))
        if outcome.status is errors.PromptStatus.INTERRUPTED:
            link.collect(flight.reference)
            message = f"{link.name}: somebody interrupted the prompt on the node"
            raise Interrupted(FailureCode.BACKEND_UNAVAILABLE, message)
        if errors.is_out_of_memory(outcome.error) and flight.may_resend("out of memory"):
            log.info("%s ran out of memory: freed and sent again", link.name)
            link.client.free()
            link.unload()
            resend(link, flight, flight.graph)
            return None
        link.collect(flight.reference)
        raise errors.execution_failure(link.name, outcome.error, flight.outline.titles)

    def _save_again(self, gone: FileGone) -> None:
        """The node took it from its cache, whose file is no longer there: saved under another name."""
        link, flight = self._link, self._flight
        if not flight.may_resend("file gone"):
            message = f"{link.name} has no file {gone}, though it says it saved it"
            raise BackendError(FailureCode.BAD_OUTPUT, message)
        stock = link.inventory or link.read_inventory()
        resend(link, flight, prepared(link, self._order, stock, suffix="-again"))

    def _details(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        flight = self._flight
        started = flight.started_at or flight.sent_at
        return {
            "prompt_request": flight.graph,
            "prompt_response": {"prompt_id": flight.reference, "outputs": outputs, "node_errors": {}},
            "node": self._link.name,
            "waitedMs": round(max(0.0, started - flight.sent_at) * 1000, 1),
            "renderMs": round((self._clock() - started) * 1000, 1),
        }

    def _tell(self, *, ended: bool = False) -> None:
        """Progress never goes back, whatever order its events come in."""
        if not ended and self._flight.started_at is None:
            return
        progress, told = self._flight.progress(), self._told
        if ended:
            progress = Progress(progress.total, progress.total, progress.note)
        elif told is not None:
            same = (progress.step, progress.total, progress.note) == (told.step, told.total, told.note)
            if progress.fraction < told.fraction or (same and progress.preview is None):
                return
        self._told = progress
        self._watch.progress(progress)

    def _check_time(self) -> None:
        flight, settings, now = self._flight, self._link.settings, self._clock()
        if flight.started_at is None:
            waited_s, limit_s = now - flight.sent_at, settings.waiting_s
            message = f"{self._link.name} did not start the prompt within {limit_s:g} s"
        else:
            waited_s = now - flight.started_at
            limit_s = self._link.render_times.limit_s(self._model, flight.outline.load, self._order.timeout_s)
            message = f"{self._link.name} did not finish the prompt within {limit_s:g} s"
        if waited_s >= limit_s:
            self._cancel()
            raise BackendError(FailureCode.TIMEOUT, message)

    def _cancel(self) -> None:
        """Take it off the node and see that it is gone; what cannot be confirmed is left to the checkup."""
        link, reference = self._link, self._flight.reference
        end = self._clock() + link.settings.cancel_s
        while True:
            version = self._flight.version
            try:
                link.client.delete_pending([reference])
                link.client.interrupt(reference)
                if locate(link, reference).state in (PromptState.DONE, PromptState.NOWHERE):
                    link.collect(reference)
                    return
            except ComfyError as error:
                log.debug("%s: a prompt could not be stopped yet: %s", link.name, error)
            if self._clock() >= end:
                link.abandon(reference)
                return
            self._flight.wait(version, SLICE_S)
