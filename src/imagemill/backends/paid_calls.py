"""The record of paid calls: the requests that any worker sends to a provider.

A call is recorded before it is sent, and the provider's id right after the answer, so that a later attempt
finds the paid request. A process that ends between the provider's answer and the write leaves a call
without an id; this gap cannot be closed.
"""

from typing import Protocol

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError

MILLIONTHS = 1_000_000
"""Money is counted in whole millionths of the provider's currency, so that sums are exact."""

MINUTE_S = 60.0
DAY_S = 86_400.0

SUCCEEDED = "succeeded"
CANCELED = "canceled"
REFUSED = "refused"
"""The provider did not accept the call: it costs nothing."""
UNKNOWN = "unknown"
"""The call was sent, and it will never be known whether it was accepted: its cost counts."""
LOST = "lost"
"""The call was accepted, but the provider no longer knows it."""


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call that has not ended."""

    id: str
    path: str
    """The provider's path (endpoint) that was called."""
    request_id: str | None
    """The provider's id; None if the answer was not recorded."""
    cost: int
    """Expected cost, in millionths."""
    sent_at: int
    """Microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a provider's use by all workers together. None means no limit."""

    per_minute: int | None = None
    """Calls per minute."""
    per_job: int | None = None
    """Cost of all calls of one job, in millionths."""
    per_day: int | None = None
    """Cost of all calls within any 24 hours, in millionths."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request to reserve budget for one call."""

    provider: str
    job_id: str
    attempt: int
    path: str
    cost: int
    budget: Budget


class BudgetExceeded(ImagemillError):
    """The call would exceed the budget; nothing was recorded.

    ``after_s``: seconds after which it may be within the budget again; None means never for this job.
    """

    code = "budget_exceeded"

    def __init__(self, message: str, after_s: float | None) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.retryable = after_s is not None


class PaidCalls(Protocol):
    """The record of paid calls. All methods raise `imagemill.domain.errors.StorageError` if it is
    unavailable."""

    def open_call(self, provider: str, job_id: str) -> PaidCall | None:
        """The latest call of the job that has not ended."""
        ...

    def reserve(self, wanted: Reservation) -> str:
        """Record that the call is about to be sent, and return its id. Raises `BudgetExceeded`.

        Callers are serialised.
        """
        ...

    def sent(self, call_id: str, request_id: str) -> None:
        """Record the provider's id of a call."""
        ...

    def ended(self, call_id: str, outcome: str, *, free: bool = False) -> None:
        """Record the end of a call. ``outcome``: a constant of this module, or a failure's code.

        ``free``: the call costs nothing.
        """
        ...
