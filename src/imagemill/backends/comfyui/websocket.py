"""The socket of a node: opened, kept and reopened by one thread; frames go to whoever listens."""

import logging
import threading
import uuid
from contextlib import AbstractContextManager
from random import random
from typing import Protocol

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from imagemill.backends.comfyui.client import tls_context
from imagemill.domain.nodes import NodeConfig

log = logging.getLogger(__name__)

FRAME_BYTES = 256 * 2**20
"""Largest frame taken: SaveImageWebsocket sends whole pictures."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
GREETING = '{"type": "feature_flags", "data": {"supports_preview_metadata": true}}'
"""As the first frame it makes the node say which prompt a preview belongs to."""


class Listener(Protocol):
    def connected(self) -> None: ...

    def lost(self) -> None: ...

    def frame(self, frame: str | bytes) -> None: ...


def socket_url(config: NodeConfig, client_id: str) -> str:
    return f"ws{config.url.removeprefix('http')}/ws?clientId={client_id}"


def open_socket(
    config: NodeConfig, client_id: str, *, connect_s: float, ping_s: float | None = None
) -> AbstractContextManager[ClientConnection]:
    """``ping_s``: how often the node is asked for a sign of life, as it sends none by itself.

    Raises `OSError` or `WebSocketException` when it is entered and cannot be opened."""
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
    )


class NodeSocket:
    """``client_id`` is what prompts are sent with, so that their events come here.

    Each connection has one of its own: when an older connection with the same id closes, a node forgets
    the newer one too and falls silent.
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
        self.trouble = ""
        """Why it is not open, in a sentence."""

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def start(self) -> None:
        """Does nothing when it runs already."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                name = f"imagemill-socket-{self._config.name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def wait_tried(self, seconds: float) -> None:
        """Until the first opening went well or failed."""
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
                log.exception("the socket of %s met a bug and goes on", self._config.name)
            self._closed.wait(pause_s * (0.5 + random()))  # noqa: S311 - spreads reconnections
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _listen(self) -> bool:
        """One connection from its opening to its end; whether it opened."""
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
                opened, self.trouble = True, ""
                self._open.set()
                self._tried.set()
                self._listener.connected()
                for frame in connection:
                    self._listener.frame(frame)
        except ConnectionClosed as error:
            self.trouble = f"the socket was closed: {error}"
        except (OSError, WebSocketException) as error:
            self.trouble = f"the socket cannot be opened: {error}"
        finally:
            with self._lock:
                self._connection = None
            self._open.clear()
            self._tried.set()
            if opened:
                self._listener.lost()
        return opened
