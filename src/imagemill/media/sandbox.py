"""A pool of confined processes that decode and transform pictures.

They are kept between pictures, and killed when one takes too long. `imagemill.media.sandbox_child` is the
program they run.
"""

import contextlib
import json
import math
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError
from imagemill.media.layout import InvalidImage
from imagemill.media.sandbox_child import LENGTHS
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext, pack, unpack_files

_BASE_BYTES = 256 * 2**20
"""Address space for Python, Pillow, their libraries, and the file itself."""
_BYTES_A_PIXEL = 12
"""A picture, its upright copy and an encoder's buffers, at four bytes a pixel each."""
_TRANSFORM_BASE_BYTES = 2 * 2**30
"""NumPy, codecs and a small network reserve far more address space than they use."""
_TRANSFORM_BYTES_A_PIXEL = 160
"""Ten layers of four 32-bit numbers."""
_TRANSFORM_NICE = 10
"""Niceness of transforms, so that the server still answers while all cores process pictures: it halves the
p99 of `/health`."""
_START_S = 60.0
"""Longest time until a new process answers, on a very busy machine."""
_LONGEST_HEAD = 4096
_SENT_AT_ONCE, _FIRST_PIECE, _PIECE = 64 * 1024, 8192, 1024 * 1024
"""Bytes: the largest picture that is sent in one piece with its head, and the sizes of other pieces."""


class _Gone(Exception):
    """The process had ended before it was asked."""


class DecodersBusy(ImagemillError):
    """All processes were busy for longer than a caller should wait."""

    code = "decoders_busy"
    retryable = True


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    pixels: int
    seconds: float = 10.0
    """Longest time for one picture."""
    bytes: int = 512 * 2**20
    """Largest answer that is read from a process: the pixels or files it makes."""

    base_bytes: int = _BASE_BYTES
    pixel_bytes: int = _BYTES_A_PIXEL
    nice: int = 0
    """The process's niceness, 0 to 19: higher values give way to other processes."""

    @property
    def memory_bytes(self) -> int:
        return self.base_bytes + self.pixel_bytes * self.pixels


def transform_limits(pixels: int, seconds: float) -> DecodeLimits:
    """The limits of processes that transform pictures with NumPy, in floating point."""
    return DecodeLimits(
        pixels, seconds, 512 * 2**20, _TRANSFORM_BASE_BYTES, _TRANSFORM_BYTES_A_PIXEL, _TRANSFORM_NICE
    )


class DecoderPool:
    """At most ``count`` processes, started when they are first needed. Thread-safe."""

    def __init__(self, limits: DecodeLimits, count: int | None = None) -> None:
        self._limits = limits
        # Unlike a semaphore of `threading`, it waits without code in Python.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count or max(1, (os.cpu_count() or 1) // 2)):
            self._free.put(None)
        self._idle: list[_Child] = []
        self._lock = threading.Lock()
        self._closed = False

    def decode(self, data: bytes, orientation: int = 1) -> tuple[int, int, bytes]:
        """Width and height, and the picture encoded upright if ``orientation`` is not 1.

        Raises `InvalidImage` and `DecodersBusy`.
        """
        head, body = self._ask({"orientation": orientation}, data)
        return int(head["width"]), int(head["height"]), body

    def inspect(self, data: bytes, max_pixels: int) -> tuple[str, int, int]:
        """Decode a picture; return its format, width and height. Raises like `decode`."""
        head, _ = self._ask({"pixels": max_pixels}, data)
        return str(head["format"]), int(head["width"]), int(head["height"])

    def raster(self, data: bytes, width: int, height: int) -> bytes:
        """The picture's pixels scaled to this size, row by row: red, green and blue. Raises like `decode`."""
        return self._ask({"raster": [width, height]}, data)[1]

    def transform(
        self, transform: ImageTransform, data: bytes, context: TransformContext
    ) -> tuple[OutputFile, ...]:
        """The files that a transform makes of the picture. Raises like `decode`; `InvalidImage` from it,
        too."""
        head, body = self._ask({"transform": pack(transform, context)}, data)
        if "refused" in head:
            raise InvalidImage(str(head["refused"]))
        return unpack_files(head, body)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._kill_idle()

    def _kill_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            if child.owner == os.getpid():  # a forked process shares its parent's children
                child.kill()

    @property
    def processes(self) -> list[int]:
        """The ids of the idle processes."""
        with self._lock:
            return [child.pid for child in self._idle]

    def _ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            answer, body = self._ask_once(head, data)
        except _Gone:
            # It ended while it was idle, such as for want of memory; others may have, too.
            self._kill_idle()
            try:
                answer, body = self._ask_once(head, data)
            except _Gone as error:
                raise InvalidImage("cannot be decoded: the process for it ends at once") from error
        if "error" in answer:
            raise InvalidImage(f"cannot be decoded: {str(answer['error'])[:80]}")
        return answer, body

    def _ask_once(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        with self._child() as child:
            return child.ask(head, data, self._limits.seconds)

    @contextlib.contextmanager
    def _child(self) -> Iterator["_Child"]:
        # As long as a few earlier callers may take.
        try:
            self._free.get(timeout=4 * self._limits.seconds + _START_S)
        except Empty:
            message = "all pictures that may be decoded at once are being decoded; try again"
            raise DecodersBusy(message) from None
        try:
            child = self._take_idle() or _Child(self._limits)
            try:
                yield child
            except BaseException:
                child.kill()
                raise
            self._put_back(child)
        finally:
            self._free.put(None)

    def _take_idle(self) -> "_Child | None":
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.owner == os.getpid():
                    return child
        return None

    def _put_back(self, child: "_Child") -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                return
        child.kill()


class _Child:
    """One process, reached over a socket whose time limits the kernel keeps: asking takes two system calls,
    and no timer."""

    def __init__(self, limits: DecodeLimits) -> None:
        self.owner = os.getpid()
        self._most = limits.bytes
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    "-I",
                    "-m",
                    "imagemill.media.sandbox_child",
                    str(limits.memory_bytes),
                    str(math.ceil(limits.seconds)),
                    str(limits.nice),
                ],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                # One thread per process: more would compete for the cores, and each takes memory.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        try:
            ready = self._read(time.monotonic() + _START_S)
        except OSError:
            ready = None
        if ready is None or "ready" not in ready[0]:
            self.kill()
            raise RuntimeError("the process that decodes pictures does not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, head: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Send a request and return the answer. Raises `InvalidImage`, and `_Gone` if it had ended before."""
        end = time.monotonic() + seconds
        try:
            self._send(head, data, end)
            answer = self._read(end)
        except BlockingIOError as error:
            raise InvalidImage(f"cannot be decoded: its decoding takes longer than {seconds:g} s") from error
        except ConnectionError:
            answer = None
        if answer is None:
            raise InvalidImage("cannot be decoded: its decoding exceeds the limits")
        return answer

    def _send(self, head: dict[str, Any], data: bytes, end: float) -> None:
        text = json.dumps(head).encode()
        start = LENGTHS.pack(len(text), len(data)) + text
        self._limit(socket.SO_SNDTIMEO, end)
        try:
            if len(data) <= _SENT_AT_ONCE:
                self._socket.sendall(start + data)
                return
            self._socket.sendall(start)
        except ConnectionError as error:
            raise _Gone from error
        rest = memoryview(data)
        while rest:
            self._limit(socket.SO_SNDTIMEO, end)
            rest = rest[self._socket.send(rest[:_PIECE]) :]

    def _read(self, end: float) -> tuple[dict[str, Any], bytes] | None:
        """Read an answer: bounded, and data only, as a malicious file may control the decoder. None at its
        end. Raises `OSError`, a `BlockingIOError` after ``end``."""
        start = bytearray()
        while len(start) < LENGTHS.size:
            if not (piece := self._receive(_FIRST_PIECE, end)):
                return None
            start += piece
        head, body = LENGTHS.unpack_from(start)
        if head > _LONGEST_HEAD or body > self._most:
            return None
        size = LENGTHS.size + head + body
        while len(start) < size:
            if not (piece := self._receive(min(_PIECE, size - len(start)), end)):
                return None
            start += piece
        return json.loads(start[LENGTHS.size : size - body]), bytes(memoryview(start)[size - body : size])

    def _receive(self, most: int, end: float) -> bytes:
        self._limit(socket.SO_RCVTIMEO, end)
        return self._socket.recv(most)

    def _limit(self, direction: int, end: float) -> None:
        left_us = round((end - time.monotonic()) * 1e6)
        if left_us <= 0:
            raise BlockingIOError
        self._socket.setsockopt(socket.SOL_SOCKET, direction, struct.pack("@ll", *divmod(left_us, 1_000_000)))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()
