"""How the server builds the simulator, by the entry point ``imagemill.backends``."""

from typing import TYPE_CHECKING

from imagemill.backends.base import Surroundings
from imagemill.backends.simulator.backend import Simulator

if TYPE_CHECKING:
    from imagemill.config import Settings


def build(settings: "Settings", surroundings: Surroundings) -> Simulator | None:
    if settings.simulator.enabled == "never":
        return None
    return Simulator(settings.simulator, suffix=surroundings.suffix)
