"""The durations and fault rules that a simulator uses now; they change while it runs."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from imagemill.backends.simulator.faults import ActiveFaultRule, Scenario
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.backends.simulator.timing import Speed


class Tuning:
    """Starts with the settings and a scenario. Thread-safe: what a render reads is replaced whole."""

    def __init__(self, settings: SimulatorSettings, scenario: Scenario) -> None:
        self.base = settings.model_copy(update=dict(scenario.speed))
        """The settings with the durations of the scenario."""
        self.settings = self.base
        self.http_rules = scenario.http
        """Faults of the API itself."""
        self._own = tuple(
            ActiveFaultRule(f"settings-{number}", rule)
            for number, rule in enumerate((*settings.faults, *scenario.rules), start=1)
        )
        self.rules = self._own
        self._lock = threading.Lock()
        self._hits: Counter[str] = Counter()

    @property
    def speed(self) -> Speed:
        return Speed.of(self.settings)

    @property
    def own_rules(self) -> Sequence[ActiveFaultRule]:
        """The rules of the settings and the scenario, with their hits."""
        with self._lock:
            return [replace(each, hits=self._hits[each.id]) for each in self._own]

    def change(self, speed: Speed, rules: Sequence[ActiveFaultRule]) -> None:
        """Set the durations, and the rules that come before those of the settings."""
        # The very same object while nothing differs: the views of the nodes are then as they are.
        is_base = speed == Speed.of(self.base)
        self.settings = self.base if is_base else self.base.model_copy(update=asdict(speed))
        self.rules = (*rules, *self._own)

    def count(self, rule: ActiveFaultRule) -> None:
        with self._lock:
            self._hits[rule.id] += 1

    def take_hits(self) -> Mapping[str, int]:
        """Return how often each added rule has struck since the last call, by its id."""
        own = {each.id for each in self._own}
        with self._lock:
            taken = {id_: count for id_, count in self._hits.items() if id_ not in own}
            for id_ in taken:
                del self._hits[id_]
        return taken
