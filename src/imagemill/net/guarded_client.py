"""The SSRF guard: no address a user gave is called before it is known to be public, and then exactly it."""

import contextlib
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

from imagemill.domain.errors import InvalidInput

_OURS = "imagemill.deadline"


class Deadline:
    """Shuts the connections of one exchange down when its time is over.

    Pass ``extensions`` to its requests. Blocked reads then fail at once, in whichever thread they are, and
    looking the host up and connecting get no more than the time that is left.
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
        return {"trace": self._trace, _OURS: self}

    @staticmethod
    def of(extensions: Mapping[str, Any]) -> "Deadline | None":
        """The one that was passed to a request."""
        return extensions.get(_OURS)

    @contextlib.contextmanager
    def running(self) -> Generator[None]:
        timer = threading.Timer(self.left_s, self._end)
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


Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""All addresses of a host. Raises `OSError` or `UnicodeError` when it has none."""

# Addresses that a standard library, older or newer, takes for global.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "fec0::/10",  # site-local
        "::/96",  # IPv4 in its older IPv6 forms
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",  # NAT64 for local use
        "2001::/23",  # Teredo and other protocols' own
        "3fff::/20",  # documentation
        "5f00::/16",  # segments of a provider's own network
        "192.0.0.0/24",  # protocols' own, and a cloud's metadata
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # a cloud's metadata, in spite of its look
    )
)

MAX_URL = 2000
SETTING = "IMAGEMILL_ALLOW_NETWORKS"
_REMEDY = f"the operator can allow its network with {SETTING}"
_MOST_ADDRESSES = 4
"""Of a host that are tried, one after the other."""
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9_.-]+)?")
"""A name, already in its ASCII spelling, or an address; httpx2 leaves blanks in it, percent-encoded."""


class AddressBlocked(httpx2.TransportError):
    """The address may not be called; the message says why and which setting allows it."""


def look_up(host: str, port: int) -> Sequence[str]:
    """The system's resolver."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class UrlGuard:
    """``allowed``: private networks that may be called all the same."""

    def __init__(self, allowed: Sequence[Network] = (), *, resolver: Resolver = look_up) -> None:
        self._allowed = tuple(allowed)
        self._resolver = resolver

    def check_url(self, path: str, url: str) -> str:
        """Refuse at submit what is wrong without looking a name up. Raises `InvalidInput` at ``path``."""
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
        """The addresses that may be called for a host name: all it has. Raises `AddressBlocked`."""
        try:
            addresses = self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise AddressBlocked(f"{host} has no address: {error}") from error
        for address in addresses:
            # Which address is no business of whoever gave the name: names inside would be told.
            if not self._allows(ip_address(address.split("%", 1)[0])):
                raise AddressBlocked(f"{host} has an address that is not public; {_REMEDY}")
        if not addresses:
            raise AddressBlocked(f"{host} has no address")
        return addresses

    def _allows(self, address: Address) -> bool:
        real = _unwrapped(address)
        if real.is_global and not real.is_multicast and not _is_in(real, _NOT_PUBLIC):
            return True
        return _is_in(real, self._allowed)


def guarded_client(guard: UrlGuard, *, timeout_s: float, headers: Mapping[str, str]) -> httpx2.Client:
    """For addresses users gave: it follows no redirect, keeps no cookie, and reads no proxy or password of
    the environment."""
    return httpx2.Client(
        transport=GuardedTransport(guard),
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=False,
        # One user's receiver would see what it, or another one there, was given for another user.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers=headers,
    )


@cache
def _trust() -> ssl.SSLContext:
    """Whom TLS trusts. To read all authorities takes 20 ms, so it is done once a process."""
    return httpx2.create_ssl_context(trust_env=False)


class GuardedTransport(httpx2.BaseTransport):
    """Resolves each host once, checks it, and connects to the checked address, so a name cannot change in
    between. TLS still checks the name."""

    def __init__(self, guard: UrlGuard) -> None:
        self._guard = guard

    @cached_property
    def _transport(self) -> httpx2.HTTPTransport:
        """Made for the first call: most processes make none."""
        return httpx2.HTTPTransport(
            verify=_trust(),
            trust_env=False,
            # A connection a call: its time limit shuts the connection down.
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url, deadline = request.url, Deadline.of(request.extensions)
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = self._resolve(url.host, port, deadline)[:_MOST_ADDRESSES]
        for address in addresses[:-1]:
            try:
                return self._call(request, address, deadline)
            except httpx2.ConnectError:
                continue  # nothing was sent yet; the last one's error is told
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
        """In a thread of its own where time counts: a system's resolver takes all the time it wants."""
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


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), which is what would be reached."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in IPv6Network("64:ff9b::/96"):
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inner or address
