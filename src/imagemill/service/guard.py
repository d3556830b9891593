"""The SSRF guard: no address a user gave is called before it is known to be public, and then exactly it."""

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx2

from imagemill.domain.errors import InvalidInput

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# Addresses that the standard library takes for global: site-local, IPv4 in its older IPv6 forms, and
# NAT64 for local use.
_NOT_PUBLIC = tuple(map(IPv6Network, ("fec0::/10", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48")))

MAX_URL = 2000
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9_.-]+)?")
"""A name, already in its ASCII spelling, or an address; httpx2 leaves blanks in it, percent-encoded."""


class Refused(httpx2.TransportError):
    """The address may not be called; the message says why and which setting allows it."""


class Guard:
    """``allowed``: private networks that may be called all the same."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

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
        if complaint := self._complaint(literal):
            raise InvalidInput.at(path, complaint)
        return url

    def resolve(self, host: str, port: int) -> str:
        """The address to call for a host name. Every address it has must be allowed. Raises `Refused`."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Refused(f"{host} has no address: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if complaint := self._complaint(ip_address(address.split("%", 1)[0])):
                raise Refused(f"{host}: {complaint}")
        return addresses[0]

    def _complaint(self, address: Address) -> str | None:
        real = _unwrapped(address)
        hidden = any(real.version == network.version and real in network for network in _NOT_PUBLIC)
        if real.is_global and not real.is_multicast and not hidden:
            return None
        if any(real.version == network.version and real in network for network in self._allowed):
            return None
        return (
            f"{address} is not a public address; the operator can allow its network "
            "with IMAGEMILL_CALLBACK__ALLOW_NETWORKS"
        )


class GuardedTransport(httpx2.BaseTransport):
    """Resolves each host once, checks it, and connects to the checked address, so a name cannot change in
    between. TLS still checks the name."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._transport = httpx2.HTTPTransport(
            trust_env=False,
            # A connection a call: its time limit shuts the connection down.
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        address = self._guard.resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return self._transport.handle_request(pinned)

    def close(self) -> None:
        self._transport.close()


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), which is what would be reached."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in IPv6Network("64:ff9b::/96"):
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inner or address
