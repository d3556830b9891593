"""Statistics by the minute: computed from ended jobs in small reads, stored, added up to hours, and read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement, dump, load
from imagemill.db.statistics_table import statistics
from imagemill.domain.clock import SECOND, uuid7_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import JobStatus, LaneKey
from imagemill.domain.placement import loads_model
from imagemill.domain.time_series import (
    ALL_OWNERS,
    CANCELED,
    EXPIRED,
    FAILED,
    FINISHED,
    HOUR_S,
    MINUTE_S,
    MODEL_LOADS,
    RUNNING,
    STAGE,
    STAGES,
    SUBMITTED,
    TOTAL,
    WAITING,
    WEBHOOKS_FAILED,
    WEBHOOKS_SENT,
    Bucket,
    Place,
    bounded,
)

_SLICE_S = 10
"""Seconds of ended jobs that are read at once: a minute is read in six parts."""
_SAMPLED_STAGES = 200
"""Succeeded jobs of a minute whose stages are read: their last events may hold whole graphs."""
_EVENTS_AT_ONCE = 50
_LATER_US = 600 * SECOND
"""A job that ends within 600 s after a minute counts as work of its node in that minute."""
_MOST_LATER = 2000
_LONGEST_KEY = 255
_COUNTED = {
    JobStatus.SUCCEEDED.value: FINISHED,
    JobStatus.FAILED.value: FAILED,
    JobStatus.CANCELED.value: CANCELED,
    JobStatus.EXPIRED.value: EXPIRED,
}

_jobs, _events, _rows = tables.jobs.c, tables.events.c, statistics.c
_ENDED = Statement(
    sa.select(
        _jobs.id,
        _jobs.owner,
        _jobs.recipe,
        _jobs.lane,
        _jobs.node,
        _jobs.status,
        _jobs.error,
        _jobs.attempt,
        _jobs.reason,
        _jobs.created_at,
        _jobs.started_at,
        _jobs.finished_at,
    ).where(
        _jobs.finished_at.is_not(None),
        _jobs.finished_at >= sa.bindparam("start"),
        _jobs.finished_at < sa.bindparam("end"),
    )
)
_SUBMITTED = Statement(
    sa.select(_jobs.owner, _jobs.recipe, _jobs.lane, sa.func.count())
    .where(_jobs.id >= sa.bindparam("first"), _jobs.id < sa.bindparam("after"))
    .group_by(_jobs.owner, _jobs.recipe, _jobs.lane)
)
_RUNNING_NOW = Statement(
    sa.select(_jobs.node, _jobs.started_at).where(
        sa.text("status = 'running'"), _jobs.started_at < sa.bindparam("end")
    )
)
_ENDED_LATER = Statement(
    sa.select(_jobs.node, _jobs.started_at)
    .where(
        _jobs.finished_at.is_not(None),
        _jobs.finished_at >= sa.bindparam("end"),
        _jobs.finished_at < sa.bindparam("until"),
        _jobs.started_at < sa.bindparam("end"),
    )
    .limit(_MOST_LATER)
)
_DETAILS = Statement(
    sa.select(_events.job_id, _events.data)
    .join_from(tables.jobs, tables.events, sa.and_(_events.job_id == _jobs.id, _events.seq == _jobs.last_seq))
    .where(_jobs.id.in_(sa.bindparam("ids", expanding=True)))
)
_WEBHOOKS = (
    sa.select(tables.endpoints.c.owner, tables.attempts.c.error.is_(None).label("sent"), sa.func.count())
    .join_from(tables.attempts, tables.messages, tables.attempts.c.message_id == tables.messages.c.id)
    .join(tables.endpoints, tables.endpoints.c.id == tables.messages.c.endpoint_id)
    .where(tables.attempts.c.at >= sa.bindparam("start"), tables.attempts.c.at < sa.bindparam("end"))
    .group_by(tables.endpoints.c.owner, sa.text("sent"))
)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A job that ended in the minute: a row of `_ENDED`."""

    id: str
    owner: str
    recipe: str
    lane: int
    node: str | None
    status: str
    error: str | None
    attempt: int
    reason: str | None
    created_at: int
    started_at: int | None
    finished_at: int


@dataclass(slots=True)
class _Minute:
    """The buckets of a minute while it is computed."""

    start: int
    buckets: dict[Place, Bucket] = field(default_factory=dict[Place, Bucket])
    places: dict[str, list[Place]] = field(default_factory=dict[str, list[Place]])
    """Succeeded job -> the buckets it counts in."""
    intervals: dict[str, list[tuple[int, int]]] = field(default_factory=dict[str, list[tuple[int, int]]])
    """Node -> the times in which it had a job."""

    @property
    def end(self) -> int:
        return self.start + MINUTE_S * SECOND

    def bucket(self, place: Place) -> Bucket:
        return self.buckets.setdefault(place, Bucket())

    def places_of(self, owner: str, **keys: str) -> list[Place]:
        """Return the places of a job, in the total of all owners and in that of its own."""
        return [
            (each, dimension, key[:_LONGEST_KEY])
            for each in (ALL_OWNERS, owner)
            for dimension, key in ((TOTAL, ""), *keys.items())
            if key or dimension == TOTAL
        ]

    def add_ended(self, job: _Ended, model: str) -> None:
        error = load(job.error)["code"] if job.error and job.status == JobStatus.FAILED.value else ""
        places = self.places_of(job.owner, recipe=job.recipe, model=model, node=job.node or "", error=error)
        has_loaded = bool(model and loads_model(job.reason or "", model))
        for bucket in map(self.bucket, places):
            bucket.count(_COUNTED[job.status])
            if has_loaded:
                bucket.count(MODEL_LOADS)
            if job.started_at is not None:
                bucket.observe(RUNNING, (job.finished_at - job.started_at) / 1000)
                if job.attempt == 1:  # the start of a later attempt says nothing about the wait
                    bucket.observe(WAITING, (job.started_at - job.created_at) / 1000)
        if job.status == JobStatus.SUCCEEDED.value:
            self.places[job.id] = places
        if job.node and job.started_at is not None:
            self.add_work(job.node, job.started_at, job.finished_at)

    def add_work(self, node: str, start: int, end: int) -> None:
        start, end = max(start, self.start), min(end, self.end)
        if start < end:
            self.intervals.setdefault(node, []).append((start, end))

    def add_stages(self, job_id: str, data: Mapping[str, Any]) -> None:
        for each in data.get("stages", ()):
            name = STAGES.get(each["stage"])
            if name:
                for place in self.places[job_id]:
                    self.bucket(place).observe(f"{STAGE}{name}", each["ms"])

    def close(self) -> dict[Place, Bucket]:
        for node, intervals in self.intervals.items():
            self.bucket((ALL_OWNERS, "node", node)).busy_s = _covered_us(intervals) / SECOND
        return bounded(self.buckets)


def _covered_us(intervals: Iterable[tuple[int, int]]) -> int:
    """Return the microseconds that at least one of the intervals covers."""
    covered, reached = 0, 0
    for start, end in sorted(intervals):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


@dataclass(frozen=True, slots=True)
class StatisticsQuery:
    """Which buckets to read: those of one owner and dimension, in a span of time."""

    owner: str
    start: int
    end: int
    span_s: int = MINUTE_S
    dimension: str = TOTAL
    key: str | None = None
    """None means every key."""
    each_owner: bool = False
    """Whether the totals of all owners are read, one by one, by the name of the owner."""


class StatisticsStore:
    """``key_of`` returns the requirements of a lane."""

    def __init__(self, database: Database, key_of: Callable[[sa.Connection, int], LaneKey]) -> None:
        self._read, self._write = database.read, database.write
        self._key_of = key_of

    def latest(self, span_s: int) -> int | None:
        """Return the beginning of the latest minute or hour that is stored."""
        return self._read(_latest, span_s)

    def next_activity(self, since: int) -> int | None:
        """Return the first instant from ``since`` on at which a job was submitted or ended."""
        return self._read(_next_activity, since)

    def compute(self, start: int, now: int) -> dict[Place, Bucket]:
        """Return the buckets of the minute that begins at ``start``, from the jobs that are stored now."""
        minute = _Minute(start)
        minute.bucket((ALL_OWNERS, TOTAL, ""))
        for second in range(0, MINUTE_S, _SLICE_S):
            begin = start + second * SECOND
            self._read(self._add_ended, minute, begin, begin + _SLICE_S * SECOND)
        self._read(self._add_open, minute, now)
        sampled = list(minute.places)
        sampled = sampled[:: max(1, -(-len(sampled) // _SAMPLED_STAGES))]
        for first in range(0, len(sampled), _EVENTS_AT_ONCE):
            self._read(_add_stages, minute, sampled[first : first + _EVENTS_AT_ONCE])
        return minute.close()

    def record(self, span_s: int, at: int, buckets: Mapping[Place, Bucket]) -> None:
        """Store a minute or an hour, in place of what was stored of it before."""
        self._write(_record, (span_s, at, buckets))

    def buckets(self, query: StatisticsQuery) -> dict[str, list[tuple[int, Bucket]]]:
        """Return key -> its buckets with their beginnings, in order."""
        return self._read(_buckets, query)

    def roll_up(self, before: int) -> int:
        """Add minutes up to hours, for the hours that end until ``before``; return the number of hours."""
        count = 0
        latest = self.latest(HOUR_S)
        since = 0 if latest is None else latest + HOUR_S * SECOND
        while (first := self._read(_first, MINUTE_S, since)) is not None:
            hour = first - first % (HOUR_S * SECOND)
            since = hour + HOUR_S * SECOND
            if since > before:
                break
            self.record(HOUR_S, hour, self._read(_added_up, hour, since))
            count += 1
        return count

    def prune(self, span_s: int, before: int) -> None:
        """Delete the minutes or hours that begin before an instant, the rows of an hour at a time."""
        while (first := self._read(_first, span_s, 0)) is not None and first < before:
            self._write(_prune, (span_s, min(before, first + max(HOUR_S, span_s) * SECOND)))

    def _add_ended(self, conn: sa.Connection, minute: _Minute, start: int, end: int) -> None:
        for row in _ENDED.run(conn, {"start": start, "end": end}):
            job = _Ended(*row)
            minute.add_ended(job, self._key_of(conn, job.lane).model)

    def _add_open(self, conn: sa.Connection, minute: _Minute, now: int) -> None:
        """Add what was submitted, what runs beyond the minute, and the webhooks."""
        span = {"first": _first_id(minute.start), "after": _first_id(minute.end)}
        for owner, recipe, lane, count in _SUBMITTED.run(conn, span):
            places = minute.places_of(owner, recipe=recipe, model=self._key_of(conn, lane).model)
            for place in places:
                minute.bucket(place).count(SUBMITTED, count)
        until = min(now, minute.end + _LATER_US)
        later = _ENDED_LATER.run(conn, {"end": minute.end, "until": until})
        for node, started_at in [*later, *_RUNNING_NOW.run(conn, {"end": minute.end})]:
            if node:
                minute.add_work(node, started_at, minute.end)
        for owner, sent, count in conn.execute(_WEBHOOKS, {"start": minute.start, "end": minute.end}):
            for place in minute.places_of(owner):
                minute.bucket(place).count(WEBHOOKS_SENT if sent else WEBHOOKS_FAILED, count)


def _first_id(instant: int) -> str:
    """Return the smallest id of a job that was submitted at the instant or later."""
    digits = f"{instant // 1000:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def _add_stages(conn: sa.Connection, minute: _Minute, ids: Sequence[str]) -> None:
    for job_id, data in _DETAILS.run(conn, {"ids": ids}):
        minute.add_stages(job_id, from_json(data))


def _latest(conn: sa.Connection, span_s: int) -> int | None:
    total = sa.and_(_rows.span == span_s, _rows.owner == ALL_OWNERS, _rows.dimension == TOTAL)
    return conn.execute(sa.select(sa.func.max(_rows.at)).where(total)).scalar_one()


def _first(conn: sa.Connection, span_s: int, since: int) -> int | None:
    there = sa.and_(_rows.span == span_s, _rows.at >= since)
    return conn.execute(sa.select(sa.func.min(_rows.at)).where(there)).scalar_one()


def _next_activity(conn: sa.Connection, since: int) -> int | None:
    ended = sa.and_(_jobs.finished_at.is_not(None), _jobs.finished_at >= since)
    end = conn.execute(sa.select(sa.func.min(_jobs.finished_at)).where(ended)).scalar_one()
    id_ = conn.execute(sa.select(sa.func.min(_jobs.id)).where(_jobs.id >= _first_id(since))).scalar_one()
    found = [*([end] if end is not None else []), *([uuid7_us(id_)] if id_ is not None else [])]
    return min(found, default=None)


def _record(tx: Tx, requests: Sequence[tuple[int, int, Mapping[Place, Bucket]]]) -> list[None]:
    for span_s, at, buckets in requests:
        tx.conn.execute(sa.delete(statistics).where(_rows.span == span_s, _rows.at == at))
        rows = [
            {
                "span": span_s,
                "owner": owner,
                "dimension": dimension,
                "at": at,
                "key": key,
                "data": dump(bucket.to_data()),
            }
            for (owner, dimension, key), bucket in buckets.items()
        ]
        tx.conn.execute(sa.insert(statistics), rows)
    return [None] * len(requests)


def _prune(tx: Tx, requests: Sequence[tuple[int, int]]) -> list[None]:
    for span_s, before in requests:
        tx.conn.execute(sa.delete(statistics).where(_rows.span == span_s, _rows.at < before))
    return [None] * len(requests)


def _added_up(conn: sa.Connection, start: int, end: int) -> dict[Place, Bucket]:
    statement = sa.select(_rows.owner, _rows.dimension, _rows.key, _rows.data).where(
        _rows.span == MINUTE_S, _rows.at >= start, _rows.at < end
    )
    found: dict[Place, Bucket] = {}
    for owner, dimension, key, data in conn.execute(statement):
        bucket = found.setdefault((owner, dimension, key), Bucket())
        bucket.append(Bucket.from_data(load(data)))
    return bounded(found)


def _buckets(conn: sa.Connection, query: StatisticsQuery) -> dict[str, list[tuple[int, Bucket]]]:
    name = _rows.owner if query.each_owner else _rows.key
    statement = sa.select(_rows.at, name, _rows.data).where(
        _rows.span == query.span_s,
        _rows.dimension == query.dimension,
        _rows.at >= query.start,
        _rows.at < query.end,
        _rows.owner != ALL_OWNERS if query.each_owner else _rows.owner == query.owner,
    )
    if query.key is not None:
        statement = statement.where(_rows.key == query.key[:_LONGEST_KEY])
    found: dict[str, list[tuple[int, Bucket]]] = {}
    for at, key, data in conn.execute(statement.order_by(_rows.at)):
        found.setdefault(key, []).append((at, Bucket.from_data(load(data))))
    return found
