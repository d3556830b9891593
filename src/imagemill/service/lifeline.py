"""Knowing at once which processes of this machine are dead, by locks the kernel lets go of.

Each process holds a lock on a file of its own in the data folder for as long as it lives, however it ends.
A lease whose holder's lock is free is void, so a restart after SIGKILL need not wait for it to run out.
Leases of other machines, whose locks cannot be seen from here, run out by time.
"""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no such locks; leases run out by time
    fcntl = None


class Lifeline:
    def __init__(self, folder: Path) -> None:
        """``folder`` belongs to this machine alone; its name for us is drawn at first use."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._site = _site(folder / "site")
        self.worker = f"{self._site}-{os.getpid()}-{secrets.token_hex(3)}"
        """Names this process in leases; unique for ever."""
        self._lock = os.open(self._path(self.worker), os.O_RDWR | os.O_CREAT, 0o600)
        if fcntl is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def suffix(self) -> str:
        """Ends the names of what is this process's own."""
        return self.worker.rpartition("-")[2]

    def dead(self, workers: Iterable[str]) -> tuple[str, ...]:
        """Those of ``workers`` that ran on this machine and are gone."""
        return tuple(worker for worker in workers if self._is_dead(worker))

    def close(self) -> None:
        with suppress(FileNotFoundError):
            self._path(self.worker).unlink()
        os.close(self._lock)

    def _path(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"

    def _is_dead(self, worker: str) -> bool:
        if fcntl is None or worker == self.worker or not worker.startswith(f"{self._site}-"):
            return False
        try:
            descriptor = os.open(self._path(worker), os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        with suppress(FileNotFoundError):
            self._path(worker).unlink()
        return True


def _site(path: Path) -> str:
    """Written aside and linked into place: nobody reads half a name, and the first one wins."""
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    mine.write_text(secrets.token_hex(4))
    with suppress(FileExistsError):
        os.link(mine, path)
    mine.unlink()
    return path.read_text()
