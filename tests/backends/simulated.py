"""What the simulator's tests share: a clock that moves only when somebody sleeps."""

from typing import Any

from imagemill.backends.base import RenderControl
from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.settings import SimulatorSettings


class VirtualTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, watch: RenderControl, seconds: float) -> bool:
        self.now += seconds
        return watch.stopped


def simulated(time: VirtualTime | None = None, **settings: Any) -> Simulator:
    time = time or VirtualTime()
    return Simulator(SimulatorSettings(**settings), clock=time.clock, sleep=time.sleep)
