"""A backend without a GPU: it draws real pictures, with configurable durations and faults.

Importing this package is cheap; `imagemill.backends.simulator.backend` loads Pillow.
"""

from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings

__all__ = ["Fault", "FaultRule", "SimulatorSettings"]
