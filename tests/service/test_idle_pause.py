"""How long idle threads wait for wake-ups before they look for work themselves."""

import math
import time

import pytest

from imagemill.bootstrap.build import idle_pause
from imagemill.config import Settings
from imagemill.webhooks.delivery import DeliveryWorker
from tests.service.build import wait_until


@pytest.mark.parametrize(("sweep_s", "relayed_s"), [(0.05, 0.25), (1.0, 5.0), (3.0, 5.0), (60.0, 60.0)])
def test_where_wake_ups_arrive_it_is_longer(sweep_s: float, relayed_s: float) -> None:
    is_relayed = False
    pause = idle_pause(Settings(_env_file=None, sweep_s=sweep_s), lambda: is_relayed)
    assert pause() == sweep_s
    is_relayed = True
    assert pause() == relayed_s


class Outbox:
    """Has no delivery; ``next_s``: what it says of the next."""

    def __init__(self, next_s: float | None) -> None:
        self.next_s = next_s
        self.reads = 0

    def due(self, limit: int, held: object) -> list[object]:
        self.reads += 1
        return []

    def pause_s(self) -> float | None:
        return self.next_s

    def deliver(self, content: object) -> bool:
        raise AssertionError("there is none")


@pytest.mark.parametrize(
    ("next_s", "is_often"), [(None, True), (0.01, True), (math.inf, False), (30.0, False)]
)
def test_an_outbox_is_read_often_where_something_is_due_soon_or_may_be(
    next_s: float | None, is_often: bool
) -> None:
    outbox = Outbox(next_s)
    worker = DeliveryWorker(outbox, name="test", poll_s=0.01, rest_s=1.0, idle_s=lambda: 60.0)
    worker.start()
    wait_until(lambda: outbox.reads >= (5 if is_often else 1))
    time.sleep(0.2)
    assert is_often or outbox.reads == 1
    worker.wake()
    wait_until(lambda: outbox.reads >= 2)
    worker.close()
