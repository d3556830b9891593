"""Pauses of everything, of owners, recipes and nodes.

Queued jobs of a paused owner or recipe are parked (`imagemill.jobs.store.parking`): the first of them in the
transaction of the pause, all others by the leader. For a pause of a node, or of everything, the slots of each
process make no offers.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound, StorageError
from imagemill.domain.events import ChangedList, ListName
from imagemill.domain.pauses import Pause, PauseScope
from imagemill.jobs.store import parking
from imagemill.jobs.store.parking import CHUNK, Settle

log = logging.getLogger(__name__)

LIST = ChangedList(ListName.PAUSES)
"""The list whose change other processes and open consoles are told of."""
MOST = 200
"""Pauses at once; every process keeps all of them in memory."""
_READ_AT_ONCE = 10_000
_pauses = tables.pauses.c
_ALL = sa.select(tables.pauses).order_by(_pauses.since, _pauses.id)


@dataclass(frozen=True, slots=True)
class RemovePause:
    id: str
    now: int


class PauseStore:
    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def add(self, pause: Pause) -> None:
        """Add a pause. Raises `Conflict` where there is one of this name, or too many."""
        self._write(_add, pause)

    def remove(self, id_: str, now: int) -> Pause:
        """Remove a pause and return it. Raises `NotFound`."""
        return self._write(_remove, RemovePause(id_, now))

    def all(self) -> list[Pause]:
        """Return the pauses, the oldest first."""
        return self._read(_all)

    def settle(self, now: int, limit: int = _READ_AT_ONCE) -> int:
        """Park paused jobs and release those that nothing pauses any more, in chunks; return their number.

        0 means that all is as the pauses say.
        """
        ids = self._read(_unsettled, limit)
        for start in range(0, len(ids), CHUNK):
            self._write(parking.settle, Settle(tuple(ids[start : start + CHUNK]), now))
        return len(ids)


def _add(tx: Tx, pauses: Sequence[Pause]) -> list[Conflict | None]:
    return [_add_one(tx, pause) for pause in pauses]


def _add_one(tx: Tx, pause: Pause) -> Conflict | None:
    count = tx.conn.execute(sa.select(sa.func.count()).select_from(tables.pauses)).scalar_one()
    if count >= MOST:
        return Conflict(f"there are {count} pauses already; remove some, or pause everything")
    row = {
        "id": pause.id,
        "scope": pause.scope.value,
        "name": pause.name,
        "reason": pause.reason,
        "actor": pause.by,
        "since": pause.since,
    }
    statement = tx.insert(tables.pauses).values(row).on_conflict_do_nothing().returning(_pauses.id)
    if tx.conn.execute(statement).first() is None:
        there = sa.and_(_pauses.scope == pause.scope.value, _pauses.name == pause.name)
        other = _pause(tx.conn.execute(sa.select(tables.pauses).where(there)).one())
        return Conflict(f"{described(pause)} is {other.text} already")
    tx.changed_lists.add(LIST)
    _settle_first(tx, pause.since)
    return None


def _remove(tx: Tx, requests: Sequence[RemovePause]) -> list[Pause | NotFound]:
    return [_remove_one(tx, request.id, request.now) for request in requests]


def _remove_one(tx: Tx, id_: str, now: int) -> Pause | NotFound:
    row = tx.conn.execute(sa.select(tables.pauses).where(_pauses.id == id_).with_for_update()).first()
    if row is None:
        return NotFound(f"there is no pause {id_[:64]!r}")
    tx.conn.execute(sa.delete(tables.pauses).where(_pauses.id == id_))
    tx.changed_lists.add(LIST)
    _settle_first(tx, now)
    return _pause(row)


def _settle_first(tx: Tx, now: int) -> None:
    """Settle as many jobs as one transaction may."""
    if ids := _unsettled(tx.conn, CHUNK):
        parking.settle(tx, [Settle(tuple(ids), now)])


def _unsettled(conn: sa.Connection, limit: int) -> list[str]:
    names = parking.read_names(conn)
    ids = parking.to_park(conn, names, limit)
    return ids + parking.to_release(conn, names, limit - len(ids))


def _all(conn: sa.Connection) -> list[Pause]:
    return [_pause(row) for row in conn.execute(_ALL)]


def _pause(row: sa.Row[Any]) -> Pause:
    return Pause(row.id, PauseScope(row.scope), row.name, row.reason, row.actor, row.since)


def described(pause: Pause) -> str:
    """Return what is paused: ``the owner anna``, or ``everything``."""
    return "everything" if pause.scope is PauseScope.ALL else f"the {pause.scope} {pause.name}"


@dataclass(frozen=True, slots=True)
class _Known:
    pauses: tuple[Pause, ...] = ()
    everything: Pause | None = None
    nodes: frozenset[str] = frozenset()


class Pauses:
    """The pauses as this process knows them.

    ``idle_s`` returns the seconds until a pause made by another process is known here without a wake-up. Each
    look reads one small table.
    """

    def __init__(self, store: PauseStore, *, idle_s: Callable[[], float] = lambda: 1.0) -> None:
        self._store = store
        self._idle_s = idle_s
        self._known = _Known()
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="imagemill-pauses", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Read the pauses soon. Never blocks."""
        self._due.set()

    def refresh(self) -> None:
        """Read the pauses now."""
        found = tuple(self._store.all())
        self._known = _Known(
            found,
            next((each for each in found if each.scope is PauseScope.ALL), None),
            frozenset(each.name for each in found if each.scope is PauseScope.NODE),
        )

    def add(self, pause: Pause) -> None:
        """Add a pause. Raises `Conflict` where there is one of this name, or too many."""
        self._store.add(pause)
        self.refresh()

    def remove(self, id_: str) -> Pause:
        """Remove a pause and return it. Raises `NotFound`."""
        removed = self._store.remove(id_, now_us())
        self.refresh()
        return removed

    def current(self) -> tuple[Pause, ...]:
        """Return the pauses, the oldest first."""
        return self._known.pauses

    def stops(self, node: str) -> bool:
        """Whether the node gets no more jobs."""
        known = self._known
        return known.everything is not None or node in known.nodes

    def of_job(self, owner: str, recipe: str) -> Pause | None:
        """Return the pause of everything, of the owner or of the recipe; None without one."""
        names = {PauseScope.ALL: "", PauseScope.OWNER: owner, PauseScope.RECIPE: recipe}
        return next((each for each in self._known.pauses if names.get(each.scope) == each.name), None)

    def of_nodes(self) -> list[Pause]:
        return [each for each in self._known.pauses if each.scope is PauseScope.NODE]

    def _follow(self) -> None:
        while not self._closed:
            self._due.wait(self._idle_s())
            self._due.clear()
            try:
                self.refresh()
            except StorageError as error:
                log.warning("the pauses cannot be read: %s", error)
            except Exception:
                log.exception("a bug interrupted the reading of pauses; it is retried")
