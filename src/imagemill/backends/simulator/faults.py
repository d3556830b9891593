"""Faults on demand: the choice of the fault for an attempt, and the failure it causes."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any, cast

from pydantic import ValidationError

from imagemill.backends.base import RenderRequest
from imagemill.backends.simulator import http_faults
from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError, ImagemillError
from imagemill.domain.failures import FailureCode

PROPERTY = "simulate"
"""The job property that requests a fault or other durations."""

LONGEST_MS = 3_600_000
MOST_TIMES = 1_000_000

ALLOWED = (
    f'"{PROPERTY}" is a fault\'s name or an object of "fault", "times" (a whole number from 1), "step_ms" '
    f'and "load_ms" (0 to {LONGEST_MS}); faults: {", ".join(Fault)}; or {{"stuck": true}}; or a fault of the '
    'API, such as {"http": 429, "times": 2}'
)

_FAILURES: Mapping[Fault, tuple[FailureCode, str]] = {
    Fault.OUT_OF_MEMORY: (FailureCode.OUT_OF_MEMORY, "CUDA out of memory: tried to allocate 2.00 GiB"),
    Fault.MISSING_MODEL: (FailureCode.MISSING_MODEL, "the checkpoint {model} is not in the node's list"),
    Fault.MISSING_NODE: (FailureCode.MISSING_NODE, "the node type KSampler is not installed"),
    Fault.CRASH: (FailureCode.NODE_LOST, "the connection broke in the middle of the render"),
    Fault.CONTENT: (FailureCode.CONTENT_BLOCKED, "the picture was blocked by the content filter"),
    Fault.RATE_LIMITED: (FailureCode.BACKEND_UNAVAILABLE, "429 too many requests"),
    Fault.SERVER_ERROR: (FailureCode.BACKEND_UNAVAILABLE, "500 internal server error"),
    Fault.REJECTED: (FailureCode.BACKEND_REJECTED, "the request was refused"),
}

REJECTED_AT_SUBMIT = frozenset(
    {Fault.MISSING_MODEL, Fault.MISSING_NODE, Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.REJECTED}
)
"""Faults that a real server reports before it accepts the job."""


class InvalidScenario(ImagemillError, ValueError):
    """A scenario file that cannot be used; the message names the file and the rule."""

    code = "invalid_scenario"


@dataclass(frozen=True, slots=True)
class FaultHint:
    """The contents of a job's ``simulate`` property."""

    fault: Fault | None = None
    times: int = 1
    step_ms: float | None = None
    load_ms: float | None = None


NO_HINT = FaultHint()


@dataclass(frozen=True, slots=True)
class ActiveFaultRule:
    """A rule in use, and the number of attempts it has struck."""

    id: str
    rule: FaultRule
    hits: int = 0


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """The fault of one attempt."""

    fault: Fault
    load_ms: float | None = None
    position: int | None = None
    """The index of its rule; None for the fault of a job's own hint."""


def failure(fault: Fault, node: str, model: str) -> BackendError:
    """The error a fault causes. Raises KeyError for faults that affect the duration or the outputs
    instead."""
    code, message = _FAILURES[fault]
    return BackendError(code, f"{node}: {message.format(model=model or 'of the graph')} (simulated)")


def check_hint(value: object) -> str | None:
    """The error in a job's ``simulate`` property, with the allowed values; None if it is valid."""
    problem = _hint_error(value)
    return None if problem is None else f"{problem}; {ALLOWED}"


def read_hint(properties: Mapping[str, Any]) -> FaultHint:
    """Read a job's hint. Raises `BackendError` for a malformed one."""
    value = properties.get(PROPERTY)
    if value is None:
        return NO_HINT
    problem = check_hint(value)
    if problem is not None:
        raise BackendError(FailureCode.BACKEND_REJECTED, problem)
    if isinstance(value, str):
        return FaultHint(Fault(value))
    if is_stuck(properties) or http_faults.is_http_hint(value):
        return FaultHint()
    fault = value.get("fault")
    return FaultHint(
        fault=None if fault is None else Fault(fault),
        times=value.get("times", 1),
        step_ms=value.get("step_ms"),
        load_ms=value.get("load_ms"),
    )


STUCK = "simulate-stuck"
"""A label that no node has, so that a job with it stays queued."""


def is_stuck(properties: Mapping[str, Any]) -> bool:
    """Whether a job asks to stay queued until it is canceled or expires."""
    hint = properties.get(PROPERTY)
    return isinstance(hint, Mapping) and cast("Mapping[object, object]", hint).get("stuck") is True


def _hint_error(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return None if value in set(Fault) else f"{value[:40]!r} is not a fault"
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__} is not a hint"
    hint = cast("Mapping[object, object]", value)
    if http_faults.is_http_hint(hint):
        return http_faults.hint_error(hint)
    if "stuck" in hint:
        return None if hint["stuck"] is True and len(hint) == 1 else "stuck is true, and alone"
    unknown = [str(key)[:40] for key in hint if key not in ("fault", "times", "step_ms", "load_ms")]
    if unknown:
        return f"{', '.join(unknown[:5])}: not known"
    fault, times = hint.get("fault"), hint.get("times", 1)
    if fault is not None and (not isinstance(fault, str) or fault not in set(Fault)):
        return f"{str(fault)[:40]!r} is not a fault"
    if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= MOST_TIMES:
        return f"times is not a whole number from 1 to {MOST_TIMES}"
    for key in ("step_ms", "load_ms"):
        if not _is_duration(hint.get(key)):
            return f"{key} is not a number of milliseconds from 0 to {LONGEST_MS}"
    return None


def _is_duration(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isfinite(value) and 0 <= value <= LONGEST_MS


def choose(
    rules: Sequence[FaultRule], hint: FaultHint, request: RenderRequest, *, model: str, prompt: str, seed: int
) -> InjectedFault | None:
    """The fault of this attempt: the one in the job's hint, else that of the first rule that applies."""
    if hint.fault is not None and request.attempt <= hint.times:
        return InjectedFault(hint.fault, hint.load_ms)
    for position, rule in enumerate(rules):
        if _applies(rule, request, model, prompt) and _draw(rule, position, request, seed):
            return InjectedFault(rule.fault, rule.load_ms, position)
    return None


def _applies(rule: FaultRule, request: RenderRequest, model: str, prompt: str) -> bool:
    if request.attempt > rule.times:
        return False
    if rule.model is not None and rule.model.lower() not in model.lower():
        return False
    if rule.prompt is not None and rule.prompt.lower() not in prompt.lower():
        return False
    return rule.node is None or request.node == rule.node or request.node.startswith(f"{rule.node}.")


def _draw(rule: FaultRule, position: int, request: RenderRequest, seed: int) -> bool:
    """Decide by the rule's probability; the same arguments always give the same answer."""
    if rule.probability >= 1.0:
        return True
    random = Random(f"{seed}/{position}/{request.job_id}/{request.attempt}")  # noqa: S311 - repeatable
    return random.random() < rule.probability


@dataclass(frozen=True, slots=True)
class Scenario:
    """The contents of a scenario file; an absent part is empty."""

    rules: tuple[FaultRule, ...] = ()
    http: tuple[http_faults.HttpFaultRule, ...] = ()
    """Faults of the API itself."""
    speed: Mapping[str, float] = field(default_factory=dict[str, float])
    """The durations by the names of their settings."""


_PARTS = ("rule", "http", "speed")
_SPEED = {"stepMs": "step_ms", "loadMs": "load_ms", "jitter": "jitter"}


def load_scenario(path: Path) -> Scenario:
    """Read a TOML file (``[[rule]]``, ``[[http]]``, ``[speed]``), or a ``.json`` file with the same parts."""
    try:
        text = path.read_text(encoding="utf-8")
        content: object = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidScenario(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise InvalidScenario(f'{path}: the file holds an object with a list "rule"')
    table = cast("dict[str, object]", content)
    unknown = [key for key in table if key not in _PARTS]
    if unknown:
        raise InvalidScenario(f"{path}: {', '.join(unknown)}: unknown; the parts are {', '.join(_PARTS)}")
    return Scenario(
        tuple(_rule(path, *each) for each in _listed(path, table, "rule")),
        tuple(_http_rule(path, *each) for each in _listed(path, table, "http")),
        _speed(path, table.get("speed")),
    )


def _listed(path: Path, table: Mapping[str, object], part: str) -> Iterator[tuple[int, object]]:
    rules = table.get(part, [])
    if not isinstance(rules, list):
        raise InvalidScenario(f'{path}: "{part}" is a list; write [[{part}]] in TOML')
    return enumerate(cast("list[object]", rules), start=1)


def _rule(path: Path, number: int, content: object) -> FaultRule:
    given = content
    if isinstance(content, dict):
        fields = cast("dict[str, object]", content)
        # The API spells the field loadMs.
        given = {"load_ms" if name == "loadMs" else name: value for name, value in fields.items()}
    try:
        return FaultRule.model_validate(given)
    except ValidationError as error:
        raise _invalid(path, f"rule {number}", error) from error


def _http_rule(path: Path, number: int, content: object) -> http_faults.HttpFaultRule:
    try:
        return http_faults.HttpFaultRule.model_validate(content)
    except ValidationError as error:
        raise _invalid(path, f"http {number}", error) from error


def _speed(path: Path, content: object) -> Mapping[str, float]:
    if content is None:
        return {}
    known = cast("dict[str, object]", content) if isinstance(content, dict) else {"": None}
    if unknown := [name for name in known if name not in _SPEED and name not in _SPEED.values()]:
        raise InvalidScenario(f"{path}: speed: {', '.join(unknown) or 'is no table'}; it has {_SPEED_NAMES}")
    named = {_SPEED.get(name, name): value for name, value in known.items()}
    try:
        checked = SimulatorSettings.model_validate(named)
    except ValidationError as error:
        raise _invalid(path, "speed", error) from error
    return {name: getattr(checked, name) for name in named}


_SPEED_NAMES = ", ".join(_SPEED)


def _invalid(path: Path, where: str, error: ValidationError) -> InvalidScenario:
    faults = "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'the rule'}: {each['msg']}" for each in error.errors()
    )
    return InvalidScenario(f"{path}: {where}: {faults}")
