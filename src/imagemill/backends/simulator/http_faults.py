"""Faults of the HTTP API itself, for tests of clients: errors, delays, broken connections, expired URLs."""

import fnmatch
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from random import Random
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from imagemill.domain.dataclass import dataclass

MOST_RULES = 100
MOST_COUNTED = 1000
"""Headers and bodies whose uses are counted; the one that was used longest ago is forgotten first."""
LONGEST_SLOW_MS = 600_000
LONGEST_HEADER = 1000

CONTROL = "/api/v1/simulator"
"""The paths by which rules are made and deleted, which no fault strikes."""


class HttpFault(BaseModel):
    """A fault of one answer of the API, and how often it strikes."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    http: int | None = Field(None, ge=400, le=599, description="The status that is answered instead.")
    retry_after: int | None = Field(
        None, ge=0, le=86_400, description="Seconds in the header `Retry-After`, with `http`."
    )
    slow_ms: float | None = Field(
        None, gt=0, le=LONGEST_SLOW_MS, description="Milliseconds before the request is handled."
    )
    drop: Literal["before", "after"] | None = Field(
        None, description="The connection closes without an answer, before or after the request is handled."
    )
    cut: bool = Field(False, description="The connection closes in the middle of the answer's body.")
    expired_blob: bool = Field(
        False, description="The signed URL of a picture is answered as if it had expired."
    )
    times: int | None = Field(
        1, ge=1, le=1_000_000, description="The number of requests it strikes; null means all."
    )
    id: str | None = Field(
        None, max_length=100, description="Tells equal faults apart, so that each is counted."
    )

    @model_validator(mode="after")
    def _has_effect(self) -> "HttpFault":
        if self.http is not None and self.http not in set(HTTPStatus):
            raise ValueError(f"http: {self.http} is not a status of HTTP")
        ends = [self.http is not None, self.drop is not None, self.cut, self.expired_blob]
        if sum(ends) > 1:
            raise ValueError("http, drop, cut and expiredBlob exclude each other; write one of them")
        if not any(ends) and self.slow_ms is None:
            raise ValueError("needs one of http, slowMs, drop, cut and expiredBlob")
        if self.retry_after is not None and self.http is None:
            raise ValueError("retryAfter needs http")
        return self


class HttpFaultRule(HttpFault):
    """A fault with the requests it strikes."""

    method: str | None = Field(
        None, max_length=20, description="Only requests with this method, in any case."
    )
    path: str | None = Field(
        None, max_length=500, description="Only paths that match; `*` stands for any text, as in `/v1/*`."
    )
    probability: float = Field(1.0, gt=0, le=1, description="Share of the matching requests that it strikes.")

    def matches(self, method: str, path: str) -> bool:
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path is None or fnmatch.fnmatchcase(path, self.path)


KEYS = frozenset(
    name for key, field in HttpFault.model_fields.items() for name in (key, field.alias or key)
) - {"times", "id"}
"""The keys of a ``simulate`` property that make it a fault of the API."""


def is_http_hint(hint: Mapping[object, object]) -> bool:
    return any(key in KEYS for key in hint)


def hint_error(hint: Mapping[object, object]) -> str | None:
    """Return the first error in a fault of the API; None if there is none."""
    try:
        HttpFault.model_validate(hint)
    except ValidationError as error:
        return error_text(error)
    return None


def error_text(error: ValidationError) -> str:
    """Return the first error of a fault, with the name of its field."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


@dataclass(slots=True)
class ActiveRule:
    """A rule that was set while the server runs."""

    id: str
    rule: HttpFaultRule
    hits: int = 0
    """The requests it has struck."""


class HttpFaults:
    """The rules of this process, and the number of uses of each fault in a header or a body."""

    def __init__(self, rules: Sequence[HttpFaultRule] = (), seed: int = 0) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable
        self._lock = threading.Lock()
        self._rules: dict[str, ActiveRule] = {}
        self.replace(rules)
        self._used: OrderedDict[object, int] = OrderedDict()

    @property
    def has_rules(self) -> bool:
        return bool(self._rules)

    def rules(self) -> Sequence[ActiveRule]:
        with self._lock:
            return [ActiveRule(each.id, each.rule, each.hits) for each in self._rules.values()]

    def add(self, rule: HttpFaultRule) -> ActiveRule | None:
        """Add a rule, after those that are there; None when there are too many."""
        added = ActiveRule(secrets.token_hex(4), rule)
        with self._lock:
            if len(self._rules) >= MOST_RULES:
                return None
            self._rules[added.id] = added
        return added

    def replace(self, rules: Sequence[HttpFaultRule]) -> None:
        """Put rules in the place of all."""
        active = [ActiveRule(secrets.token_hex(4), rule) for rule in rules[:MOST_RULES]]
        with self._lock:
            self._rules = {each.id: each for each in active}

    def remove(self, id_: str | None) -> int:
        """Remove a rule, or all of them; return how many there were."""
        with self._lock:
            gone = [id_] if id_ in self._rules else [] if id_ is not None else list(self._rules)
            for each in gone:
                del self._rules[each]
            return len(gone)

    def strike(self, method: str, path: str) -> HttpFault | None:
        """Return the first rule that strikes this request, which counts as one of its times."""
        with self._lock:
            for active in self._rules.values():
                rule = active.rule
                is_over = rule.times is not None and active.hits >= rule.times
                if is_over or not rule.matches(method, path):
                    continue
                if rule.probability >= 1 or self._random.random() < rule.probability:
                    active.hits += 1
                    return rule
        return None

    def use(self, fault: HttpFault, key: object) -> HttpFault | None:
        """Return a request's own fault while its ``times`` last; uses are counted by ``key``."""
        if fault.times is None:
            return fault
        with self._lock:
            used = self._used.pop(key, 0)
            self._used[key] = used + 1
            if len(self._used) > MOST_COUNTED:
                self._used.popitem(last=False)
        return fault if used < fault.times else None


def find_hint(body: object) -> HttpFault | None:
    """Return the first valid fault of the API among the ``simulate`` hints in a request's body.

    They stand in a job's properties, and in the metadata of a workflow or a step of Civitai's v2 API.
    """
    waiting: list[object] = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(cast("list[object]", value)))
        if not isinstance(value, dict):
            continue
        fields = cast("dict[str, Any]", value)
        for place in ("properties", "metadata"):
            given = fields.get(place)
            hint: Any = cast("dict[str, Any]", given).get("simulate") if isinstance(given, dict) else None
            if isinstance(hint, dict) and is_http_hint(cast("dict[object, object]", hint)):
                try:
                    return HttpFault.model_validate(hint)
                except ValidationError:
                    return None  # the submission is refused, with the reason
        waiting.extend(fields.values())
    return None
