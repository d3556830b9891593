"""The lock file of a process, the election of the one scheduler, and the living workers."""

import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor

from imagemill.backends.base import Backend, Node, renderers
from imagemill.db.locks import AcquireRole, LeaderLeases, ReleaseRole
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.durability import make_folder, write_once
from imagemill.domain.errors import StorageError
from imagemill.jobs.processes import Process, ProcessStore

log = logging.getLogger(__name__)

_ROLE = "scheduler"
_RENEWALS = 3
"""Renewals within the time of a lease, so that one failed renewal does not change the leader."""

# Process lock
#
# Each process holds a lock on a file of its own in the data folder for as long as it lives; the kernel
# releases it however the process ends. A lease whose holder's lock is free is void, so a restart after
# SIGKILL need not wait for the lease to expire. Locks of other machines are not visible: their leases expire
# by time.


class ProcessLock:
    def __init__(self, folder: Path) -> None:
        """``folder`` belongs to this machine alone; its random site name is stored there at first use."""
        self._folder = folder
        make_folder(folder)
        self._site = _site(folder / "site")
        self.worker = f"{self._site}-{os.getpid()}-{secrets.token_hex(3)}"
        """The name of this process in leases, never used again."""
        self._lock = os.open(self._path(self.worker), os.O_RDWR | os.O_CREAT, 0o600)
        lock_descriptor(self._lock)

    @property
    def suffix(self) -> str:
        """The random part of the worker's name, for names of other things that only this process has."""
        return self.worker.rpartition("-")[2]

    def has(self, node: Node) -> bool:
        """Whether only this process has the node, as those of the simulator."""
        return node.name.endswith(f".{self.suffix}")

    def own_nodes(self, backends: Mapping[str, Backend]) -> list[Node]:
        return [node for node in renderers(backends.values()) if self.has(node)]

    def dead_processes(self, workers: Iterable[str]) -> tuple[str, ...]:
        """Return those of ``workers`` that ran on this machine and have ended."""
        return tuple(worker for worker in workers if self.is_dead(worker))

    def is_dead(self, worker: str) -> bool:
        """Whether the worker ran on this machine and has ended."""
        if worker == self.worker or not worker.startswith(f"{self._site}-"):
            return False
        try:
            descriptor = os.open(self._path(worker), os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            if not lock_descriptor(descriptor, blocking=False):
                return False
        finally:
            os.close(descriptor)
        self._delete(worker)
        return True

    def close(self) -> None:
        os.close(self._lock)
        self._delete(self.worker)

    def _path(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"

    def _delete(self, worker: str) -> None:
        # Windows deletes no file that another process has open: the next process that checks it deletes it.
        with suppress(FileNotFoundError, PermissionError):
            self._path(worker).unlink()


def _site(path: Path) -> str:
    """Return the machine's site name; the first process makes it."""
    return write_once(path, secrets.token_hex(4).encode()).decode()


# Leader election


class LeaderElection:
    """A leader holds a lease of ``lease_s`` seconds; another process leads once the lease has ended."""

    def __init__(self, leases: LeaderLeases, process_lock: ProcessLock, *, lease_s: float) -> None:
        self._leases = leases
        self._process_lock = process_lock
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._holds = False
        self._ask_at = 0.0
        self._until = 0.0

    def leads(self) -> bool:
        """Whether this process is the leader. Reads the database only when the lease is due for renewal.

        False once the lease has ended while the database does not answer.
        """
        with self._lock:
            now = time.monotonic()
            if now >= self._ask_at:
                self._renew(now)
            return self._holds and now < self._until

    def resign(self) -> None:
        """Release the lease, so that another process can lead at once."""
        with self._lock:
            if not self._holds:
                return
            self._holds = False
            try:
                self._leases.release(ReleaseRole(_ROLE, self._process_lock.worker))
            except StorageError as error:
                log.info("the scheduler's lease could not be released and ends by itself: %s", error)

    def _renew(self, now: float) -> None:
        self._ask_at = now + self._lease_s / _RENEWALS
        try:
            holder = self._acquire()
            if self._process_lock.dead_processes([holder]):
                self._leases.release(ReleaseRole(_ROLE, holder))
                holder = self._acquire()
        except StorageError as error:
            log.warning("the scheduler's lease could not be renewed: %s", error)
            return
        leads = holder == self._process_lock.worker
        if leads != self._holds:
            log.info(
                "this process is the leader" if leads else "another process is the leader",
                extra={"leader": holder},
            )
        self._holds = leads
        self._until = now + self._lease_s

    def _acquire(self) -> str:
        now = now_us()
        until = now + round(self._lease_s * SECOND)
        return self._leases.acquire(AcquireRole(_ROLE, self._process_lock.worker, now, until))


# The other processes

_KNOWN_S = 1.0
"""Seconds for which the list of workers is kept, as each queued job that is shown needs it."""


class WorkerDirectory:
    """The worker processes that report themselves, and whether a scheduler leads."""

    def __init__(self, processes: ProcessStore, leases: LeaderLeases, process_lock: ProcessLock) -> None:
        self._processes = processes
        self._leases = leases
        self._process_lock = process_lock
        self._lock = threading.Lock()
        self._read_at = -_KNOWN_S
        self._workers: Sequence[frozenset[str] | None] = ()

    def workers(self) -> Sequence[frozenset[str] | None]:
        """Return the queues of each living worker process; None means all queues."""
        with self._lock:
            if time.monotonic() - self._read_at >= _KNOWN_S:
                found = self._living().values()
                self._workers = [None if each.queues is None else frozenset(each.queues) for each in found]
                self._read_at = time.monotonic()
            return self._workers

    def has_scheduler(self) -> bool:
        holders = self._leases.holders(_ROLE, now_us())
        return any(not self._process_lock.dead_processes([holder]) for holder in holders.values())

    def nodes(self) -> list[Node]:
        """Return the nodes that the other living worker processes have of their own."""
        return self._processes.nodes([name for name in self._living() if name != self._process_lock.worker])

    def _living(self) -> dict[str, Process]:
        found = {each.name: each for each in self._processes.living() if "worker" in each.roles}
        for name in self._process_lock.dead_processes(found):
            del found[name]
        return found
