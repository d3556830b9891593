"""Files that survive a power loss: their bytes, and the names of their folders, are flushed to the disk.

A file system may lose whatever was not flushed, in any order: a file can come back empty under its new name,
or without a name although its bytes are there. ``docs/durability.md`` says what is flushed, and when.
"""

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_FULL_FLUSH: int | None = getattr(fcntl, "F_FULLFSYNC", None)
"""On macOS `fsync` leaves the bytes in the cache of the disk, which a power loss empties."""
_ADVISE: Callable[[int, int, int, int], None] | None = getattr(os, "posix_fadvise", None)
_FLUSH_DATA: Callable[[int], None] | None = getattr(os, "fdatasync", None)
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
"""Errors of file systems that cannot flush a folder, such as some network shares, and of Windows."""


def flush_file(descriptor: int) -> None:
    """Return once the bytes of an open file are on the disk. Raises `OSError`."""
    if fcntl is not None and _FULL_FLUSH is not None:
        fcntl.fcntl(descriptor, _FULL_FLUSH)
    else:
        os.fsync(descriptor)


def flush_data(descriptor: int) -> None:
    """Like `flush_file`, for a file whose size has not changed: its times may be lost."""
    if _FULL_FLUSH is None and _FLUSH_DATA is not None:
        _FLUSH_DATA(descriptor)
    else:
        flush_file(descriptor)


class FileSystem:
    """The file system of a folder, which is flushed as a whole. It reports the bytes it lost since it was
    opened."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = -1
        if sys.platform == "linux":
            self._descriptor = os.open(folder, os.O_RDONLY)

    def flush(self) -> bool:
        """Return once all its files and names are on the disk, those of others included.

        False where the system has no such call, or one that hides errors. Raises `OSError`.
        """
        flush = _sync_file_system()
        if flush is None:
            return False
        flush(self._descriptor)
        return True

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


@cache
def _sync_file_system() -> Callable[[int], None] | None:
    """Return Linux's `syncfs`, which Python does not have; before Linux 5.8 it does not report lost bytes."""
    if sys.platform != "linux" or _linux_version() < (5, 8):
        return None
    import ctypes  # 5 ms, and few processes need it

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return None

    def flush(descriptor: int) -> None:
        if call(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return flush


def _linux_version() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


def begin_flush(descriptor: int) -> None:
    """Have the system begin to write the bytes of an open file, where it can, before `flush_file`."""
    if _ADVISE is not None:
        # Linux begins to write what it is told to drop.
        _ADVISE(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def flush_folder(path: Path) -> None:
    """Return once the names in a folder are on the disk, where the file system can do so."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        flush_file(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Create a folder, and those above it that are missing, and flush their names.

    ``mode`` is that of the folder alone.
    """
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=mode if folder == missing[0] else 0o777, exist_ok=True)
        flush_folder(folder.parent)


def write_once(path: Path, data: bytes) -> bytes:
    """Return the bytes of a file that only its owner may read; they are ``data`` where it did not exist.

    It is written aside and linked: the first of several processes decides, and nobody reads half of it.
    """
    with suppress(FileNotFoundError):
        return path.read_bytes()
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        flush_file(descriptor)
    with suppress(FileExistsError):
        os.link(aside, path)
    aside.unlink()
    flush_folder(path.parent)
    return path.read_bytes()
