"""The folders for temporary files of page work, of which nothing may stay: they may show a child's photo."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "imagemill-press-"


class ScratchFolder:
    """A folder of one process of the press, locked as long as this process lives."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def clear(self) -> None:
        """Delete what is in it. Nothing is there if the work has ended well."""
        for found in self.path.iterdir():
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def remove_abandoned() -> None:
    """Delete the folders of processes that were killed together with their server."""
    for folder in _folders():
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError:  # another user's, or gone
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its server lives
            pass
        finally:
            os.close(descriptor)


def _folders() -> Iterator[Path]:
    return (path for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*") if path.is_dir())
