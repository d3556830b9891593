"""Which addresses may be called for users: protection against server-side request forgery (SSRF)."""

import logging
import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

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
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9_.-]+)?")
"""A host name in ASCII, or an address; httpx2 leaves blanks in it, percent-encoded."""


class AddressBlocked(ImagemillError):
    """The address may not be called; the message says why and which setting allows it."""

    code = "address_blocked"


def _blocked(host: str) -> str:
    return f"{host} was not found or has an address that is not public; {_REMEDY}"


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
        import httpx2  # here, since a server without users' URLs need not load it

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
