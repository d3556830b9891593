"""The seam to file storage. Keys are ours: ``/``-separated, never made of user input."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlobInfo:
    key: str
    size: int
    modified_at: int
    """Microseconds since the epoch."""


class BlobStore(Protocol):
    """All methods raise `imagemill.domain.errors.StorageError` when the store cannot be used."""

    def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write, or replace, whole: a reader never sees a part."""
        ...

    def get(self, key: str) -> bytes:
        """Raises `imagemill.domain.errors.NotFound`."""
        ...

    def location(self, key: str) -> Path | None:
        """A local file to serve it from, or None when there is none."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Absent keys are fine."""
        ...

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """Everything below a prefix that ends in ``/``, in no order."""
        ...

    def ping(self) -> None:
        """Return if the store can be written to."""
        ...
