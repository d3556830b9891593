"""The outermost layer: which hosts are answered, how large a body may be, CORS, the trace of a request."""

import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.web.problems import problem
from imagemill.web.requests import trace_of

_OPEN_PREFIXES = ("/v1/", "/v2/", "/blobs/")
"""What browser clients call from any site. They carry a token and never a cookie, so any origin may."""
_ALLOW_ORIGIN = (b"access-control-allow-origin", b"*")
_CORS = [
    _ALLOW_ORIGIN,
    (b"access-control-expose-headers", b"*, traceparent, retry-after"),
]
_ALLOWED_HEADERS = b"Authorization, Content-Type, Idempotency-Key, traceparent, Last-Event-ID"
_PREFLIGHT = [
    *_CORS,
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", _ALLOWED_HEADERS),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]
_NO_SNIFF = (b"x-content-type-options", b"nosniff")


Told = Callable[[str, str, int, float], None]
"""Method, route, status and seconds of a request whose answer begins."""


def _nobody(method: str, route: str, status: int, seconds: float) -> None:
    """Whom requests are told to, by default."""


class Edge:
    """Pure ASGI, as it is passed by every request. ``body_bytes``: by path; the empty one is all others."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Sequence[str],
        body_bytes: int | Mapping[str, int],
        told: Told = _nobody,
    ) -> None:
        self._app = app
        self._hosts = tuple(host.lower() for host in allowed_hosts)
        self._known: set[bytes] = set()
        self._body_bytes = body_bytes if isinstance(body_bytes, Mapping) else {"": body_bytes}
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        trace = scope["imagemill.trace"] = scope.get("imagemill.trace") or trace_of(scope["headers"])
        is_open = scope["type"] == "http" and scope["path"].startswith(_OPEN_PREFIXES)
        if scope["type"] == "http":
            send = _with_headers(_telling(send, scope, self._told), _CORS if is_open else [], trace)
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(HTTPConnection(scope), *refusal)(scope, receive, send)
        elif is_open and scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await send({"type": "http.response.body"})
        else:
            await self._app(scope, self._limited(receive, self._most(scope)), send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return 400, f"a request has exactly one Host header, this one has {len(hosts)}"
        host = hosts[0]
        if host not in self._known:
            if not self._is_allowed(host.decode("latin-1")):
                return 421, (
                    f"the host {host.decode('latin-1')[:100]!r} is not served here; "
                    "the operator can add it to IMAGEMILL_ALLOWED_HOSTS"
                )
            if len(self._known) < 1000:
                self._known.add(host)
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return 400, "the URL holds a NUL character (%00), which no text may"
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if length.isdigit() and int(length) > (most := self._most(scope)):
            return 413, _too_large(most)
        return None

    def _is_allowed(self, host: str) -> bool:
        name = host.lower()
        if not name.endswith("]"):
            name = name.rpartition(":")[0] if ":" in name else name
        return any(fnmatch.fnmatchcase(name, _literal_brackets(pattern)) for pattern in self._hosts)

    def _most(self, scope: Scope) -> int:
        return self._body_bytes.get(scope["path"], self._body_bytes[""])

    def _limited(self, receive: Receive, most: int) -> Receive:
        """For bodies that do not say their length."""
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, _too_large(most))
            return message

        return limited


def _too_large(most: int) -> str:
    return f"the body is larger than the {most} bytes that are accepted"


def _telling(send: Send, scope: Scope, told: Told) -> Send:
    start = time.perf_counter()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            # Never the path itself, which clients choose: what matched no route of ours is one label.
            route = getattr(scope.get("route"), "path", "other")
            told(scope["method"], route, message["status"], time.perf_counter() - start)
        await send(message)

    return sending


def _with_headers(send: Send, cors: list[tuple[bytes, bytes]], trace: str) -> Send:
    added = [*cors, _NO_SNIFF, (b"traceparent", trace.encode())]
    names = {name for name, _ in added}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", ()) if pair[0] not in names]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return sending


def _literal_brackets(pattern: str) -> str:
    return pattern.replace("[", "[[]")
