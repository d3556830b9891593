"""A pool of confined processes that decode and transform pictures.

They are kept between pictures, and killed when one takes too long. `imagemill.media.sandbox_child` is the
program they run.
"""

import contextlib
import io
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
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
        self._free = threading.BoundedSemaphore(count or max(1, (os.cpu_count() or 1) // 2))
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
            idle, self._idle = self._idle, []
        for child in idle:
            child.kill()

    @property
    def processes(self) -> list[int]:
        """The ids of the idle processes."""
        with self._lock:
            return [child.pid for child in self._idle]

    def _ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        with self._child() as child:
            answer, body = child.ask(head, data, self._limits.seconds)
        if "error" in answer:
            raise InvalidImage(f"cannot be decoded: {str(answer['error'])[:80]}")
        return answer, body

    @contextlib.contextmanager
    def _child(self) -> Iterator["_Child"]:
        # As long as a few earlier callers may take.
        if not self._free.acquire(timeout=4 * self._limits.seconds + _START_S):
            raise DecodersBusy("all pictures that may be decoded at once are being decoded; try again")
        try:
            child = self._take_idle() or _Child(self._limits)
            try:
                yield child
            except BaseException:
                child.kill()
                raise
            self._put_back(child)
        finally:
            self._free.release()

    def _take_idle(self) -> "_Child | None":
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.owner != os.getpid():
                    continue  # a forked process shares its parent's pipes, which only one may use
                if child.alive:
                    return child
                child.kill()
        return None

    def _put_back(self, child: "_Child") -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                return
        child.kill()


class _Child:
    def __init__(self, limits: DecodeLimits) -> None:
        self.owner = os.getpid()
        self._most = limits.bytes
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
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # One thread per process: more would compete for the cores, and each takes memory.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        with self._time_limit(_START_S):
            ready = self._read()
        if ready is None or "ready" not in ready[0]:
            self.kill()
            raise RuntimeError("the process that decodes pictures does not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, head: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        text = json.dumps(head).encode()
        with self._time_limit(seconds) as late:
            try:
                stream = self._process.stdin
                assert stream is not None  # noqa: S101 - it is a pipe
                stream.write(LENGTHS.pack(len(text), len(data)) + text)
                stream.write(data)
                stream.flush()
                answer = self._read()
            except OSError:
                answer = None
        if answer is None:
            why = f"takes longer than {seconds:g} s" if late.is_set() else "exceeds the limits"
            raise InvalidImage(f"cannot be decoded: its decoding {why}")
        return answer

    def _read(self) -> tuple[dict[str, Any], bytes] | None:
        """Read an answer: bounded, and data only, as a malicious file may control the decoder. None at its
        end."""
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - it is a pipe
        lengths = stream.read(LENGTHS.size)
        if len(lengths) < LENGTHS.size:
            return None
        head, body = LENGTHS.unpack(lengths)
        if head > _LONGEST_HEAD or body > self._most:
            return None
        text, data = stream.read(head), stream.read(body)
        if len(text) < head or len(data) < body:
            return None
        return json.loads(text), data

    @contextlib.contextmanager
    def _time_limit(self, seconds: float) -> Iterator[threading.Event]:
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert isinstance(stream, (io.BufferedReader, io.BufferedWriter))  # noqa: S101 - they are pipes
            try:
                stream.close()
            except OSError:  # data that the process no longer read
                stream.raw.close()
