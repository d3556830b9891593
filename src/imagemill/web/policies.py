"""The policy of a path: who may call it, from which sites' pages, and how its answers may be cached.

A module declares the policies of its routes (`imagemill.api.base.ApiModule.policies`). A route without one is
for administrators only.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from enum import Enum, auto
from typing import Any

from pydantic import BaseModel

from imagemill.domain.access import Scope
from imagemill.domain.dataclass import dataclass
from imagemill.web.path_index import PathIndex

ERROR_SHAPE = "imagemill.error_shape"
"""The key of a route's `ErrorShape` in the scope of a request that has passed the outermost checks."""
REWRITTEN_PREFIX = "imagemill.placed"
"""The scope key of the path prefix that was added for the request's host; absent without one."""
POLICY = "imagemill.policy"
"""The key of a request's `PathPolicy` in its scope."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """The body of errors, where clients do not expect a problem of RFC 9457."""

    body: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Returns the body for a problem with its ``status`` and ``code``."""
    model: type[BaseModel]


class CorsClass(Enum):
    """Which pages of other sites may read the answers."""

    NONE = auto()
    OWN = auto()
    """Pages of the sites in ``cors.origins``. Pages of all others may not change anything here either."""
    CONTRACT = auto()
    """Pages of the sites in ``cors.contract_origins``; by default all, as Civitai's API has it."""


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """``path`` is a route's path or, with a slash at its end, stands for all paths below it.

    ``/`` alone is the start page only.
    """

    path: str
    read: Scope | None
    """The scope that reading needs; None means that no key is needed."""
    write: Scope | None = None
    methods: Mapping[str, Scope] = field(default_factory=dict[str, Scope])
    """The scopes of methods that need another one."""
    owner_methods: frozenset[str] = frozenset()
    """The methods for which an administrator may name another owner: ``?owner=NAME``. HEAD counts as GET."""
    all_owners: bool = False
    """Whether it may be ``?owner=*`` as well, for the things of all owners."""
    audited: bool = False
    """Changes are written to the audit log, as are all that need a scope of `AUDITED`."""
    errors: ErrorShape | None = None
    """None means problems of RFC 9457."""
    cors: CorsClass = CorsClass.OWN
    caching: str | None = "no-store"
    """The Cache-Control of answers that set none; None sends no such header."""
    page_csp: bytes | None = None
    """The Content-Security-Policy of HTML pages, where they need more than scripts from their own files."""
    traced: bool = True
    """Requests are spans of a trace. False suits probes that machines send every few seconds."""
    signed: bool = False
    """A request with ``sig`` in its query needs no Authorization header: its route checks the signature."""
    body_bytes: int = 0
    """The largest body in bytes, where it is more than ``IMAGEMILL_LIMIT__BODY_BYTES``."""
    on_every_host: bool = False
    """The path is kept also at hosts whose requests are served below a prefix."""

    def scope(self, method: str) -> Scope | None:
        """Return the scope that a method needs; None for no key. Without a ``write`` it is ``admin``."""
        written = Scope.ADMIN if self.write is None and self.read is not None else self.write
        return self.methods.get(method, self.read if method in SAFE else written)


READING = frozenset({"GET"})
CHANGING = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
AUDITED = frozenset({Scope.ADMIN, Scope.NODES_WRITE, Scope.MODELS_WRITE})
"""Scopes to change what all owners share."""

UNDECLARED = PathPolicy("", Scope.ADMIN, Scope.ADMIN, cors=CorsClass.NONE, caching=None)


class PathPolicies:
    """Finds the policy of a request's path: that of the longest declared path that matches."""

    def __init__(self, policies: Iterable[PathPolicy] = ()) -> None:
        self._index: PathIndex[tuple[PathPolicy, re.Pattern[str] | None]] = PathIndex()
        for policy in sorted(policies, key=lambda policy: -len(policy.path)):
            pattern = re.compile(_pattern(policy.path)) if _INEXACT.search(policy.path) else None
            if policy.path.endswith("/") and policy.path != "/":
                self._index.add_prefix(policy.path, (policy, pattern))
            else:
                self._index.add(policy.path, (policy, pattern))

    def of(self, path: str) -> PathPolicy:
        for _, (policy, pattern) in self._index.candidates(path):
            if pattern is None or pattern.match(path):
                return policy
        return UNDECLARED

    def declares(self, path: str) -> bool:
        return self.of(path) is not UNDECLARED


def _pattern(path: str) -> str:
    text = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in _PARTS.split(path))
    return text if path.endswith("/") and path != "/" else rf"{text}\Z"


_PARTS = re.compile(r"(\{[^}]*\})")
_INEXACT = re.compile(r"[^/]\{|\}[^/]|:path\}")
"""Templates such as ``/{name}.json`` that match less than the index finds for them."""
