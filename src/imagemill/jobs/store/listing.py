"""Jobs by filter, newest first, with a bound on the rows that one request reads.

Statuses that few jobs have, batches and errors have indexes of their own. Whatever else is asked for is
looked for among the jobs of the owner: at most `READ_ROWS` rows at a time, after which the caller may go on.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.statements import dump, load
from imagemill.domain.clock import SECOND, least_uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import OPEN, Job, JobStatus
from imagemill.jobs.store.lanes import JOB_COLUMNS, Lanes, job_from
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.store.submit import index_value

_jobs, _resources = tables.jobs.c, tables.resources.c

READ_ROWS = 10_000
"""The jobs that one request compares with a filter; they are read in about 40 ms."""
INDEX_ROWS = 100_000
"""The entries of an index that one request compares with a filter."""
FIRST_ROWS = 1_000
"""The rows that are compared first: finding where `READ_ROWS` end takes longer than a page that is full."""
_MOST_OPEN = 20_000
"""Open jobs up to which they are sorted, rather than looked for among all jobs."""
_EARLY_US = 86_400 * SECOND
"""The time by which an id may be older than its job: 1 day. Ids are drawn before the job is accepted."""
_LATE_US = 60 * SECOND
"""The time by which the clocks of two machines may differ: 60 s."""
_UNSUCCESSFUL = frozenset({JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED})
_FAILED = frozenset({JobStatus.FAILED})
_RUNNING = frozenset({JobStatus.RUNNING})
_FILE_PREFIX = "file:"
_AIR_PREFIX = "urn:air:"


@dataclass(frozen=True, slots=True)
class Found:
    """A page of jobs. ``next``: the cursor of the next one, None on the last.

    ``searched_to``: set where the page has few jobs because the rows that one request may read were used up:
    the time of submission of the last job that was compared, in microseconds.
    """

    jobs: list[Job]
    next: str | None
    searched_to: int | None


@dataclass(frozen=True, slots=True)
class FoundIds:
    """Ids of a page of jobs, which may be empty although there is a ``next``, the cursor of the next one."""

    ids: list[str]
    next: str | None


def list_jobs(conn: sa.Connection, lanes: Lanes, wanted: Filter) -> list[Job]:
    """Return the newest jobs that match, however many rows must be read for them."""
    rows, _ = _search(conn, lanes, wanted, JOB_COLUMNS, unbounded=True)
    return [job_from(row) for row in rows]


def search(conn: sa.Connection, lanes: Lanes, wanted: Filter) -> Found:
    """Return the next ``wanted.limit`` jobs that match, or those among the rows that may be read."""
    rows, floor = _search(conn, lanes, replace(wanted, limit=wanted.limit + 1), JOB_COLUMNS)
    jobs = [job_from(row) for row in rows]
    if len(jobs) > wanted.limit:
        return Found(jobs[: wanted.limit], jobs[wanted.limit - 1].id, None)
    if floor is None:
        return Found(jobs, None, None)
    statement = sa.select(_jobs.created_at).where(_jobs.id == floor)
    return Found(jobs, floor, conn.execute(statement).scalar_one_or_none())


def matching_ids(conn: sa.Connection, lanes: Lanes, wanted: Filter) -> FoundIds:
    """Return the ids of the next ``wanted.limit`` jobs that match, or of those among the rows that may be
    read."""
    rows, floor = _search(conn, lanes, replace(wanted, limit=wanted.limit + 1), (_jobs.id,))
    ids = [row[0] for row in rows]
    if len(ids) > wanted.limit:
        return FoundIds(ids[: wanted.limit], ids[wanted.limit - 1])
    return FoundIds(ids, floor)


def sources(conn: sa.Connection, lanes: Lanes, wanted: Filter) -> list[tuple[sa.ColumnElement[bool], bool]]:
    """Return conditions of the jobs that match among the rows that one request may read, a job in one of
    them, each with whether these are all rows."""
    found: list[tuple[sa.ColumnElement[bool], bool]] = []
    for source in _plan(conn, lanes, wanted):
        floor = source.floor(conn, wanted.before)
        found.append((source.matches(wanted.before, floor), floor is None))
    return found


# How a filter is read


@dataclass(frozen=True, slots=True)
class _Source:
    """Jobs that an index gives in the order of their ids, and the conditions that are checked on each."""

    narrow: tuple[sa.ColumnElement[bool] | sa.TextClause, ...]
    rest: tuple[sa.ColumnElement[bool], ...]
    rows: int | None
    """Entries of the index that may be read; None where there are few, or where all of them match."""
    is_sorted: bool = True
    """Whether the index has its entries in the order of their ids. Without, they are few and are sorted."""
    by_ids: bool = False
    """Whether the first rows are read by their ids, which an index gives. Where others have submitted jobs
    since its last ANALYZE, PostgreSQL takes the range of ids for smaller than the owner's part of it, and
    reads the jobs of all owners in it."""

    def floor(self, conn: sa.Connection, before: str | None, first: int | None = None) -> str | None:
        """Return the id below which nothing is read, or not at ``first``; None where all is."""
        if self.rows is None:
            return None
        count = self.rows if first is None else min(first, self.rows)
        statement = sa.select(_jobs.id).where(*self.narrow, *self._below(before))
        return conn.execute(
            statement.order_by(_jobs.id.desc()).offset(count - 1).limit(1)
        ).scalar_one_or_none()

    def matches(self, before: str | None, floor: str | None) -> sa.ColumnElement[bool]:
        return sa.and_(True, *self._range(before, floor), *self.rest)

    def select(
        self, columns: Sequence[sa.Column[Any]], wanted: Filter, floor: str | None, first: int | None = None
    ) -> sa.Select[Any]:
        """Return the statement of a page. ``first``: the number of rows for which the floor was found."""
        found = sa.select(*columns)
        if first is not None and self.by_ids and self.rows is not None:
            ids = sa.select(_jobs.id).where(*self._range(wanted.before, floor))
            # Without a limit PostgreSQL would join the two statements to one. Where no floor was found there
            # are fewer rows, and a few more if some were added since.
            most = self.rows if floor is None else min(first, self.rows)
            newest = ids.order_by(_jobs.id.desc()).limit(most).subquery()
            found = found.join_from(tables.jobs, newest, _jobs.id == newest.c.id).where(*self.rest)
        else:
            found = found.where(self.matches(wanted.before, floor))
        return found.order_by(self._id.desc()).limit(wanted.limit)

    def _range(
        self, before: str | None, floor: str | None
    ) -> Iterable[sa.ColumnElement[bool] | sa.TextClause]:
        above = () if floor is None else (_jobs.id >= floor,)
        return (*self.narrow, *self._below(before), *above)

    @property
    def _id(self) -> sa.ColumnElement[str]:
        # As an expression where sorting is cheap: else both databases prefer to read all jobs in order.
        return _jobs.id if self.is_sorted else _jobs.id.concat("")

    def _below(self, before: str | None) -> tuple[sa.ColumnElement[bool], ...]:
        return () if before is None else (self._id < before,)


def _search(
    conn: sa.Connection,
    lanes: Lanes,
    wanted: Filter,
    columns: Sequence[sa.Column[Any]],
    *,
    unbounded: bool = False,
) -> tuple[list[sa.Row[Any]], str | None]:
    """Return at most ``wanted.limit`` rows, and the id at which the search stopped before that many."""
    found: list[sa.Row[Any]] = []
    stop: str | None = None
    id_at = columns.index(_jobs.id)
    for source in _plan(conn, lanes, wanted):
        first = None if unbounded else FIRST_ROWS
        floor = None if unbounded else source.floor(conn, wanted.before, first)
        rows = conn.execute(source.select(columns, wanted, floor, first)).all()
        if floor is not None and len(rows) < wanted.limit:
            floor = source.floor(conn, wanted.before)
            rows = conn.execute(source.select(columns, wanted, floor)).all()
        if floor is not None and len(rows) < wanted.limit:
            stop = floor if stop is None else max(stop, floor)
        found += rows
    kept = [row for row in found if stop is None or row[id_at] >= stop]
    kept.sort(key=lambda row: row[id_at], reverse=True)
    return kept[: wanted.limit], stop if len(kept) < wanted.limit else None


def _plan(conn: sa.Connection, lanes: Lanes, wanted: Filter) -> list[_Source]:
    """Return the sources whose jobs together are those of the filter; each job is in one of them."""
    statuses = wanted.statuses or (_FAILED if wanted.errors else frozenset[JobStatus]())
    rest = tuple(conditions(conn, lanes, wanted))
    span = tuple(_span(wanted))
    mine = () if wanted.owner is None else (_jobs.owner == wanted.owner,)
    of_status = (_jobs.status.in_(_names(statuses)),) if statuses else ()
    errors = (_jobs.error_code.in_(wanted.errors),) if wanted.errors else ()
    checks = (*of_status, *errors, *rest)
    in_batch = (_jobs.batch.in_(wanted.batches),) if wanted.batches else ()
    if wanted.ids:
        return [_Source((_jobs.id.in_(wanted.ids),), (*span, *mine, *in_batch, *checks), None)]
    if in_batch:
        # The index of batches begins with the owner.
        owners = mine or (_jobs.owner.in_(sa.select(tables.shares.c.owner)),)
        return [_Source((*owners, *in_batch), checks, None, is_sorted=False)]
    filtered = (owner_to_check(conn) == wanted.owner,) if mine else ()
    if statuses == _FAILED and errors:
        index = sa.text(tables.FAILED)
        rows = READ_ROWS if rest else INDEX_ROWS
        return [
            _Source(
                (index, _jobs.error_code == code, *span), (*filtered, *rest), rows if mine or rest else None
            )
            for code in wanted.errors
        ]
    if statuses and statuses <= _UNSUCCESSFUL:
        index = sa.text(tables.UNSUCCESSFUL)
        rows = READ_ROWS if rest or errors else INDEX_ROWS
        checked = (*filtered, *errors, *rest)
        return [
            _Source((index, _jobs.status == status, *span), checked, rows if checked else None)
            for status in _names(statuses)
        ]
    if statuses == _RUNNING:
        return [_Source((sa.text(tables.RUNNING),), (*filtered, *errors, *rest), None, is_sorted=False)]
    by_ids = bool(mine) and conn.dialect.name == "postgresql"
    if statuses and statuses <= OPEN and mine:
        return [_Source((sa.text(tables.OPEN), *mine, *span), checks, READ_ROWS, by_ids=by_ids)]
    if statuses and statuses <= OPEN and _few_are_open(conn):
        return [_Source((sa.text(tables.OPEN),), checks, None, is_sorted=False)]
    return [_Source((*mine, *span), checks, READ_ROWS if checks else None, by_ids=by_ids)]


def _names(statuses: Iterable[JobStatus]) -> list[str]:
    return sorted(status.value for status in statuses)


def owner_to_check(conn: sa.Connection) -> sa.ColumnElement[str]:
    """Return the owner of a job in a form for which SQLite, without statistics, chooses no index."""
    return sa.literal_column("+jobs.owner") if conn.dialect.name == "sqlite" else _jobs.owner


def _few_are_open(conn: sa.Connection) -> bool:
    some = sa.select(sa.literal(1)).select_from(tables.jobs).where(sa.text(tables.OPEN)).limit(_MOST_OPEN + 1)
    return conn.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one() <= _MOST_OPEN


def _span(wanted: Filter) -> Iterable[sa.ColumnElement[bool]]:
    """Yield the range of ids of the jobs that were submitted in the time asked for."""
    if wanted.created_from is not None:
        yield _jobs.id >= least_uuid7(wanted.created_from - _EARLY_US)
    if wanted.created_to is not None:
        yield _jobs.id < least_uuid7(wanted.created_to + _LATE_US)


def conditions(conn: sa.Connection, lanes: Lanes, wanted: Filter) -> Iterable[sa.ColumnElement[bool]]:
    """Yield the conditions that are checked on each job, without those on owner, status, error, id and
    batch."""
    if wanted.created_from is not None:
        yield _jobs.created_at >= wanted.created_from
    if wanted.created_to is not None:
        yield _jobs.created_at <= wanted.created_to
    if wanted.recipes:
        yield _jobs.recipe.in_(wanted.recipes)
    if wanted.replayed is not None:
        yield _jobs.replays > 0 if wanted.replayed else _jobs.replays == 0
    if wanted.nodes:
        yield _jobs.node.in_(wanted.nodes)
    if wanted.models or wanted.labels:
        yield _jobs.lane.in_(lanes_of(conn, lanes, wanted.models, wanted.labels))
    for name, value in wanted.inputs:
        yield _jobs.input.contains(f"{dump(name)}:{dump(value)}", autoescape=True)
    if wanted.text:
        yield _has_text(wanted.text)
    for key, value in wanted.properties:
        index = tables.properties.c
        yield sa.exists().where(index.job_id == _jobs.id, index.key == key, index.value == index_value(value))


def _has_text(text: str) -> sa.ColumnElement[bool]:
    # SQLite knows upper and lower case of ASCII only, so that the usual ways to write other words are tried.
    ways = {text, text.lower(), text.upper(), text.capitalize()} if not text.isascii() else {text}
    quoted = sorted(dump(way)[1:-1] for way in ways)
    return sa.or_(*(_jobs.input.icontains(way, autoescape=True) for way in quoted))


# Models and labels are part of the lane


def lanes_of(conn: sa.Connection, lanes: Lanes, models: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return the ids of the lanes with one of the models and one of the labels."""
    keys = lanes.all(conn)
    names = model_names(conn, {key.model for key in keys.values()}) if models else {}
    matches = [_wildcard(pattern) for pattern in models]
    return [
        id_
        for id_, key in keys.items()
        if (not labels or set(labels) & set(key.labels))
        and (not models or any(match(name) for match in matches for name in names[key.model]))
    ]


def model_names(conn: sa.Connection, models: Iterable[str]) -> dict[str, set[str]]:
    """Return the names in lower case under which each model of a lane is found."""
    names = {model: _own_names(model) for model in models}
    known = sa.select(_resources.key, _resources.body)
    for key, body in conn.execute(known.where(_resources.key.in_(sorted(names)))):
        if file := str(load(body).get("fileName") or ""):
            names[key] |= _file_names(file.lower())
    return names


def _own_names(model: str) -> set[str]:
    if model.startswith(_FILE_PREFIX):
        return {model.lower()} | _file_names(model.removeprefix(_FILE_PREFIX).lower())
    return {model.lower(), model.lower().removeprefix(_AIR_PREFIX)}


def _file_names(path: str) -> set[str]:
    name = re.split(r"[/\\]", path)[-1]
    return {path, name, name.rpartition(".")[0] or name}


def _wildcard(pattern: str) -> Callable[[str], object]:
    """Return a function that matches a whole text; ``*`` stands for any characters."""
    return re.compile(".*".join(map(re.escape, pattern.lower().split("*"))), re.DOTALL).fullmatch


def explain(conn: sa.Connection, lanes: Lanes, wanted: Filter) -> list[str]:
    """Return the database's plan for each statement of a search, for tests and measurements."""
    lines: list[str] = []
    prefix = "EXPLAIN QUERY PLAN" if conn.dialect.name == "sqlite" else "EXPLAIN"
    for source in _plan(conn, lanes, wanted):
        text = (
            source.select(JOB_COLUMNS, wanted, None, FIRST_ROWS)
            .compile(conn, compile_kwargs={"literal_binds": True})
            .string
        )
        lines += [str(row[-1]) for row in conn.exec_driver_sql(f"{prefix} {text.replace('%', '%%')}")]
    return lines
