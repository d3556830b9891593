"""Numbers of jobs by status, owner, recipe, model, node or error.

Open jobs are counted in their indexes. Ended ones are added up by the leader (`count_ended`) a minute after
their end, and subtracted when they are deleted; those of the last minute are counted where they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.console_tables import ended_jobs
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.db.statements import Statement
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import OPEN, TERMINAL, JobStatus
from imagemill.jobs.store import listing
from imagemill.jobs.store.kept_figures import KeptFigures
from imagemill.jobs.store.lanes import Lanes, failure_from
from imagemill.jobs.store.queries import Filter

_jobs, _ended = tables.jobs.c, ended_jobs.c
_MARK = "ended_jobs"
_GRACE_US = 60 * SECOND
"""The time after which an end is surely committed and visible to the leader: 60 s."""
_MOST_RECENT = 50_000
"""Ended jobs that are counted one by one; there are more only until the leader has counted the first time."""
_MOST_IDLE = 300_000
"""Entries of the index of waiting and queued jobs that one request counts."""
_MOST_IDLE_OF_NODES = 20_000
"""Waiting and queued jobs that are read where their nodes are asked for."""
_MOST_RUNNING = 100_000
"""More than all slots of an installation."""
_KEYS = ("owner", "status", "recipe", "lane", "node", "error_code")
_TOTALS = ("number", "first_at", "last_at", "last_job")
_ENDED: tuple[sa.ColumnElement[Any], ...] = (
    _jobs.id,
    _jobs.owner,
    _jobs.status,
    _jobs.recipe,
    _jobs.lane,
    sa.func.coalesce(_jobs.node, "").label("node"),
    sa.func.coalesce(_jobs.error_code, "").label("error_code"),
    _jobs.finished_at,
)
_Row = tuple[str, int, int, int | None, int | None, str | None]
"""Key, lane (0 where it is of no interest), number of jobs; first end, last end and last job, if ended."""


@dataclass(frozen=True, slots=True)
class Count:
    """A number of jobs. Unless ``complete`` there may be more."""

    number: int
    complete: bool


class Dimension(StrEnum):
    STATUS = "status"
    OWNER = "owner"
    RECIPE = "recipe"
    MODEL = "model"
    NODE = "node"
    ERROR = "error"
    """Failed jobs by error code and model."""


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs with the same ``key``, which is empty for those without one.

    The rest is set for ended jobs: when the first and the last of them ended, and the id of the last.
    """

    key: str
    count: int
    model: str = ""
    """The checkpoint, for groups by error."""
    first_at: int | None = None
    last_at: int | None = None
    last_job: str | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest group first. Unless ``complete`` there are more jobs than were counted."""

    groups: list[Group]
    complete: bool


def count_matching(conn: sa.Connection, lanes: Lanes, figures: KeptFigures, wanted: Filter) -> Count:
    """Count the jobs of a filter."""
    found = count_groups(conn, lanes, figures, wanted, Dimension.STATUS)
    return Count(sum(group.count for group in found.groups), found.complete)


def count_groups(
    conn: sa.Connection, lanes: Lanes, figures: KeptFigures, wanted: Filter, by: Dimension
) -> Groups:
    """Count the jobs of a filter by group. ``figures`` keeps those that wait in a long queue."""
    if by is Dimension.ERROR or wanted.errors:
        failed = frozenset({JobStatus.FAILED})
        wanted = replace(wanted, statuses=wanted.statuses & failed if wanted.statuses else failed)
    if not _is_counted(wanted):
        return _searched(conn, lanes, wanted, by)
    restricted = bool(wanted.models or wanted.labels)
    lane_ids = listing.lanes_of(conn, lanes, wanted.models, wanted.labels) if restricted else None
    statuses = wanted.statuses or frozenset(JobStatus)
    rows: list[_Row] = []
    complete = True
    if statuses & TERMINAL:
        recent, complete = _ended_rows(conn, wanted, by, lane_ids)
        rows += recent
    if statuses & OPEN and not wanted.errors:
        key = (by, replace(wanted, before=None, limit=0))
        idle, whole = figures.get(key, lambda: _idle_rows(conn, wanted, by, lane_ids))
        rows += [*idle, *_running_rows(conn, wanted, by, lane_ids)]
        complete = complete and whole
    return Groups(_merged(conn, lanes, rows, by), complete)


def _is_counted(wanted: Filter) -> bool:
    """Whether the filter names only what the counts of ended jobs are kept by."""
    kept = Filter(
        wanted.owner,
        wanted.statuses,
        recipes=wanted.recipes,
        nodes=wanted.nodes,
        models=wanted.models,
        labels=wanted.labels,
        errors=wanted.errors,
    )
    return replace(wanted, before=None, limit=kept.limit) == kept


# Statements


def _columns(by: Dimension, of: Any) -> list[sa.ColumnElement[Any]]:
    """Return the columns by which rows are grouped: the key, and the lane where it or the model is needed."""
    key: sa.ColumnElement[Any] = sa.literal("")
    match by:
        case Dimension.STATUS | Dimension.OWNER | Dimension.RECIPE:
            key = of[by.value]
        case Dimension.NODE:
            key = of.node
        case Dimension.ERROR:
            key = of.error_code
        case Dimension.MODEL:
            pass
    lane = of.lane if by in (Dimension.MODEL, Dimension.ERROR) else sa.literal(0)
    return [key, lane]


def _matching(
    wanted: Filter,
    of: Any,
    lane_ids: Sequence[int] | None,
    owner: sa.ColumnElement[str] | None = None,
) -> Iterable[sa.ColumnElement[bool]]:
    """Yield the conditions of a filter. ``owner``: the owner's column, where it must not choose the index."""
    if wanted.owner is not None:
        yield (of.owner if owner is None else owner) == wanted.owner
    if wanted.statuses:
        yield of.status.in_(sorted(status.value for status in wanted.statuses))
    if wanted.recipes:
        yield of.recipe.in_(wanted.recipes)
    if wanted.nodes:
        yield of.node.in_(wanted.nodes)
    if wanted.errors:
        yield of.error_code.in_(wanted.errors)
    if lane_ids is not None:
        yield of.lane.in_(lane_ids)


def _groups(columns: Iterable[sa.ColumnElement[Any]]) -> list[sa.ColumnElement[Any]]:
    return [column for column in columns if not isinstance(column, sa.BindParameter)]


def _ended_rows(
    conn: sa.Connection, wanted: Filter, by: Dimension, lane_ids: Sequence[int] | None
) -> tuple[list[_Row], bool]:
    """Return the rows of ended jobs, and whether they are all. One statement, so that no job counts twice."""
    counted = sa.select(
        *_columns(by, _ended),
        sa.func.sum(_ended.number),
        sa.func.min(_ended.first_at),
        sa.func.max(_ended.last_at),
        sa.func.max(_ended.last_job),
    ).where(*_matching(wanted, _ended, lane_ids))
    recent = _recent().subquery()
    of = recent.c
    others = sa.select(
        *_columns(by, of),
        sa.func.count(),
        sa.func.min(of.finished_at),
        sa.func.max(of.finished_at),
        sa.func.max(of.id),
    ).where(*_matching(wanted, of, lane_ids))
    both = sa.union_all(
        counted.group_by(*_groups(_columns(by, _ended))), others.group_by(*_groups(_columns(by, of)))
    )
    size = sa.select(sa.func.count()).select_from(_recent(_jobs.finished_at).subquery())
    is_whole = conn.execute(size).scalar_one() <= _MOST_RECENT
    return [tuple(row) for row in conn.execute(both)], is_whole


def _recent(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Return the query of the ended jobs that the leader has not counted yet."""
    mark = sa.select(sa.cast(tables.marks.c.mark, sa.BigInteger)).where(tables.marks.c.name == _MARK)
    newer = _jobs.finished_at > sa.func.coalesce(mark.scalar_subquery(), 0)
    found = sa.select(*(columns or _ENDED)).where(_jobs.finished_at.is_not(None), newer)
    return found.order_by(_jobs.finished_at.desc()).limit(_MOST_RECENT + 1)


def _idle_rows(
    conn: sa.Connection, wanted: Filter, by: Dimension, lane_ids: Sequence[int] | None
) -> tuple[tuple[list[_Row], bool], int]:
    """Return the rows of waiting and queued jobs, whether they are all, and how many were read for them."""
    idle, most = sa.text(tables.IDLE), _MOST_IDLE_OF_NODES if wanted.nodes else _MOST_IDLE
    if by is Dimension.STATUS and not wanted.nodes:
        # Without groups a million jobs take 0.1 s.
        matches = sa.and_(True, *_matching(wanted, _jobs, lane_ids, listing.owner_to_check(conn)))
        is_waiting = sa.and_(matches, _jobs.status == JobStatus.WAITING.value)
        sums = [
            sa.func.coalesce(sa.func.sum(sa.case((each, 1), else_=0)), 0) for each in (matches, is_waiting)
        ]
        row = conn.execute(sa.select(sa.func.count(), *sums).select_from(tables.jobs).where(idle)).one()
        every, total, waiting = map(int, row)
        numbers = {JobStatus.WAITING: waiting, JobStatus.QUEUED: total - waiting}
        by_status: list[_Row] = [
            (each.value, 0, number, None, None, None) for each, number in numbers.items()
        ]
        return (by_status, True), every
    columns = [_jobs.owner, _jobs.status, _jobs.recipe, _jobs.lane]
    # A job that waits for a retry was on a node, but waits on none.
    node = _jobs.node if wanted.nodes else sa.literal("").label("node")
    some = sa.select(*columns, node).where(idle).limit(most + 1).subquery()
    rows = _grouped(conn, by, some.c, _matching(wanted, some.c, lane_ids))
    size = sa.select(sa.func.count()).select_from(
        sa.select(_jobs.expires_at).where(idle).limit(most + 1).subquery()
    )
    read = conn.execute(size).scalar_one()
    return (rows, read <= most), read


def _running_rows(
    conn: sa.Connection, wanted: Filter, by: Dimension, lane_ids: Sequence[int] | None
) -> list[_Row]:
    columns = (_jobs.owner, _jobs.status, _jobs.recipe, _jobs.lane, _jobs.node)
    # Limited, so that SQLite reads these first, rather than all jobs in the order of a group.
    some = sa.select(*columns).where(sa.text(tables.RUNNING)).limit(_MOST_RUNNING).subquery()
    return _grouped(conn, by, some.c, _matching(wanted, some.c, lane_ids))


def _searched(conn: sa.Connection, lanes: Lanes, wanted: Filter, by: Dimension) -> Groups:
    """Count among the rows that one request may read."""
    rows: list[_Row] = []
    complete = True
    for conditions, is_whole in listing.sources(conn, lanes, wanted):
        keys = _columns(by, _jobs)
        ended = sa.case((_jobs.finished_at.is_not(None), _jobs.id))
        # The last job is the one submitted last, as its end cannot be found in the same pass.
        ends = (sa.func.min(_jobs.finished_at), sa.func.max(_jobs.finished_at), sa.func.max(ended))
        statement = sa.select(*keys, sa.func.count(), *ends).where(conditions).group_by(*_groups(keys))
        rows += [(*row,) for row in conn.execute(statement)]
        complete = complete and is_whole
    return Groups(_merged(conn, lanes, rows, by), complete)


def _grouped(
    conn: sa.Connection, by: Dimension, of: Any, conditions: Iterable[sa.ColumnElement[bool] | sa.TextClause]
) -> list[_Row]:
    keys = _columns(by, of)
    statement = sa.select(*keys, sa.func.count()).where(*conditions).group_by(*_groups(keys))
    return [(*row, None, None, None) for row in conn.execute(statement)]


def _merged(conn: sa.Connection, lanes: Lanes, rows: Iterable[_Row], by: Dimension) -> list[Group]:
    """Return the groups of rows, the largest first."""
    groups: dict[tuple[str, str], Group] = {}
    for key, lane, count, first_at, last_at, last_job in rows:
        if not count:
            continue
        model = lanes.key_of(conn, lane).model if lane else ""
        name = model if by is Dimension.MODEL else key or ""
        of_group = (name, model if by is Dimension.ERROR else "")
        one = Group(name, count, of_group[1], first_at, last_at, last_job)
        groups[of_group] = _sum(groups[of_group], one) if of_group in groups else one
    return sorted(groups.values(), key=lambda group: (-group.count, group.key, group.model))


def _sum(one: Group, other: Group) -> Group:
    ends = [each for each in (one, other) if each.last_at is not None]
    last = max(ends, key=lambda each: each.last_at or 0, default=one)
    first_at = min((each.first_at for each in ends if each.first_at is not None), default=None)
    return replace(last, count=one.count + other.count, first_at=first_at)


# The counts of ended jobs


@dataclass(frozen=True, slots=True)
class CountEnded:
    """Add the jobs to the counts that ended a minute before ``now`` or earlier, at most ``limit`` or so."""

    now: int
    limit: int = 1_000


def count_ended(tx: Tx, requests: Sequence[CountEnded]) -> list[int]:
    """Return the number of jobs that each request added."""
    return [_count_some(tx, request) for request in requests]


_ENDS = (
    sa.select(_jobs.finished_at)
    .where(
        _jobs.finished_at.is_not(None),
        _jobs.finished_at > sa.bindparam("since"),
        _jobs.finished_at <= sa.bindparam("until"),
    )
    .order_by(_jobs.finished_at)
    .limit(sa.bindparam("limit"))
)
_LAST_END = sa.select(sa.func.max(_ENDS.subquery().c.finished_at))
COUNTED_UNTIL = sa.select(tables.marks.c.mark).where(tables.marks.c.name == _MARK)


def _count_some(tx: Tx, request: CountEnded) -> int:
    lock_names(tx, [_MARK])
    since = counted_until(tx.conn)
    bounds = {"since": since, "until": countable_until(request.now), "limit": request.limit}
    # All jobs of the last instant are included, as the mark is an instant.
    until = tx.conn.execute(_LAST_END, bounds).scalar_one()
    if until is None:
        return 0
    those = sa.and_(_jobs.finished_at > since, _jobs.finished_at <= until)
    _fill_error_codes(tx, those)
    added = _add(tx, tx.conn.execute(_totals(those)).all())
    mark = tx.insert(tables.marks).values(name=_MARK, mark=str(until))
    tx.conn.execute(mark.on_conflict_do_update(index_elements=["name"], set_={"mark": str(until)}))
    return added


def countable_until(now: int) -> int:
    """Return the time until which jobs may have ended to be counted at ``now``, in microseconds."""
    return now - _GRACE_US


def counted_until(conn: sa.Connection) -> int:
    """Return the time until which the jobs that ended are in the counts, in microseconds; 0 before the
    first."""
    return int(conn.execute(COUNTED_UNTIL).scalar_one_or_none() or 0)


def _totals(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    keys = _ENDED[1:-1]
    return (
        sa.select(
            *keys,
            sa.func.count().label("number"),
            sa.func.min(_jobs.finished_at).label("first_at"),
            sa.func.max(_jobs.finished_at).label("last_at"),
            sa.func.max(_jobs.id).label("last_job"),
        )
        .where(condition)
        .group_by(_jobs.owner, _jobs.status, _jobs.recipe, _jobs.lane, _jobs.node, _jobs.error_code)
    )


def _add(tx: Tx, rows: Sequence[sa.Row[Any]]) -> int:
    """Add totals to the counts; return the number of jobs in them."""
    values: list[dict[str, Any]] = [dict(zip((*_KEYS, *_TOTALS), tuple(row), strict=True)) for row in rows]
    insert = tx.insert(ended_jobs)
    new = insert.excluded
    sum_ = {"number": _ended.number + new.number, "last_at": new.last_at, "last_job": new.last_job}
    tx.conn.execute(insert.on_conflict_do_update(index_elements=list(_KEYS), set_=sum_), values)
    return sum(value["number"] for value in values)


def _fill_error_codes(tx: Tx, condition: sa.ColumnElement[bool]) -> None:
    """Set the error codes that older code has not set."""
    lacking = sa.and_(condition, sa.text(tables.FAILED), _jobs.error_code.is_(None), _jobs.error.is_not(None))
    for id_, error in tx.conn.execute(sa.select(_jobs.id, _jobs.error).where(lacking)).all():
        code = failure_from(error).code.value
        tx.conn.execute(sa.update(tables.jobs).where(_jobs.id == id_).values(error_code=code))


def lock_counts(tx: Tx) -> None:
    """Keep the leader from counting until the transaction ends; before the first change of an ended job."""
    lock_names(tx, [_MARK])


_same = sa.and_(*(_ended[name] == sa.bindparam(f"of_{name}") for name in _KEYS))
# Compiled once: a hundred deleted jobs have nearly as many different keys.
_SUBTRACT = Statement(
    sa.update(ended_jobs).where(_same).values(number=_ended.number - sa.bindparam("of_number"))
)
_DELETE_EMPTY = Statement(sa.delete(ended_jobs).where(_same, _ended.number <= 0))


def subtract(tx: Tx, ids: Sequence[str]) -> None:
    """Subtract jobs that are about to be deleted, as far as they were counted."""
    counted = sa.and_(
        _jobs.id.in_(ids), _jobs.finished_at.is_not(None), _jobs.finished_at <= counted_until(tx.conn)
    )
    totals = tx.conn.execute(_totals(counted)).all()
    if totals:
        gone = [{f"of_{name}": getattr(row, name) for name in (*_KEYS, "number")} for row in totals]
        _SUBTRACT.run_many(tx.conn, gone)
        _DELETE_EMPTY.run_many(tx.conn, gone)
