"""The interface of file storage. Keys are chosen by Imagemill: ``/``-separated, never made of user input."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError

_KEY = re.compile(r"(?!.*(?:^|/)(?:\.\.?)?(?:/|$))[A-Za-z0-9_\-./]{1,255}")

Method = Literal["GET", "HEAD", "PUT"]


@dataclass(frozen=True, slots=True)
class BlobInfo:
    key: str
    size: int
    modified_at: int
    """Microseconds since the epoch; some stores only record whole seconds."""


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to be written."""

    key: str
    data: bytes
    media_type: str


class BlobStore(Protocol):
    """A store of files by key.

    All methods raise `imagemill.domain.errors.StorageError` when the store cannot be used, within a bounded
    time. A reader never sees part of a blob.
    """

    def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write the whole blob, or replace it."""
        ...

    def create(self, key: str, data: bytes, media_type: str) -> None:
        """Write the whole blob and never replace one; writing the same bytes again succeeds.

        Raises `imagemill.domain.errors.Conflict` when the key holds other bytes.
        """
        ...

    def create_all(self, blobs: Sequence[NewBlob]) -> None:
        """Create all of these blobs, as `create` does, in less time.

        After an error some of them may be written; the same call may be repeated.
        """
        ...

    def get(self, key: str) -> bytes:
        """The whole blob as it was written. Raises `imagemill.domain.errors.NotFound`."""
        ...

    def read(self, key: str, start: int, stop: int) -> bytes:
        """The bytes from ``start`` up to, not including, ``stop``; both lie within the blob.

        Raises `imagemill.domain.errors.NotFound`.
        """
        ...

    def location(self, key: str) -> Path | None:
        """The local file that holds the blob, or None when there is none."""
        ...

    def presign(self, method: Method, key: str, life_s: float) -> str | None:
        """A URL at the store itself that is valid for ``life_s`` seconds; None if the store has no such URLs.

        The blob need not exist.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the blobs; absent keys are ignored."""
        ...

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """All blobs below a prefix that ends in ``/``, in no order."""
        ...

    def ping(self) -> None:
        """Check that the store can be written to; cheap enough to be called every second."""
        ...

    def close(self) -> None:
        """Finish what is done in the background. Blobs may be written afterwards, too."""
        ...


def check_key(key: str) -> None:
    """Raise `StorageError` for a key that could leave the store's folder or bucket."""
    if not _KEY.fullmatch(key):
        raise StorageError(f"{key!r} is not a blob key")
