"""Error classes: the common base, the errors of several packages, and a drawing of all others.

    Exception                   builtins
      ImagemillError            domain.errors              base of the errors a user may see
        InvalidInput            domain.errors              invalid request; names each field
          UnsupportedPicture    domain.errors              file of an unsupported type
          UnusablePicture       domain.errors              damaged, too large or animated
          ContentBlocked        domain.errors              prompt that may not be rendered
          UnsupportedFamily     domain.errors              model that no graph can be built for
        Unauthenticated         domain.errors              missing or unknown credentials
        UnusableKey             accounts.tokens            a JWT key that cannot be used
        Forbidden               domain.errors              the caller lacks the permission
        NotFound                domain.errors              absent, or of another owner
        CreditsInsufficient     domain.errors              the owner cannot pay
        Busy                    domain.errors              too many requests at once
        TooManyStreams          jobs.hub                   too many open event streams
        TooManyOwnStreams       jobs.hub                   too many open event streams of one owner
        DecodersBusy            media.sandbox              no free image decoder
        TryLater                domain.errors              refused for now; states when to retry
          RateLimited           domain.errors              the owner's quota is used up
          TooManyAttempts       domain.errors              too many failed logins
          QueueFull             domain.errors              the queue is at its limit
        Conflict                domain.errors              contradicts the present state
          IllegalMove           products.books.book_states action that a book's state refuses
          NoIdentityMode        products.books.identity.base a way to draw a face is missing
          IllegalTransition     domain.errors              status change that does not exist
          Superseded            domain.errors              the job has a newer attempt
        BackendError            domain.errors              failed render; code: a FailureCode
          FalRequestFailed      backends.fal.errors        fal refused or failed the request
          Interrupted           backends.comfyui.errors    another client stopped the prompt
        CheckFailed             safety.chain               a prompt check raised an error
        InvalidGraph            graphs.errors              graph that cannot run
          UiFormat              graphs.errors              graph in ComfyUI's UI format
          CannotConvert         graphs.errors              UI format that cannot be converted
        InvalidWorkflow         graphs.errors              stored workflow that cannot be read
        InvalidFamilies         graphs.families.table      printed at start
        InvalidCatalogue        graphs.errors              node list that cannot be read
        MissingFile             graphs.errors              the node lacks a model file
        Unsupported             graphs.errors              feature that no node supports
        InvalidImage            media.layout               becomes an UnusablePicture
          NotAccepted           media.layout               becomes an UnsupportedPicture
          NoBackground          media.chroma_key           no flat background to remove
        ServiceError            backends.base              becomes a BackendError
          ComfyError            backends.comfyui.errors    unexpected answer of ComfyUI
            ComfyUnreachable    backends.comfyui.errors    no answer
            ComfyStatusError    backends.comfyui.errors    HTTP status that is no success
            NotComfy            backends.comfyui.errors    answer is not ComfyUI's JSON
            TruncatedFile       backends.comfyui.errors    incomplete file
              FileTooLarge      backends.comfyui.errors    file above the limit
            FileGone            backends.comfyui.errors    the render is repeated
          FalError              backends.fal.errors        unexpected answer of fal
            FalUnreachable      backends.fal.errors        no answer
            FalStatusError      backends.fal.errors        HTTP status that is no success
            BadResponse         backends.fal.errors        answer breaks fal's protocol
        RenderCanceled          backends.base              the job was cancelled
        BudgetExceeded          backends.paid_calls        becomes a BackendError
        InvalidScenario         backends.simulator.faults  printed at start
        AddressBlocked          net.url_guard              URL into a private network
          ConnectionBlocked     net.guarded_client         the same, as a transport raises it
        LlmFailed               language.chat              no usable answer of a language model
          LlmRefused            language.chat              the language model does not accept the question
        StorageError            domain.errors              blob store or database failed
          ConnectionLost        db.group_commit            the database's connection broke
          OutcomeUnknown        db.group_commit            a commit may have happened
        MissingExtra            domain.errors              Python package not installed
        MissingOtel             bootstrap.observer         OpenTelemetry not installed
        InvalidSafety           bootstrap.safety           wrong setting of a safety check
        MetricsPortTaken        observability.collectors   the metrics port is in use
      BrokerUnavailable         dispatch.fleet             retried by the sender
      PublishFailed             pubsub.threads             retried by the sender
      ShuttingDown              domain.errors              the task is handed back
      FalRequestError           dialects.fal.errors        a response in fal's own shape
      ResultDeleted             dialects.fal.responses     a response in fal's own shape
      OutsideError              web.blobs                  becomes status 416
      BrokenPlugin              products.base              printed by the CLI
      CliError                  cli.output                 printed by the CLI
        ApiError                cli.client                 error response of the server
        ServerUnreachable       cli.client
      DoctorCheckFailed         bootstrap.doctor_checks    a finding of `imagemill doctor`
      ExchangeFault             backends.comfyui.http_connection becomes a ComfyError
        ConnectFault            backends.comfyui.http_connection nothing was sent
        ReadTimeout             backends.comfyui.http_connection nothing received for too long
        BrokenOff               backends.comfyui.http_connection the connection broke
          BodyBrokenOff         backends.comfyui.http_connection within the body of an answer
        BodyTooLarge            backends.comfyui.http_connection more bytes than are accepted
    RuntimeError                builtins
      ServerNotReady            testing.live_server        a test's server does not start
    ValueError                  builtins
      InvalidAir                domain.air                 becomes an InvalidInput
      UnreadableDocument        model_registry.documents   becomes an InvalidInput
      BadFrame                  backends.comfyui.websocket_frames ends the connection to a node

A line of the drawing names the class, the module that defines it, and its meaning. Errors below
`ImagemillError` may reach a user or decide about a job: each has a ``code`` (stable, for programs) and
``retryable`` (whether the same call may succeed later). HTTP statuses are in one table
(`imagemill.web.problems`). The other errors are handled inside the package.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Self

from imagemill.domain.dataclass import dataclass
from imagemill.domain.failures import FailureCode
from imagemill.domain.quotas import QuotaStatus


class ImagemillError(Exception):
    """Base of the errors that may reach a user; see the drawing above."""

    code = "error"
    retryable = False

    @property
    def details(self) -> Mapping[str, Any]:
        """Additional members of the problem in the response."""
        return {}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error in a client's request.

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
        """Return the same error with the paths of another dialect."""
        return type(self)([FieldError(rename(error.path), error.message) for error in self.errors])


class UnsupportedPicture(InvalidInput):
    code = "unsupported_media_type"


class UnusablePicture(InvalidInput):
    code = "unusable_picture"


class ContentBlocked(InvalidInput):
    code = "content_blocked"


class UnsupportedFamily(InvalidInput):
    code = "unsupported_family"


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
    """The claim is void: its lease ended, or the job was finished by another process."""

    code = "superseded"


class CreditsInsufficient(ImagemillError):
    """The owner cannot pay; ``needed`` and ``available`` are in credits."""

    code = "credits_insufficient"

    def __init__(self, message: str, *, needed: float, available: float) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available

    @property
    def details(self) -> Mapping[str, Any]:
        return {"needed": self.needed, "available": self.available}


class TryLater(ImagemillError):
    """The request is refused for now, without any effect. ``after_s``: seconds until a retry is useful."""

    retryable = True

    def __init__(self, message: str, *, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class RateLimited(TryLater):
    """A limit is reached; ``status`` is its quota."""

    code = "rate_limited"

    def __init__(self, message: str, *, after_s: float, status: QuotaStatus) -> None:
        super().__init__(message, after_s=after_s)
        self.status = status


class TooManyAttempts(TryLater):
    code = "too_many_attempts"


class QueueFull(TryLater):
    code = "queue_full"


class MissingExtra(ImagemillError):
    """A feature of this installation needs a package that is not installed."""

    code = "missing_extra"

    @classmethod
    def check(cls, module: str, extra: str, feature: str) -> None:
        """Raise where ``module`` is missing; ``extra`` is the one of the package's extras that brings it."""
        if not _is_installed(module):
            raise cls(f"{feature} needs {module}, which is not installed: pip install 'imagemill[{extra}]'")


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


class StorageError(ImagemillError):
    code = "storage"
    retryable = True


class BackendError(ImagemillError):
    """A failed render, with the failure code that decides about a retry.

    ``tried``: the backend has already retried on the node itself, so another retry there is useless.
    ``after_s``: seconds for which the node asked not to be used. ``counts``: whether the attempt counts
    towards the job's ``max_failures``; a shortage on the node does not.
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
