"""The seam to file storage. Keys are ours: ``/``-separated, never made of user input."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from imagemill.domain.errors import StorageError

_KEY = re.compile(r"(?!.*(?:^|/)(?:\.\.?)?(?:/|$))[A-Za-z0-9_\-./]{1,255}")

Method = Literal["GET", "HEAD", "PUT"]


@dataclass(frozen=True, slots=True)
class BlobInfo:
    key: str
    size: int
    modified_at: int
    """Microseconds since the epoch; some stores know whole seconds only."""


class BlobStore(Protocol):
    """All methods raise `imagemill.domain.errors.StorageError` when the store cannot be used.

    They do so within a bounded time, and a reader never sees a part of a blob.
    """

    def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write, or replace, whole."""
        ...

    def create(self, key: str, data: bytes, media_type: str) -> None:
        """Write whole, and never replace: the same bytes again are fine.

        Raises `imagemill.domain.errors.Conflict` when other bytes lie under the key.
        """
        ...

    def get(self, key: str) -> bytes:
        """The whole, as it was written. Raises `imagemill.domain.errors.NotFound`."""
        ...

    def read(self, key: str, start: int, stop: int) -> bytes:
        """The bytes from ``start`` up to, not including, ``stop``; both lie within the blob.

        Raises `imagemill.domain.errors.NotFound`.
        """
        ...

    def location(self, key: str) -> Path | None:
        """A local file to serve it from, or None when there is none."""
        ...

    def presign(self, method: Method, key: str, life_s: float) -> str | None:
        """A URL at the store itself that whoever has it may use so long, or None where there are none.

        Whether there is such a blob is not looked at.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Absent keys are fine."""
        ...

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """Everything below a prefix that ends in ``/``, in no order."""
        ...

    def ping(self) -> None:
        """Return if the store can be written to; cheap enough to be asked every second."""
        ...


def check_key(key: str) -> None:
    """Raises `StorageError` for what could leave the store's folder or bucket."""
    if not _KEY.fullmatch(key):
        raise StorageError(f"{key!r} is no blob key")
