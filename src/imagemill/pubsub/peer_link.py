"""A connection between two processes of one machine that carries frames and never blocks its sender."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

_HEAD = struct.Struct(">IB")
"""Length of the body in bytes, kind of the frame."""
_CHUNK = 256 * 1024
"""Bytes of one read or write, about what a socket buffers."""
_MOST_UNSENT = 4 * 1024 * 1024
"""Bytes of unsent frames, beyond which the other process counts as too slow: 10,000 events of jobs."""
_LONGEST_FRAME = 64 * 1024 * 1024
"""Bytes of a frame; a longer one is none of ours."""
_LAST_SEND_S = 0.2
"""Seconds for which a connection that is closed may still send."""


class FrameKind(IntEnum):
    """A kind that a process of another version does not know is ignored."""

    HELLO = 1
    """The first of a subscriber, with its name and what it wants; JSON."""
    WELCOME = 2
    """The answer: from now on all events arrive."""
    FOLLOW = 3
    """Ids of jobs whose progress a subscriber wants; JSON."""
    UNFOLLOW = 4
    EVENT = 5
    PROGRESS = 6
    """A job's id, a line break and its progress."""


def frame(kind: FrameKind, body: bytes = b"") -> bytes:
    return _HEAD.pack(len(body), kind) + body


FrameReceiver = Callable[[list[tuple[int, bytes]]], None]
"""Called on the event loop with the kinds and bodies of the frames that have arrived."""


class PeerLink:
    """A connected socket, read on the event loop; any thread may send.

    A frame is sent by its sender's thread, as that costs less than to wake another. The event loop sends only
    what does not fit into the socket's buffer.
    """

    def __init__(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = connection
        self._loop = loop
        self._lock = threading.Lock()
        self._received = bytearray()
        self._unsent = bytearray()
        self._latest: dict[str, bytes] = {}
        """Frames of which only the last of its key is sent, once there is nothing else to send."""
        self._is_closed = False
        self._on_frames: FrameReceiver | None = None
        self._on_end: Callable[[], None] | None = None

    def start(self, on_frames: FrameReceiver, on_end: Callable[[], None]) -> None:
        """Receive frames; call on the event loop. ``on_end`` is called there once, unless `close` was."""
        self._on_frames, self._on_end = on_frames, on_end
        self._loop.add_reader(self._socket, self._read)

    def send(self, packed: bytes) -> None:
        """Send a frame. When too much is unsent, the connection ends instead."""
        with self._lock:
            if self._is_closed:
                return
            if not self._unsent:
                self._send_or_keep(packed)
            elif len(self._unsent) + len(packed) <= _MOST_UNSENT:
                self._unsent += packed
            else:
                self._abort()

    def send_latest(self, key: str, packed: bytes) -> None:
        """Send a frame. While others wait, it waits with them, and an unsent older one of its key is
        dropped."""
        with self._lock:
            if self._is_closed:
                return
            if self._unsent:
                self._latest[key] = packed
            else:
                self._send_or_keep(packed)

    def stop_reading(self) -> None:
        """Receive no more frames; call on the event loop. Later frames are sent as far as they fit."""
        if self._on_end is not None:
            self._on_frames = self._on_end = None
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """Send the rest as far as the other process reads it, and close. Not while it is being read."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                with suppress(OSError):
                    self._socket.settimeout(_LAST_SEND_S)
                    self._socket.sendall(self._unsent)
            self._socket.close()

    def _send_or_keep(self, packed: bytes) -> None:
        sent = self._try_send(packed)
        if sent < len(packed) and not self._is_closed:
            self._unsent += packed[sent:]
            with suppress(RuntimeError):  # the loop is closed: the process is stopping
                self._loop.call_soon_threadsafe(self._await_space)

    def _try_send(self, packed: bytes | bytearray | memoryview) -> int:
        """Return the number of bytes that were sent."""
        try:
            return self._socket.send(packed)
        except BlockingIOError:
            return 0
        except OSError:
            self._abort()
            return 0

    def _abort(self) -> None:
        """End the connection on both sides; the event loop reads its end and closes the socket."""
        self._is_closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # On the event loop

    def _await_space(self) -> None:
        if self._on_end is not None:
            self._loop.add_writer(self._socket, self._write)

    def _write(self) -> None:
        with self._lock:
            with memoryview(self._unsent) as unsent, unsent[:_CHUNK] as chunk:
                sent = self._try_send(chunk)
            if self._is_closed:
                self._loop.remove_writer(self._socket)
                return
            del self._unsent[:sent]
            if not self._unsent:
                for packed in self._latest.values():
                    self._unsent += packed
                self._latest.clear()
            if not self._unsent:
                self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        frames = self._whole_frames()
        if frames and self._on_frames is not None:
            self._on_frames(frames)
        if not data or self._is_oversized():
            self._end()

    def _whole_frames(self) -> list[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        start = 0
        while len(self._received) - start >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._received, start)
            end = start + _HEAD.size + length
            if end > len(self._received):
                break
            frames.append((kind, bytes(self._received[start + _HEAD.size : end])))
            start = end
        del self._received[:start]
        return frames

    def _is_oversized(self) -> bool:
        return len(self._received) >= _HEAD.size and _HEAD.unpack_from(self._received)[0] > _LONGEST_FRAME

    def _end(self) -> None:
        on_end = self._on_end
        self.stop_reading()
        with self._lock:
            self._is_closed = True
            self._socket.close()
        if on_end is not None:
            on_end()
