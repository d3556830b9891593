"""The ledger of credits in the database: balances, holds and settlements of jobs, postings, statements."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement
from imagemill.domain.credits import JOB_ACTOR, EntryKind, Settlement, amount_of, credits_of, shown
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, CreditsInsufficient, ImagemillError, NotFound, StorageError
from imagemill.domain.jobs import Draft

_balances = tables.balances.c
_ledger = tables.ledger.c
_jobs = tables.jobs.c

ENTRY_COLUMNS = tuple(tables.ledger.columns)
_ENTRY_NAMES = tuple(column.name for column in ENTRY_COLUMNS)

# Balances and entries
#
# A transaction locks all balances that its jobs need at once, in the order of their owners and after every
# row of a job, so that no two transactions wait for each other.


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An entry. Amounts are in thousandths of a credit; ``available`` and ``held`` are changes."""

    owner: str
    number: int
    at: int
    kind: EntryKind
    available: int
    held: int
    balance: int
    """The available credits after this entry."""
    job_id: str | None
    actor: str
    key: str | None
    note: str


@dataclass(slots=True)
class LockedBalance:
    """A locked balance with the changes of the transaction so far."""

    available: int
    held: int
    is_exempt: bool
    entries: int


@dataclass(frozen=True, slots=True)
class EntryReason:
    """The reason of an entry."""

    at: int
    actor: str
    job_id: str | None = None
    key: str | None = None
    note: str = ""


_LOCK = Statement(
    sa.select(_balances.owner, _balances.available, _balances.held, _balances.is_exempt, _balances.entries)
    .where(_balances.owner.in_(sa.bindparam("ids", expanding=True)))
    .order_by(_balances.owner)
    .with_for_update()
)
_MOVE = Statement(
    sa.text(
        "UPDATE balances SET available = available + :available, held = held + :held, "
        "is_exempt = :is_exempt, entries = entries + :added WHERE owner = :owner "
        "AND entries + :added = :entries AND available + :available >= 0 AND held + :held >= 0"
    )
)
_ADD = Statement(sa.insert(tables.ledger))


class Balances:
    """The locked balances of ``owners``. An owner without a balance is not in it."""

    def __init__(self, tx: Tx, owners: Iterable[str]) -> None:
        self._tx = tx
        rows = _LOCK.run(tx.conn, {"ids": sorted(set(owners))})
        self._purses = {
            owner: LockedBalance(available, held, bool(is_exempt), entries)
            for owner, available, held, is_exempt, entries in rows
        }
        self._before = {row[0]: row for row in rows}
        self._added: list[LedgerEntry] = []

    def lock(self, owner: str) -> LockedBalance:
        return self._purses.get(owner) or LockedBalance(0, 0, False, 0)

    def add(self, owner: str, kind: EntryKind, available: int, held: int, cause: EntryReason) -> LedgerEntry:
        """Add an entry. The balance must exist and be large enough."""
        balance = self._purses[owner]
        balance.available += available
        balance.held += held
        balance.entries += 1
        if kind in (EntryKind.EXEMPT, EntryKind.BILLED):
            balance.is_exempt = kind is EntryKind.EXEMPT
        entry = LedgerEntry(
            owner,
            balance.entries,
            cause.at,
            kind,
            available,
            held,
            balance.available,
            cause.job_id,
            cause.actor,
            cause.key,
            cause.note,
        )
        self._added.append(entry)
        return entry

    def settle(self, dues: Sequence[Settlement]) -> None:
        for due in dues:
            cause = EntryReason(due.at, JOB_ACTOR, due.job_id)
            if due.is_paid:
                self.add(due.owner, EntryKind.SETTLE, 0, -due.amount, cause)
            else:
                self.add(due.owner, EntryKind.RELEASE, due.amount, -due.amount, cause)

    def hold(self, owner: str, drafts: Sequence[Draft], at: int) -> CreditsInsufficient | dict[str, int]:
        """Hold credits for the jobs and return the amounts by job; all are held or none."""
        balance = self.lock(owner)
        amounts = {draft.id: amount_of(draft.cost) for draft in drafts}
        needed = sum(amounts.values())
        if balance.is_exempt or not needed:
            return {}
        if needed > balance.available:
            return _insufficient(owner, needed, balance.available)
        held = {job_id: amount for job_id, amount in amounts.items() if amount}
        for job_id, amount in held.items():
            self.add(owner, EntryKind.HOLD, -amount, amount, EntryReason(at, owner, job_id))
        return held

    def write(self) -> None:
        """Write the changes. Raises `StorageError`, which rolls back, when a balance has changed since its
        lock."""
        changed = sorted({entry.owner for entry in self._added})
        if not changed:
            return
        if _MOVE.run_many(self._tx.conn, [self._move(owner) for owner in changed]) != len(changed):
            raise StorageError(f"the balances of {', '.join(changed)} changed although they were locked")
        _ADD.run_many(self._tx.conn, [_row(entry) for entry in self._added])
        self._added = []

    def _move(self, owner: str) -> dict[str, Any]:
        balance, (_, available, held, _, entries) = self._purses[owner], self._before[owner]
        return {
            "owner": owner,
            "available": balance.available - available,
            "held": balance.held - held,
            "is_exempt": balance.is_exempt,
            "added": balance.entries - entries,
            "entries": balance.entries,
        }


def settle(tx: Tx) -> None:
    """Charge or release the held credits of the jobs that ended in this transaction."""
    if not tx.settlements:
        return
    dues, tx.settlements = tx.settlements, []
    books = Balances(tx, {due.owner for due in dues})
    books.settle(dues)
    books.write()


_HELD = Statement(
    sa.select(_jobs.id, _jobs.owner, _jobs.held)
    .where(_jobs.id.in_(sa.bindparam("ids", expanding=True)), _jobs.held.is_not(None))
    .order_by(_jobs.id)
    .with_for_update()
)


def forget(tx: Tx, ids: Sequence[str], now: int) -> None:
    """Release the credits that are still held for jobs which are about to be deleted."""
    for job_id, owner, amount in _HELD.run(tx.conn, {"ids": ids}) if ids else ():
        tx.settlements.append(Settlement(job_id, owner, amount, False, now))


def _insufficient(owner: str, needed: int, available: int) -> CreditsInsufficient:
    return CreditsInsufficient(
        f"the request costs {shown(needed)} credits and {owner} has {shown(available)} available; "
        "ask for fewer, smaller or simpler pictures, or the administrator for credits",
        needed=credits_of(needed),
        available=credits_of(available),
    )


def _row(entry: LedgerEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _ENTRY_NAMES} | {"kind": entry.kind.value}


def entry_from(row: Sequence[Any]) -> LedgerEntry:
    values: dict[str, Any] = dict(zip(_ENTRY_NAMES, row, strict=True))
    values["kind"] = EntryKind(values["kind"])
    return LedgerEntry(**values)


# Postings and statements


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance in thousandths of a credit."""

    owner: str
    available: int = 0
    held: int = 0
    is_exempt: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """The change of one owner's balance by a posting."""

    owner: str
    kind: EntryKind
    amount: int = 0
    """The change of the available credits; negative to take some."""


@dataclass(frozen=True, slots=True)
class Posting:
    """Transfers that are made together or not at all. Repeating an actor's key has no further effect."""

    moves: tuple[Transfer, ...]
    actor: str
    key: str
    now: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class StatementPage:
    """A page of an owner's statement, the newest entries first."""

    owner: str
    before: int | None = None
    """Return entries with smaller numbers (the cursor)."""
    since: int | None = None
    until: int | None = None
    limit: int = 100


class Ledger:
    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def post(self, posting: Posting) -> tuple[LedgerEntry, ...]:
        """Make a posting and return its entries.

        Raises `NotFound` for an unknown owner, `CreditsInsufficient` when a balance is too small, `Conflict`
        for a key that was used for another posting.
        """
        return self._write(post, posting)

    def balance(self, owner: str) -> Balance:
        """Return the balance, which is zero for an owner that never had credits."""
        return self._read(_balance, owner)

    def statement(self, stretch: StatementPage) -> list[LedgerEntry]:
        return self._read(_statement, stretch)

    def faults(self) -> list[str]:
        """Return a sentence for each balance that disagrees with its entries or its open jobs.

        There should be none. Reads the whole ledger.
        """
        return self._read(_all_faults)


def post(tx: Tx, requests: Sequence[Posting]) -> list[tuple[LedgerEntry, ...] | ImagemillError]:
    owners = sorted({move.owner for request in requests for move in request.moves})
    known = set(tx.conn.execute(_KNOWN, {"owners": owners}).scalars())
    for owner in sorted(known):
        row = {"owner": owner, "available": 0, "held": 0, "is_exempt": False, "entries": 0}
        tx.conn.execute(tx.insert(tables.balances).values(row).on_conflict_do_nothing())
    books = Balances(tx, known)
    answers: list[tuple[LedgerEntry, ...] | ImagemillError] = []
    for request in requests:
        answers.append(_post_one(tx, books, request, known))
        # Written one by one, since the next may have the same key.
        books.write()
    return answers


_KNOWN = sa.select(tables.owners.c.id).where(
    tables.owners.c.id.in_(sa.bindparam("owners", expanding=True))
)  # fmt: skip


def _post_one(
    tx: Tx, books: Balances, request: Posting, known: set[str]
) -> tuple[LedgerEntry, ...] | ImagemillError:
    for move in request.moves:
        if move.owner not in known:
            return NotFound(f"there is no owner {move.owner}")
    if (earlier := _earlier(tx, request)) is not None:
        return earlier
    for move in request.moves:
        available = books.lock(move.owner).available
        if available + move.amount < 0:
            return CreditsInsufficient(
                f"{move.owner} has {shown(available)} credits available, {shown(-move.amount)} are needed",
                needed=credits_of(-move.amount),
                available=credits_of(available),
            )
    cause = EntryReason(request.now, request.actor, key=request.key, note=request.note)
    return tuple(books.add(move.owner, move.kind, move.amount, 0, cause) for move in request.moves)


def _earlier(tx: Tx, request: Posting) -> tuple[LedgerEntry, ...] | Conflict | None:
    """Return the entries of an earlier posting with the key. The balances must be locked."""
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


def _statement(conn: sa.Connection, stretch: StatementPage) -> list[LedgerEntry]:
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
            yield f"{owner}: {shown(held)} credits are held, but its open jobs hold {shown(of_jobs)}"
    for owner, number in conn.execute(_STEPS):
        yield f"{owner}: entry {number} does not follow from the one before it"
    for job_id in conn.execute(_TWICE).scalars():
        yield f"job {job_id} was settled or released twice"
