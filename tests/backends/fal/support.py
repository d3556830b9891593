"""The backend pointed at a local fal, and a book of calls in memory."""

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from imagemill.backends.fal.backend import FalBackend
from imagemill.backends.fal.settings import FalModel, FalSettings
from imagemill.backends.paid_calls import BudgetExceeded, PaidCall, Reservation
from imagemill.domain.clock import now_us
from tests.fal_server.server import KEY, FalServer
from tests.tuning import tuned


@dataclass
class Book:
    """`PaidCalls` without limits; the real one is tested in tests/service/test_providers.py."""

    calls: dict[str, PaidCall] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    free: set[str] = field(default_factory=set)
    over: BudgetExceeded | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def open_call(self, provider: str, job_id: str) -> PaidCall | None:
        mine = [
            call for id_, call in self.calls.items() if self.jobs[id_] == job_id and id_ not in self.outcomes
        ]
        return mine[-1] if mine else None

    def reserve(self, wanted: Reservation) -> str:
        if self.over is not None:
            raise self.over
        with self.lock:
            id_ = f"call-{len(self.calls)}"
            self.calls[id_] = PaidCall(id_, wanted.path, None, wanted.cost, now_us())
            self.jobs[id_] = wanted.job_id
        return id_

    def sent(self, call_id: str, request_id: str) -> None:
        self.calls[call_id] = replace(self.calls[call_id], request_id=request_id)

    def ended(self, call_id: str, outcome: str, *, free: bool = False) -> None:
        self.outcomes[call_id] = outcome
        if free:
            self.free.add(call_id)

    @property
    def ends(self) -> list[str]:
        return list(self.outcomes.values())


MODELS = {
    "flux1": FalModel(path="fal-ai/flux/dev", image_path="fal-ai/flux/dev/image-to-image"),
    "sd1": FalModel(path="fal-ai/fast-sd1", negative_prompt=True, extra={"expand_prompt": False}),
}


def settings(server: FalServer | None = None, **changes: Any) -> FalSettings:
    values: dict[str, Any] = {
        "key": KEY,
        "poll_s": 0.02,
        "smallest_side": 16,
        "side_step": 8,
        "models": MODELS,
        "prices": {"*": {"per_megapixel": 0.025}},
        "away_s": 3.0,
        "request_s": 5.0,
    }
    if server is not None:
        values |= {"host": server.host, "ca_file": server.ca_file}
    return tuned(FalSettings, **(values | changes))


_open: list[FalBackend] = []


def backend(server: FalServer, book: Book | None = None, **changes: Any) -> FalBackend:
    """Closed at the end of the test."""
    _open.append(FalBackend(settings(server, **changes), book or Book()))
    return _open[-1]


def close_all() -> None:
    while _open:
        _open.pop().close()
