"""Paid calls of providers; their limits are checked in the transaction that writes a call."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.backends.paid_calls import DAY_S, MILLIONTHS, MINUTE_S, BudgetExceeded, PaidCall, Reservation
from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.observability.metrics import Metrics

_calls = tables.provider_calls.c
_MINUTE_US = round(MINUTE_S * SECOND)
_DAY_US = round(DAY_S * SECOND)
_LONGEST_S = 900.0
"""The longest wait in seconds after a daily limit is reached, since the limit may be raised."""


@dataclass(frozen=True, slots=True)
class ReserveCall:
    id: str
    wanted: Reservation
    now: int


@dataclass(frozen=True, slots=True)
class EndCall:
    id: str
    outcome: str
    free: bool
    now: int


class ProviderCalls:
    """The paid calls in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def reserve(self, reserve: ReserveCall) -> None:
        """Write a call before it is sent. Raises `BudgetExceeded`, with nothing written."""
        self._write(_reserve, reserve)

    def sent(self, call_id: str, request_id: str) -> None:
        self._write(_sent, (call_id, request_id))

    def end(self, end: EndCall) -> tuple[str, int, int] | None:
        """End a call; return its provider, cost and send time, or None when it had ended before."""
        return self._write(_end, end)

    def open_call(self, provider: str, job_id: str) -> PaidCall | None:
        return self._read(_open_call, provider, job_id)

    def prune(self, before: int) -> int:
        """Delete ended calls that were sent before a time; return their number."""
        return self._write(_prune, before)

    def spent(self, provider: str, since: int) -> int:
        """Return the cost of the calls sent since a time, in millionths of the currency."""
        return self._read(_spent, provider, since)


def _reserve(tx: Tx, requests: Sequence[ReserveCall]) -> list[BudgetExceeded | None]:
    lock_names(tx, [f"provider/{request.wanted.provider}" for request in requests])
    return [_reserve_one(tx, request) for request in requests]


def _reserve_one(tx: Tx, request: ReserveCall) -> BudgetExceeded | None:
    wanted = request.wanted
    refusal = _over_minute(tx.conn, request) or _over_job(tx.conn, wanted) or _over_day(tx.conn, request)
    if refusal is None:
        row = {
            "id": request.id,
            "provider": wanted.provider,
            "job_id": wanted.job_id,
            "attempt": wanted.attempt,
            "path": wanted.path,
            "cost": wanted.cost,
            "sent_at": request.now,
        }
        tx.conn.execute(sa.insert(tables.provider_calls).values(row))
    return refusal


def _over_minute(conn: sa.Connection, request: ReserveCall) -> BudgetExceeded | None:
    provider, most = request.wanted.provider, request.wanted.budget.per_minute
    if most is None:
        return None
    # The call that must be a minute old before another may be sent.
    statement = (
        sa.select(_calls.sent_at)
        .where(_calls.provider == provider, _calls.sent_at > request.now - _MINUTE_US)
        .order_by(_calls.sent_at.desc())
        .offset(most - 1)
        .limit(1)
    )
    first = conn.execute(statement).scalar_one_or_none()
    if first is None:
        return None
    after_s = (first + _MINUTE_US - request.now) / SECOND
    return BudgetExceeded(f"{provider} was called {most} times in a minute, which is the limit", after_s)


def _over_job(conn: sa.Connection, wanted: Reservation) -> BudgetExceeded | None:
    most = wanted.budget.per_job
    if most is None:
        return None
    of_job = sa.and_(_calls.job_id == wanted.job_id, _calls.provider == wanted.provider)
    paid = conn.execute(sa.select(sa.func.coalesce(sa.func.sum(_calls.cost), 0)).where(of_job)).scalar_one()
    if paid + wanted.cost <= most:
        return None
    return BudgetExceeded(
        f"another request to {wanted.provider} would bring the job to {_money(int(paid) + wanted.cost)}, "
        f"above the limit of {_money(most)} for a job",
        None,
    )


def _over_day(conn: sa.Connection, request: ReserveCall) -> BudgetExceeded | None:
    provider, most = request.wanted.provider, request.wanted.budget.per_day
    if most is None:
        return None
    spent = _spent(conn, provider, request.now - _DAY_US)
    if spent + request.wanted.cost <= most:
        return None
    oldest = sa.select(sa.func.min(_calls.sent_at)).where(
        _calls.provider == provider, _calls.sent_at > request.now - _DAY_US, _calls.cost > 0
    )
    first = conn.execute(oldest).scalar_one()
    after_s = _LONGEST_S if first is None else (first + _DAY_US - request.now) / SECOND
    return BudgetExceeded(
        f"{provider} calls cost {_money(spent)} within 24 hours; the limit is {_money(most)}",
        min(max(after_s, 1.0), _LONGEST_S),
    )


def _money(amount: int) -> str:
    return f"{amount / MILLIONTHS:.4f}"


def _sent(tx: Tx, requests: Sequence[tuple[str, str]]) -> list[None]:
    for call_id, request_id in requests:
        tx.conn.execute(
            sa.update(tables.provider_calls).where(_calls.id == call_id).values(request_id=request_id)
        )
    return [None] * len(requests)


def _end(tx: Tx, requests: Sequence[EndCall]) -> list[tuple[str, int, int] | None]:
    return [_end_one(tx, request) for request in requests]


def _end_one(tx: Tx, request: EndCall) -> tuple[str, int, int] | None:
    values: dict[str, Any] = {"ended_at": request.now, "outcome": request.outcome}
    if request.free:
        values["cost"] = 0
    row = tx.conn.execute(
        sa.update(tables.provider_calls)
        .where(_calls.id == request.id, _calls.ended_at.is_(None))
        .values(values)
        .returning(_calls.provider, _calls.cost, _calls.sent_at)
    ).first()
    return (row.provider, row.cost, row.sent_at) if row is not None else None


def _open_call(conn: sa.Connection, provider: str, job_id: str) -> PaidCall | None:
    statement = (
        sa.select(_calls.id, _calls.path, _calls.request_id, _calls.cost, _calls.sent_at)
        .where(_calls.job_id == job_id, _calls.provider == provider, _calls.ended_at.is_(None))
        .order_by(_calls.sent_at.desc(), _calls.id.desc())
        .limit(1)
    )
    row = conn.execute(statement).first()
    return PaidCall(*row) if row is not None else None


def _spent(conn: sa.Connection, provider: str, since: int) -> int:
    total = sa.func.coalesce(sa.func.sum(_calls.cost), 0)
    return int(
        conn.execute(sa.select(total).where(_calls.provider == provider, _calls.sent_at > since)).scalar_one()
    )


def _prune(tx: Tx, requests: Sequence[int]) -> list[int]:
    old = sa.and_(_calls.sent_at < max(requests), _calls.ended_at.is_not(None))
    deleted = tx.conn.execute(sa.delete(tables.provider_calls).where(old)).rowcount
    return [deleted] * len(requests)


class PaidCallRecorder:
    """The `PaidCalls` of this process."""

    def __init__(self, store: ProviderCalls, meters: Metrics) -> None:
        self._store = store
        self._meters = meters

    def open_call(self, provider: str, job_id: str) -> PaidCall | None:
        return self._store.open_call(provider, job_id)

    def reserve(self, wanted: Reservation) -> str:
        call_id = uuid7()
        try:
            self._store.reserve(ReserveCall(call_id, wanted, now_us()))
        except BudgetExceeded:
            self._meters.held_back(wanted.provider)
            raise
        return call_id

    def sent(self, call_id: str, request_id: str) -> None:
        self._store.sent(call_id, request_id)

    def ended(self, call_id: str, outcome: str, *, free: bool = False) -> None:
        now = now_us()
        ended = self._store.end(EndCall(call_id, outcome, free, now))
        if ended is not None:
            provider, cost, sent_at = ended
            self._meters.called(provider, outcome, (now - sent_at) / SECOND, cost / MILLIONTHS)
