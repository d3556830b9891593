"""A ZIP file of the pictures of several workflows, for a query with ``Accept: application/zip``."""

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import BinaryIO, cast

from imagemill.blobs.base import BlobStore
from imagemill.dialects.civitai_v2.statuses import JobState
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.media.pictures import extension_of

MOST_BYTES = 512 * 2**20
_IN_MEMORY = 4 * 2**20
_PIECE = 256 * 2**10
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_MIDNIGHT = (1980, 1, 1, 0, 0, 0)
"""The time of all entries, so that the same pictures give the same file."""


def zip_of(states: Sequence[JobState], blobs: BlobStore) -> BinaryIO:
    """Return a ZIP file with a folder for each workflow, at its start. Raises `InvalidInput` if too large.

    Files whose retention has ended are left out.
    """
    artifacts = [
        (state, artifact) for state in states for artifact in state.view.artifacts if artifact.available
    ]
    size = sum(artifact.size for _, artifact in artifacts)
    if size > MOST_BYTES:
        message = f"finds files of {size} bytes; at most {MOST_BYTES} are packed, so ask for fewer"
        raise InvalidInput.at("take", message)
    # `pieces` closes it, once it is sent.
    file = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115
    numbers: dict[str, int] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for state, artifact in artifacts:
            step = _UNSAFE.sub("", str(state.job.client.get("step", ""))) or "step"
            folder = f"{state.job.batch}/{step}"
            numbers[folder] = numbers.get(folder, -1) + 1
            name = f"{folder}-{numbers[folder]}.{extension_of(artifact.media_type)}"
            try:
                archive.writestr(zipfile.ZipInfo(name, _MIDNIGHT), blobs.get(artifact.blob_key))
            except NotFound:
                continue
    file.seek(0)
    return file


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file in pieces and close it."""
    with closing(file):
        while piece := file.read(_PIECE):
            yield piece
