"""Blows at random: each kind comes as often as its weight says, and what was struck comes back."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from imagemill.domain.clock import now_us
from tests.chaos.rig import LEASE_S, Rig

_BACK_S = 0.3
"""How long an init system takes to start a process again."""


_WEIGHTS = (8, 5, 4, 4, 2, 3, 8, 2, 2)
_OUTAGE_S = (0.2, 3.0)
"""How long what was killed is away before it starts."""
_LONG = 0.3
"""Of the outages of the database last longer than a lease, which nobody can extend meanwhile."""


@dataclass
class Blow:
    kind: str
    at: int
    """Microseconds since the epoch."""
    held: list[str] = field(default_factory=list[str])
    """Jobs in the hands of a worker that was killed."""
    worker: str = ""
    """Part of the worker's name."""
    until: int = 0
    """When the database that was killed answered again."""


@dataclass
class Weather:
    rig: Rig
    draw: random.Random
    blows: list[Blow] = field(default_factory=list[Blow])

    def blow_for(self, seconds: float, pause_s: tuple[float, float]) -> None:
        """Every kind at least once, then at random until the time is over."""
        kinds: dict[str, Callable[[], Blow]] = {
            "worker": self._kill_worker,
            "database connections": self._cut,
            "scheduler": lambda: self._kill("scheduler"),
            "API process": lambda: self._kill("api"),
            "broker": self._restart_broker,
            "node": self._kill_node,
            "node's answer": self._spoil,
            "PostgreSQL": self._kill_postgres,
            "S3": self._kill_store,
        }
        end = time.monotonic() + seconds
        first = list(kinds)
        while first or time.monotonic() < end:
            time.sleep(self.draw.uniform(*pause_s))
            kind = first.pop(0) if first else self.draw.choices(list(kinds), _WEIGHTS)[0]
            self.blows.append(kinds[kind]())
            time.sleep(_BACK_S)
            self.rig.revive()

    def counts(self) -> Counter[str]:
        return Counter(blow.kind for blow in self.blows)

    def _kill_worker(self) -> Blow:
        member = self.draw.choice(self.rig.of("worker"))
        held, name = self.rig.held_by(member), f"-{member.pid}-"
        member.kill()
        return Blow("worker", now_us(), held, name)

    def _kill(self, kind: str) -> Blow:
        self.draw.choice(self.rig.of(kind)).kill()
        return Blow("API process" if kind == "api" else kind, now_us())

    def _cut(self) -> Blow:
        self.rig.cut_connections()
        return Blow("database connections", now_us())

    def _restart_broker(self) -> Blow:
        self.rig.broker.stop()
        blow = Blow("broker", now_us())
        time.sleep(self.draw.uniform(*_OUTAGE_S))
        self.rig.broker.start()
        return blow

    def _kill_node(self) -> Blow:
        self.draw.choice(self.rig.nodes).kill()
        blow = Blow("node", now_us())
        time.sleep(self.draw.uniform(*_OUTAGE_S))
        return blow

    def _spoil(self) -> Blow:
        """Not killed, but it does wrong once."""
        self.draw.choice(self.rig.nodes).misbehave(self.draw)
        return Blow("node's answer", now_us())

    def _kill_postgres(self) -> Blow:
        """The postmaster alone, whose sessions then end one by one, or all of it."""
        self.rig.postgres.kill(self.draw.choice((signal.SIGKILL, signal.SIGQUIT)))
        blow = Blow("PostgreSQL", now_us())
        longer_s = LEASE_S + 2 if self.draw.random() < _LONG else 0.0
        time.sleep(longer_s or self.draw.uniform(*_OUTAGE_S))
        self.rig.postgres.start()
        blow.until = now_us()
        return blow

    def _kill_store(self) -> Blow:
        """It takes seconds until it takes files again; the storm goes on meanwhile."""
        self.rig.store.kill()
        blow = Blow("S3", now_us())
        time.sleep(self.draw.uniform(*_OUTAGE_S))
        return blow
