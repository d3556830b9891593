"""The child processes of the press: started when they are first needed, kept warm, killed when they must."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import IO, Any

from imagemill.backends.checked_call import CheckedCall
from imagemill.backends.press import channel
from imagemill.backends.press.scratch import ScratchFolder, remove_abandoned
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode

MEMORY_BYTES = 4 * 2**30
"""Address space of a process: numerical libraries reserve far more than they use."""
IDLE_S = 600.0
"""Seconds without work after which a process ends, to free the memory of its libraries."""
_NICE = 10
"""Niceness, so that the server still answers while all cores do page work."""
_FILE_BYTES = 2 * 2**30
"""Bytes of all files of one piece of work: each is in memory here until it is stored."""
_WAIT_S = 0.05
"""Seconds between two checks of whether work that waits for a process should stop."""


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work as it is sent to a process."""

    name: str
    work: bytes
    """A `imagemill.media.page_work.PageWork`, pickled."""
    inputs: Mapping[str, bytes]
    timeout_s: float
    private: bool = False
    """Whether nothing of its input may get into the log."""


@dataclass(frozen=True, slots=True)
class Answer:
    head: Mapping[str, Any]
    """See `imagemill.backends.press.child`."""
    files: Sequence[bytes]

    @property
    def ran_out_of_memory(self) -> bool:
        return self.head.get("failed", [""])[0] == FailureCode.OUT_OF_MEMORY.value


class PressPool:
    """At most ``count`` processes. Thread-safe."""

    def __init__(self, count: int, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._free = threading.BoundedSemaphore(count)
        self._idle: list[_PressProcess] = []
        self._all: set[_PressProcess] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._has_cleaned = False

    def run(
        self, order: Order, check: Callable[[], None], on_progress: Callable[[int, int, str], None]
    ) -> Answer:
        """Return the answer of a process. ``check`` is called meanwhile; when it raises, the process is
        killed.

        Raises `BackendError` when the process dies.
        """
        while True:
            with self._child(check) as child:
                call = CheckedCall(partial(child.ask, order, on_progress), name="imagemill-press")
                answer = call.wait(check)
                if answer is not None:
                    if answer.ran_out_of_memory:
                        self._discard(child)  # what is left of its memory may be in pieces
                    return answer
                why = child.end()
                if not child.ended_idle:
                    raise BackendError(FailureCode.NODE_LOST, f"{order.name}: {why}")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            children = [child for child in self._all if child.owner == os.getpid()]
        for child in children:
            self._discard(child)

    @property
    def processes(self) -> list[int]:
        """The ids of the processes."""
        with self._lock:
            return [child.pid for child in self._all]

    @contextlib.contextmanager
    def _child(self, check: Callable[[], None]) -> "Generator[_PressProcess]":
        while not self._free.acquire(timeout=_WAIT_S):
            check()
        try:
            child = self._take_idle() or self._started()
            try:
                yield child
            except BaseException:
                self._discard(child)
                raise
            self._put_back(child)
        finally:
            self._free.release()

    def _started(self) -> "_PressProcess":
        if not self._has_cleaned:
            self._has_cleaned = True
            remove_abandoned()
        child = _PressProcess(self._idle_s)
        with self._lock:
            self._all.add(child)
        return child

    def _take_idle(self) -> "_PressProcess | None":
        while True:
            with self._lock:
                if not self._idle:
                    return None
                child = self._idle.pop()
            if child.owner != os.getpid():
                continue  # a forked process shares its parent's pipes, which only one may use
            if child.alive:
                return child
            self._discard(child)

    def _put_back(self, child: "_PressProcess") -> None:
        with self._lock:
            if not self._closed and child in self._all:
                self._idle.append(child)
                return
        self._discard(child)

    def _discard(self, child: "_PressProcess") -> None:
        with self._lock:
            if child not in self._all:  # another thread has discarded it
                return
            self._all.remove(child)
        child.kill()


class _PressProcess:
    def __init__(self, idle_s: float) -> None:
        self.owner = os.getpid()
        self._orders = 0
        self._scratch = ScratchFolder()
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [
                sys.executable,
                "-I",
                "-m",
                "imagemill.backends.press.child",
                str(MEMORY_BYTES),
                str(_NICE),
                str(self.owner),
                str(idle_s),
                # The work is found by its name, so the process imports what this one can.
                json.dumps([path for path in sys.path if path]),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # One thread per process: more would compete for the cores, and each takes memory.
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
                "OPENCV_FOR_THREADS_NUM": "1",
                "TMPDIR": str(self._scratch.path),
            },
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def ended_idle(self) -> bool:
        """Whether it had no work for so long that it ended, at the moment when it was asked again."""
        return self._orders > 1 and self._process.returncode == 0

    def ask(self, order: Order, on_progress: Callable[[int, int, str], None]) -> Answer | None:
        """Send the work and wait for its answer; None when the process ends without one."""
        self._orders += 1
        head = {
            "names": list(order.inputs),
            "seconds": max(1, round(order.timeout_s)),
            "private": order.private,
        }
        try:
            channel.write(self._requests, head, [order.work, *order.inputs.values()])
            while (message := channel.read(self._answers, _FILE_BYTES)) is not None:
                match message[0]:
                    case {"answer": answer}:
                        self._scratch.clear()
                        return Answer(answer, message[1])
                    case {"progress": [done, total, note]}:
                        on_progress(done, total, note)
                    case _:
                        return None
        except (OSError, ValueError):  # the process was killed, and its pipes closed
            pass
        return None

    def end(self) -> str:
        """Return how the process ended, as the end of a sentence."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "its process answered what is no message, or more than may be kept"
        if code == -signal.SIGKILL:
            return "its process was killed by SIGKILL, as the system does when memory is short"
        if code < 0:
            return f"its process ended by {signal.Signals(-code).name}"
        return f"its process ended with status {code}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        self._scratch.remove()

    @property
    def _requests(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        return self._process.stdin

    @property
    def _answers(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout
