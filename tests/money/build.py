"""Owners with credits, and jobs that cost some."""

from typing import Any

from imagemill.accounts.store import Owner
from imagemill.bootstrap.stores import Stores
from imagemill.credits.ledger import Posting, StatementPage, Transfer
from imagemill.domain.access import Role
from imagemill.domain.credits import EntryKind
from imagemill.domain.jobs import Draft, Job
from tests.store.build import T0, draft, fresh_id, submission

ADMIN = "root"


def add_owner(store: Stores, name: str, credits_: int = 0) -> None:
    parent = name.partition(":")[0] if ":" in name else None
    store.accounts.ensure_owner(Owner(name, Role.USER, T0, parent=parent))
    if credits_:
        grant(store, name, credits_ * 1000)


def grant(store: Stores, owner: str, amount: int, key: str | None = None, note: str = "") -> None:
    move = Transfer(owner, EntryKind.GRANT, amount)
    store.ledger.post(Posting((move,), ADMIN, key or fresh_id(), T0, note))


def transfer(store: Stores, sender: str, recipient: str, amount: int, key: str | None = None) -> None:
    moves = (Transfer(sender, EntryKind.SENT, -amount), Transfer(recipient, EntryKind.RECEIVED, amount))
    store.ledger.post(Posting(moves, ADMIN, key or fresh_id(), T0))


def buy(store: Stores, *drafts: Draft, owner: str = "ann", at: int = T0, **more: Any) -> tuple[Job, ...]:
    """Submit jobs that are paid for."""
    return store.jobs.submit(submission(*drafts, owner=owner, at=at, is_charged=True, **more)).jobs


def buy_one(store: Stores, cost: float = 1.0, **more: Any) -> Job:
    return buy(store, draft(cost=cost), **more)[0]


def purse(store: Stores, owner: str = "ann") -> tuple[int, int]:
    """Available and held, in thousandths."""
    balance = store.ledger.balance(owner)
    return balance.available, balance.held


def kinds(store: Stores, owner: str = "ann") -> list[str]:
    """Of the owner's entries, the oldest first."""
    entries = store.ledger.statement(StatementPage(owner, limit=10_000))
    return [entry.kind.value for entry in reversed(entries)]
