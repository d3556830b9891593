"""The address to listen on, taken before anything else is built."""

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from imagemill.cli.output import UNUSABLE, Trouble

if TYPE_CHECKING:
    from imagemill.config import Settings

_BACKLOG = 2048


def check_host(host: str) -> str:
    """The numeric address. Raises `Trouble` for what is none."""
    name = host.strip().strip("[]")
    if name.lower().rstrip(".") == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(name))
    except ValueError:
        raise Trouble(
            f"IMAGEMILL_HOST: {host!r} is no address; write one in numbers, such as 192.168.1.5, "
            "0.0.0.0 or :: for all, or localhost",
            UNUSABLE,
        ) from None


def check_guarded(settings: "Settings") -> None:
    """Raises `Trouble`, with what to do, where others could reach a server that asks nobody."""
    from imagemill.cli.building import has_credentials
    from imagemill.parts import is_loopback

    auth = settings.auth
    if is_loopback(settings.host) or auth.admin_key is not None or auth.required == "always":
        return
    if has_credentials(settings):
        return
    raise Trouble(
        f"{settings.host!r} can be reached from other machines, and there is no key that callers could be "
        "asked for",
        UNUSABLE,
        details=(
            "Make one, then start again:",
            "    imagemill keys create --owner ops --role admin",
            "or set IMAGEMILL_AUTH__ADMIN_KEY to 32 random characters or more,",
            "or listen on loopback, and make a tunnel on the other machine:",
            f"    ssh -L {settings.port}:127.0.0.1:{settings.port} you@this-machine",
        ),
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `Trouble` with what to do when the port is in use or may not be had."""
    address = check_host(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        # Two servers may bind the same port this way, but only one of them can listen.
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _refusal(address, port, error) from error
    return sock


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refusal(address: str, port: int, error: OSError) -> Trouble:
    import errno

    if error.errno == errno.EADDRINUSE:
        return Trouble(
            f"port {port} on {address} is in use by another program",
            UNUSABLE,
            details=(
                f"Is Imagemill running already? Look: imagemill health --url http://127.0.0.1:{port}",
                f"Else take another: --port {port % 65535 + 1}, or --port 0 for any free one.",
            ),
        )
    if error.errno == errno.EACCES:
        return Trouble(
            f"port {port} may not be listened on by this user; take one above 1023, such as --port 8700",
            UNUSABLE,
        )
    return Trouble(f"{address} port {port} cannot be listened on: {error.strerror or error}", UNUSABLE)
