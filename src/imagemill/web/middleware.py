"""The outermost layer of requests: client address, allowed hosts, limits of a body's size and time."""

import asyncio
import fnmatch
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from imagemill.domain.dataclass import dataclass
from imagemill.observability.tracing import Tracer
from imagemill.web.http import CORS_ALLOWED, inbound_trace, trace_of
from imagemill.web.policies import POLICY, REWRITTEN_PREFIX, PathPolicies, PathPolicy
from imagemill.web.problems import problem
from imagemill.web.security_headers import CorsHeaders, secured

STATUS = "imagemill.status"
"""The key of an answer's status in the scope of its request, once the answer has begun."""
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_ADDRESS_LENGTH = 64
"""The longest address, in characters: a proxy may pass on any text of a client."""


def behind_proxies(app: ASGIApp, networks: Sequence[IPv4Network | IPv6Network]) -> ASGIApp:
    """Read the client's address and scheme from the headers of these proxies, and of no other peers.

    A server that listens on both families gets an IPv4 proxy's address as ``::ffff:a.b.c.d``, so that form
    is trusted, too.
    """
    if not networks:
        return app
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in networks
        if isinstance(network, IPv4Network)
    ]
    proxied = ProxyHeadersMiddleware(cast("Any", app), [*map(str, networks), *mapped])
    return cast("ASGIApp", proxied)


def client_address(scope: Scope) -> str:
    """Return the address a request came from, without a port; empty if it is unknown."""
    client = scope.get("client")
    return str(client[0])[:_ADDRESS_LENGTH] if client else ""


OnResponse = Callable[[str, str, int, float], None]
"""Called with method, route, status and seconds when a response begins."""


def _ignore(method: str, route: str, status: int, seconds: float) -> None:
    """Do nothing: the default of ``on_response``."""


@dataclass(frozen=True, slots=True)
class EdgeRules:
    hosts: Sequence[str]
    """Patterns of the allowed Host headers."""
    body_bytes: int
    body_s: float = 60.0
    """Seconds in which a whole body must arrive."""
    origins: Sequence[str] = ()
    contract_origins: Sequence[str] = ("*",)
    proxies: Sequence[IPv4Network | IPv6Network] = ()
    """Networks of the proxies that `behind_proxies` trusts."""
    larger_bodies: Mapping[str, int] = field(default_factory=dict[str, int])
    """The largest body in bytes, by path, where it is more than ``body_bytes``."""
    access_log: bool = False
    """Whether a line is logged for each request."""
    prefixes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The path prefix of requests by host; paths that are served on every host get none."""


class EdgeMiddleware:
    """Checks every request first. Pure ASGI, since every request passes it."""

    def __init__(
        self,
        app: ASGIApp,
        rules: EdgeRules,
        policies: PathPolicies | None = None,
        *,
        on_response: OnResponse = _ignore,
    ) -> None:
        self._app = app
        self._policies = policies or PathPolicies()
        self._hosts = tuple(host.lower() for host in rules.hosts)
        self._known: set[bytes] = set()
        self._body_bytes = {"": rules.body_bytes, **rules.larger_bodies}
        self._body_s = rules.body_s
        self._cors = CorsHeaders(rules.origins, rules.contract_origins)
        self._on_response = on_response
        self._prefixes = rules.prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if self._prefixes:
            self._place(scope)
        scope[POLICY] = self._policies.of(scope["path"])
        scope["imagemill.trace"] = scope.get("imagemill.trace") or trace_of(scope["headers"])
        scope[CORS_ALLOWED] = self._cors.lists(scope)
        refusal = self._refusal(scope)
        body: _Body | None = None
        if _has_body(scope):
            most = 0 if refusal is not None else self._most(scope)
            body = _Body(receive, most, self._body_s, expects_continue=_expects(scope))
        if scope["type"] == "http":
            send = self._answering(scope, send, body)
        if refusal is not None:
            await problem(HTTPConnection(scope), *refusal)(scope, receive, send)
        elif scope["type"] == "http" and (preflight := self._cors.preflight(scope)) is not None:
            await send({"type": "http.response.start", "status": 204, "headers": preflight})
            await send({"type": "http.response.body"})
        else:
            await self._app(scope, receive if body is None else body.receive, send)

    def _answering(self, scope: Scope, send: Send, body: "_Body | None") -> Send:
        """Return a ``send`` that observes the answer, adds our headers, reads what is left of the body."""
        start = time.perf_counter()
        added = [*self._cors.headers(scope), (b"traceparent", scope["imagemill.trace"].encode())]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope[STATUS] = message["status"]
                # Never the path itself, which clients choose: requests without a route share one label.
                route = getattr(scope.get("route"), "path", "other")
                self._on_response(scope["method"], route, message["status"], time.perf_counter() - start)
                message = {**message, "headers": secured(scope, message.get("headers", ()), added)}
            elif body is not None and body.is_unread and _is_last(message):
                await send({**message, "more_body": True})
                await body.drain()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return sending

    def _place(self, scope: Scope) -> None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        prefix = self._prefixes.get(_name(host.decode("latin-1")))
        if prefix is not None and not self._policies.of(scope["path"]).on_every_host:
            scope["path"] = prefix + scope["path"]
            scope["raw_path"] = prefix.encode() + (scope.get("raw_path") or b"")
            scope[REWRITTEN_PREFIX] = prefix

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 and (hosts or scope.get("http_version") != "1.0"):
            return 400, f"a request has exactly one Host header, this one has {len(hosts)}"
        # Browsers always send it; probes that speak HTTP/1.0 do not.
        if (host := hosts[0] if hosts else None) is not None and host not in self._known:
            if _is_own(scope, host):
                pass  # not cached: another connection may have another server address
            elif not self._is_allowed(host.decode("latin-1")):
                return 421, (
                    f"the host {host.decode('latin-1')[:100]!r} is not served here; "
                    "the operator can add it to IMAGEMILL_ALLOWED_HOSTS"
                )
            elif len(self._known) < 1000:
                self._known.add(host)
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return 400, "the URL holds a NUL character (%00), which no text may"
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if length.isdigit() and int(length) > (most := self._most(scope)):
            return 413, _too_large(most)
        return None

    def _is_allowed(self, host: str) -> bool:
        name = _name(host)
        return bool(name) and any(
            fnmatch.fnmatchcase(name, _literal_brackets(pattern)) for pattern in self._hosts
        )

    def _most(self, scope: Scope) -> int:
        policy: PathPolicy = scope[POLICY]
        return max(policy.body_bytes, self._body_bytes.get(scope["path"], self._body_bytes[""]))


_DRAINED_BYTES = 64 * 2**20
"""The most bytes of a body that are read after the answer: twice the largest upload by default."""
_DRAIN_S = 5.0
"""Seconds for them."""


class _Body:
    """The body of a request, with limits of its size and of the time in which it must arrive.

    Many clients send the whole body before they read the answer, and a connection that is closed while bytes
    arrive is reset, which loses the answer. So what nobody has read is read after the answer, within bounds.
    """

    def __init__(self, receive: Receive, most: int, seconds: float, *, expects_continue: bool) -> None:
        self._receive = receive
        self._most = most
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._received = 0
        self._is_over = False
        """Whether it has arrived, will not arrive in time, or its client has disconnected."""
        self._is_held_back = expects_continue
        """Whether the client sends nothing before it is asked to."""

    async def receive(self) -> Message:
        if self._is_over:
            return await self._receive()
        self._is_held_back = False
        message = await (self._receive() if self._has_arrived() else self._receive_in_time())
        self._is_over = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise HTTPException(413, _too_large(self._most))
        return message

    def _has_arrived(self) -> bool:
        """Whether all of it is here, so that no timer is needed; known of uvicorn's requests only."""
        return getattr(getattr(self._receive, "__self__", None), "more_body", True) is False

    async def _receive_in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            self._is_over = True
            raise HTTPException(408, _too_slow(self._seconds), {"Connection": "close"}) from None

    @property
    def is_unread(self) -> bool:
        """Whether a part of it was sent and not received."""
        return not self._is_over and not self._is_held_back

    async def drain(self) -> None:
        left = _DRAINED_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while left > 0 and not self._is_over:
                    message = await self._receive()
                    self._is_over = not message.get("more_body", False)
                    left -= len(message.get("body", b""))


def _too_large(most: int) -> str:
    return f"the body is larger than the {most} bytes that are accepted"


def _too_slow(seconds: float) -> str:
    return f"the body has not arrived within {seconds:g} s"


def _is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _has_body(scope: Scope) -> bool:
    return any(
        (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
        for name, value in scope["headers"]
    )


def _expects(scope: Scope) -> bool:
    return any(name == b"expect" for name, _ in scope["headers"])


def _is_own(scope: Scope, host: bytes) -> bool:
    """Whether the Host is the address the request came to, which no name of another site can be."""
    server = scope.get("server")
    return server is not None and _name(host.decode("latin-1")).strip("[]") == server[0].lower()


def _name(host: str) -> str:
    """Return the name in a Host header without its port; empty for one that is not ``name[:port]``."""
    found = _HOST.fullmatch(host.lower())
    return found.group(1) if found else ""


def _literal_brackets(pattern: str) -> str:
    return pattern.replace("[", "[[]")


class HeadMiddleware:
    """Answers HEAD wherever GET is answered: with the same head, and without reading a stream to its end.

    Routes that answer HEAD themselves, such as those of files, are left to do so.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
        elif not await self._answered(scope, receive, send):
            await self._answer_as_get(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the route knows HEAD and has answered it."""
        is_refused = False

        async def sending(message: Message) -> None:
            nonlocal is_refused
            is_refused = is_refused or message.get("status") == 405
            if not is_refused:
                if "route" in inner:
                    scope["route"] = inner["route"]
                await send(message)

        inner = dict(scope)
        await self._app(inner, receive, sending)
        return not is_refused

    async def _answer_as_get(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, asked = asyncio.Event(), False

        async def receiving() -> Message:
            nonlocal asked
            if asked:
                await started.wait()
                return {"type": "http.disconnect"}  # ends a stream
            asked = True
            return await receive()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                if "route" in inner:
                    scope["route"] = inner["route"]
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                started.set()

        inner = {**scope, "method": "GET"}
        await self._app(inner, receiving, sending)


class Traced:
    """Traces requests. A span ends with the answer, so that of a stream is as long as the stream."""

    def __init__(self, app: ASGIApp, tracer: Tracer, policies: PathPolicies) -> None:
        self._app = app
        self._tracer = tracer
        self._policies = policies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._policies.of(scope["path"]).traced:
            await self._app(scope, receive, send)
            return
        given = inbound_trace(scope["headers"])
        trace = trace_of(scope["headers"])
        request = self._tracer.request(trace, given[36:52] if given else None)
        scope["imagemill.trace"] = trace if request is None else f"{trace[:-2]}01"
        if request is None:
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            request.close(scope["method"], getattr(scope.get("route"), "path", ""), status)
