"""Open the blob store that the settings name."""

from pathlib import Path

from imagemill.blobs.base import BlobStore
from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.settings import S3Settings
from imagemill.domain.errors import StorageError


def open_blobs(folder: Path, s3: S3Settings) -> BlobStore:
    """Raises `StorageError` when it cannot be used as configured; nothing is connected yet."""
    if s3.bucket is None:
        return LocalBlobs(folder)
    try:
        from imagemill.blobs.s3 import S3Blobs  # costs 7 MB and 20 ms, so only who uses it pays
    except ImportError as error:
        raise StorageError("S3 needs the extra: pip install 'imagemill[s3]'") from error
    return S3Blobs(s3)
