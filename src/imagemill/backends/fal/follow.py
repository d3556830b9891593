"""Follow one request to its end: poll it, fetch its pictures, cancel it when the job is stopped."""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from imagemill.backends.base import Output, Progress, RenderCanceled, RenderControl, RenderRequest
from imagemill.backends.fal.errors import (
    BadResponse,
    FalError,
    FalRequestFailed,
    FalStatusError,
    FalUnreachable,
    failure_of,
    sentence,
)
from imagemill.backends.fal.settings import FalSettings
from imagemill.backends.paid_calls import LOST
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import ImageSpec
from imagemill.graphs.json_access import mapping, sequence

if TYPE_CHECKING:
    from imagemill.backends.fal.client import Completed, FalClient, SyncRequestHandle

log = logging.getLogger(__name__)

_QUEUED_SLOWER = 4.0
"""Factor of the polling interval in fal's queue, compared with a running request."""
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 8.0
_STEP = re.compile(r"(\d{1,4})/(\d{1,4})\b")
"""The progress that samplers log: ``45%|####5     | 9/20 [00:01<00:01]``."""

_Answer = TypeVar("_Answer")


class FalFollower:
    """Follows one request.

    Raises `FalRequestFailed` when the request has failed, `FalError` when it cannot be followed.
    """

    def __init__(
        self,
        client: "FalClient",
        handle: "SyncRequestHandle",
        request: RenderRequest,
        control: RenderControl,
        settings: FalSettings,
    ) -> None:
        self._client, self._handle, self._request = client, handle, request
        self._control, self._settings = control, settings
        self._until = time.monotonic() + request.timeout_s
        self._done = 0
        self._note: str = ""

    def run(self) -> tuple[tuple[Output, ...], Mapping[str, Any]]:
        """The pictures, and facts about the request for the job's last event."""
        completed = self._wait()
        result = self._retry(lambda: self._client.result_of(self._handle))
        outputs = self._collect(result)
        self._report_progress(self._total, "")
        inference_s = completed.metrics.get("inference_time")
        return outputs, {"inferenceS": inference_s, "seed": result.get("seed")}

    @property
    def _spec(self) -> ImageSpec:
        assert isinstance(self._request.work, ImageSpec)  # noqa: S101 - others are refused before they are sent
        return self._request.work

    @property
    def _total(self) -> int:
        return max(1, self._spec.steps)

    def _wait(self) -> "Completed":
        from imagemill.backends.fal.client import Completed, InProgress, Queued

        pause_s = self._settings.poll_s
        while True:
            status = self._retry(lambda: self._client.status_of(self._handle))
            if isinstance(status, Completed):
                if status.error:
                    raise _request_failure(status.error, status.error_type or "")
                return status
            if isinstance(status, Queued):
                self._report_progress(0, f"place {status.position + 1} in fal's queue")
                pause_s = min(pause_s * 1.5, self._settings.poll_s * _QUEUED_SLOWER)
            elif isinstance(status, InProgress):
                self._read_steps(status.logs or ())
                pause_s = self._settings.poll_s
            self._sleep(pause_s)

    def _sleep(self, seconds: float) -> None:
        """Raise `RenderCanceled` when the job is stopped, `FalRequestFailed` when its time is over."""
        left_s = self._until - time.monotonic()
        if self._control.wait(max(0.0, min(seconds, left_s))):
            if not self._control.detached:
                self._cancel()
            raise RenderCanceled
        if time.monotonic() >= self._until:
            self._cancel()
            message = f"fal did not finish within {self._request.timeout_s:.0f} s"
            raise FalRequestFailed(FailureCode.TIMEOUT, message)

    def _retry(self, ask: Callable[[], _Answer]) -> _Answer:
        """Call ``ask``; while fal is unreachable or busy repeat it with back-off, for ``away_s`` seconds."""
        since = time.monotonic()
        pause_s = _FIRST_BACKOFF_S
        while True:
            if self._control.stopped:
                self._sleep(0.0)
            try:
                return ask()
            except (FalUnreachable, FalStatusError, BadResponse) as error:
                self._raise_permanent(error)
                away_s = time.monotonic() - since
                after_s = error.after_s if isinstance(error, FalStatusError) else None
                wait_s = max(pause_s, after_s or 0.0)
                if away_s + wait_s > self._settings.away_s:
                    raise
                log.info("retrying in %.1f s: fal %s", wait_s, error)
            self._sleep(wait_s)
            pause_s = min(pause_s * 2, _LONGEST_BACKOFF_S)

    def _raise_permanent(self, error: FalError) -> None:
        """Raise for an error that a retry cannot resolve."""
        if not isinstance(error, FalStatusError) or error.is_transient:
            return
        if error.status in (404, 410):
            message = "fal no longer knows the request or its pictures"
            raise FalRequestFailed(FailureCode.BACKEND_UNAVAILABLE, message, LOST) from error
        if error.status in (401, 402, 403):
            raise error
        code = failure_of(error.kind, str(error), error.status)
        raise FalRequestFailed(code, f"fal {error}") from error

    def _read_steps(self, logs: Sequence[Mapping[str, Any]]) -> None:
        """Report the steps, if the model logs them."""
        for entry in reversed(logs):
            found = _STEP.findall(str(entry.get("message", "")))
            if found and int(found[-1][1]) > 0:
                done, of = map(int, found[-1])
                self._report_progress(min(self._total, done * self._total // of), "")
                return
        self._report_progress(self._done, "fal renders")

    def _report_progress(self, done: int, note: str) -> None:
        """Report the progress if it is new. It never decreases."""
        if done > self._done or note != self._note or done == self._total:
            self._done, self._note = max(self._done, done), note
            self._control.progress(Progress(self._done, self._total, note))

    def _cancel(self) -> None:
        """Ask fal to cancel the request; a finished one is paid nevertheless."""
        try:
            self._handle.cancel()
        except FalError as error:
            log.info("a request to fal could not be cancelled: fal %s", error)

    def _collect(self, result: Mapping[str, Any]) -> tuple[Output, ...]:
        marks = sequence(result.get("has_nsfw_concepts"))
        if self._settings.safety_checker and any(marks):
            raise FalRequestFailed(FailureCode.CONTENT_BLOCKED, "fal's safety checker blocked the picture")
        images = sequence(result.get("images")) or [result.get("image")]
        urls = [url for each in images if isinstance(url := mapping(each).get("url"), str)]
        if not urls or len(urls) < len(images):
            raise FalRequestFailed(FailureCode.BAD_OUTPUT, "fal delivered no pictures")
        seed = result.get("seed")
        used_seed = seed if type(seed) is int else self._spec.seed
        return tuple(self._output(url, used_seed) for url in urls)

    def _output(self, url: str, seed: int) -> Output:
        most = self._settings.picture_bytes
        data, media_type = self._retry(lambda: self._client.fetch(url, most))
        return Output(data, media_type, seed=seed)


def _request_failure(error: str, kind: str) -> FalRequestFailed:
    code = failure_of(kind, error)
    named = f" ({kind})" if kind else ""
    return FalRequestFailed(code, f"fal failed: {sentence(error)}{named}")
