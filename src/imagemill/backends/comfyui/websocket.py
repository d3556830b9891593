"""The WebSocket of a node: one thread opens it, reopens it, and passes its frames to a listener."""

import logging
import threading
import uuid
from contextlib import AbstractContextManager
from typing import Protocol

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from imagemill.backends.comfyui.client import tls_context
from imagemill.domain.clock import random_fraction
from imagemill.domain.nodes import NodeConfig

log = logging.getLogger(__name__)
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.addFilter(lambda _: False)
"""The library logs a traceback for each node that hangs; `NodeSocket.problem` has the reason."""

FRAME_BYTES = 256 * 2**20
"""Largest frame accepted: SaveImageWebsocket sends whole pictures."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
GREETING = '{"type": "feature_flags", "data": {"supports_preview_metadata": true}}'
"""Sent as the first frame, it makes the node add the prompt's id to previews."""


class Listener(Protocol):
    def connected(self) -> None: ...

    def lost(self) -> None: ...

    def frame(self, frame: str | bytes) -> None: ...


def socket_url(config: NodeConfig, client_id: str) -> str:
    return f"ws{config.url.removeprefix('http')}/ws?clientId={client_id}"


def open_socket(
    config: NodeConfig, client_id: str, *, connect_s: float, ping_s: float | None = None
) -> AbstractContextManager[ClientConnection]:
    """Open a WebSocket to a node. ``ping_s``: seconds between pings, as a node sends none by itself.

    Entering it raises `OSError` or `WebSocketException` when it cannot be opened.
    """
    return connect(
        socket_url(config, client_id),
        ssl=tls_context(config),
        additional_headers=dict(config.headers),
        compression=None,
        max_size=FRAME_BYTES,
        open_timeout=connect_s,
        ping_interval=ping_s,
        ping_timeout=ping_s,
        close_timeout=1.0,
        proxy=None,
        logger=_library_log,
    )


class NodeSocket:
    """The WebSocket of a node, kept open by a thread.

    Prompts are sent with ``client_id``, so that their events come to this socket. Each connection has its
    own id: when an older connection with the same id closes, the node stops sending to the newer one, too.
    """

    def __init__(self, config: NodeConfig, listener: Listener, *, connect_s: float, ping_s: float) -> None:
        self._config = config
        self._listener = listener
        self._connect_s, self._ping_s = connect_s, ping_s
        self._closed = threading.Event()
        self._open = threading.Event()
        self._tried = threading.Event()
        self._connection: ClientConnection | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.client_id = str(uuid.uuid4())
        self.problem = ""
        """The reason why it is not open, in a sentence."""

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def start(self) -> None:
        """Start the thread if it is not running."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                name = f"imagemill-socket-{self._config.name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def wait_tried(self, seconds: float) -> None:
        """Wait until the first attempt to open it has ended."""
        self._tried.wait(seconds)

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            thread, connection = self._thread, self._connection
        if connection is not None:
            connection.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * self._connect_s)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                if self._listen():
                    pause_s = FIRST_PAUSE_S
            except Exception:
                log.exception("a bug in the socket of %s; it continues", self._config.name)
            self._closed.wait(pause_s * (0.5 + random_fraction()))
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _listen(self) -> bool:
        """Serve one connection until it ends; return whether it was opened."""
        client_id = str(uuid.uuid4())
        opened = False
        try:
            with open_socket(
                self._config, client_id, connect_s=self._connect_s, ping_s=self._ping_s
            ) as connection:
                with self._lock:
                    if self._closed.is_set():
                        return opened
                    self._connection, self.client_id = connection, client_id
                connection.send(GREETING)
                opened, self.problem = True, ""
                self._open.set()
                self._tried.set()
                self._listener.connected()
                for frame in connection:
                    self._listener.frame(frame)
        except ConnectionClosed as error:
            self.problem = f"the socket was closed: {error}"
        except (OSError, WebSocketException) as error:
            self.problem = f"the socket cannot be opened: {error}"
        finally:
            with self._lock:
                self._connection = None
            self._open.clear()
            self._tried.set()
            if opened:
                self._listener.lost()
        return opened
