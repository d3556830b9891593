"""The book of requests which cost money: what any worker asks of a provider counts in it.

A call is written before it is sent, and the provider's own id of it at once after the answer. So a later
attempt finds what was paid for. Between the provider's answer and our write lies a moment that nothing can
close: a process that ends in it leaves a call without an id.
"""

from dataclasses import dataclass
from typing import Protocol

MILLIONTHS = 1_000_000
"""Money is counted in whole millionths of the provider's currency: sums are exact."""

MINUTE_S = 60.0
DAY_S = 86_400.0

SUCCEEDED = "succeeded"
CANCELED = "canceled"
REFUSED = "refused"
"""Not accepted by the provider: costs nothing."""
UNKNOWN = "unknown"
"""Sent, and whether it was accepted will not be known: its cost counts."""
LOST = "lost"
"""Accepted, and no longer known by the provider."""


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call that has not come to its end."""

    id: str
    path: str
    """What was asked for, as the provider names it."""
    request_id: str | None
    """The provider's own; None: its answer was not written."""
    cost: int
    sent_at: int
    """Microseconds."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be asked of a provider, by all workers together; None: no bound. Costs in millionths."""

    per_minute: int | None = None
    per_job: int | None = None
    """Of all calls of one job."""
    per_day: int | None = None
    """Of all calls within any 24 hours."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The wish to send one call."""

    provider: str
    job_id: str
    attempt: int
    path: str
    cost: int
    budget: Budget


class BudgetExceeded(Exception):
    """Nothing was written. ``after_s``: when it may be different; None: not for this job."""

    def __init__(self, message: str, after_s: float | None) -> None:
        super().__init__(message)
        self.after_s = after_s


class PaidCalls(Protocol):
    """All raise `imagemill.domain.errors.StorageError` while the database is away."""

    def open_call(self, provider: str, job_id: str) -> PaidCall | None:
        """The latest call of the job that has not ended."""
        ...

    def reserve(self, wanted: Reservation) -> str:
        """Write that it is about to be sent; its id. Raises `BudgetExceeded`. One caller after the other."""
        ...

    def sent(self, call_id: str, request_id: str) -> None: ...

    def ended(self, call_id: str, outcome: str, *, free: bool = False) -> None:
        """``outcome``: one of the words above, or the code of a failure. ``free``: it costs nothing."""
        ...
