"""An end for a whole HTTP exchange: httpx2's time limits count anew with every byte that arrives."""

import contextlib
import socket
import threading
from collections.abc import Generator
from typing import Any


class Deadline:
    """Shuts the connection of one request down when its time is over.

    Pass ``extensions`` to the request. Blocked reads then fail at once, in whichever thread they are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.passed = False

    @property
    def extensions(self) -> dict[str, Any]:
        return {"trace": self._trace}

    @contextlib.contextmanager
    def within(self, seconds: float) -> Generator[None]:
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
                passed = self.passed
            if passed:
                self._shut()

    def _end(self) -> None:
        with self._lock:
            self.passed = True
        self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)
