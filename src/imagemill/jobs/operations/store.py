"""Operations in the database.

``position`` is the last job that was looked at, and ``chunk`` the jobs that are worked on. Both are written
before the chunk is worked on, with the counts of the one before. A process that takes over repeats the
chunk, and each action has an effect once however often it is repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from pydantic_core import from_json

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import dump
from imagemill.domain.access import EVERY_OWNER
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.events import ChangedList, ListName
from imagemill.domain.operations import (
    JobProblem,
    OperationAction,
    OperationProgress,
    OperationState,
    Override,
)
from imagemill.jobs.store.queries import Filter

MOST_OPEN = 5
"""Open operations of one account; they run one after the other."""
_FILTER = TypeAdapter(Filter)
_operations = tables.operations.c
_OPEN = sa.text("finished_at IS NULL")
_ALL_OPEN = (
    sa.select(tables.operations).where(_OPEN).order_by(_operations.starts_at, _operations.id).limit(100)
)


@dataclass(frozen=True, slots=True)
class OperationChange:
    """The change that the action makes to each job."""

    priority: int | None = None
    override: Override = field(default_factory=Override)
    partner: bool = False
    """Whether its caller may use partner nodes of ComfyUI, which cost money."""


_CHANGE = TypeAdapter(OperationChange)


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    owner: str
    """The owner of the jobs it concerns; `EVERY_OWNER` means all."""
    actor: str
    """The account that asked for it."""
    action: OperationAction
    filter: Filter
    change: OperationChange
    state: OperationState
    position: str
    """Only jobs with a smaller id are still to be looked at."""
    chunk: tuple[str, ...]
    progress: OperationProgress
    starts_at: int
    created_at: int
    finished_at: int | None = None


@dataclass(frozen=True, slots=True)
class OperationStep:
    """The end of a chunk and the start of the next. ``former`` is the operation as it was read before."""

    former: Operation
    position: str
    chunk: tuple[str, ...]
    progress: OperationProgress
    ended_at: int | None
    """Set where there is no further job."""


@dataclass(frozen=True, slots=True)
class StopOperation:
    id: str
    whose: str
    now: int


class OperationStore:
    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def add(self, operation: Operation) -> None:
        """Store a new operation. Raises `Conflict` where its account has too many open ones."""
        self._write(_add, operation)

    def stop(self, request: StopOperation) -> Operation:
        """End an open operation; a chunk that has begun is finished.

        Raises `NotFound`, for another owner's too, and `Conflict` for one that has ended.
        """
        return self._write(_stop, request)

    def step(self, request: OperationStep) -> bool:
        """Store how far an operation is; False where it was cancelled or another process has it."""
        return self._write(_step, request)

    def get(self, id_: str, whose: str) -> Operation:
        """Return an operation. Raises `NotFound`, for another owner's too."""
        return self._read(_get, id_, whose)

    def page(self, whose: str, before: str | None, limit: int) -> list[Operation]:
        """Return the newest operations first: those on the owner's jobs, and those that it asked for."""
        return self._read(_page, whose, before, limit)

    def open(self) -> list[Operation]:
        """Return the operations that have not ended, the one that is due first at the beginning."""
        return self._read(_open)

    def prune(self, before: int) -> int:
        """Delete operations that ended before this time; return their number."""
        return self._write(_prune, before)


def _changed(operation: Operation) -> ChangedList:
    return ChangedList(ListName.OPERATIONS, operation.actor)


def _add(tx: Tx, operations: Sequence[Operation]) -> list[Conflict | None]:
    return [_add_one(tx, operation) for operation in operations]


def _add_one(tx: Tx, operation: Operation) -> Conflict | None:
    mine = sa.and_(_operations.actor == operation.actor, _OPEN)
    count = tx.conn.execute(sa.select(sa.func.count()).select_from(tables.operations).where(mine))
    if (number := count.scalar_one()) >= MOST_OPEN:
        return Conflict(f"{number} operations are open already; wait for one of them, or cancel it")
    tx.conn.execute(sa.insert(tables.operations).values(_row(operation)))
    tx.changed_lists.add(_changed(operation))
    return None


def _stop(tx: Tx, requests: Sequence[StopOperation]) -> list[Operation | NotFound | Conflict]:
    return [_stop_one(tx, request) for request in requests]


def _stop_one(tx: Tx, request: StopOperation) -> Operation | NotFound | Conflict:
    statement = sa.select(tables.operations).where(_operations.id == request.id, _of(request.whose))
    row = tx.conn.execute(statement.with_for_update()).first()
    if row is None:
        return _absent(request.id)
    there = _operation(row)
    if not there.state.is_open:
        return Conflict(f"the operation is {there.state} already")
    state = OperationState.CANCELED
    tx.conn.execute(
        sa.update(tables.operations)
        .where(_operations.id == request.id)
        .values(state=state.value, finished_at=request.now)
    )
    tx.changed_lists.add(_changed(there))
    return replace(there, state=state, finished_at=request.now)


def _step(tx: Tx, requests: Sequence[OperationStep]) -> list[bool]:
    return [_step_one(tx, request) for request in requests]


def _step_one(tx: Tx, request: OperationStep) -> bool:
    former = request.former
    # The counts of the finished chunk are stored even where it was cancelled meanwhile.
    as_read = sa.and_(
        _operations.id == former.id,
        _operations.position == former.position,
        _operations.chunk == dump(former.chunk),
    )
    progress = _progress_row(request.progress)
    is_open = sa.and_(as_read, _OPEN)
    state = OperationState.RUNNING if request.ended_at is None else OperationState.DONE
    stepped = tx.conn.execute(
        sa.update(tables.operations)
        .where(is_open)
        .values(
            **progress,
            state=state.value,
            position=request.position,
            chunk=dump(request.chunk),
            finished_at=request.ended_at,
        )
    )
    tx.changed_lists.add(_changed(former))
    if stepped.rowcount:
        return True
    tx.conn.execute(sa.update(tables.operations).where(as_read).values(**progress, chunk=dump(())))
    return False


def _get(conn: sa.Connection, id_: str, whose: str) -> Operation:
    row = conn.execute(sa.select(tables.operations).where(_operations.id == id_, _of(whose))).first()
    if row is None:
        raise _absent(id_)
    return _operation(row)


def _page(conn: sa.Connection, whose: str, before: str | None, limit: int) -> list[Operation]:
    older = sa.true() if before is None else _operations.id < before
    statement = sa.select(tables.operations).where(_of(whose), older)
    rows = conn.execute(statement.order_by(_operations.id.desc()).limit(limit))
    return [_operation(row) for row in rows]


def _open(conn: sa.Connection) -> list[Operation]:
    return [_operation(row) for row in conn.execute(_ALL_OPEN)]


def _prune(tx: Tx, requests: Sequence[int]) -> list[int]:
    before = min(requests)
    deleted = tx.conn.execute(sa.delete(tables.operations).where(_operations.finished_at < before)).rowcount
    return [deleted] * len(requests)


def _of(whose: str) -> sa.ColumnElement[bool]:
    if whose == EVERY_OWNER:
        return sa.true()
    return sa.or_(_operations.owner == whose, _operations.actor == whose)


def _absent(id_: str) -> NotFound:
    return NotFound(f"there is no operation {id_[:64]!r}")


def _row(operation: Operation) -> Mapping[str, Any]:
    return {
        "id": operation.id,
        "owner": operation.owner,
        "actor": operation.actor,
        "action": operation.action.value,
        "filter": _FILTER.dump_json(operation.filter).decode(),
        "change": _CHANGE.dump_json(operation.change).decode(),
        "state": operation.state.value,
        "position": operation.position,
        "chunk": dump(operation.chunk),
        **_progress_row(operation.progress),
        "starts_at": operation.starts_at,
        "created_at": operation.created_at,
        "finished_at": operation.finished_at,
    }


def _progress_row(progress: OperationProgress) -> dict[str, Any]:
    samples = [[each.job, each.code, each.message] for each in progress.samples]
    return {
        "total": progress.total,
        "done": progress.done,
        "skipped": progress.skipped,
        "failed": progress.failed,
        "samples": dump(samples),
    }


def _operation(row: sa.Row[Any]) -> Operation:
    samples = tuple(JobProblem(*each) for each in from_json(row.samples))
    return Operation(
        id=row.id,
        owner=row.owner,
        actor=row.actor,
        action=OperationAction(row.action),
        filter=_FILTER.validate_json(row.filter),
        change=_CHANGE.validate_json(row.change),
        state=OperationState(row.state),
        position=row.position,
        chunk=tuple(from_json(row.chunk)),
        progress=OperationProgress(row.total, row.done, row.skipped, row.failed, samples),
        starts_at=row.starts_at,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
