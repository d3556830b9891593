"""Copies of an SQLite database and of the data folder while servers and workers use them."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from imagemill.db.engine import create_private_file
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError

_BUSY_S = 60.0
"""Seconds for which another connection may keep the database locked, as a migration does."""


@dataclass(frozen=True, slots=True)
class CopiedFiles:
    count: int
    size: int
    """Bytes of all files together."""


def copy_database(source: Path, target: Path) -> int:
    """Copy a consistent state of the database to a new file, and return its bytes.

    The copy is one read, during which others write: what they write meanwhile stays in the ``-wal`` file.
    Copied in steps, it would begin again after each write of another process. Raises `StorageError`.
    """
    create_private_file(target)
    try:
        reading = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=_BUSY_S)
        writing = sqlite3.connect(target)
        try:
            reading.backup(writing, pages=-1)
            # A file of its own: the copy needs no -wal file beside it.
            writing.execute("PRAGMA journal_mode=DELETE")
        finally:
            writing.close()
            reading.close()
        _flush(target)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"the database cannot be copied to {target}: {error}") from error
    return target.stat().st_size


def copy_files(source: Path, target: Path) -> CopiedFiles:
    """Copy a folder; a file that is deleted or still written meanwhile is left out, and so are folders whose
    names begin with a dot, which have nothing to keep. Raises `StorageError`.

    Files keep their times, by which retention and the search for orphans know their age.
    """
    count = size = 0
    try:
        for path in _files(source):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                shutil.copy2(path, copy)
            except FileNotFoundError:
                continue
            count, size = count + 1, size + copy.stat().st_size
    except OSError as error:
        raise StorageError(f"{source} cannot be copied to {target}: {error}") from error
    return CopiedFiles(count, size)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
