"""How the test node can be made to misbehave, at any time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

How = Literal["500", "html", "garbage", "empty", "hang", "close", "404", "401", "503"]
FOREVER = -1


@dataclass
class Answer:
    """A wrong or late answer to requests whose path begins so; `times` counts down, FOREVER never does."""

    path: str
    how: How | None
    delay_s: float = 0.0
    times: int = FOREVER
    method: str | None = None

    def fits(self, method: str, path: str) -> bool:
        whole = path == self.path or path.startswith(f"{self.path.rstrip('/')}/")
        return self.times != 0 and whole and self.method in (None, method)


@dataclass
class Faults:
    """All off by default. Counters (`lose_answers` and those in `_times`) count down by themselves."""

    wedged: bool = False  # pending prompts never start
    stalled: bool = False  # the running prompt goes no further
    silent: bool = False  # sockets are accepted, then nothing is ever sent on them
    frozen: bool = False  # connections of now neither read nor write any more, without an end (half open)
    unreachable: bool = False  # frozen, and every new connection is so from its start
    duplicate: bool = False  # every event comes twice
    disorder: bool = False  # neighbouring events change places
    lose_answers: int = 0  # POST /prompt is accepted, then the connection drops
    slowness: float = 1.0  # factor on all work
    clock_skew_s: float = 0.0  # of the timestamps
    history_lag_s: float = 0.0  # between execution_success and the entry in the history
    truncate: Literal["short", "half"] | None = None  # /view: fewer bytes than promised; or half a file
    lose_files: bool = False  # outputs are gone as soon as they are announced: /view is 404
    oom_times: int = 0  # this many prompts run out of memory
    oom_until_freed: bool = False  # out of memory until somebody calls POST /free
    oom_when: Callable[[dict[str, Any]], bool] | None = None  # graphs that always run out of memory
    end_worker_times: int = 0  # this many prompts end the worker as they begin, for an unknown reason
    error_times: int = 0  # this many prompts fail in their first sampler or loader
    partner_fails: bool = False  # the services of partner nodes refuse, and repeat the key
    refuse_sockets: bool = False  # /ws answers 500
    only_input: bool = False  # uploads go into the input folder, whatever their type
    answers: list[Answer] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, method: str, path: str) -> Answer | None:
        """The misbehaviour for a request, which uses up one of its times."""
        path = path.removeprefix("/api")
        with self.lock:
            for answer in self.answers:
                if answer.fits(method, path):
                    answer.times -= answer.times > 0
                    return answer
        return None

    def count_down(self, name: str) -> bool:
        """True while the counter has some left; takes one."""
        with self.lock:
            left = getattr(self, name)
            setattr(self, name, max(0, left - 1))
            return left > 0
