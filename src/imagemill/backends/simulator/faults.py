"""Faults on demand: the choice of the fault for an attempt, and the failure it causes."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any, cast

from pydantic import ValidationError

from imagemill.backends.base import RenderRequest
from imagemill.backends.simulator import http_faults
from imagemill.backends.simulator.settings import Fault, FaultRule
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


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """The fault of one attempt."""

    fault: Fault
    load_ms: float | None = None


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
    problem = check_hint(value)
    if problem is not None:
        raise BackendError(FailureCode.BACKEND_REJECTED, problem)
    if isinstance(value, str):
        return FaultHint(Fault(value))
    if value is None or is_stuck(properties) or http_faults.is_http_hint(value):
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
            return InjectedFault(rule.fault, rule.load_ms)
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


def load_scenario(path: Path) -> tuple[FaultRule, ...]:
    """Read the rules in a TOML file (``[[rule]]``) or a ``.json`` file (``{"rule": [...]}``)."""
    try:
        text = path.read_text(encoding="utf-8")
        content: object = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidScenario(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise InvalidScenario(f'{path}: the file holds an object with a list "rule"')
    table = cast("dict[str, object]", content)
    unknown = [key for key in table if key != "rule"]
    if unknown:
        raise InvalidScenario(f'{path}: {", ".join(unknown)}: unknown; the file holds only a list "rule"')
    rules = table.get("rule", [])
    if not isinstance(rules, list):
        raise InvalidScenario(f'{path}: "rule" is a list; write [[rule]] in TOML')
    listed = cast("list[object]", rules)
    return tuple(_rule(path, number, rule) for number, rule in enumerate(listed, start=1))


def _rule(path: Path, number: int, content: object) -> FaultRule:
    try:
        return FaultRule.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the rule'}: {each['msg']}" for each in error.errors()
        )
        raise InvalidScenario(f"{path}: rule {number}: {faults}") from error
