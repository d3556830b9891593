"""Limits in the database: counters, the open jobs of an owner, and owners' own limits."""

import re
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.db.statements import Statement
from imagemill.domain import quotas
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound, QueueFull, RateLimited, TryLater
from imagemill.domain.quotas import Limits, QuotaPolicy, QuotaStatus, accounts_of

_jobs = tables.jobs.c
_own = tables.limits.c
_counters = tables.counters.c
_LOOK_AGAIN_S = 5.0
"""Seconds for Retry-After, since it is unknown when an open job will end."""
_ALL = 2**62
"""No bound on the jobs that are counted."""


@dataclass(frozen=True, slots=True)
class CountRequest:
    """One request of an owner. ``quotas``: the limit of each owner it counts for."""

    quotas: tuple[tuple[str, float], ...]
    now: int


@dataclass(frozen=True, slots=True)
class OwnerLimits:
    """The own limits of an owner."""

    owner: str
    amounts: Mapping[str, float]


class QuotaStore:
    """The limits in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def take(self, take: CountRequest) -> QuotaStatus:
        """Count a request and return the status of the tightest limit. Raises `RateLimited`, counting
        nothing."""
        return self._write(_take, take)

    def put(self, own: OwnerLimits) -> None:
        """Replace all of the owner's own limits. Raises `NotFound`."""
        self._write(_put, own)

    def own(self, owners: Iterable[str]) -> dict[str, dict[str, float]]:
        return self._read(_read_own, sorted(set(owners)))

    def resolve(self, terms: QuotaPolicy, owners: Iterable[str]) -> dict[str, Limits]:
        return self._read(_resolve, terms, sorted(set(owners)))

    def open_jobs(self, owner: str) -> int:
        return self._read(_open_jobs, owner, _ALL)

    def used(self, owner: str, now: int) -> float:
        """Return the megapixels made today."""
        return self._read(_used, owner, now // (quotas.DAY_S * SECOND))

    def prune(self, now: int) -> None:
        """Delete counters of past periods."""
        self._write(_prune, now)


_TAKE = Statement(
    sa.text(
        "INSERT INTO counters (owner, kind, span, amount, until) "
        "VALUES (:owner, 'requests', :span, 1, :until) "
        "ON CONFLICT (owner, kind, span) DO UPDATE SET amount = counters.amount + 1 "
        "WHERE counters.amount + 1 <= :quota RETURNING amount"
    )
)
_GIVE_BACK = Statement(
    sa.text(
        "UPDATE counters SET amount = amount - 1 WHERE owner = :owner AND kind = 'requests' AND span = :span"
    )
)


def _take(tx: Tx, requests: Sequence[CountRequest]) -> list[QuotaStatus | RateLimited]:
    # By owner, so that two processes lock the rows in the same order.
    order = sorted(range(len(requests)), key=lambda index: requests[index].quotas)
    answers: dict[int, QuotaStatus | RateLimited] = {index: _take_one(tx, requests[index]) for index in order}
    return [answers[index] for index in range(len(requests))]


def _take_one(tx: Tx, request: CountRequest) -> QuotaStatus | RateLimited:
    width = quotas.MINUTE_S * SECOND
    span = request.now // width
    after_s = ((span + 1) * width - request.now) / SECOND
    tightest: QuotaStatus | None = None
    for position, (owner, quota) in enumerate(request.quotas):
        given = {"owner": owner, "span": span, "until": (span + 1) * width, "quota": quota}
        rows = _TAKE.run(tx.conn, given) if quota >= 1 else []
        if not rows:
            for earlier, _ in request.quotas[:position]:
                _GIVE_BACK.run(tx.conn, {"owner": earlier, "span": span})
            standing = QuotaStatus(quotas.REQUESTS, quota, 0, after_s, quotas.MINUTE_S)
            return limited(f"{owner} may send {quota:g} requests a minute", standing)
        left = QuotaStatus(quotas.REQUESTS, quota, quota - rows[0][0], after_s, quotas.MINUTE_S)
        if tightest is None or left.remaining < tightest.remaining:
            tightest = left
    assert tightest is not None  # noqa: S101 - a request counts for at least one owner
    return tightest


def limited(message: str, standing: QuotaStatus) -> RateLimited:
    return RateLimited(
        f"{message}; try again in {max(1, round(standing.after_s))} s",
        after_s=standing.after_s,
        status=standing,
    )


@dataclass(frozen=True, slots=True)
class QuotaDemand:
    """The demand of a submission, to be checked against the limits."""

    owner: str
    jobs: int
    megapixels: float
    recipes: Mapping[str, int]
    """The number of jobs of each recipe."""
    now: int


class QuotaCounters:
    """The limits and counters of the owners of a transaction's submissions, locked until it ends."""

    def __init__(self, tx: Tx, terms: QuotaPolicy, wanted: Sequence[QuotaDemand]) -> None:
        self._tx = tx
        self._terms = terms
        owners = sorted({each for one in wanted for each in accounts_of(one.owner)})
        names = {f"limits:{accounts_of(owner)[0]}" for owner in owners}
        # Other transactions with submissions for the same accounts wait.
        lock_names(tx, names | ({"limits"} if terms.most_jobs is not None else set()))
        self._limits = _resolve(tx.conn, terms, owners)
        self._open: dict[str, int] = {}
        self._all: int | None = None
        self._counts: dict[tuple[str, str, int], float] = {}
        self._changed: dict[tuple[str, str, int], int] = {}

    def check(self, wanted: QuotaDemand) -> TryLater | None:
        """Return the refusal, or None; counts nothing."""
        most = self._terms.most_jobs
        if most is not None and self._open_in_all(most) + wanted.jobs > most:
            return QueueFull(f"the queue holds {most} jobs, which is the limit", after_s=_LOOK_AGAIN_S)
        for owner in accounts_of(wanted.owner):
            refusal = self._check_owner(owner, self._limits[owner], wanted)
            if refusal is not None:
                return refusal
        return None

    def _check_owner(self, owner: str, its: Limits, wanted: QuotaDemand) -> RateLimited | None:
        if its.jobs is not None:
            left = its.jobs - self._open_of(owner, its.jobs)
            if wanted.jobs > left:
                standing = QuotaStatus(quotas.JOBS, its.jobs, max(0.0, left), _LOOK_AGAIN_S)
                return limited(f"{owner} may have {its.jobs:g} jobs in flight", standing)
        if its.megapixels is not None:
            day = quotas.DAY_S * SECOND
            left = its.megapixels - self._count(owner, quotas.MEGAPIXELS, wanted.now // day)
            if wanted.megapixels > left + 1e-9:
                after_s = (day - wanted.now % day) / SECOND
                standing = QuotaStatus(
                    quotas.MEGAPIXELS, its.megapixels, max(0.0, left), after_s, quotas.DAY_S
                )
                return limited(f"{owner} may have {its.megapixels:g} megapixels made a day", standing)
        for recipe in sorted(wanted.recipes.keys() & its.cooldowns.keys()):
            pause_s, kind = its.cooldowns[recipe], quotas.COOLDOWN + recipe
            after_s = (self._count(owner, kind, 0) - wanted.now) / SECOND + pause_s
            if after_s > 0 and self._count(owner, kind, 0):
                standing = QuotaStatus(kind, 1, 0, after_s, round(pause_s) or None)
                return limited(f"{owner} may submit {recipe} every {pause_s:g} s", standing)
        return self._check_days(owner, its, wanted)

    def _check_days(self, owner: str, its: Limits, wanted: QuotaDemand) -> RateLimited | None:
        day = quotas.DAY_S * SECOND
        for recipe in sorted(wanted.recipes.keys() & its.daily.keys()):
            most, kind = its.daily[recipe], quotas.DAILY + recipe
            left = most - self._count(owner, kind, wanted.now // day)
            if wanted.recipes[recipe] > left:
                after_s = (day - wanted.now % day) / SECOND
                standing = QuotaStatus(kind, most, max(0.0, left), after_s, quotas.DAY_S)
                return limited(f"{owner} may have {most:g} jobs of {recipe} a day", standing)
        return None

    def count(self, wanted: QuotaDemand) -> None:
        """Count an accepted submission."""
        if self._all is not None:
            self._all += wanted.jobs
        day = quotas.DAY_S * SECOND
        for owner in accounts_of(wanted.owner):
            its = self._limits[owner]
            if owner in self._open:
                self._open[owner] += wanted.jobs
            span = wanted.now // day
            for recipe in wanted.recipes.keys() & its.daily.keys():
                kind = quotas.DAILY + recipe
                made = self._count(owner, kind, span) + wanted.recipes[recipe]
                self._set(owner, kind, span, made, (span + 1) * day)
            if its.megapixels is not None:
                used = self._count(owner, quotas.MEGAPIXELS, span)
                self._set(owner, quotas.MEGAPIXELS, span, used + wanted.megapixels, (span + 1) * day)
            for recipe in wanted.recipes.keys() & its.cooldowns.keys():
                until = wanted.now + round(its.cooldowns[recipe] * SECOND)
                self._set(owner, quotas.COOLDOWN + recipe, 0, float(wanted.now), until)

    def write(self) -> None:
        for (owner, kind, span), until in sorted(self._changed.items()):
            amount = self._counts[owner, kind, span]
            row = {"owner": owner, "kind": kind, "span": span, "amount": amount, "until": until}
            _COUNT.run(self._tx.conn, row)

    def _set(self, owner: str, kind: str, span: int, amount: float, until: int) -> None:
        self._counts[owner, kind, span] = amount
        self._changed[owner, kind, span] = until

    def _count(self, owner: str, kind: str, span: int) -> float:
        place = (owner, kind, span)
        if place not in self._counts:
            self._counts[place] = _counted(self._tx.conn, [owner], kind, span).get(owner, 0.0)
        return self._counts[place]

    def _open_of(self, owner: str, most: float) -> int:
        if owner not in self._open:
            self._open[owner] = _open_jobs(self._tx.conn, owner, int(min(most, _ALL)) + 1)
        return self._open[owner]

    def _open_in_all(self, most: int) -> int:
        if self._all is None:
            self._all = _open_jobs(self._tx.conn, None, most + 1)
        return self._all


_COUNT = Statement(
    sa.text(
        "INSERT INTO counters (owner, kind, span, amount, until) "
        "VALUES (:owner, :kind, :span, :amount, :until) "
        "ON CONFLICT (owner, kind, span) DO UPDATE SET amount = :amount, until = :until"
    )
)
_ROLES = Statement(
    sa.select(tables.owners.c.id, tables.owners.c.role).where(
        tables.owners.c.id.in_(sa.bindparam("ids", expanding=True))
    )
)
_OWN = Statement(
    sa.select(_own.owner, _own.kind, _own.amount).where(_own.owner.in_(sa.bindparam("ids", expanding=True)))
)
_COUNTED = Statement(
    sa.select(_counters.owner, _counters.amount).where(
        _counters.owner.in_(sa.bindparam("ids", expanding=True)),
        _counters.kind == sa.bindparam("of_kind"),
        _counters.span == sa.bindparam("of_span"),
    )
)


def _counted(conn: sa.Connection, owners: Sequence[str], kind: str, span: int) -> dict[str, float]:
    return dict(_COUNTED.run(conn, {"ids": owners, "of_kind": kind, "of_span": span}))


def _read_own(conn: sa.Connection, owners: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for owner, kind, amount in _OWN.run(conn, {"ids": owners}) if owners else ():
        found.setdefault(owner, {})[kind] = amount
    return found


def _resolve(conn: sa.Connection, terms: QuotaPolicy, owners: Sequence[str]) -> dict[str, Limits]:
    own = _read_own(conn, owners)
    roles = dict(_ROLES.run(conn, {"ids": owners})) if owners else {}
    return {owner: terms.of(owner, roles.get(owner, "user"), own.get(owner, {})) for owner in owners}


_OPEN_OF = Statement(
    sa.text(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE owner = :owner "
        "AND status IN ('waiting', 'queued', 'running') LIMIT :most) AS own) "
        "+ (SELECT count(*) FROM (SELECT 1 FROM jobs JOIN owners ON owners.id = jobs.owner "
        "WHERE owners.parent = :owner AND jobs.status IN ('waiting', 'queued', 'running') "
        "LIMIT :most) AS of_users)"
    )
)
_OPEN_IN_ALL = Statement(
    sa.text(
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status IN ('waiting', 'queued', 'running') "
        "LIMIT :most) AS found"
    )
)


def _open_jobs(conn: sa.Connection, owner: str | None, most: int) -> int:
    """Return the open jobs of an account and its end users, or ``most`` or more where there are that many."""
    if owner is None:
        return _OPEN_IN_ALL.run(conn, {"most": most})[0][0]
    return _OPEN_OF.run(conn, {"owner": owner, "most": most})[0][0]


def _used(conn: sa.Connection, owner: str, span: int) -> float:
    return _counted(conn, [owner], quotas.MEGAPIXELS, span).get(owner, 0.0)


_KIND = re.compile(
    rf"(?:{'|'.join(quotas.KINDS)}|(?:{quotas.COOLDOWN}|{quotas.DAILY})[A-Za-z0-9_.-]{{1,64}})"
)


def is_kind(text: str) -> bool:
    return _KIND.fullmatch(text) is not None


def _put(tx: Tx, requests: Sequence[OwnerLimits]) -> list[NotFound | None]:
    answers: list[NotFound | None] = []
    for request in requests:
        if not _ROLES.run(tx.conn, {"ids": [request.owner]}):
            answers.append(NotFound(f"there is no owner {request.owner}"))
            continue
        tx.conn.execute(sa.delete(tables.limits).where(_own.owner == request.owner))
        rows = [
            {"owner": request.owner, "kind": kind, "amount": amount}
            for kind, amount in request.amounts.items()
        ]
        if rows:
            tx.conn.execute(sa.insert(tables.limits), rows)
        answers.append(None)
    return answers


def _prune(tx: Tx, requests: Sequence[int]) -> list[None]:
    tx.conn.execute(sa.delete(tables.counters).where(_counters.until < min(requests)))
    return [None] * len(requests)
