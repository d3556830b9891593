"""The error tree.

    ImagemillError
      InvalidInput        what a client sent is wrong; names each field
        UnsupportedPicture  a file of a type we do not take
        UnusablePicture   a picture that is damaged, too large or not a still
        ContentBlocked    a prompt that may not be rendered here
      Unauthenticated     nobody we know calls
      Forbidden           who calls may not do this
      NotFound            absent, or somebody else's
      Conflict            the request does not fit the present state
        IllegalTransition a status change the life of a job does not have
        Superseded        a claim whose attempt is no longer the job's
      BackendError        a backend could not make the picture; typed by FailureCode
      StorageError        a blob store or database could not be used

Each leaf has a ``code`` (stable, for machines) and ``retryable`` (would the same call work later?).
HTTP statuses live in one table at the edge (`imagemill.web.problems`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from imagemill.domain.failures import FailureCode


class ImagemillError(Exception):
    code = "error"
    retryable = False


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


class NotFound(ImagemillError):
    code = "not_found"


class Conflict(ImagemillError):
    code = "conflict"


class IllegalTransition(Conflict):
    code = "illegal_transition"


class Superseded(Conflict):
    """The job went on without this claim: its lease ran out, or it was decided elsewhere."""

    code = "superseded"


class StorageError(ImagemillError):
    code = "storage"
    retryable = True


class BackendError(ImagemillError):
    """A render that failed, with the typed cause that decides about a retry.

    ``tried``: the backend has tried again on the node itself, so that trying there once more is of no use.
    """

    def __init__(self, failure: FailureCode, message: str, *, tried: bool = False) -> None:
        super().__init__(message)
        self.tried = tried
        self.failure = failure
        self.code = failure.value
