"""Whether two addresses lead to the same server."""

import ipaddress
import socket
from urllib.parse import urlsplit

_LOCAL = "this machine"
_PORTS = {"http": 80, "https": 443}


def is_same_server(one: str, other: str) -> bool:
    """Whether two HTTP addresses surely lead to one server; looks up host names, so it may take seconds.

    Two names with the same address may be two servers behind one proxy, so one of the hosts must be an
    address, ``localhost`` or of this machine.
    """
    a, b = urlsplit(one), urlsplit(other)
    if (a.scheme, _port(one), a.path) != (b.scheme, _port(other), b.path):
        return False
    if a.hostname == b.hostname:
        return True
    shared = _addresses(a.hostname or "") & _addresses(b.hostname or "")
    literal = _is_literal(a.hostname or "") or _is_literal(b.hostname or "")
    return bool(shared) and (literal or _LOCAL in shared)


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _PORTS.get(parts.scheme)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _addresses(host: str) -> frozenset[str]:
    """The addresses of a host; all of this machine's are one. Empty for an unknown host."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(_LOCAL if _is_own(address) else address for address in found)


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
