"""Files that are made from finished pictures: thumbnails, contact sheets and ZIP files."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from imagemill.blobs.base import BlobStore
from imagemill.domain.blob_keys import thumbnail_key, thumbnail_keys
from imagemill.domain.clock import now_us, to_datetime
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.domain.jobs import Artifact
from imagemill.jobs.store.artifacts import GalleryEntry
from imagemill.media.layout import InvalidImage
from imagemill.media.pictures import extension_of
from imagemill.media.thumbnails import DrawSheet, ShrinkPicture
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext

MEDIA_TYPE = "image/webp"
_CONTEXT = TransformContext("", 0, 0, None, "", "")
"""Nothing in a thumbnail depends on the job."""
_SHEET_SIDE = 256
_PIECE_BYTES = 2 * 2**20
_NAME_CHARS = 60
_UNSAFE = re.compile(r"[^\w]+")

RunTransform = Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]


class Thumbnails:
    """Makes each thumbnail once, in a confined process, and keeps it beside the picture. Thread-safe."""

    def __init__(self, blobs: BlobStore, run_transform: RunTransform, max_pixels: int) -> None:
        self._blobs = blobs
        self._run = run_transform
        self._max_pixels = max_pixels

    def get(self, artifact: Artifact, width: int) -> bytes:
        """Return a thumbnail. Raises `NotFound` where there is none, as the file is no picture or deleted."""
        if not artifact.available:
            raise NotFound(f"the file of artifact {artifact.id} was deleted")
        if not artifact.media_type.startswith("image/"):
            raise NotFound(f"artifact {artifact.id} is {artifact.media_type}, which has no thumbnail")
        key = thumbnail_key(artifact.job_id, artifact.attempt, artifact.position, width)
        try:
            return self._blobs.get(key)
        except NotFound:
            made = self._make(artifact, width)
            self._blobs.put(key, made, MEDIA_TYPE)
            return made

    def delete(self, artifact: Artifact) -> None:
        """Delete the picture's file and its thumbnails."""
        thumbnails = thumbnail_keys(artifact.job_id, artifact.attempt, artifact.position)
        self._blobs.delete([artifact.blob_key, *thumbnails])

    def sheet(self, entries: Sequence[GalleryEntry], title: str, columns: int) -> bytes:
        """Return a contact sheet as a PNG. Raises `InvalidInput`."""
        tiles = [self._tile(entry.artifact) for entry in entries]
        lines = tuple(_labels(entry) for entry in entries)
        draw = DrawSheet(tuple(map(len, tiles)), lines, title, columns)
        try:
            return self._run(draw, b"".join(tiles), _CONTEXT)[0].data
        except InvalidImage as error:
            raise InvalidInput.at("ids", f"give a contact sheet that cannot be drawn: {error}") from error

    def _tile(self, artifact: Artifact) -> bytes:
        try:
            return self.get(artifact, _SHEET_SIDE)
        except NotFound:
            return b""

    def _make(self, artifact: Artifact, width: int) -> bytes:
        shrink = ShrinkPicture(width, self._max_pixels)
        try:
            return self._run(shrink, self._blobs.get(artifact.blob_key), _CONTEXT)[0].data
        except InvalidImage as error:
            raise NotFound(f"artifact {artifact.id} has no thumbnail: the picture {error}") from error


def _labels(entry: GalleryEntry) -> tuple[str, ...]:
    prompt = prompt_of(entry)[:_NAME_CHARS] or entry.recipe
    return (prompt,) if entry.artifact.seed is None else (prompt, f"seed {entry.artifact.seed}")


def prompt_of(entry: GalleryEntry) -> str:
    """Return the prompt of an artifact's job in one line, empty without one."""
    values: Any = entry.input.get("values")
    given = cast(Mapping[str, Any], values) if isinstance(values, dict) else entry.input
    prompt = given.get("prompt")
    return " ".join(prompt.split()) if isinstance(prompt, str) else ""


# ZIP files


class _Unseekable(io.RawIOBase):
    """Collects what is written until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - bytes suffice
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken


def zip_pieces(entries: Sequence[GalleryEntry], blobs: BlobStore) -> Iterator[bytes]:
    """Yield a ZIP file of the artifacts' files in pieces, without those that are deleted meanwhile."""
    out = _Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for entry, name in zip(entries, file_names(entries), strict=True):
            made = to_datetime(entry.artifact.created_at)
            info = zipfile.ZipInfo(name, made.timetuple()[:6])
            info.file_size = entry.artifact.size
            try:
                first = _read(blobs, entry.artifact, 0)
            except NotFound:
                continue
            with archive.open(info, "w") as file:
                file.write(first)
                yield out.take()
                for start in range(len(first), entry.artifact.size, _PIECE_BYTES):
                    file.write(_read(blobs, entry.artifact, start))
                    yield out.take()
            yield out.take()
    yield out.take()


def _read(blobs: BlobStore, artifact: Artifact, start: int) -> bytes:
    stop = min(artifact.size, start + _PIECE_BYTES)
    return blobs.read(artifact.blob_key, start, stop) if stop > start else blobs.get(artifact.blob_key)


def file_names(entries: Sequence[GalleryEntry]) -> list[str]:
    """Return names with date, prompt and seed, each different: ``2026-01-31-a-fox-42.png``."""
    used: dict[str, int] = {}
    return [_name(entry, used) for entry in entries]


def _name(entry: GalleryEntry, used: dict[str, int]) -> str:
    artifact = entry.artifact
    words = _UNSAFE.sub("-", prompt_of(entry))[:_NAME_CHARS].strip("-").lower() or entry.recipe
    seed = "" if artifact.seed is None else f"-{artifact.seed}"
    stem = f"{to_datetime(artifact.created_at):%Y-%m-%d}-{words}{seed}"
    used[stem] = used.get(stem, 0) + 1
    number = f"-{used[stem]}" if used[stem] > 1 else ""
    return f"{stem}{number}.{extension_of(artifact.media_type)}"


def zip_name() -> str:
    return f"imagemill-{to_datetime(now_us()):%Y-%m-%d-%H%M%S}.zip"
