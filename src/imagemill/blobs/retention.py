"""How long files are kept, by their kind and by whose they are. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Keep:
    """Seconds; None: as long as a job that may need them."""

    results_s: float | None = None
    inputs_s: float | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    default: Keep = Keep()
    owners: Mapping[str, Keep] = field(default_factory=dict[str, Keep])
    """Those of whom it is decided otherwise."""

    def results_s(self, owner: str) -> float | None:
        """From the end of the job."""
        return self.owners.get(owner, self.default).results_s

    def inputs_s(self, owner: str | None) -> float | None:
        """From when it was last brought; None where the owner is not known."""
        return (self.default if owner is None else self.owners.get(owner, self.default)).inputs_s

    @property
    def shortest_results_s(self) -> float | None:
        """No result is deleted before; None: none ever is."""
        known = [keep.results_s for keep in (self.default, *self.owners.values())]
        return min((seconds for seconds in known if seconds is not None), default=None)
