"""The processes of ``serve --processes``: workers, and on many cores more API processes, beside the first.

The first process answers HTTP and is the scheduler. The others run until it ends them, or until it is gone:
they hold the read end of a pipe whose write end only it has.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imagemill.domain.dataclass import dataclass

if TYPE_CHECKING:
    from imagemill.config import Settings

log = logging.getLogger("imagemill.cli")

MOST_AUTOMATIC = 8
"""The most processes of ``auto``: all of them write to one database."""
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 60.0
"""A process that has run for so long is started again without a pause."""
_EXTRA_S = 10.0
"""Seconds beyond the grace of running jobs after which a process is killed."""


@dataclass(frozen=True, slots=True)
class ProcessCounts:
    """The number of processes; with one alone it has all roles."""

    apis: int
    workers: int

    @property
    def is_one(self) -> bool:
        return self.workers == 0


def count_processes(wanted: "int | Literal['auto']") -> ProcessCounts:
    """Return how many processes of each kind to run; ``auto`` means one a core.

    Two in three are workers: claiming, painting, checking and storing a picture takes about twice as long as
    answering its requests.
    """
    total = min(_cores(), MOST_AUTOMATIC) if wanted == "auto" else wanted
    if total <= 1:
        return ProcessCounts(1, 0)
    apis = max(1, total // 3)
    return ProcessCounts(apis, total - apis)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shares(total: int, parts: int) -> list[int]:
    """Return ``total`` things dealt out to ``parts``, the first getting what is over."""
    return [total // parts + (number < total % parts) for number in range(parts)]


class SiblingProcesses:
    """Starts the other processes of a ``serve``, again where one ends, and stops them."""

    def __init__(self, settings: "Settings", counts: ProcessCounts, sock: socket.socket) -> None:
        self._settings = settings
        self._sock = sock
        self._stopping = threading.Event()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: set[int] = set()
        """Processes that were told to stop; a second signal would stop them at once."""
        self._lock = threading.Lock()
        self._read_end, self._write_end = os.pipe()
        simulated = shares(settings.simulator.nodes, counts.workers)
        jobs = [("worker", number, simulated[number]) for number in range(counts.workers)]
        jobs += [("api", number, settings.simulator.nodes) for number in range(1, counts.apis)]
        self._threads = [
            threading.Thread(
                target=self._keep_running, args=job, name=f"imagemill-{job[0]}-{job[1]}", daemon=True
            )
            for job in jobs
        ]

    def start(self) -> None:
        """Start them; call when the database exists in its newest form."""
        for thread in self._threads:
            thread.start()

    def stop_workers(self) -> None:
        """Stop the workers, which finish what runs or hand it back, and wait until they have ended."""
        self._stopping.set()
        self._end("worker")

    def close(self) -> None:
        """Stop all and wait until they have ended: the workers first, as clients wait for what they make."""
        self.stop_workers()
        self._end("api")
        for thread in self._threads:
            thread.join(1)
        os.close(self._write_end)
        os.close(self._read_end)

    def _end(self, kind: str) -> None:
        with self._lock:
            ending = [process for name, process in self._running.items() if name.startswith(kind)]
            fresh = [process for process in ending if process.pid not in self._ended]
            self._ended.update(process.pid for process in fresh)
        for process in fresh:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.shutdown_grace_s + _EXTRA_S
        for process in ending:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("the process %d did not stop in time and is killed", process.pid)
                process.kill()
                process.wait()

    def _keep_running(self, kind: str, number: int, simulated: int) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            started = time.monotonic()
            with self._lock:
                if self._stopping.is_set():
                    return
                process = self._running[f"{kind} {number}"] = self._spawn(kind, simulated)
            status = process.wait()
            if self._stopping.is_set():
                return
            log.warning(
                "the %s process %d has ended with status %d; another is started", kind, process.pid, status
            )
            steady = time.monotonic() - started > _STEADY_S
            pause_s = _FIRST_PAUSE_S if steady else min(max(_FIRST_PAUSE_S, 2 * pause_s), _LONGEST_PAUSE_S)

    def _spawn(self, kind: str, simulated: int) -> subprocess.Popen[bytes]:
        settings = self._settings
        command = [sys.executable, "-m", "imagemill", kind, "--ends-with", str(self._read_end)]
        fds = [self._read_end]
        if kind == "api":
            fds.append(self._sock.fileno())
            command += ["--socket", str(self._sock.fileno())]
        environment = {
            **os.environ,
            "IMAGEMILL_DATA_DIR": str(Path(settings.data_dir).absolute()),
            "IMAGEMILL_LOG_LEVEL": settings.log_level,
            "IMAGEMILL_PROCESSES": "1",
            **({"IMAGEMILL_PROFILE": settings.profile} if settings.profile else {}),
            # Two processes cannot have one port.
            **({"IMAGEMILL_METRICS__PORT": "0"} if settings.metrics.port is not None else {}),
            "IMAGEMILL_SIMULATOR__NODES": str(max(1, simulated)),
        }
        if not simulated:
            environment["IMAGEMILL_SIMULATOR__ENABLED"] = "never"
        # Our own interpreter and our own options.
        return subprocess.Popen(command, env=environment, pass_fds=fds, stdin=subprocess.DEVNULL)  # noqa: S603


def end_with(read_end: int, stop: Callable[[], None]) -> None:
    """Call ``stop`` once the process that holds the other end of a pipe is gone."""

    def wait() -> None:
        os.read(read_end, 1)
        log.warning("the process that started this one is gone; stopping")
        stop()

    threading.Thread(target=wait, name="imagemill-parent", daemon=True).start()
