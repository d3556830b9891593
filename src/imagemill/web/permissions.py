"""Which scope a route needs: declared by whoever brings the route, else it is for admins only."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagemill.domain.access import Scope

Words = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""The body of an error, of a problem with its ``status`` and ``code``."""
WORDS = "imagemill.words"
"""In a request's scope: the `Words` of its route."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


@dataclass(frozen=True, slots=True)
class RoutePermission:
    """``path`` is a route's path or, with a slash at its end, all paths below it."""

    path: str
    read: Scope | None
    """None: no key is needed, whoever knows the address may."""
    write: Scope | None = None
    methods: Mapping[str, Scope] = field(default_factory=dict[str, Scope])
    """Methods that need something else."""
    requires_token: bool = False
    """A bearer token must be sent even where any is accepted, as the contract of the dialect has it."""

    audited: bool = False
    """Its changes go into the audit log, as all do that need a scope of `AUDITED`."""
    error_body: Words | None = None
    """What its clients read of an error, where that is no problem of RFC 9457."""

    def scope(self, method: str) -> Scope | None:
        """What a method needs; None: no key. What only reading was declared for is for admins to change."""
        written = Scope.ADMIN if self.write is None and self.read is not None else self.write
        return self.methods.get(method, self.read if method in SAFE else written)


AUDITED = frozenset({Scope.ADMIN, Scope.NODES_WRITE, Scope.MODELS_WRITE})
"""Scopes to change what belongs to everybody."""

PUBLIC = (
    RoutePermission("/health", None),
    RoutePermission("/health/", None),
    RoutePermission("/openapi.json", None),
    RoutePermission("/docs", None),
    RoutePermission("/docs/", None),
    RoutePermission("/redoc", None),
    RoutePermission("/static-offline-docs/", None),
    RoutePermission("/blobs/", None),  # their URLs are signed
    RoutePermission("/metrics", Scope.METRICS_READ),
)
_UNKNOWN = RoutePermission("", Scope.ADMIN, Scope.ADMIN)


class RoutePermissions:
    """The longest declared path that fits a request's path decides."""

    def __init__(self, permits: Iterable[RoutePermission]) -> None:
        longest_first = sorted(permits, key=lambda permit: -len(permit.path))
        self._patterns = [(_pattern(permit.path), permit) for permit in longest_first]

    def of(self, path: str) -> RoutePermission:
        return next((permit for pattern, permit in self._patterns if pattern.match(path)), _UNKNOWN)

    def declares(self, path: str) -> bool:
        return self.of(path) is not _UNKNOWN


def _pattern(path: str) -> re.Pattern[str]:
    text = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in _PARTS.split(path))
    return re.compile(text if path.endswith("/") else rf"{text}\Z")


_PARTS = re.compile(r"(\{[^}]*\})")
