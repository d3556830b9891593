"""The balances a transaction changes, and the entries it adds to the ledger.

Rows are locked in the order of their owners, all that a transaction's jobs need at once and after every row
of a job: so no two transactions wait for each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.domain.errors import CreditsInsufficient, StorageError
from imagemill.domain.jobs import Draft
from imagemill.domain.money import JOB_ACTOR, Due, EntryKind, amount_of, credits_of, shown
from imagemill.store import owning, schema
from imagemill.store.commits import Tx
from imagemill.store.statements import Statement

_balances = owning.balances.c
_jobs = schema.jobs.c


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Amounts are in thousandths of a credit; ``available`` and ``held`` are changes."""

    owner: str
    number: int
    at: int
    kind: EntryKind
    available: int
    held: int
    balance: int
    """What was available afterwards."""
    job_id: str | None
    actor: str
    key: str | None
    note: str


ENTRY_COLUMNS = tuple(owning.ledger.columns)


@dataclass(slots=True)
class Purse:
    """A balance as the transaction has it so far."""

    available: int
    held: int
    is_exempt: bool
    entries: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Why money moves, as its entry tells."""

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
_ADD = Statement(sa.insert(owning.ledger))


class Books:
    """``owners`` whose balance is not there have no purse."""

    def __init__(self, tx: Tx, owners: Iterable[str]) -> None:
        self._tx = tx
        rows = _LOCK.run(tx.conn, {"ids": sorted(set(owners))})
        self._purses = {
            owner: Purse(available, held, bool(is_exempt), entries)
            for owner, available, held, is_exempt, entries in rows
        }
        self._before = {row[0]: row for row in rows}
        self._added: list[LedgerEntry] = []

    def purse(self, owner: str) -> Purse:
        return self._purses.get(owner) or Purse(0, 0, False, 0)

    def add(self, owner: str, kind: EntryKind, available: int, held: int, cause: Cause) -> LedgerEntry:
        """The balance must be there and large enough."""
        purse = self._purses[owner]
        purse.available += available
        purse.held += held
        purse.entries += 1
        if kind in (EntryKind.EXEMPT, EntryKind.BILLED):
            purse.is_exempt = kind is EntryKind.EXEMPT
        entry = LedgerEntry(
            owner,
            purse.entries,
            cause.at,
            kind,
            available,
            held,
            purse.available,
            cause.job_id,
            cause.actor,
            cause.key,
            cause.note,
        )
        self._added.append(entry)
        return entry

    def settle(self, dues: Sequence[Due]) -> None:
        for due in dues:
            cause = Cause(due.at, JOB_ACTOR, due.job_id)
            if due.is_paid:
                self.add(due.owner, EntryKind.SETTLE, 0, -due.amount, cause)
            else:
                self.add(due.owner, EntryKind.RELEASE, due.amount, -due.amount, cause)

    def hold(self, owner: str, drafts: Sequence[Draft], at: int) -> CreditsInsufficient | dict[str, int]:
        """The amounts set aside for the jobs, for all or for none."""
        purse = self.purse(owner)
        amounts = {draft.id: amount_of(draft.cost) for draft in drafts}
        needed = sum(amounts.values())
        if purse.is_exempt or not needed:
            return {}
        if needed > purse.available:
            return _insufficient(owner, needed, purse.available)
        held = {job_id: amount for job_id, amount in amounts.items() if amount}
        for job_id, amount in held.items():
            self.add(owner, EntryKind.HOLD, -amount, amount, Cause(at, owner, job_id))
        return held

    def write(self) -> None:
        """Raises `StorageError` when a balance is not as it was locked, which undoes the transaction."""
        changed = sorted({entry.owner for entry in self._added})
        if not changed:
            return
        if _MOVE.run_many(self._tx.conn, [self._move(owner) for owner in changed]) != len(changed):
            raise StorageError(f"the balances of {', '.join(changed)} changed under their lock")
        _ADD.run_many(self._tx.conn, [_row(entry) for entry in self._added])
        self._added = []

    def _move(self, owner: str) -> dict[str, Any]:
        purse, (_, available, held, _, entries) = self._purses[owner], self._before[owner]
        return {
            "owner": owner,
            "available": purse.available - available,
            "held": purse.held - held,
            "is_exempt": purse.is_exempt,
            "added": purse.entries - entries,
            "entries": purse.entries,
        }


def settle(tx: Tx) -> None:
    """Book what the jobs that ended in this transaction owe."""
    if not tx.dues:
        return
    dues, tx.dues = tx.dues, []
    books = Books(tx, {due.owner for due in dues})
    books.settle(dues)
    books.write()


_HELD = Statement(
    sa.select(_jobs.id, _jobs.owner, _jobs.held)
    .where(_jobs.id.in_(sa.bindparam("ids", expanding=True)), _jobs.held.is_not(None))
    .order_by(_jobs.id)
    .with_for_update()
)


def forget(tx: Tx, ids: Sequence[str], now: int) -> None:
    """These jobs are about to be deleted: what is still set aside for them is given back."""
    for job_id, owner, amount in _HELD.run(tx.conn, {"ids": ids}) if ids else ():
        tx.dues.append(Due(job_id, owner, amount, False, now))


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


_ENTRY_NAMES = tuple(column.name for column in ENTRY_COLUMNS)
