"""The error tree.

    ImagemillError
      InvalidInput        what a client sent is wrong; names each field
        UnsupportedPicture  a file of a type we do not take
        UnusablePicture   a picture that is damaged, too large or not a still
        ContentBlocked    a prompt that may not be rendered here
      Unauthenticated     nobody we know calls
      Forbidden           who calls may not do this
      NotFound            absent, or somebody else's
      CreditsInsufficient the owner cannot pay for the request
      Busy                too much at once; the same call works later
      Refused             not now: the error says when
        RateLimited       the owner has asked for as much as it may
        TooManyAttempts   somebody may be guessing
        QueueFull         the queue holds as much as it can do
      Conflict            the request does not fit the present state
        IllegalTransition a status change the life of a job does not have
        Superseded        a claim whose attempt is no longer the job's
      BackendError        a backend could not make the picture; typed by FailureCode
      StorageError        a blob store or database could not be used

Each leaf has a ``code`` (stable, for machines) and ``retryable`` (would the same call work later?).
HTTP statuses live in one table at the edge (`imagemill.web.problems`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from imagemill.domain.failures import FailureCode
from imagemill.domain.quotas import QuotaStatus


class ImagemillError(Exception):
    code = "error"
    retryable = False

    @property
    def details(self) -> Mapping[str, Any]:
        """Further members of the problem a client is answered with."""
        return {}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in what a client sent.

    ``path`` is written as in JavaScript, from the body's root: ``jobs[0].params.width``.
    """

    path: str
    message: str


class InvalidInput(ImagemillError):
    code = "invalid_input"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{e.path}: {e.message}" if e.path else e.message for e in self.errors))

    @classmethod
    def at(cls, path: str, message: str) -> Self:
        return cls([FieldError(path, message)])

    def renamed(self, rename: Callable[[str], str]) -> Self:
        """The same with the paths of another dialect."""
        return type(self)([FieldError(rename(error.path), error.message) for error in self.errors])


class UnsupportedPicture(InvalidInput):
    code = "unsupported_media_type"


class UnusablePicture(InvalidInput):
    code = "unusable_picture"


class ContentBlocked(InvalidInput):
    code = "content_blocked"


class Unauthenticated(ImagemillError):
    code = "unauthenticated"


class Forbidden(ImagemillError):
    code = "forbidden"


class Busy(ImagemillError):
    code = "busy"
    retryable = True


class NotFound(ImagemillError):
    code = "not_found"


class Conflict(ImagemillError):
    code = "conflict"


class IllegalTransition(Conflict):
    code = "illegal_transition"


class Superseded(Conflict):
    """The job went on without this claim: its lease ran out, or it was decided elsewhere."""

    code = "superseded"


class CreditsInsufficient(ImagemillError):
    """``needed`` and ``available`` in credits."""

    code = "credits_insufficient"

    def __init__(self, message: str, *, needed: float, available: float) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available

    @property
    def details(self) -> Mapping[str, Any]:
        return {"needed": self.needed, "available": self.available}


class TryLater(ImagemillError):
    """Refused for now, with nothing half-done. ``after_s``: when it may be different."""

    retryable = True

    def __init__(self, message: str, *, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class RateLimited(TryLater):
    """``standing``: of the limit that is reached."""

    code = "rate_limited"

    def __init__(self, message: str, *, after_s: float, standing: QuotaStatus) -> None:
        super().__init__(message, after_s=after_s)
        self.standing = standing


class TooManyAttempts(TryLater):
    code = "too_many_attempts"


class QueueFull(TryLater):
    code = "queue_full"


class StorageError(ImagemillError):
    code = "storage"
    retryable = True


class BackendError(ImagemillError):
    """A render that failed, with the typed cause that decides about a retry.

    ``tried``: the backend has tried again on the node itself, so that trying there once more is of no use.
    ``after_s``: how long the node is to be left alone, where it said so. ``counts``: whether it uses up one
    of the job's own tries; what a node is short of is not the job's fault.
    """

    def __init__(
        self,
        failure: FailureCode,
        message: str,
        *,
        tried: bool = False,
        after_s: float | None = None,
        counts: bool = True,
    ) -> None:
        super().__init__(message)
        self.tried = tried
        self.after_s = after_s
        self.counts = counts
        self.failure = failure
        self.code = failure.value


class ShuttingDown(Exception):
    """This process stops and accepts no more work; another process has to do it."""
