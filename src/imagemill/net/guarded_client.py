"""An HTTP client for URLs that users gave, which calls only addresses that `UrlGuard` allows.

A host is resolved once, its addresses are checked to be public, and the connection goes to exactly the
checked address. `Deadline` bounds a whole exchange, name resolution included.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from functools import cache, cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2

from imagemill.net.url_guard import AddressBlocked, UrlGuard

_MAX_ADDRESSES = 4
"""Addresses of a host that are tried, one after the other."""
_DEADLINE = "imagemill.deadline"
"""Key of the deadline among a request's extensions."""


class ConnectionBlocked(AddressBlocked, httpx2.TransportError):
    """A transport refused an address."""


class Deadline:
    """Closes the connections of one exchange when its time is over.

    Pass ``extensions`` to the requests of the exchange. Blocked reads then fail at once, in whichever thread
    they run, and name resolution and connecting are limited to the remaining time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._passed = False

    @property
    def passed(self) -> bool:
        return self._passed or time.monotonic() >= self._ends_at

    @property
    def left_s(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    @property
    def extensions(self) -> dict[str, Any]:
        return {"trace": self._trace, _DEADLINE: self}

    @staticmethod
    def from_extensions(extensions: Mapping[str, Any]) -> "Deadline | None":
        """The deadline in a request's extensions, if there is one."""
        return extensions.get(_DEADLINE)

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Enforce the deadline inside the block."""
        return self.ending_in(self.left_s)

    @contextlib.contextmanager
    def ending_in(self, seconds: float) -> Generator[None]:
        """Close the connection when the block takes so long; the deadline counts as passed then."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                passed = self._passed
            if passed:
                self._shut()

    def _end(self) -> None:
        with self._lock:
            self._passed = True
        self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)


def guarded_client(guard: UrlGuard, *, timeout_s: float, headers: Mapping[str, str]) -> httpx2.Client:
    """A client for URLs that users gave.

    It follows no redirect, keeps no cookie, and reads no proxy or password from the environment.
    """
    return httpx2.Client(
        transport=GuardedTransport(guard),
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=False,
        # Cookies set during one user's request would be sent with the requests of other users.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers=headers,
    )


@cache
def _tls_context() -> ssl.SSLContext:
    """The TLS context with the trusted authorities, built once a process: reading them takes 20 ms."""
    return httpx2.create_ssl_context(trust_env=False)


class GuardedTransport(httpx2.BaseTransport):
    """Resolves each host once, checks its addresses and connects to a checked one.

    So the name cannot resolve to another address in between. TLS still verifies the host name.
    """

    def __init__(self, guard: UrlGuard) -> None:
        self._guard = guard

    @cached_property
    def _transport(self) -> httpx2.HTTPTransport:
        """Built at the first call: most processes make none."""
        return httpx2.HTTPTransport(
            verify=_tls_context(),
            trust_env=False,
            # One connection per call, as a deadline closes the connection.
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url, deadline = request.url, Deadline.from_extensions(request.extensions)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = self._resolve(url.host, port, deadline)[:_MAX_ADDRESSES]
        except AddressBlocked as error:
            raise ConnectionBlocked(str(error)) from error
        for address in addresses[:-1]:
            try:
                return self._call(request, address, deadline)
            except httpx2.ConnectError:
                continue  # nothing was sent yet; the error of the last address is raised
        return self._call(request, addresses[-1], deadline)

    def _call(self, request: httpx2.Request, address: str, deadline: Deadline | None) -> httpx2.Response:
        extensions: dict[str, Any] = {**request.extensions, "sni_hostname": request.url.host}
        if deadline is not None:
            extensions["timeout"] = {**extensions.get("timeout", {}), "connect": max(0.001, deadline.left_s)}
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions=extensions,
        )
        return self._transport.handle_request(pinned)

    def _resolve(self, host: str, port: int, deadline: Deadline | None) -> Sequence[str]:
        """Resolve in a thread when there is a deadline: the system's resolver has no time limit."""
        if deadline is None:
            return self._guard.resolve(host, port)
        found: list[Sequence[str] | Exception] = []

        def resolve() -> None:
            try:
                found.append(self._guard.resolve(host, port))
            except Exception as error:  # noqa: BLE001 - raised in the caller's thread
                found.append(error)

        thread = threading.Thread(target=resolve, name="imagemill-resolve", daemon=True)
        thread.start()
        thread.join(deadline.left_s)
        answer = found[0] if found else httpx2.ConnectTimeout(f"{host} was not found in time")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._transport.close()
