"""Errors of fal, and their translation into the typed failures of a job: the only place that decides this."""

from collections.abc import Mapping
from typing import Any

from imagemill.backends.base import ServiceError
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.graphs.json_access import is_array, is_object, mapping, sequence
from imagemill.net.backoff import retry_after_s

_LONGEST_WAIT_S = 900.0
"""Longest Retry-After that is observed; after it the job tries again."""

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


class FalError(ServiceError):
    """fal did not answer as expected."""


class FalUnreachable(FalError):
    """fal did not answer. ``maybe_received``: it may have received the request nevertheless."""

    def __init__(self, message: str, *, maybe_received: bool) -> None:
        super().__init__(message)
        self.maybe_received = maybe_received


class FalStatusError(FalError):
    """fal answered with an HTTP status that is not a success. ``after_s``: seconds until a retry, if
    stated."""

    def __init__(self, status: int, message: str, kind: str, after_s: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.after_s = after_s
        self.code = failure_of(kind, message, status).value
        self.retryable = self.is_transient

    @property
    def is_transient(self) -> bool:
        """Whether the same call may work later."""
        return self.status in (408, 409, 425, 429) or self.status >= 500


class BadResponse(FalError):
    """fal answered with something that does not follow its protocol."""


class FalRequestFailed(BackendError):
    """The request has ended without a picture: it is not followed again.

    ``outcome``: the outcome in the record of paid calls.
    """

    def __init__(self, failure: FailureCode, message: str, outcome: str = "") -> None:
        super().__init__(failure, message)
        self.outcome = outcome or failure.value


def bad_status(status: int, headers: Mapping[str, str], body: Any) -> FalStatusError:
    """The error for an answer. ``body``: the answer's JSON, or its text."""
    detail, kind = body, ""
    if is_object(body):
        detail, kind = body.get("detail", body), str(body.get("error_type") or "")
    kind = kind or headers.get("x-fal-error-type", "") or _type_in(detail)
    message = f"answers {status}: {sentence(detail)}"
    wait_s = retry_after_s(headers.get("retry-after"))
    return FalStatusError(status, message, kind, None if wait_s is None else min(wait_s, _LONGEST_WAIT_S))


def _type_in(detail: Any) -> str:
    """The error types in the list of faults of a rejected input."""
    return " ".join(str(each.get("type", "")) for each in map(mapping, sequence(detail)))


def sentence(detail: Any) -> str:
    """An answer's detail as readable text, truncated to 300 characters."""
    if is_array(detail):
        detail = "; ".join(f"{_place(each)}{each.get('msg', '')}" for each in map(mapping, sequence(detail)))
    text = " ".join(str(detail).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def _place(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in sequence(fault.get("loc")) if part != "body")
    return f"{place}: " if place else ""


def failure_of(kind: str, message: str, status: int | None = None) -> FailureCode:
    """The failure code for an error of a request, by its type, else by its text and status."""
    text = f"{kind} {message}".lower()
    if any(word in text for word in _CONTENT):
        return FailureCode.CONTENT_BLOCKED
    if kind in _TIMEOUTS:
        return FailureCode.TIMEOUT
    if status is not None:
        is_transient = status in (408, 409, 425, 429) or status >= 500
        return FailureCode.BACKEND_UNAVAILABLE if is_transient else FailureCode.BACKEND_REJECTED
    refused = any(word in kind.lower() for word in _REFUSED)
    return FailureCode.BACKEND_REJECTED if refused else FailureCode.BACKEND_UNAVAILABLE


def failure(error: FalError) -> BackendError:
    """The failure of a job that met ``error``."""
    after_s = error.after_s if isinstance(error, FalStatusError) else None
    return BackendError(FailureCode(error.code), f"fal {error}", after_s=after_s)
