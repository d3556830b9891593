"""How the server builds the simulator, by the entry point ``imagemill.backends``."""

from typing import TYPE_CHECKING

from imagemill.backends.simulator.backend import Simulator

if TYPE_CHECKING:
    from imagemill.config import Settings


def build(settings: "Settings", suffix: str) -> Simulator:
    """``suffix`` tells the nodes of several processes apart."""
    return Simulator(settings.simulator, suffix=suffix)
