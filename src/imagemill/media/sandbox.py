"""Processes that decode pictures: few, kept between decodes, ended when one takes too long."""

import contextlib
import io
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imagemill.domain.errors import ImagemillError
from imagemill.media.layout import InvalidImage
from imagemill.media.sandbox_child import LENGTHS
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext, packed, unpacked

_BASE_BYTES = 256 * 2**20
"""Address space of Python and Pillow with their libraries, and room for the file itself."""
_BYTES_A_PIXEL = 12
"""A picture, its upright copy and a row buffer's worth of an encoder, at four bytes a pixel each."""
_CRAFT_BASE_BYTES = 2 * 2**30
"""numpy, codecs and a small network reserve far more address space than they use."""
_CRAFT_BYTES_A_PIXEL = 160
"""Ten layers of four 32-bit numbers."""
_CRAFT_NICE = 10
"""A server that answers while all cores finish pictures: halves the p99 of its `/health`."""
_START_S = 60.0
"""Until a new process answers, on a machine that is very busy."""
_LONGEST_HEAD = 4096


class DecodersBusy(ImagemillError):
    """All processes were decoding for longer than a caller should wait."""

    code = "decoders_busy"
    retryable = True


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    pixels: int
    seconds: float = 10.0
    """Longest decode of one picture."""
    bytes: int = 512 * 2**20
    """Largest answer that is read from a process: its pixels anew."""

    base_bytes: int = _BASE_BYTES
    pixel_bytes: int = _BYTES_A_PIXEL
    nice: int = 0
    """How far a process stands back behind others that want the processor."""

    @property
    def memory_bytes(self) -> int:
        return self.base_bytes + self.pixel_bytes * self.pixels


def transform_limits(pixels: int, seconds: float) -> DecodeLimits:
    """Of processes that work on pictures with numpy, in floating point."""
    return DecodeLimits(pixels, seconds, 512 * 2**20, _CRAFT_BASE_BYTES, _CRAFT_BYTES_A_PIXEL, _CRAFT_NICE)


class DecoderPool:
    """``count`` processes at most, started when they are first needed. Safe for threads."""

    def __init__(self, limits: DecodeLimits, count: int | None = None) -> None:
        self._limits = limits
        self._free = threading.BoundedSemaphore(count or max(1, (os.cpu_count() or 1) // 2))
        self._idle: list[_Child] = []
        self._lock = threading.Lock()
        self._closed = False

    def decode(self, data: bytes, orientation: int = 1) -> tuple[int, int, bytes]:
        """Width and height; the picture anew and upright where ``orientation`` is not 1.

        Raises `InvalidImage`, and `DecodersBusy`.
        """
        head, body = self._ask({"orientation": orientation}, data)
        return int(head["width"]), int(head["height"]), body

    def inspect(self, data: bytes, max_pixels: int) -> tuple[str, int, int]:
        """Format, width and height of a picture that is decoded as it is. Raises as `decode` does."""
        head, _ = self._ask({"pixels": max_pixels}, data)
        return str(head["format"]), int(head["width"]), int(head["height"])

    def raster(self, data: bytes, width: int, height: int) -> bytes:
        """Its pixels scaled to this size, row by row, red, green and blue. Raises as `decode` does."""
        return self._ask({"raster": [width, height]}, data)[1]

    def transform(
        self, transform: ImageTransform, data: bytes, facts: TransformContext
    ) -> tuple[OutputFile, ...]:
        """What ``craft`` makes of the picture. Raises as `decode` does, and what the craft refuses."""
        head, body = self._ask({"craft": packed(transform, facts)}, data)
        if "refused" in head:
            raise InvalidImage(str(head["refused"]))
        return unpacked(head, body)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    @property
    def processes(self) -> list[int]:
        """Ids of those that wait for work."""
        with self._lock:
            return [child.pid for child in self._idle]

    def _ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        with self._child() as child:
            said, body = child.ask(head, data, self._limits.seconds)
        if "error" in said:
            raise InvalidImage(f"cannot be decoded: {str(said['error'])[:80]}")
        return said, body

    @contextlib.contextmanager
    def _child(self) -> Iterator["_Child"]:
        # The longest that a few others before us may take.
        if not self._free.acquire(timeout=4 * self._limits.seconds + _START_S):
            raise DecodersBusy("all pictures that may be decoded at once are being decoded; try again")
        try:
            child = self._taken() or _Child(self._limits)
            try:
                yield child
            except BaseException:
                child.end()
                raise
            self._give_back(child)
        finally:
            self._free.release()

    def _taken(self) -> "_Child | None":
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.owner != os.getpid():
                    continue  # a fork shares its parent's pipes, which two may not use
                if child.alive:
                    return child
                child.end()
        return None

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                return
        child.end()


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
            # One process is one core's work: as many threads as cores would fight, and each takes memory.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        with self._within(_START_S):
            ready = self._read()
        if ready is None or "ready" not in ready[0]:
            self.end()
            raise RuntimeError("the process that decodes pictures does not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, head: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        text = json.dumps(head).encode()
        with self._within(seconds) as late:
            try:
                stream = self._process.stdin
                assert stream is not None  # noqa: S101 - it is a pipe
                stream.write(LENGTHS.pack(len(text), len(data)) + text)
                stream.write(data)
                stream.flush()
                said = self._read()
            except OSError:
                said = None
        if said is None:
            why = f"takes longer than {seconds:g} s" if late.is_set() else "asks for more than is allowed"
            raise InvalidImage(f"cannot be decoded: its decoding {why}")
        return said

    def _read(self) -> tuple[dict[str, Any], bytes] | None:
        """What it says is bounded and no code: a decoder may have been taken over."""
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
    def _within(self, seconds: float) -> Iterator[threading.Event]:
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

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert isinstance(stream, (io.BufferedReader, io.BufferedWriter))  # noqa: S101 - they are pipes
            try:
                stream.close()
            except OSError:  # of what it did not read any more
                stream.raw.close()
