"""Blobs in a local folder.

The files of a job, ``jobs/{job}/{attempt}/{name}``, lie side by side as ``jobs/{xx}/{job}_{attempt}_{name}``
in 256 folders by the last two characters of the job's id: a folder for each job and attempt would cost more
than the file in it.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from imagemill.blobs.base import BlobInfo
from imagemill.domain.errors import NotFound, StorageError

_KEY = re.compile(r"(?!.*(?:^|/)(?:\.\.?)?(?:/|$))[A-Za-z0-9_\-./]{1,255}")
_PARTIAL = ".partial"


class LocalBlobs:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes, media_type: str) -> None:
        path = self._path(key)
        # Two writers of one key must not share it: the one that is late would find it gone.
        partial = f"{path}.{os.getpid()}.{threading.get_ident()}{_PARTIAL}"
        try:
            try:
                descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            with open(descriptor, "wb", buffering=0) as file:
                file.write(data)
            os.replace(partial, path)
        except OSError as error:
            raise StorageError(f"the blob could not be written: {error.strerror}") from error

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"there is no blob {key}") from error
        except OSError as error:
            raise StorageError(f"the blob could not be read: {error.strerror}") from error

    def location(self, key: str) -> Path | None:
        path = self._path(key)
        return path if path.is_file() else None

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with suppress(FileNotFoundError):
                path.unlink()

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        for path in self._below(prefix):
            with suppress(FileNotFoundError):
                stat = path.stat()
                yield BlobInfo(self._key(path), stat.st_size, stat.st_mtime_ns // 1000)

    def _below(self, prefix: str) -> Iterator[Path]:
        parts = prefix.rstrip("/").split("/")
        if parts[0] == "jobs" and len(parts) > 1:
            first = self._path(prefix.rstrip("/"))
            yield from first.parent.glob(f"{first.name}_*")
            return
        for folder, _, names in os.walk(self._root.joinpath(*parts)):
            yield from (Path(folder, name) for name in names)

    def ping(self) -> None:
        if not os.access(self._root, os.W_OK):
            raise StorageError("the blob folder cannot be written to")

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise StorageError(f"{key!r} is no blob key")
        parts = key.split("/")
        if parts[0] == "jobs" and len(parts) > 1:
            return Path(self._root, "jobs", parts[1][-2:], "_".join(parts[1:]))
        return self._root.joinpath(*parts)

    def _key(self, path: Path) -> str:
        parts = list(path.relative_to(self._root).parts)
        if parts[0] == "jobs":
            return "jobs/" + parts[-1].replace("_", "/", 2)
        return "/".join(parts)
