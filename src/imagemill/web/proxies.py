"""Who a request is really from, where proxies we trust pass it on."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

_SECURE = {"http": "https", "ws": "wss"}


class Proxies:
    """Their X-Forwarded-For and X-Forwarded-Proto are believed, nobody else's."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def resolve(self, scope: Scope) -> None:
        """Put the client's own address and scheme into the scope."""
        client = scope.get("client")
        if not self._networks or client is None or not self._trusts(client[0]):
            return
        headers = scope["headers"]
        given = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        if given:
            scope["client"] = (self._origin(given.decode("latin-1")), 0)
        protos = [value for name, value in headers if name == b"x-forwarded-proto"]
        if protos and protos[-1].strip().lower() in (b"https", b"wss"):
            scope["scheme"] = _SECURE.get(scope["scheme"], scope["scheme"])

    def _origin(self, given: str) -> str:
        """The last address that no proxy of ours has: whatever is before it anybody may have written."""
        addresses = [_plain(part) for part in given.split(",") if part.strip()]
        for address in reversed(addresses):
            if not self._trusts(address):
                return address[:64]
        return addresses[0][:64] if addresses else ""

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


def client_address(scope: Scope) -> str:
    """Of whoever sent the request, without a port; empty where the server does not know."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _plain(part: str) -> str:
    """Without a port and brackets."""
    text = part.strip().strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
