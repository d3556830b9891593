"""The admission of new jobs: the quotas and the credits of their owner."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field

import sqlalchemy as sa

from imagemill.credits.ledger import Balances
from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import CreditsInsufficient, ImagemillError
from imagemill.domain.jobs import Draft
from imagemill.domain.quotas import QuotaPolicy
from imagemill.jobs.store.batches import BatchRecord
from imagemill.quotas.store import QuotaCounters, QuotaDemand


@dataclass(frozen=True, slots=True)
class Submission:
    """Jobs that are accepted together or not at all."""

    batch: str
    owner: str
    drafts: tuple[Draft, ...]
    now: int
    idempotency_key: str | None = None
    digest: str = ""
    """The digest of the request's canonical body: the same key with another digest is a conflict."""
    is_charged: bool = False
    """Whether credits of the owner are held for the jobs."""
    terms: QuotaPolicy | None = None
    """The limits of its owner; None means no limits."""
    record: BatchRecord | None = None
    """Written with the jobs; its id is ``batch``."""

    def wanted(self) -> QuotaDemand:
        recipes = Counter(draft.recipe for draft in self.drafts)
        megapixels = sum(draft.megapixels for draft in self.drafts)
        return QuotaDemand(self.owner, len(self.drafts), megapixels, recipes, self.now)


@dataclass(frozen=True, slots=True)
class Admission:
    """``refused``: errors by batch; ``held``: credits that are held, by job."""

    refused: Mapping[str, ImagemillError] = field(default_factory=dict[str, ImagemillError])
    held: Mapping[str, int] = field(default_factory=dict[str, int])


_FREE = Admission()


def admit(tx: Tx, submissions: Sequence[Submission]) -> Admission:
    """Check quotas and hold credits; refused submissions leave nothing behind."""
    looked_at = [each for each in submissions if each.is_charged or each.terms is not None]
    if not looked_at:
        return _FREE
    quotas = _quotas(tx, looked_at)
    # Settlements are posted here, too: all balances of the transaction are locked at once, in one order.
    dues, tx.settlements = tx.settlements, []
    owners = {each.owner for each in looked_at if each.is_charged} | {due.owner for due in dues}
    books = Balances(tx, owners) if owners else None
    if books is not None:
        books.settle(dues)
    refused: dict[str, ImagemillError] = {}
    held: dict[str, int] = {}
    for submission in looked_at:
        answer = _admit_one(submission, quotas, books)
        if isinstance(answer, ImagemillError):
            refused[submission.batch] = answer
        else:
            held |= answer
    if quotas is not None:
        quotas.write()
    if books is not None:
        books.write()
    _forget_keys(tx, [submission for submission in looked_at if submission.batch in refused])
    return Admission(refused, held)


def _quotas(tx: Tx, submissions: Sequence[Submission]) -> QuotaCounters | None:
    terms = next((each.terms for each in submissions if each.terms is not None), None)
    if terms is None:
        return None
    return QuotaCounters(tx, terms, [each.wanted() for each in submissions if each.terms is not None])


def _admit_one(
    submission: Submission, quotas: QuotaCounters | None, books: Balances | None
) -> ImagemillError | Mapping[str, int]:
    """Return the credits held for its jobs, or the refusal. Quotas are counted only without a refusal."""
    counted = quotas if submission.terms is not None else None
    wanted = submission.wanted()
    if counted is not None and (refusal := counted.check(wanted)) is not None:
        return refusal
    held: Mapping[str, int] = {}
    if submission.is_charged and books is not None:
        answer = books.hold(submission.owner, submission.drafts, submission.now)
        if isinstance(answer, CreditsInsufficient):
            return answer
        held = answer
    if counted is not None:
        counted.count(wanted)
    return held


def _forget_keys(tx: Tx, refused: Sequence[Submission]) -> None:
    """Delete the idempotency keys of refused requests, so that they can be sent again."""
    keys = tables.submissions
    for submission in refused:
        if submission.idempotency_key is not None:
            mine = sa.and_(keys.c.owner == submission.owner, keys.c.key == submission.idempotency_key)
            tx.conn.execute(sa.delete(keys).where(mine))
