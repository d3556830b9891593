"""An HTTP client for URLs that users gave, with protection against server-side request forgery (SSRF).

A host is resolved once, its addresses are checked to be public, and the connection goes to exactly the
checked address. `Deadline` bounds a whole exchange, name resolution included.
"""

import contextlib
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cache, cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpx2

from imagemill.domain.errors import ImagemillError, InvalidInput

log = logging.getLogger(__name__)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""All addresses of a host. Raises `OSError` or `UnicodeError` when it has none."""

MAX_URL = 2000
SETTING = "IMAGEMILL_ALLOW_NETWORKS"

# Addresses that some versions of the standard library take for global.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "fec0::/10",  # site-local
        "::/96",  # IPv4 in its older IPv6 forms
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",  # NAT64 for local use
        "2001::/23",  # Teredo and addresses reserved for protocols
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing (SRv6)
        "192.0.0.0/24",  # addresses reserved for protocols, and a cloud's metadata service
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # a cloud's metadata service, although the address looks public
    )
)
_REMEDY = f"the operator can allow its network with {SETTING}"
_MAX_ADDRESSES = 4
"""Addresses of a host that are tried, one after the other."""
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9_.-]+)?")
"""A host name in ASCII, or an address; httpx2 leaves blanks in it, percent-encoded."""
_DEADLINE = "imagemill.deadline"
"""Key of the deadline among a request's extensions."""


class AddressBlocked(ImagemillError, httpx2.TransportError):
    """The address may not be called; the message says why and which setting allows it.

    It is also an `httpx2.TransportError`, as a transport raises it.
    """

    code = "address_blocked"


def _blocked(host: str) -> str:
    return f"{host} was not found or has an address that is not public; {_REMEDY}"


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


def look_up(host: str, port: int) -> Sequence[str]:
    """Resolve a host name with the system's resolver."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class UrlGuard:
    """Decides which URLs and addresses may be called. ``allowed``: private networks that may be, too."""

    def __init__(self, allowed: Sequence[Network] = (), *, resolver: Resolver = look_up) -> None:
        self._allowed = tuple(allowed)
        self._resolver = resolver

    def check_url(self, path: str, url: str) -> str:
        """Check a URL without resolving its host. Raises `InvalidInput` at ``path``."""
        if len(url) > MAX_URL:
            raise InvalidInput.at(path, f"has {len(url)} characters, at most {MAX_URL} are allowed")
        try:
            parsed = httpx2.URL(url)
        except (httpx2.InvalidURL, ValueError) as error:
            raise InvalidInput.at(path, f"is not a URL: {error}") from error
        host = parsed.raw_host.decode("ascii")
        if parsed.scheme not in ("http", "https") or not _HOST.fullmatch(host):
            raise InvalidInput.at(path, "must be an absolute http or https URL")
        if parsed.port is not None and not 1 <= parsed.port <= 65_535:
            raise InvalidInput.at(path, f"has the port {parsed.port}; ports go from 1 to 65535")
        if parsed.userinfo:
            raise InvalidInput.at(path, "must not carry a user name or password")
        try:
            literal = ip_address("127.0.0.1" if parsed.host == "localhost" else parsed.host)
        except ValueError:
            return url
        if not self._allows(literal):
            raise InvalidInput.at(path, f"{literal} is not a public address; {_REMEDY}")
        return url

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a host name. Raises `AddressBlocked` if one of them may not be called.

        The message is the same for a name that does not exist and for one of the internal network: else it
        would reveal to users which names exist there. The log has the reason, at the level debug.
        """
        try:
            addresses = self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            log.debug("%s cannot be resolved: %s", host, error)
            raise AddressBlocked(_blocked(host)) from error
        refused = [each for each in addresses if not self._allows(ip_address(each.split("%", 1)[0]))]
        if refused or not addresses:
            log.debug("%s has the addresses %s, of which %s are refused", host, addresses, refused)
            raise AddressBlocked(_blocked(host))
        return addresses

    def _allows(self, address: Address) -> bool:
        real = _unwrap(address)
        if real.is_global and not real.is_multicast and not _is_in(real, _NOT_PUBLIC):
            return True
        return _is_in(real, self._allowed)


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
        addresses = self._resolve(url.host, port, deadline)[:_MAX_ADDRESSES]
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


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _unwrap(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64): the host that would be reached."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in IPv6Network("64:ff9b::/96"):
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inner or address
