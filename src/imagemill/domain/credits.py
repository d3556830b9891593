"""Credits: what a job costs, and what a ledger's entries are.

Amounts are whole thousandths of a credit, so that sums are exact.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from imagemill.domain.images import RenderSize

CREDIT = 1000
"""A credit in the unit of amounts."""
MAX_AMOUNT = 10**15
"""A trillion credits: sums of many stay far within a database's whole numbers and an exact double."""


class EntryKind(StrEnum):
    HOLD = "hold"
    """Set aside for a job that was accepted."""
    SETTLE = "settle"
    """Paid for a job that succeeded."""
    RELEASE = "release"
    """Given back for a job that ended otherwise."""
    GRANT = "grant"
    """Given, or with a negative amount taken away, by an administrator."""
    SENT = "sent"
    RECEIVED = "received"
    EXEMPT = "exempt"
    """From here on the owner pays nothing."""
    BILLED = "billed"
    """From here on the owner pays again."""


JOB_ACTOR = "(job)"
"""Who acts where a job's end moves money; no account can be called so."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was set aside for a job that has now ended."""

    job_id: str
    owner: str
    amount: int
    is_paid: bool
    at: int


@dataclass(frozen=True, slots=True)
class Rate:
    """What a recipe costs, in credits a picture."""

    base: float = 0.0
    megapixel: float = 0.0
    step: float = 0.0
    megapixel_step: float = 0.0
    """For each megapixel at each step, which is what the work of a render grows with."""
    minimum: float = 0.0


def price(rate: Rate, size: RenderSize, factor: float = 1.0) -> float:
    """In credits, before it is rounded. ``factor``: of the backend."""
    one = (
        rate.base
        + rate.megapixel * size.megapixels
        + rate.step * size.steps
        + rate.megapixel_step * size.megapixels * size.steps
    )
    return max(rate.minimum, one * factor) * size.quantity


def amount_of(credits_: float) -> int:
    """In thousandths, rounded up: a part of one is never given away."""
    # The product of two doubles may be a hair above a whole number.
    return math.ceil(round(credits_ * CREDIT, 6))


def credits_of(amount: int) -> float:
    return amount / CREDIT


def shown(amount: int) -> str:
    """As people write it: 12, 0.96, -3.5."""
    return f"{amount / CREDIT:.3f}".rstrip("0").rstrip(".")
