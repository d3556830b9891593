"""Headers for browsers: CORS, Content-Security-Policy and caching, by the policy of a path."""

from collections.abc import Iterable, Sequence

from starlette.types import Scope

from imagemill.web import policies
from imagemill.web.policies import POLICY, PathPolicy

_Pairs = list[tuple[bytes, bytes]]
_ALLOWED = b"*, Authorization, Content-Type, Idempotency-Key, traceparent, Last-Event-ID, X-Imagemill-User"
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", _ALLOWED),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]
_VARY = (b"vary", b"Origin")
_EXPOSED = (b"access-control-expose-headers", b"*, traceparent, retry-after")

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
_DATA = b"default-src 'none'; frame-ancestors 'none'"
_PAGE = b"default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
_REST = b"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
_OWN_PAGE = _PAGE + b"script-src 'self'; " + _REST
INLINE_SCRIPT_CSP = _PAGE + b"script-src 'self' 'unsafe-inline'; worker-src 'self' blob:; " + _REST
"""The policy of pages with an inline script, such as the API documentation."""


class CorsHeaders:
    """The sites whose pages may read our answers. Cookies are not allowed, since there are none."""

    def __init__(self, origins: Sequence[str], contract_origins: Sequence[str]) -> None:
        self._own = _Origins(origins)
        self._contract = _Origins(contract_origins)

    def headers(self, scope: Scope) -> _Pairs:
        """Return the headers that allow a page of another site to read an answer; empty if none may."""
        origins = self._of(_policy(scope))
        if origins is None:
            return []
        found = origins.headers(scope)
        return [*found, _VARY] if origins.vary else found

    def lists(self, scope: Scope) -> bool:
        """Return whether the request is from a page that the settings allow to call where no key is needed.

        The ``*`` of ``contract_origins`` is a default for servers with keys and allows no such page.
        """
        is_contract = _policy(scope).cors is policies.CorsClass.CONTRACT
        return bool(self._own.headers(scope)) or (is_contract and self._contract.names(scope))

    def preflight(self, scope: Scope) -> _Pairs | None:
        """Return the answer to OPTIONS, or None where no page of another site may call."""
        if scope["method"] != "OPTIONS":
            return None
        origins = self._of(_policy(scope))
        return _PREFLIGHT if origins is not None and origins.headers(scope) else None

    def _of(self, policy: PathPolicy) -> "_Origins | None":
        if policy.cors is policies.CorsClass.CONTRACT:
            return self._contract
        return self._own if policy.cors is policies.CorsClass.OWN else None


class _Origins:
    def __init__(self, origins: Sequence[str]) -> None:
        self._any = "*" in origins
        self._listed = {origin.rstrip("/").lower().encode() for origin in origins}
        self._open = [(b"access-control-allow-origin", b"*"), _EXPOSED]

    @property
    def vary(self) -> bool:
        """Whether answers differ by the origin of a request."""
        return bool(self._listed) and not self._any

    def names(self, scope: Scope) -> bool:
        """Whether the request's origin is listed by its name."""
        return bool(self._listed) and _origin(scope).lower() in self._listed

    def headers(self, scope: Scope) -> _Pairs:
        if self._any:
            return self._open
        return [(b"access-control-allow-origin", _origin(scope)), _EXPOSED] if self.names(scope) else []


def _origin(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"origin"), b"")


def secured(scope: Scope, headers: Iterable[tuple[bytes, bytes]], added: _Pairs) -> _Pairs:
    """Return the headers of an answer with ours added; its own Cache-Control and policy are kept."""
    names = {name for name, _ in added} - {b"vary"}
    kept = [(name.lower(), value) for name, value in headers]
    own = dict(kept)
    result = [pair for pair in kept if pair[0] not in names]
    result += added
    result += [pair for pair in _ALWAYS if pair[0] not in own]
    policy = _policy(scope)
    if b"content-security-policy" not in own:
        result.append((b"content-security-policy", _csp(policy, own.get(b"content-type", b""))))
    if b"cache-control" not in own and policy.caching is not None:
        result.append((b"cache-control", policy.caching.encode()))
    return result


def _policy(scope: Scope) -> PathPolicy:
    policy: PathPolicy = scope[POLICY]
    return policy


def _csp(policy: PathPolicy, kind: bytes) -> bytes:
    if not kind.startswith(b"text/html"):
        return _DATA
    return policy.page_csp or _OWN_PAGE
