"""A backend that needs no GPU: real pictures, scriptable time, scriptable faults.

Importing this package is cheap; Pillow is loaded when a simulator is built.
"""

from typing import TYPE_CHECKING

from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings

if TYPE_CHECKING:
    from imagemill.backends.simulator.backend import Simulator

__all__ = ["Fault", "FaultRule", "SimulatorSettings", "build"]


def build(settings: SimulatorSettings, *, name: str = "simulator", suffix: str = "") -> "Simulator":
    """A simulator with its nodes. ``suffix`` tells the nodes of several processes apart.

    Raises `imagemill.backends.simulator.faults.InvalidScenario` for a scenario file that cannot be used.
    """
    from imagemill.backends.simulator.backend import Simulator

    return Simulator(settings, name=name, suffix=suffix)
