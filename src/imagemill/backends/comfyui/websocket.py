"""The WebSocket of a node: a task on the loop of all nodes opens it, and passes its frames to a listener.

It speaks the protocol itself: a prompt has a dozen frames, each of which a library's layers would pass
through an interpreter's thread or two.
"""

import asyncio
import base64
import hashlib
import logging
import os
import ssl
import threading
import uuid
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from imagemill.backends.comfyui.client import tls_context
from imagemill.backends.comfyui.loop import NodeLoop
from imagemill.backends.comfyui.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    BadFrame,
    FrameReader,
    masked_frame,
)
from imagemill.domain.clock import random_fraction
from imagemill.domain.nodes import NodeConfig

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

log = logging.getLogger(__name__)

FRAME_BYTES = 256 * 2**20
"""Largest message accepted: SaveImageWebsocket sends whole pictures."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
LATE_S = 0.1
"""Pause between two reads while no prompt of this process is on the node: it tells every process of each
prompt of all."""
GREETING = '{"type": "feature_flags", "data": {"supports_preview_metadata": true}}'
"""Sent as the first frame, it makes the node add the prompt's id to previews."""
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""The constant of RFC 6455 that proves that a server knows the protocol."""
_HEAD_BYTES = 64 * 1024


class Listener(Protocol):
    """Receives the frames of a socket, on the loop's thread; it must not block."""

    def connected(self) -> None: ...

    def lost(self) -> None: ...

    def frame(self, frame: str | bytes) -> None: ...

    def is_waiting(self) -> bool:
        """Whether frames are to be passed at once; otherwise they may be `LATE_S` late."""
        ...


def socket_url(config: NodeConfig, client_id: str) -> str:
    return f"ws{config.url.removeprefix('http')}/ws?clientId={client_id}"


def open_socket(
    config: NodeConfig, client_id: str, *, connect_s: float
) -> AbstractContextManager["ClientConnection"]:
    """Open a WebSocket to a node for a thread that reads it.

    Entering it raises `OSError` or `WebSocketException` when it cannot be opened.
    """
    from websockets.sync.client import connect

    return connect(
        socket_url(config, client_id),
        ssl=tls_context(config),
        additional_headers=dict(config.headers),
        compression=None,
        max_size=FRAME_BYTES,
        open_timeout=connect_s,
        close_timeout=1.0,
        proxy=None,
    )


class _SocketRefused(OSError):
    """The server answered the request for a WebSocket with something else."""


class NodeSocket:
    """The WebSocket of a node, kept open by a task.

    Prompts are sent with ``client_id``, so that their events come to this socket. Each connection has its
    own id: when an older connection with the same id closes, the node stops sending to the newer one, too.
    """

    def __init__(
        self, config: NodeConfig, listener: Listener, loop: NodeLoop, *, connect_s: float, ping_s: float
    ) -> None:
        self._config = config
        self._listener = listener
        self._loop = loop
        self._connect_s, self._ping_s = connect_s, ping_s
        self._tried = threading.Event()
        self._started = self._closed = self._open = False
        self._task: asyncio.Task[None] | None = None
        self._connection: _Connection | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.client_id = str(uuid.uuid4())
        self.problem = ""
        """The reason why it is not open, in a sentence."""

    @property
    def is_open(self) -> bool:
        return self._open

    def start(self) -> None:
        """Start to open it, if that has not been started."""
        if self._started:
            return
        with self._lock:
            if not self._started and not self._closed:
                self._started = self._loop.start_task(self._run()) is not None

    def wait_tried(self, seconds: float) -> None:
        """Wait until the first attempt to open it has ended."""
        self._tried.wait(seconds)

    def hurry(self) -> None:
        """Read at once what was left for later; to be called once the listener waits."""
        connection = self._connection
        if connection is not None and connection.is_paused:
            self._loop.call(connection.resume)

    def close(self) -> None:
        """Close it, and wait until it is closed; at once where it was never started."""
        with self._lock:
            self._closed = True
            started = self._started
        if started and self._loop.start_task(self._cancel()) is not None:
            self._ended.wait(2 * self._connect_s)

    async def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        pause_s = FIRST_PAUSE_S
        try:
            while not self._closed:
                try:
                    if await self._listen():
                        pause_s = FIRST_PAUSE_S
                except Exception:
                    log.exception("a bug in the socket of %s; it continues", self._config.name)
                await asyncio.sleep(pause_s * (0.5 + random_fraction()))
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
        finally:
            self._ended.set()

    async def _listen(self) -> bool:
        """Serve one connection until it ends; return whether it was opened."""
        client_id = str(uuid.uuid4())
        opened = False
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._connect_s):
                connection = await _open(self._config, client_id, self._listener)
            self.client_id = client_id
            opened, self.problem = True, ""
            self._open, self._connection = True, connection
            self._tried.set()
            self._listener.connected()
            connection.start(GREETING)
            self.problem = f"the socket was closed: {await connection.ended(self._ping_s)}"
        except (OSError, ValueError, TimeoutError) as error:
            reason = "it took too long" if isinstance(error, TimeoutError) else str(error)
            self.problem = f"the socket cannot be opened: {reason}"
        finally:
            self._open, self._connection = False, None
            self._tried.set()
            if connection is not None:
                connection.close()
            if opened:
                self._listener.lost()
        return opened


async def _open(config: NodeConfig, client_id: str, listener: Listener) -> "_Connection":
    """Connect and make the handshake. Raises `OSError` and `ValueError`."""
    parts = urlsplit(config.url)
    tls: ssl.SSLContext | None = tls_context(config)
    port = parts.port or (443 if tls else 80)
    key = base64.b64encode(os.urandom(16)).decode()
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(
            lambda: _Connection(listener, key), parts.hostname or "", port, ssl=tls
        )
    except UnicodeError as error:
        raise OSError("its host has no address") from error
    headers = {
        "Host": parts.netloc.rpartition("@")[2],
        "User-Agent": "imagemill",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    }
    given = {name.lower() for name in config.headers}
    lines = [f"GET {parts.path.rstrip('/')}/ws?clientId={client_id} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in config.headers.items()]
    try:
        await connection.shake_hands("\r\n".join([*lines, "", ""]).encode("latin-1"))
    except BaseException:
        connection.close()
        raise
    return connection


class _Connection(asyncio.Protocol):
    """One connection: the handshake, then its frames, which wait until `start`."""

    def __init__(self, listener: Listener, key: str) -> None:
        self._listener = listener
        self._accept = base64.b64encode(
            hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
        )
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self._shaken: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[str] = loop.create_future()
        self._head: bytes | None = b""
        """The received part of the head of the answer; None once it is complete."""
        self._early = b""
        """Frames that came with the head."""
        self._reader: FrameReader | None = None
        self._heard = True
        """Whether anything was received since the last ping."""
        self.is_paused = False
        """Whether nothing is read for a moment."""

    async def shake_hands(self, request: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - it is connected
        self._transport.write(request)
        await self._shaken

    def start(self, greeting: str) -> None:
        """Send the first frame, and pass what is received to the listener from now on."""
        self._send(TEXT, greeting.encode())
        self._reader = FrameReader(FRAME_BYTES)
        self._read_frames(self._early)

    async def ended(self, ping_s: float) -> str:
        """Wait for the end of the connection and return its reason. A node that leaves a ping unanswered has
        gone."""
        while True:
            self._heard = False
            self._send(PING, b"")
            done, _ = await asyncio.wait((self._lost,), timeout=ping_s)
            if done:
                return self._lost.result()
            if not self._heard:
                return "it does not answer pings"

    def resume(self) -> None:
        """Read on after a pause."""
        if self.is_paused and self._transport is not None and not self._transport.is_closing():
            self.is_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._send(CLOSE, b"\x03\xe8")
            self._transport.abort()

    # Methods of asyncio's protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not derived from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._reader is not None:
            self._read_frames(data)
        elif self._head is None:
            self._early += data
        else:
            self._read_head(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "") or "the node ended the connection")

    def _read_head(self, data: bytes) -> None:
        assert self._head is not None  # noqa: S101 - checked by the caller
        head, found, rest = (self._head + data).partition(b"\r\n\r\n")
        if not found:
            self._head = head
            if len(head) > _HEAD_BYTES:
                self._end("the server does not speak HTTP")
            return
        self._head, self._early = None, rest
        status, _, lines = head.partition(b"\r\n")
        words = status.split(b" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines.split(b"\r\n"))
        }
        if len(words) < 2 or words[1] != b"101":
            self._end(f"the server answers with HTTP {words[1].decode('latin-1')[:3] if words[1:] else '?'}")
        elif headers.get(b"sec-websocket-accept") != self._accept:
            self._end("the server does not know the protocol")
        elif not self._shaken.done():
            self._shaken.set_result(None)

    def _read_frames(self, data: bytes) -> None:
        assert self._reader is not None  # noqa: S101 - checked by the caller
        try:
            for kind, payload in self._reader.read(data):
                self._on_message(kind, payload)
        except (BadFrame, UnicodeError) as error:
            self._end(f"the node sends a broken frame: {error}")
        if not self._listener.is_waiting():
            self._pause()

    def _pause(self) -> None:
        if self._transport is None or self._transport.is_closing() or self.is_paused:
            return
        self.is_paused = True
        self._transport.pause_reading()
        if self._listener.is_waiting():
            self.resume()  # it began to wait meanwhile, and may have seen that nothing was paused
        else:
            asyncio.get_running_loop().call_later(LATE_S, self.resume)

    def _on_message(self, kind: int, payload: bytes) -> None:
        if kind == TEXT:
            self._listener.frame(payload.decode())
        elif kind == BINARY:
            self._listener.frame(payload)
        elif kind == PING:
            self._send(PONG, payload)
        elif kind == CLOSE:
            self._end(_close_reason(payload))

    def _send(self, kind: int, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(masked_frame(kind, payload))

    def _end(self, reason: str) -> None:
        if not self._shaken.done():
            self._shaken.set_exception(_SocketRefused(reason))
        if not self._lost.done():
            self._lost.set_result(reason)


def _close_reason(payload: bytes) -> str:
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return f"the node closed it with code {code}"
