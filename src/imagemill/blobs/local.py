"""Blobs in a local folder.

The files of a job, ``jobs/{job}/{attempt}/{name}``, lie side by side as ``jobs/{xx}/{job}_{attempt}_{name}``
in 256 folders by the last two characters of the job's id: a folder for each job and attempt would cost more
than the file in it.

A blob is on the disk, with its name, before its writer goes on (`imagemill.domain.durability`), so no row
names a file that a power loss can take away. Small blobs that are created together are in a journal first
(`imagemill.blobs.journal`).
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from imagemill.blobs import journal
from imagemill.blobs.base import BlobInfo, Method, NewBlob, check_key
from imagemill.domain.durability import FileSystem, begin_flush, flush_file, flush_folder, make_folder
from imagemill.domain.errors import Conflict, NotFound, StorageError

_PARTIAL = ".partial"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_JOB_FOLDERS = 256
_MOST_FOLDERS = 4096
"""Number of folders that a store remembers as flushed; more, and it starts anew."""
_PING_EVERY_S = 2.0
"""Shortest interval between two writes of `LocalBlobs.ping`."""
_PROBE = bytes(4096)
"""A block, as a full disk may still take less."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of file systems without hard links, such as exFAT and some shared folders."""


_JOURNALS = ".journals"
_NewFile = tuple[int, Path, NewBlob]
"""The descriptor of a file that has its name but is not flushed, the file, and its blob."""


class LocalBlobs:
    def __init__(
        self, root: Path, clock: Callable[[], float] = time.monotonic, *, fsync: bool = True
    ) -> None:
        """``fsync``: blobs survive a power loss; without it, only the end of the process.

        Raises `StorageError` where a journal of a former process cannot be read.
        """
        self._root = root.resolve()
        self._jobs = self._root / "jobs"
        self._fsync = fsync
        self._flushed_folders: set[Path] = set()
        """Folders whose own names are known to be on the disk."""
        if fsync:
            make_folder(self._root)
        self._root.mkdir(parents=True, exist_ok=True)
        self._journal: journal.Journal | None = None
        self._file_system: FileSystem | None = None
        """That of the files of jobs, which may be another one than the journal's."""
        if fsync:
            with _storage_errors("read"):
                if self._jobs.is_dir():
                    self._file_system = FileSystem(self._jobs)
                journal.recover(self._root / _JOURNALS, self._restored, self._flush_files)
            self._journal = journal.Journal(self._root / _JOURNALS, self._restored, self._flush_files)
        self._clock = clock
        self._ping_lock = threading.Lock()
        self._pinged: float | None = None
        self._problem: str | None = None

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def put(self, key: str, data: bytes, media_type: str) -> None:
        path = self._path(key)
        with _storage_errors("written"):
            if self._journal is not None and path.parent.parent == self._jobs and path.exists():
                self._journal.settle()  # it may have the blob that is replaced
            partial, descriptor = self._write_partial(path, data)
            try:
                if self._fsync:
                    # Before the name: the blob that it replaces must not become half of this one.
                    flush_file(descriptor)
                os.replace(partial, path)
            except OSError:
                os.unlink(partial)
                raise
            finally:
                os.close(descriptor)
            self._flush_names(path.parent)

    def create(self, key: str, data: bytes, media_type: str) -> None:
        self.create_all((NewBlob(key, data, media_type),))

    def create_all(self, blobs: Sequence[NewBlob]) -> None:
        with _storage_errors("written"):
            fresh: list[_NewFile] = []
            try:
                for blob in blobs:
                    self._create(blob, fresh)
                if self._fsync:
                    self._flush_new(fresh)
            finally:
                for descriptor, _, _ in fresh:
                    os.close(descriptor)

    def _create(self, blob: NewBlob, fresh: list[_NewFile]) -> None:
        """Write a blob and add its file to ``fresh``, to be flushed; one that is there is flushed at once."""
        path = self._path(blob.key)
        partial, descriptor = self._write_partial(path, blob.data)
        try:
            is_new = _link_new(partial, path)
        except OSError:
            os.close(descriptor)
            raise
        if is_new:
            fresh.append((descriptor, path, blob))
            return
        os.close(descriptor)
        if path.read_bytes() != blob.data:
            raise Conflict(f"the key {blob.key} holds another blob")
        self._flush_existing(path)

    def get(self, key: str) -> bytes:
        with _storage_errors("read"), _not_found_errors(key):
            return self._path(key).read_bytes()

    def read(self, key: str, start: int, stop: int) -> bytes:
        with _storage_errors("read"), _not_found_errors(key), self._path(key).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def location(self, key: str) -> Path | None:
        path = self._path(key)
        return path if path.is_file() else None

    def presign(self, method: Method, key: str, life_s: float) -> str | None:
        check_key(key)
        return None

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with _storage_errors("deleted"):
                path.unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        with _storage_errors("listed"):
            for path in self._paths_below(prefix):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    yield BlobInfo(self._key(path), stat.st_size, stat.st_mtime_ns // 1000)

    def _paths_below(self, prefix: str) -> Iterator[Path]:
        parts = prefix.rstrip("/").split("/")
        if parts[0] == "jobs" and len(parts) > 1:
            first = self._path(prefix.rstrip("/"))
            yield from first.parent.glob(f"{first.name}_*")
            return
        for folder, _, names in os.walk(self._root.joinpath(*parts), onerror=_unless_absent):
            yield from (Path(folder, name) for name in names)

    def ping(self) -> None:
        """Write a small file and delete it, at most every `_PING_EVERY_S`; later calls share the result."""
        with self._ping_lock:
            now = self._clock()
            if self._pinged is None or now - self._pinged >= _PING_EVERY_S:
                self._problem = self._probe()
                self._pinged = self._clock()
        if self._problem is not None:
            raise StorageError(self._problem)

    def _probe(self) -> str | None:
        """Return the reason why the folder cannot be written to, or None."""
        if not self._root.is_dir():
            # Not made anew: an empty folder would hide that the pictures are gone.
            return "the blob folder was deleted"
        try:
            partial, descriptor = self._write_partial(self._root / "health", _PROBE)
            os.close(descriptor)
            os.unlink(partial)
        except OSError as error:
            return f"the blob folder cannot be written to: {error.strerror}"
        return None

    def _write_partial(self, path: Path, data: bytes) -> tuple[str, int]:
        """Write a file beside ``path``, to be renamed or linked to it; return its name and its descriptor."""
        # Two writers of one key must not share it: the second would find it gone.
        partial = f"{path}.{os.getpid()}.{threading.get_ident()}{_PARTIAL}"
        try:
            descriptor = os.open(partial, _NEW_FILE, 0o640)
        except FileNotFoundError:
            self._make_folders(path.parent)
            descriptor = os.open(partial, _NEW_FILE, 0o640)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            os.close(descriptor)
            os.unlink(partial)  # the disk may be full
            raise
        return partial, descriptor

    def _make_folders(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._flushed_folders.clear()
        if self._fsync and folder.parent == self._jobs:
            # All at once: their names need one flush, not one with each new job's file.
            for number in range(_JOB_FOLDERS):
                (folder.parent / f"{number:02x}").mkdir(exist_ok=True)

    def _flush_new(self, fresh: Sequence[_NewFile]) -> None:
        """Flush files that have their names already: most file systems then flush both at once."""
        entries = [(blob.key, blob.data, path) for _, path, blob in fresh if _is_for_journal(blob)]
        if entries and self._in_journal(entries):
            fresh = [each for each in fresh if not _is_for_journal(each[2])]
        try:
            if len(fresh) > 1:
                # The disk writes them all side by side, not one after the other as each is flushed.
                for descriptor, _, _ in fresh:
                    begin_flush(descriptor)
            for descriptor, _, _ in fresh:
                flush_file(descriptor)
            for folder in {path.parent: None for _, path, _ in fresh}:
                self._flush_names(folder)
        except OSError:
            # The system may have dropped bytes that it could not write, and would not say so again.
            for _, path, _ in fresh:
                path.unlink(missing_ok=True)
            raise

    def _in_journal(self, entries: Sequence[journal.Entry]) -> bool:
        if self._journal is None:
            return False
        if self._file_system is None:
            self._file_system = FileSystem(self._jobs)
        return self._journal.append(entries)

    def _flush_files(self, paths: Sequence[Path]) -> None:
        """Flush files that are in the journal, and their names; those that were deleted need it no more."""
        if self._file_system is not None and self._file_system.flush():
            return
        for path in paths:
            with suppress(FileNotFoundError), path.open("rb") as file:
                flush_file(file.fileno())
        for folder in {path.parent for path in paths}:
            with suppress(FileNotFoundError):
                self._flush_names(folder)

    def _restored(self, key: str, data: bytes) -> Path:
        """Write the file of a blob again; return it, not flushed.

        Also one that seems to have these bytes: they may be in memory alone.
        """
        path = self._path(key)
        partial, descriptor = self._write_partial(path, data)
        os.close(descriptor)
        os.replace(partial, path)
        return path

    def _flush_existing(self, path: Path) -> None:
        """Flush a file that another writer may have written but not flushed yet."""
        if self._fsync:
            with path.open("rb") as file:
                flush_file(file.fileno())
            self._flush_names(path.parent)

    def _flush_names(self, folder: Path) -> None:
        """Flush the names in a folder, and those of its folders unless this store has flushed them before."""
        if not self._fsync:
            return
        flush_folder(folder)
        while folder not in self._flushed_folders and folder != self._root:
            is_one_of_many = folder.parent == self._jobs
            beside = [self._jobs / name for name in os.listdir(self._jobs)] if is_one_of_many else ()
            flush_folder(folder.parent)
            if len(self._flushed_folders) > _MOST_FOLDERS:
                self._flushed_folders.clear()
            self._flushed_folders.update(beside, (folder,))
            folder = folder.parent

    def _path(self, key: str) -> Path:
        check_key(key)
        parts = key.split("/")
        if parts[0] == "jobs" and len(parts) > 1:
            return Path(self._root, "jobs", parts[1][-2:], "_".join(parts[1:]))
        return self._root.joinpath(*parts)

    def _key(self, path: Path) -> str:
        parts = list(path.relative_to(self._root).parts)
        if parts[0] == "jobs":
            return "jobs/" + parts[-1].replace("_", "/", 2)
        return "/".join(parts)


def _is_for_journal(blob: NewBlob) -> bool:
    """Whether the blob is small, and of a job: those are never replaced."""
    return len(blob.data) <= journal.MOST_BYTES and blob.key.startswith("jobs/")


def _link_new(partial: str, path: Path) -> bool:
    """Give the written file its final name; False if that name is taken."""
    try:
        os.link(partial, path)  # unlike a rename it never replaces
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            return False
        os.rename(partial, path)
        return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
    return True


@contextmanager
def _storage_errors(what: str) -> Generator[None]:
    """Raise `OSError` as `StorageError`: "the blob could not be {what}"."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"the blob could not be {what}: {error.strerror}") from error


@contextmanager
def _not_found_errors(key: str) -> Generator[None]:
    """Raise `FileNotFoundError` as `NotFound`."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"there is no blob {key}") from error


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
