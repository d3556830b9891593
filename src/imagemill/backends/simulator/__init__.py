"""A backend that needs no GPU: real pictures, scriptable time, scriptable faults.

Importing this package is cheap; Pillow comes with `imagemill.backends.simulator.backend`.
"""

from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings

__all__ = ["Fault", "FaultRule", "SimulatorSettings"]
