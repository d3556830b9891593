"""The check of a gateway's address, so that one where nobody listens is no healthy node."""

import socket
import threading
import time
from urllib.parse import urlsplit
from urllib.request import getproxies

_CONNECT_S = 5.0
_HTTPS_PORT = 443


class GatewayCheck:
    """Connects to a gateway by TCP and sends nothing, at most every ``every_s`` seconds, in a thread.

    Nothing is checked without a gateway, because fal's own address has a second one for its outages, nor
    where a proxy is configured, which may reach hosts that this machine cannot.
    """

    def __init__(self, host: str | None, every_s: float) -> None:
        self._host = host or ""
        self._address = None if host is None or _has_proxy() else _address(host)
        self._every_s = every_s
        self._lock = threading.Lock()
        self._due_at = 0.0
        self._problem = ""

    def problem(self) -> str:
        """Return why the gateway could not be reached at the last check, else an empty text; never waits."""
        if self._address is None:
            return ""
        with self._lock:
            is_due = time.monotonic() >= self._due_at
            if is_due:
                self._due_at = float("inf")
        if is_due:
            threading.Thread(target=self._check, name="imagemill-fal-gateway", daemon=True).start()
        return self._problem

    def _check(self) -> None:
        problem = ""
        try:
            socket.create_connection(self._address or ("", 0), _CONNECT_S).close()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that is none
            reason = getattr(error, "strerror", None) or error
            problem = f"fal's gateway {self._host} cannot be reached ({reason}): check IMAGEMILL_FAL__HOST"
        with self._lock:
            self._problem = problem
            self._due_at = time.monotonic() + self._every_s


def _has_proxy() -> bool:
    return bool(getproxies().keys() & {"http", "https", "all"})


def _address(host: str) -> tuple[str, int] | None:
    """Return the host and port; None if they cannot be read, which calls of fal will report."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname, parts.port or _HTTPS_PORT) if parts.hostname else None
    except ValueError:
        return None
