"""The catalogue: the books of some folders and the packaged sample, read again when their files change."""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from hashlib import sha256
from pathlib import Path

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, FieldError, NotFound
from imagemill.media.layout import InvalidImage
from imagemill.products.books.book_checks import AssetFile, manifest_path, read_folder, read_inside
from imagemill.products.books.book_manifest import SLUG_PATTERN, BookManifest

log = logging.getLogger(__name__)

SAMPLE_FOLDER = Path(__file__).parent / "sample"
"""The folder of the books that the package brings."""
_CHECK_INTERVAL_S = 1.0
"""The shortest time between two looks at the files of a book."""

_LIST_SHARE = 20
"""Looking at the files of all books takes at most one part in this many of the time."""
_MOST_FILES = 5000
_MOST_FOLDER_DEPTH = 8
_SLUG = re.compile(SLUG_PATTERN)

_Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Book:
    """A valid book as it was read."""

    manifest: BookManifest
    digest: str
    """Identifies the manifest together with the contents of all its files."""
    folder: Path
    files: Mapping[str, AssetFile]

    @property
    def slug(self) -> str:
        return self.manifest.slug

    def read(self, path: str) -> bytes:
        """Return a file that the manifest names.

        Raises `NotFound` for another path, and `Conflict` if the file has changed since the book was read.
        """
        known = self.files.get(path)
        if known is None:
            raise NotFound(f"the book {self.slug} names no file {path[:200]}")
        try:
            data = read_inside(self.folder, path, known.size)
        except InvalidImage as error:
            raise Conflict(f"the file {path} of the book {self.slug} {error}") from error
        if sha256(data).hexdigest() != known.sha256:
            raise Conflict(f"the file {path} of the book {self.slug} has changed; ask for the book again")
        return data


@dataclass(slots=True)
class _KnownBook:
    folder: Path
    book: Book | None = None
    """The last good version."""
    problems: tuple[FieldError, ...] = ()
    """The problems of the newest version."""
    signature: _Signature = ()
    checked_at: float = -1e9
    lock: threading.Lock = field(default_factory=threading.Lock)


class BookCatalogue:
    """The books of folders, each in ``{folder}/{slug}``, and the packaged sample. Safe to use by threads.

    Of two books with the same slug the one of the first folder counts. A book is read when it is asked for,
    and again when its files have changed; if it then has problems, the last good version stays.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        sample: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = (*folders, SAMPLE_FOLDER) if sample else tuple(folders)
        self._clock = clock
        self._entries: dict[str, _KnownBook] = {}
        self._lock = threading.Lock()
        self._scanned_at = -1e9
        self._list_lock = threading.Lock()
        self._listed: tuple[Book, ...] = ()
        self._list_until = -1e9

    def slugs(self) -> tuple[str, ...]:
        """Return the names of all books, also of those with problems."""
        self._scan()
        with self._lock:
            return tuple(sorted(self._entries))

    def books(self) -> tuple[Book, ...]:
        """Return all books without problems, ordered by slug."""
        with self._list_lock:
            started = self._clock()
            if started >= self._list_until:
                read = (self._current(slug) for slug in self.slugs())
                self._listed = tuple(book for book in read if book is not None)
                ended = self._clock()
                self._list_until = ended + max(_CHECK_INTERVAL_S, _LIST_SHARE * (ended - started))
            return self._listed

    def get(self, slug: str) -> Book:
        """Return a book. Raises `NotFound`, also for a book that was never without problems."""
        self._scan()
        book = self._current(slug)
        if book is None:
            with self._lock:
                known = slug in self._entries
            reason = "has problems; `imagemill books check` lists them" if known else "does not exist"
            raise NotFound(f"the book {slug[:64]} {reason}")
        return book

    def problems(self) -> Mapping[str, tuple[FieldError, ...]]:
        """Return the problems of the newest version of each book that has some, by slug."""
        self.books()
        with self._lock:
            return {slug: entry.problems for slug, entry in self._entries.items() if entry.problems}

    def _scan(self) -> None:
        with self._lock:
            if self._clock() - self._scanned_at < _CHECK_INTERVAL_S:
                return
            self._scanned_at = self._clock()
            found = _book_folders(self._folders)
            for slug in self._entries.keys() - found.keys():
                del self._entries[slug]
            for slug, folder in found.items():
                if slug not in self._entries or self._entries[slug].folder != folder:
                    self._entries[slug] = _KnownBook(folder)

    def _current(self, slug: str) -> Book | None:
        with self._lock:
            entry = self._entries.get(slug)
        if entry is None:
            return None
        with entry.lock:
            if self._clock() - entry.checked_at >= _CHECK_INTERVAL_S:
                self._refresh(slug, entry)
                entry.checked_at = self._clock()
            return entry.book

    def _refresh(self, slug: str, entry: _KnownBook) -> None:
        signature = _signature(entry.folder)
        if signature == entry.signature:
            return
        read = read_folder(entry.folder, slug)
        if read.manifest is not None and not read.problems:
            if entry.problems:
                log.info("book %s: all problems are solved", slug)
            entry.book = Book(read.manifest, read.digest, entry.folder, read.files)
        elif read.problems != entry.problems:
            kept = "its last good version stays" if entry.book is not None else "it is not offered"
            first = "; ".join(map(write_problem, read.problems[:5]))
            log.warning("book %s has %d problems, so %s: %s", slug, len(read.problems), kept, first)
        entry.problems = read.problems
        entry.signature = signature


def write_problem(problem: FieldError) -> str:
    return f"{problem.path}: {problem.message}" if problem.path else problem.message


def _book_folders(folders: Sequence[Path]) -> Mapping[str, Path]:
    """Return the folder of each book by its name. The first of several folders of a name counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                names = [each.name for each in entries if each.is_dir()]
        except OSError as error:
            log.warning("the folder of books %s cannot be read: %s", folder, error.strerror)
            continue
        for name in names:
            if _SLUG.fullmatch(name) and manifest_path(folder / name) is not None:
                found.setdefault(name, folder / name)
    return found


def _signature(folder: Path) -> _Signature:
    """Return name, time of change and size of each file of a book's folder, without reading it."""
    found: list[tuple[str, int, int]] = []
    pending = [(folder, "", 0)]
    while pending and len(found) < _MOST_FILES:
        current, prefix, depth = pending.pop()
        try:
            with os.scandir(current) as entries:
                for each in entries:
                    if each.is_dir(follow_symlinks=False):
                        if depth < _MOST_FOLDER_DEPTH:
                            pending.append((current / each.name, f"{prefix}{each.name}/", depth + 1))
                        continue
                    status = each.stat()
                    found.append((prefix + each.name, status.st_mtime_ns, status.st_size))
        except OSError:  # the folder changes meanwhile; the next look finds its new state
            continue
    return tuple(sorted(found[:_MOST_FILES]))
