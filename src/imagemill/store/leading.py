"""Electing one process for an office: a row with an end, renewed while its holder lives."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from imagemill.store import schema
from imagemill.store.commits import Tx

_leaders = schema.leaders.c


@dataclass(frozen=True, slots=True)
class Stand:
    """``holder`` wants the office until ``until``; microseconds."""

    office: str
    holder: str
    now: int
    until: int


@dataclass(frozen=True, slots=True)
class Resign:
    office: str
    holder: str


def stand(tx: Tx, requests: Sequence[Stand]) -> list[str]:
    """Who holds the office after each request: whoever had it, if not for too long, else who asks."""
    return [_stand(tx, request) for request in requests]


def _stand(tx: Tx, request: Stand) -> str:
    row = {"office": request.office, "holder": request.holder, "until": request.until}
    free = sa.or_(_leaders.holder == request.holder, _leaders.until < request.now)
    tx.conn.execute(
        tx.insert(schema.leaders)
        .values(row)
        .on_conflict_do_update(
            index_elements=["office"], set_={"holder": request.holder, "until": request.until}, where=free
        )
    )
    return tx.conn.execute(sa.select(_leaders.holder).where(_leaders.office == request.office)).scalar_one()


def resign(tx: Tx, requests: Sequence[Resign]) -> list[None]:
    """Give the office up, or take it from a holder that is known to be dead."""
    for request in requests:
        tx.conn.execute(
            sa.delete(schema.leaders).where(
                _leaders.office == request.office, _leaders.holder == request.holder
            )
        )
    return [None] * len(requests)
