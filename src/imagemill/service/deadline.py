"""An end for a whole HTTP exchange: httpx2's time limits count anew with every byte that arrives."""

import contextlib
import socket
import threading
import time
from collections.abc import Generator, Mapping
from typing import Any

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
