"""Blows at random: each kind comes as often as its weight says, and what was struck comes back."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from imagemill.domain.clock import now_us
from tests.chaos.rig import Rig

_BACK_S = 0.3
"""How long an init system takes to start a process again."""


@dataclass
class Blow:
    kind: str
    at: int
    """Microseconds since the epoch."""
    held: list[str] = field(default_factory=list[str])
    """Jobs in the hands of a worker that was killed."""
    worker: str = ""
    """Part of the worker's name."""


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
            "Redis": self._restart_redis,
        }
        end = time.monotonic() + seconds
        first = list(kinds)
        while first or time.monotonic() < end:
            time.sleep(self.draw.uniform(*pause_s))
            kind = first.pop(0) if first else self.draw.choices(list(kinds), (4, 3, 2, 2, 1))[0]
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

    def _restart_redis(self) -> Blow:
        self.rig.redis.stop()
        blow = Blow("Redis", now_us())
        time.sleep(self.draw.uniform(0.2, 2.0))
        self.rig.redis.start()
        return blow
