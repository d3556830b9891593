"""Small files of many jobs that survive a power loss by one flush.

To flush a small file and its name takes 0.2 to 0.7 ms, and files in different folders hardly share it. Here
their bytes are also written one after the other to a journal, which is flushed once for all; the files are
flushed in the background, all together, and the journal is emptied. After a power loss `recover` writes the
files again that the file system has lost.

A journal is of one process and is locked while that lives. It has its full size from the start, as a flush of
a file that grows takes three times as long. Its records lie from its beginning on; zeros follow.
"""

import logging
import math
import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagemill.domain.durability import flush_data, flush_file, flush_folder, make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
"""Size of the largest file that is worth to be written twice."""
_SIZE = 2 * 1024 * 1024
_FILES = 2
"""Files of a journal: one is written to while the jobs of the other are flushed."""
_OFTEN_S = 0.25
_MANY = 8
"""Single files that come within `_OFTEN_S` of the one before, for which a journal is made."""
_AFTER_ERROR_S = 60.0
"""Seconds after which a journal is made again that could not be."""
_RETRY_S = 1.0
_AGE_S = 1.0
"""Seconds after which files that are in the journal alone are flushed."""
_RECORD = struct.Struct("<4sHII")
"""Magic, length of the key, length of the data, checksum of key and data."""
_MAGIC = b"IMJ1"
_LOCK = "lock"
_SUFFIX = ".journal"

Entry = tuple[str, bytes, Path]
"""The key of a blob, its bytes, and its file, which has been written."""
Flush = Callable[[Sequence[Path]], None]
"""Flushes files and their names; files that are gone are ignored. Raises `OSError`."""
Restore = Callable[[str, bytes], Path]
"""Writes the file of a blob's key again, without a flush; returns it. Raises `OSError`."""


class Journal:
    """The journal of this process. All methods may be called from any thread.

    ``size`` is that of each of the journal's files.
    """

    def __init__(
        self, folder: Path, restore: Restore, flush: Flush, *, size: int = _SIZE, age_s: float = _AGE_S
    ) -> None:
        self._folder = folder
        self._restore = restore
        self._flush = flush
        self._size = size
        self._age_s = age_s
        self._process = os.getpid()
        self._lock = threading.Condition()
        self._current: _JournalFile | None = None
        self._free: list[_JournalFile] = []
        self._full: list[_JournalFile] = []
        self._made = 0
        self._in_a_row, self._last_at = 0, -math.inf
        """The single files that came one soon after the other, and when the last did."""
        self._is_wanted = False
        """Whether files are to be made."""
        self._not_before = 0.0
        """When files are made again after an error, on the monotonic clock."""
        self._closed = threading.Event()
        if fcntl is None:
            self._closed.set()
        self._settling = threading.Lock()
        self._thread: threading.Thread | None = None

    def append(self, entries: Sequence[Entry]) -> bool:
        """Return once the bytes are on the disk, or False where the caller has to flush the files itself.

        False is the answer to the first calls, while the journal is made, and while more files are written
        than the disk can take.
        """
        if self._closed.is_set() or self._process != os.getpid():
            return False
        records = b"".join([part for key, data, _ in entries for part in _record(key, data)])
        if len(records) > self._size:
            return False
        with self._lock:
            file = self._file_for(len(records), is_crowd=len(entries) > 1 or self._are_many())
            if file is None:
                return False  # also when it was closed meanwhile
            if not file.paths:
                file.since = time.monotonic()
                self._lock.notify()
            file.paths.extend(path for _, _, path in entries)
            try:
                end = file.write(records)
            except OSError as error:
                self._give_up(file, error)
                return False
        try:
            # Without the lock: threads that wait share a flush.
            return file.flush(end)
        except OSError as error:
            with self._lock:
                self._give_up(file, error)
            return False

    def _are_many(self) -> bool:
        """Whether single files come one soon after the other; called for each of them, with the lock."""
        now = time.monotonic()
        self._in_a_row = self._in_a_row + 1 if now - self._last_at < _OFTEN_S else 1
        self._last_at = now
        return self._in_a_row >= _MANY

    def settle(self) -> None:
        """Flush the files that are in the journal alone, and empty it. Raises `OSError`."""
        if self._process != os.getpid():
            return
        with self._lock:
            if self._current is not None and self._current.paths:
                self._full.append(self._current)
                self._current = None
        self._empty_full()

    def close(self) -> None:
        """Empty the journal and delete it; what fails is left to `recover`."""
        if self._process != os.getpid():
            return
        with self._lock:
            is_first = not self._closed.is_set()
            self._closed.set()
            self._lock.notify()
        if self._thread is None or not is_first:
            return
        self._thread.join()
        try:
            self.settle()
            with self._lock:
                files, self._free = self._free, []
            for file in files:
                file.delete()
        except OSError as error:
            log.warning("files of jobs are flushed at the next start: %s", error)

    def _file_for(self, size: int, *, is_crowd: bool) -> "_JournalFile | None":
        """Return the file that has room for so many bytes; call with the lock.

        ``is_crowd``: a journal is worth its 4 MB and its thread, as files come together or often.
        """
        if self._closed.is_set():
            return None
        if self._current is not None and self._current.used + size > self._size:
            self._full.append(self._current)
            self._current = None
            self._lock.notify()
        if self._current is None and self._free:
            self._current = self._free.pop()
        is_missing = self._current is None and self._made < _FILES
        if is_missing and is_crowd and time.monotonic() >= self._not_before:
            self._is_wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="imagemill-journal", daemon=True)
                self._thread.start()
            self._lock.notify()
        return self._current

    def _give_up(self, file: "_JournalFile", error: OSError) -> None:
        """Write no more to a file; its records stay until their files are flushed. Call with the lock."""
        log.warning(
            "the journal %s cannot be written to; files are flushed by themselves: %s", file.path, error
        )
        file.is_broken = True
        self._not_before = time.monotonic() + _AFTER_ERROR_S
        if self._current is file:
            self._current = None
            self._full.append(file)
            self._lock.notify()

    def _serve(self) -> None:
        """Make the journal's files, and empty them; the background thread."""
        while True:
            with self._lock:
                while not (self._full or self._is_wanted or self._closed.is_set() or self._wait_s() == 0):
                    self._lock.wait(self._wait_s())
                if self._closed.is_set():
                    return
                is_wanted, self._is_wanted = self._is_wanted, False
            try:
                if is_wanted:
                    self._make()
                elif self._full:
                    self._empty_full()
                else:
                    self.settle()
            except OSError as error:
                log.warning("the journal of files is left out for a while: %s", error)
                self._not_before = time.monotonic() + _AFTER_ERROR_S
                self._closed.wait(_RETRY_S)

    def _wait_s(self) -> float | None:
        """Return how long the oldest record may still wait; None without records. Call with the lock."""
        if self._current is None or not self._current.paths:
            return None
        return max(0.0, self._current.since + self._age_s - time.monotonic())

    def _make(self) -> None:
        make_folder(self._folder, 0o700)
        while self._made < _FILES:
            file = _JournalFile.make(self._folder, self._size)
            with self._lock:
                self._made += 1
                self._free.append(file)

    def _empty_full(self) -> None:
        """Return once the files that are full now are empty. Raises `OSError`."""
        with self._settling:
            with self._lock:
                full = [*self._full]
            for file in full:
                self._empty(file)

    def _empty(self, file: "_JournalFile") -> None:
        """Flush the files of these records, and make the journal's file free again. Raises `OSError`."""
        try:
            self._flush(file.paths)
        except OSError as error:
            log.warning("files of jobs are written again, as they could not be flushed: %s", error)
            # The system may have dropped bytes that it could not write, and would not say so again.
            written = zip(file.records(), file.paths, strict=False)
            self._flush([self._restore(key, data) for (key, data), path in written if path.exists()])
        try:
            file.clear()
        except OSError as error:
            with self._lock:
                self._give_up(file, error)
        if file.is_broken:
            file.delete()
        with self._lock:
            self._full.remove(file)
            if file.is_broken:
                self._made -= 1
            else:
                self._free.append(file)


class _JournalFile:
    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.used = 0
        self.paths: list[Path] = []
        """The files of its records."""
        self.since = 0.0
        """When its first record was written, on the monotonic clock."""
        self.is_broken = False
        self._descriptor = descriptor
        self._flushed = 0
        """How far its bytes are known to be on the disk."""
        self._flushing = threading.Lock()

    @classmethod
    def make(cls, folder: Path, size: int) -> "_JournalFile":
        path = folder / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"
        with _locked(folder):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _lock_file(descriptor)
                _write_at(descriptor, bytes(size), 0)
                flush_file(descriptor)
                flush_folder(folder)
            except OSError:
                os.close(descriptor)
                path.unlink()
                raise
        return cls(path, descriptor)

    def write(self, records: bytes) -> int:
        """Write at the end of the records; return where these end. Only one thread writes at a time."""
        at, self.used = self.used, self.used + len(records)
        _write_at(self._descriptor, records, at)
        return self.used

    def flush(self, end: int) -> bool:
        """Return whether the bytes before ``end`` are on the disk now. Raises `OSError`.

        One thread at a time: the system reports lost bytes to one caller only.
        """
        with self._flushing:
            if self._flushed < end and not self.is_broken:
                until = self.used
                try:
                    flush_data(self._descriptor)
                except OSError:
                    self.is_broken = True
                    raise
                self._flushed = until
            return not self.is_broken

    def records(self) -> Iterator[tuple[str, bytes]]:
        return _records(self.path.read_bytes())

    def clear(self) -> None:
        """Overwrite the records, so that no picture outlives its deletion here. Raises `OSError`."""
        with self._flushing:
            if not self.is_broken:
                _write_at(self._descriptor, bytes(self.used), 0)
                flush_data(self._descriptor)
                self.used, self._flushed, self.paths = 0, 0, []

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def recover(folder: Path, restore: Restore, flush: Flush) -> None:
    """Write the files again that are in journals of processes that have ended, and delete these journals.

    Returns once no other process does so either. Raises `OSError`.
    """
    if fcntl is None or next(folder.glob(f"*{_SUFFIX}"), None) is None:
        return
    with _locked(folder):
        for path in folder.glob(f"*{_SUFFIX}"):
            descriptor = os.open(path, os.O_RDWR)
            try:
                if _lock_file(descriptor):
                    flush([restore(key, data) for key, data in _records(path.read_bytes())])
                    path.unlink()
            finally:
                os.close(descriptor)


def _record(key: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    name = key.encode()
    checksum = zlib.crc32(data, zlib.crc32(name))
    return _RECORD.pack(_MAGIC, len(name), len(data), checksum), name, data


def _records(found: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the whole records; one that was cut by a power loss ends them, as nobody was told of it."""
    at = 0
    while at + _RECORD.size <= len(found):
        magic, name_length, length, checksum = _RECORD.unpack_from(found, at)
        middle = at + _RECORD.size + name_length
        at, name, data = middle + length, found[at + _RECORD.size : middle], found[middle : middle + length]
        if magic != _MAGIC or len(data) < length or zlib.crc32(data, zlib.crc32(name)) != checksum:
            return
        yield name.decode(), data


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(descriptor, left, at)
        left, at = left[done:], at + done


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold the lock of all journals: none is taken for one whose process has ended while it is made."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock_file(descriptor: int) -> bool:
    """Lock a journal's file until it is closed; False while another process has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
