"""What `imagemill.store.store.Store` offers about credits: balances, postings by people, statements."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.domain.errors import Conflict, CreditsInsufficient, ImagemillError, NotFound
from imagemill.domain.money import EntryKind, credits_of, shown
from imagemill.store import owning, schema
from imagemill.store.books import ENTRY_COLUMNS, Books, Cause, LedgerEntry, entry_from
from imagemill.store.commits import Tx

_balances = owning.balances.c
_ledger = owning.ledger.c
_jobs = schema.jobs.c


@dataclass(frozen=True, slots=True)
class Balance:
    """In thousandths of a credit."""

    owner: str
    available: int = 0
    held: int = 0
    is_exempt: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What one posting does to one owner."""

    owner: str
    kind: EntryKind
    amount: int = 0
    """Added to what is available; negative: taken from it."""


@dataclass(frozen=True, slots=True)
class Posting:
    """Moves that are made together or not at all. The same key of the same actor is one posting."""

    moves: tuple[Move, ...]
    actor: str
    key: str
    now: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which entries of an owner's statement, the newest first."""

    owner: str
    before: int | None = None
    """Continue below this number (the cursor)."""
    since: int | None = None
    until: int | None = None
    limit: int = 100


class Ledger:
    def __init__(self, write: Callable[..., Any], read: Callable[..., Any]) -> None:
        self._write = write
        self._read = read

    def post(self, posting: Posting) -> tuple[LedgerEntry, ...]:
        """Raises `NotFound` for an owner that is not there, `CreditsInsufficient` rather than take more than
        there is, `Conflict` for a key that was used for something else."""
        return self._write(post, posting)

    def balance(self, owner: str) -> Balance:
        """Nothing, for whoever never had credits."""
        return self._read(_balance, owner)

    def statement(self, stretch: Stretch) -> list[LedgerEntry]:
        return self._read(_statement, stretch)

    def faults(self) -> list[str]:
        """A sentence for each balance that its entries or its open jobs do not bear out; none is a fault of
        ours. Reads everything."""
        return self._read(_all_faults)


def post(tx: Tx, requests: Sequence[Posting]) -> list[tuple[LedgerEntry, ...] | ImagemillError]:
    owners = sorted({move.owner for request in requests for move in request.moves})
    known = set(tx.conn.execute(_KNOWN, {"owners": owners}).scalars())
    for owner in sorted(known):
        row = {"owner": owner, "available": 0, "held": 0, "is_exempt": False, "entries": 0}
        tx.conn.execute(tx.insert(owning.balances).values(row).on_conflict_do_nothing())
    books = Books(tx, known)
    answers: list[tuple[LedgerEntry, ...] | ImagemillError] = []
    for request in requests:
        answers.append(_post_one(tx, books, request, known))
        # Written one by one: the next may come with the same key.
        books.write()
    return answers


_KNOWN = sa.select(schema.owners.c.id).where(
    schema.owners.c.id.in_(sa.bindparam("owners", expanding=True))
)  # fmt: skip


def _post_one(
    tx: Tx, books: Books, request: Posting, known: set[str]
) -> tuple[LedgerEntry, ...] | ImagemillError:
    for move in request.moves:
        if move.owner not in known:
            return NotFound(f"there is no owner {move.owner}")
    if (earlier := _earlier(tx, request)) is not None:
        return earlier
    for move in request.moves:
        available = books.purse(move.owner).available
        if available + move.amount < 0:
            return CreditsInsufficient(
                f"{move.owner} has {shown(available)} credits available, {shown(-move.amount)} are needed",
                needed=credits_of(-move.amount),
                available=credits_of(available),
            )
    cause = Cause(request.now, request.actor, key=request.key, note=request.note)
    return tuple(books.add(move.owner, move.kind, move.amount, 0, cause) for move in request.moves)


def _earlier(tx: Tx, request: Posting) -> tuple[LedgerEntry, ...] | Conflict | None:
    """What was posted under the key already. Looked for under the lock of the owners' balances."""
    statement = sa.select(*ENTRY_COLUMNS).where(_ledger.actor == request.actor, _ledger.key == request.key)
    entries = [entry_from(row) for row in tx.conn.execute(statement)]
    found = {(entry.owner, entry.kind): entry for entry in entries}
    if not found:
        return None
    asked = {(move.owner, move.kind): move.amount for move in request.moves}
    same_note = all(entry.note == request.note for entry in found.values())
    if not same_note or asked != {place: entry.available for place, entry in found.items()}:
        return Conflict(f"the idempotency key {request.key!r} was used for another posting")
    return tuple(found[move.owner, move.kind] for move in request.moves)


def _balance(conn: sa.Connection, owner: str) -> Balance:
    statement = sa.select(_balances.available, _balances.held, _balances.is_exempt)
    row = conn.execute(statement.where(_balances.owner == owner)).first()
    return Balance(owner, *row) if row else Balance(owner)


def _statement(conn: sa.Connection, stretch: Stretch) -> list[LedgerEntry]:
    statement = sa.select(*ENTRY_COLUMNS).where(_ledger.owner == stretch.owner)
    if stretch.before is not None:
        statement = statement.where(_ledger.number < stretch.before)
    if stretch.since is not None:
        statement = statement.where(_ledger.at >= stretch.since)
    if stretch.until is not None:
        statement = statement.where(_ledger.at < stretch.until)
    rows = conn.execute(statement.order_by(_ledger.number.desc()).limit(stretch.limit))
    return [entry_from(row) for row in rows]


_WRITTEN = sa.text("""
    SELECT b.owner, b.available, b.held, b.entries,
        (SELECT count(*) FROM ledger l WHERE l.owner = b.owner),
        (SELECT coalesce(sum(l.available), 0) FROM ledger l WHERE l.owner = b.owner),
        (SELECT coalesce(sum(l.held), 0) FROM ledger l WHERE l.owner = b.owner),
        (SELECT coalesce(sum(j.held), 0) FROM jobs j WHERE j.owner = b.owner AND j.held IS NOT NULL)
    FROM balances b
""")
_STEPS = sa.text("""
    SELECT l.owner, l.number FROM ledger l
    LEFT JOIN ledger p ON p.owner = l.owner AND p.number = l.number - 1
    WHERE l.balance <> coalesce(p.balance, 0) + l.available OR (p.number IS NULL AND l.number <> 1)
    ORDER BY l.owner, l.number
""")
_TWICE = sa.text("""
    SELECT job_id FROM ledger WHERE kind IN ('settle', 'release')
    GROUP BY job_id HAVING count(*) > 1 ORDER BY job_id
""")


def _all_faults(conn: sa.Connection) -> list[str]:
    return list(_faults(conn))


def _faults(conn: sa.Connection) -> Iterator[str]:
    for owner, available, held, entries, written, sum_, sum_held, of_jobs in conn.execute(_WRITTEN):
        if (available, held, entries) != (sum_, sum_held, written):
            yield f"{owner}: the entries do not add up to the balance"
        if held != of_jobs:
            yield f"{owner}: {shown(held)} credits are held, its open jobs hold {shown(of_jobs)}"
    for owner, number in conn.execute(_STEPS):
        yield f"{owner}: entry {number} does not follow from the one before it"
    for job_id in conn.execute(_TWICE).scalars():
        yield f"job {job_id} was settled or released twice"
