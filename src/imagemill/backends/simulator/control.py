"""The simulator's speed and worker faults, changed while it runs and the same in every process."""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, field, replace

import sqlalchemy as sa

from imagemill.backends.simulator.faults import ActiveFaultRule
from imagemill.backends.simulator.settings import FaultRule
from imagemill.backends.simulator.timing import SPEEDS, Speed
from imagemill.backends.simulator.tuning import Tuning
from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import dump, load
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound, StorageError

log = logging.getLogger(__name__)

POLL_S = 2.0
"""Seconds until a change by another process is seen, and until hits are counted there."""
MOST_RULES = 100
_SPEED = "speed"
_state = tables.simulator_state.c


@dataclass(frozen=True, slots=True)
class SimulatorState:
    speed: Speed
    is_changed: bool
    """Whether the speed differs from that of the settings."""
    rules: Sequence[ActiveFaultRule]
    """The added rules, in the order in which they are tried."""
    own_rules: Sequence[ActiveFaultRule]
    """The rules of the settings, which come after them, with the hits of this process."""

    @property
    def speed_name(self) -> str | None:
        return next((name for name, speed in SPEEDS.items() if speed == self.speed), None)


@dataclass(frozen=True, slots=True)
class _Change:
    """Rules to add or delete, hits to count, a speed to set."""

    delete: str | None = None
    """The id of a rule; an empty text means all."""
    add: Sequence[FaultRule] = ()
    speed: Mapping[str, float] | None = None
    """Durations that differ from those of the settings, by name; empty means none."""
    hits: Mapping[str, int] = field(default_factory=dict[str, int])


class SimulatorControl:
    """Changes the simulators of all processes; each reads the table every ``poll_s`` seconds."""

    def __init__(
        self, database: Database, tuning: Tuning, is_paused: Callable[[], bool], *, poll_s: float = POLL_S
    ) -> None:
        """``is_paused``: whether the simulator takes no jobs, so that nothing need be read."""
        self._database = database
        self.tuning = tuning
        self._is_paused = is_paused
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.state()
        self._thread = threading.Thread(target=self._follow, name="imagemill-simulator", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def state(self) -> SimulatorState:
        """Return the state of all processes, and apply it to this one."""
        if hits := self.tuning.take_hits():
            self._database.write(_change, _Change(hits=hits))
        changed, rules = self._database.read(_read)
        base = Speed.of(self.tuning.base)
        speed = replace(base, **changed)
        self.tuning.change(speed, rules)
        return SimulatorState(speed, speed != base, rules, self.tuning.own_rules)

    def change_speed(self, speed: Speed | None) -> SimulatorState:
        """Set the durations of all processes; None means those of the settings."""
        self._database.write(_change, _Change(speed={} if speed is None else asdict(speed)))
        return self.state()

    def add(self, rule: FaultRule) -> ActiveFaultRule:
        """Add a rule after those that were added before. Raises `Conflict` when there are too many."""
        (added,) = self._database.write(_change, _Change(add=[rule]))
        self.state()
        return ActiveFaultRule(added, rule)

    def remove(self, id_: str | None) -> None:
        """Delete an added rule, None means all. Raises `NotFound`."""
        self._database.write(_change, _Change(delete=id_ or ""))
        self.state()

    def replace(self, rules: Sequence[FaultRule], speed: Speed | None) -> SimulatorState:
        """Put rules in the place of all added ones; a speed of None stays as it is."""
        durations = None if speed is None else asdict(speed)
        self._database.write(_change, _Change(delete="", add=rules, speed=durations))
        return self.state()

    def _follow(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                if not self._is_paused():
                    self.state()
            except StorageError as error:
                log.warning("the state of the simulator cannot be read: %s", error)
            except Exception:
                log.exception("a bug interrupted the simulator's control; it is retried")


def _read(conn: sa.Connection) -> tuple[Mapping[str, float], list[ActiveFaultRule]]:
    speed: Mapping[str, float] = {}
    rules: list[ActiveFaultRule] = []
    for row in conn.execute(sa.select(tables.simulator_state).order_by(_state.position)):
        value = load(row.value)
        if row.id == _SPEED:
            speed = value
        else:
            rules.append(ActiveFaultRule(row.id, FaultRule.model_validate(value), row.hits))
    return speed, rules


def _change(tx: Tx, requests: Sequence[_Change]) -> list[list[str] | Conflict | NotFound]:
    return [_change_one(tx, request) for request in requests]


def _change_one(tx: Tx, request: _Change) -> list[str] | Conflict | NotFound:
    """Return the ids of added rules."""
    for id_, count in request.hits.items():
        counted = sa.update(tables.simulator_state).where(_state.id == id_)
        tx.conn.execute(counted.values(hits=_state.hits + count))
    if request.delete is not None:
        which = _state.id == request.delete if request.delete else _state.id != _SPEED
        gone = tx.conn.execute(sa.delete(tables.simulator_state).where(which, _state.id != _SPEED)).rowcount
        if request.delete and not gone:
            return NotFound(f"there is no fault {request.delete[:40]!r} that was added")
    if request.speed is not None:
        row = {"id": _SPEED, "position": 0, "value": dump(dict(request.speed)), "hits": 0}
        put = tx.insert(tables.simulator_state).values(row)
        tx.conn.execute(put.on_conflict_do_update(index_elements=["id"], set_={"value": row["value"]}))
    return _add(tx, request) if request.add else []


def _add(tx: Tx, request: _Change) -> list[str] | Conflict:
    counted = sa.select(sa.func.count(), sa.func.max(_state.position)).where(_state.id != _SPEED)
    count, last = tx.conn.execute(counted).one()
    if count + len(request.add) > MOST_RULES:
        return Conflict(f"there may be {MOST_RULES} faults; delete those of earlier tests")
    rows = [
        {
            "id": secrets.token_hex(4),
            "position": (last or 0) + number,
            "value": dump(rule.model_dump(mode="json", exclude_defaults=True)),
            "hits": 0,
        }
        for number, rule in enumerate(request.add, start=1)
    ]
    tx.conn.execute(sa.insert(tables.simulator_state), rows)
    return [str(row["id"]) for row in rows]
