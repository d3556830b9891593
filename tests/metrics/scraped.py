"""Reading what a process tells Prometheus, with Prometheus' own parser."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scrape:
    samples: tuple[tuple[str, dict[str, str], float], ...]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples with these labels; 0 where there is none."""
        return sum(value for _, value in self.matching(name, **labels))

    def matching(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        return [
            (given, value)
            for found, given, value in self.samples
            if found == name and labels.items() <= given.items()
        ]

    def labels(self, name: str, label: str) -> set[str]:
        return {given[label] for given, _ in self.matching(name)}


def parse(text: str) -> Scrape:
    return Scrape(
        tuple(
            (sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
    )


def scrape(registry: CollectorRegistry) -> Scrape:
    return parse(generate_latest(registry).decode())


def until(look: Callable[[], Scrape], holds: Callable[[Scrape], bool], seconds: float = 40) -> Scrape:
    """The first scrape for which it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = look()
        if holds(seen):
            return seen
        time.sleep(0.05)
    raise AssertionError("no scrape was as expected")
