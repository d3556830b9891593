"""A compose file as Compose reads it: its services with variables filled in, in the order they start."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from tests.deploy import plain_yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
FILE = FOLDER / "compose.yaml"
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<word>[^}]*))?\})")


class Missing(Exception):
    """A variable that has no default."""


@dataclass(frozen=True)
class Compose:
    services: Mapping[str, dict[str, Any]]
    volumes: Mapping[str, Any]

    def started(self, *names: str) -> set[str]:
        """The services that ``up NAMES`` starts: these, and all they depend on."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            found.add(name)
            waiting += [other for other in self.services[name].get("depends_on", ()) if other not in found]
        return found

    def order(self) -> list[list[str]]:
        """What starts together, after all it depends on; services of profiles are left out."""
        wanted = [name for name, service in self.services.items() if "profiles" not in service]
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for name in wanted:
            sorter.add(name, *self.services[name].get("depends_on", {}))
        sorter.prepare()
        rounds: list[list[str]] = []
        while sorter.is_active():
            rounds.append(sorted(sorter.get_ready(), key=wanted.index))
            sorter.done(*rounds[-1])
        return rounds


def raw() -> dict[str, Any]:
    return plain_yaml.read(FILE.read_text(encoding="utf-8"))


def load(environment: Mapping[str, str]) -> Compose:
    """Raises `Missing`."""
    found = _filled(raw(), environment)
    return Compose(found["services"], found["volumes"])


def variables(text: str) -> dict[str, str]:
    """Each variable of a text with how it does without a value: ``:-``, ``:?`` or nothing."""
    return {match["name"]: match["how"] or "" for match in _VARIABLE.finditer(text) if match["name"]}


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, environment) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environment) for each in value]
    return _VARIABLE.sub(lambda match: _value(match, environment), value) if isinstance(value, str) else value


def _value(match: "re.Match[str]", environment: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    given = environment.get(match["name"], "")
    if given or match["how"] == ":-":
        return given or match["word"]
    raise Missing(match["name"])
