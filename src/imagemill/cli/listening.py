"""The address to listen on: loopback only, taken before anything else is built."""

import socket
from ipaddress import ip_address

from imagemill.cli.output import UNUSABLE, Trouble

_BACKLOG = 2048


def check_host(host: str) -> str:
    """The numeric address of a loopback host. Raises `Trouble` for others, with another way to us."""
    name = host.strip().strip("[]")
    if name.lower().rstrip(".") == "localhost":
        return "127.0.0.1"
    try:
        address = ip_address(name)
    except ValueError:
        address = None
    if address is not None and address.is_loopback:
        return str(address)
    raise Trouble(
        f"{host!r} can be reached from other machines, and there is no access control yet: "
        "only loopback can be listened on (127.0.0.0/8, ::1, localhost)",
        UNUSABLE,
        details=(
            "To use the server from elsewhere, make a tunnel to it, on the other machine:",
            "    ssh -L 8700:127.0.0.1:8700 you@this-machine",
            "and open http://127.0.0.1:8700 there.",
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
