"""Credits: prices of jobs, and the kinds of ledger entries.

Amounts are whole thousandths of a credit, so that sums are exact.
"""

import math
from enum import StrEnum

from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import RenderSize

CREDIT = 1000
"""One credit in the unit of amounts."""
MAX_AMOUNT = 10**15
"""A trillion credits. Sums of many stay well within a database integer and an exact double."""


class EntryKind(StrEnum):
    HOLD = "hold"
    """Credits reserved for an accepted job."""
    SETTLE = "settle"
    """Payment for a job that succeeded."""
    RELEASE = "release"
    """Refund of the reserved credits of a job that did not succeed."""
    GRANT = "grant"
    """Credits given by an administrator; a negative amount takes credits away."""
    SENT = "sent"
    RECEIVED = "received"
    EXEMPT = "exempt"
    """The owner pays nothing from now on."""
    BILLED = "billed"
    """The owner pays again from now on."""


JOB_ACTOR = "(job)"
"""The actor of entries that are booked when a job ends; not a valid account name."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The reserved amount of a job that has now ended, to be paid or refunded."""

    job_id: str
    owner: str
    amount: int
    is_paid: bool
    at: int


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of a recipe in credits a picture; the price is the sum of the parts."""

    base: float = 0.0
    megapixel: float = 0.0
    step: float = 0.0
    megapixel_step: float = 0.0
    """For each megapixel at each step; the work of a render grows with this product."""
    minimum: float = 0.0


def price(rate: Rate, size: RenderSize, factor: float = 1.0) -> float:
    """Return the price in credits, not rounded. ``factor`` is the backend's price factor."""
    one = (
        rate.base
        + rate.megapixel * size.megapixels
        + rate.step * size.steps
        + rate.megapixel_step * size.megapixels * size.steps
    )
    return max(rate.minimum, one * factor) * size.quantity


def amount_of(credits_: float) -> int:
    """Convert credits to an amount in thousandths, rounded up."""
    # The product of two doubles may be slightly above a whole number.
    return math.ceil(round(credits_ * CREDIT, 6))


def credits_of(amount: int) -> float:
    return amount / CREDIT


def shown(amount: int) -> str:
    """Format an amount in credits for people: 12, 0.96, -3.5."""
    return f"{amount / CREDIT:.3f}".rstrip("0").rstrip(".")
