"""Locks between processes: named locks for the length of a transaction, and leader roles held for longer."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement
from imagemill.domain.dataclass import dataclass

_LOCK = Statement(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"))


def lock_names(tx: Tx, names: Iterable[str]) -> None:
    """Lock these names until the transaction ends. SQLite has a single writer and needs no such locks."""
    if tx.conn.dialect.name == "sqlite":
        return
    # Sorted, so that no two transactions wait for each other.
    for name in sorted(set(names)):
        _LOCK.run(tx.conn, {"name": name})


# Leader roles: a single process at a time holds a role. A row with an end time, not a session's lock, as
# poolers share sessions.

_leaders = tables.leaders.c


@dataclass(frozen=True, slots=True)
class AcquireRole:
    """A request of ``holder`` for the role until ``until``; instants in microseconds."""

    role: str
    holder: str
    now: int
    until: int


@dataclass(frozen=True, slots=True)
class ReleaseRole:
    role: str
    holder: str


class LeaderLeases:
    """The leases of roles that one process at a time holds, such as the scheduler's."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def holders(self, prefix: str, now: int) -> dict[str, str]:
        """Return role -> holder for the roles of this prefix whose leases have not ended."""
        return self._read(read_holders, prefix, now)

    def acquire(self, request: AcquireRole) -> str:
        """Return the holder of the role after the request."""
        return self._write(acquire_role, request)

    def release(self, request: ReleaseRole) -> None:
        self._write(release_role, request)


def acquire_role(tx: Tx, requests: Sequence[AcquireRole]) -> list[str]:
    """Return the holder of the role after each request: the former one until its time is over, else the
    requester."""
    return [_acquire(tx, request) for request in requests]


def _acquire(tx: Tx, request: AcquireRole) -> str:
    row = {"office": request.role, "holder": request.holder, "until": request.until}
    free = sa.or_(_leaders.holder == request.holder, _leaders.until < request.now)
    tx.conn.execute(
        tx.insert(tables.leaders)
        .values(row)
        .on_conflict_do_update(
            index_elements=["office"], set_={"holder": request.holder, "until": request.until}, where=free
        )
    )
    return tx.conn.execute(sa.select(_leaders.holder).where(_leaders.office == request.role)).scalar_one()


def read_holders(conn: sa.Connection, prefix: str, now: int) -> dict[str, str]:
    query = sa.select(_leaders.office, _leaders.holder).where(
        _leaders.office.startswith(prefix, autoescape=True), _leaders.until >= now
    )
    return {row.office: row.holder for row in conn.execute(query)}


def release_role(tx: Tx, requests: Sequence[ReleaseRole]) -> list[None]:
    """Release the role, also for a holder that is known to be dead."""
    for request in requests:
        tx.conn.execute(
            sa.delete(tables.leaders).where(
                _leaders.office == request.role, _leaders.holder == request.holder
            )
        )
    return [None] * len(requests)
