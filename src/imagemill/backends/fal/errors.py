"""What can go wrong with fal, and what it means for a job: the one place where that is decided."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.graphs.json_access import is_array, is_object, mapping, sequence

_LONGEST_WAIT_S = 900.0
"""A Retry-After above this is not waited for: the job asks again."""

_TIMEOUTS = ("request_timeout", "startup_timeout", "generation_timeout", "runner_timeout")
_CONTENT = ("content_policy", "content policy", "nsfw", "safety_checker", "safety checker")
_REFUSED = (
    "validation",
    "bad_request",
    "invalid",
    "unprocessable",
    "file_download",
    "image_too",
    "value_error",
)


class FalError(Exception):
    """fal did not answer as expected; the message is a sentence without its name."""


class FalUnreachable(FalError):
    """No answer. ``doubtful``: the request may have arrived nevertheless."""

    def __init__(self, message: str, *, doubtful: bool) -> None:
        super().__init__(message)
        self.maybe_received = doubtful


class FalStatusError(FalError):
    """Answered with an HTTP status that is no success. ``after_s``: when to come again, where it said so."""

    def __init__(self, status: int, message: str, kind: str, after_s: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.after_s = after_s

    @property
    def is_transient(self) -> bool:
        """Whether the same call may work later."""
        return self.status in (408, 409, 425, 429) or self.status >= 500


class BadResponse(FalError):
    """Answered with something that is not fal's protocol."""


def bad_status(status: int, headers: Mapping[str, str], body: Any) -> FalStatusError:
    """``body``: the answer's JSON, or its text."""
    detail, kind = body, ""
    if is_object(body):
        detail, kind = body.get("detail", body), str(body.get("error_type") or "")
    kind = kind or headers.get("x-fal-error-type", "") or _type_in(detail)
    message = f"answers {status}: {sentence(detail)}"
    return FalStatusError(status, message, kind, retry_after_s(headers.get("retry-after")))


def _type_in(detail: Any) -> str:
    """Of the list of faults that a refused input is answered with."""
    return " ".join(str(each.get("type", "")) for each in map(mapping, sequence(detail)))


def sentence(detail: Any) -> str:
    """An answer's detail for people, clipped."""
    if is_array(detail):
        detail = "; ".join(f"{_place(each)}{each.get('msg', '')}" for each in map(mapping, sequence(detail)))
    text = " ".join(str(detail).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def _place(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in sequence(fault.get("loc")) if part != "body")
    return f"{place}: " if place else ""


def retry_after_s(text: str | None) -> float | None:
    """Seconds or a date, as HTTP has both."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S) if math.isfinite(seconds) else None


def failure_of(kind: str, message: str, status: int | None = None) -> FailureCode:
    """What an error of a request means, by its type, else by its text and status."""
    told = f"{kind} {message}".lower()
    if any(word in told for word in _CONTENT):
        return FailureCode.CONTENT_BLOCKED
    if kind in _TIMEOUTS:
        return FailureCode.TIMEOUT
    if status is not None:
        passes = status in (408, 409, 425, 429) or status >= 500
        return FailureCode.BACKEND_UNAVAILABLE if passes else FailureCode.BACKEND_REJECTED
    refused = any(word in kind.lower() for word in _REFUSED)
    return FailureCode.BACKEND_REJECTED if refused else FailureCode.BACKEND_UNAVAILABLE


def failure(error: FalError) -> BackendError:
    """The typed cause for a job that met ``error``."""
    if isinstance(error, FalStatusError):
        code = failure_of(error.kind, str(error), error.status)
        return BackendError(code, f"fal {error}", after_s=error.after_s)
    return BackendError(FailureCode.BACKEND_UNAVAILABLE, f"fal {error}")


class FalRequestFailed(BackendError):
    """The request itself came to an end without a picture: it is not followed again. ``outcome``: for the
    book of calls."""

    def __init__(self, failure: FailureCode, message: str, outcome: str = "") -> None:
        super().__init__(failure, message)
        self.outcome = outcome or failure.value
