"""Tasks on pictures and files, on the CPU. Pixels are decoded in confined processes."""

import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from imagemill.backends.base import Output
from imagemill.backends.builtin.calls import Task, TaskCall, TaskResult, TaskServices
from imagemill.domain.errors import BackendError, MissingExtra
from imagemill.domain.failures import FailureCode
from imagemill.media.control_maps import NUMPY_KINDS, ControlMap
from imagemill.media.conversion import Conversion
from imagemill.media.hashes import MediaHash
from imagemill.media.pictures import extension_of
from imagemill.media.postprocess import BackgroundRemoval
from imagemill.media.transforms import ImageTransform, check_pixels

MOST_ARCHIVE = 256 * 2**20
"""Most bytes of the files of an archive, which is in memory when it is stored."""
_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"GIF8", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
)
_MIDNIGHT = (1980, 1, 1, 0, 0, 0)
"""The time of all files in a ZIP file, its earliest: the same files always make the same archive."""


def _media_type(data: bytes) -> str:
    return next((name for first, name in _SIGNATURES if data.startswith(first)), "")


def _upload(call: TaskCall) -> TaskResult:
    """Deliver the picture as it is: it was checked when it was loaded."""
    media_type = _media_type(call.picture)
    if not media_type.startswith("image/"):
        raise BackendError(FailureCode.BACKEND_REJECTED, "the file is not a PNG, JPEG, WebP or GIF")
    return TaskResult((Output(call.picture, media_type),))


def _of_transform(
    build: Callable[[Mapping[str, Any]], ImageTransform],
    missing: Callable[[TaskServices, Mapping[str, Any]], str | None] | None = None,
) -> Task:
    """Return the task of a transform that makes a picture of the picture."""

    def run(call: TaskCall) -> TaskResult:
        made = call.transform(build(call.arguments), call.picture)
        return TaskResult(tuple(Output(each.data, each.media_type) for each in made))

    return Task(run) if missing is None else Task(run, missing)


def _hash(call: TaskCall) -> TaskResult:
    (made,) = call.transform(MediaHash.from_arguments(call.arguments), call.picture)
    return TaskResult(values={"hashes": json.loads(made.data)})


def _missing_numpy(feature: str) -> str | None:
    try:
        check_pixels(feature)
    except MissingExtra as error:
        return str(error)
    return None


def _missing_for_map(services: TaskServices, arguments: Mapping[str, Any]) -> str | None:
    del services
    kind = arguments["kind"]
    return _missing_numpy(f"the control picture {kind}") if kind in NUMPY_KINDS else None


def _remove_background(call: TaskCall) -> TaskResult:
    path, background = call.services.cutout_model, call.arguments["background"]
    cutout = None
    if background is None and path is not None:
        try:
            cutout = path.read_bytes()
        except OSError as error:
            raise BackendError(
                FailureCode.MISSING_MODEL, f"the cut-out model cannot be read: {error.strerror}"
            ) from error
    transform = BackgroundRemoval(call.arguments["format"], background, cutout)
    (made,) = call.transform(transform, call.picture)
    return TaskResult((Output(made.data, made.media_type),))


def _missing_for_removal(services: TaskServices, arguments: Mapping[str, Any]) -> str | None:
    if arguments["background"] is None and services.cutout_model is None:
        return "there is no cut-out model: set IMAGEMILL_CHARACTERS__CUTOUT_MODEL"
    return _missing_numpy("removing a background")


def _archive(call: TaskCall) -> TaskResult:
    """Deliver the files as one; they are loaded one after the other, and the archive grows in a file."""
    kind = call.arguments["format"]
    with tempfile.TemporaryFile() as file:
        (_write_zip if kind == "zip" else _write_tar)(file, _entries(call))
        file.seek(0)
        data = file.read()
    media_type = "application/zip" if kind == "zip" else "application/x-tar"
    count = len(call.arguments["entries"])
    values = {"entryCount": count, "format": kind, "name": call.arguments["name"]}
    return TaskResult((Output(data, media_type),), values)


def _entries(call: TaskCall) -> Iterator[tuple[str, bytes]]:
    """Return the name and the content of each file; a name without an extension gets that of the content."""
    total = 0
    for entry in call.arguments["entries"]:
        call.check()
        data = call.services.load_input(entry["source"])
        total += len(data)
        if total > MOST_ARCHIVE:
            raise BackendError(
                FailureCode.OUTPUT_LIMIT, f"the files have more than {MOST_ARCHIVE} bytes; archive fewer"
            )
        name, media_type = str(entry["name"]), _media_type(data)
        yield (name if "." in name or not media_type else f"{name}.{extension_of(media_type)}"), data


def _write_zip(file: IO[bytes], entries: Iterator[tuple[str, bytes]]) -> None:
    # Not compressed, as pictures already are.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name, _MIDNIGHT), data)


def _write_tar(file: IO[bytes], entries: Iterator[tuple[str, bytes]]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in entries:
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))


PIXEL_TASKS: Mapping[str, Task] = {
    "blobArchive": Task(_archive),
    "convertImage": _of_transform(Conversion.from_arguments),
    "imageBackgroundRemoval": Task(_remove_background, _missing_for_removal),
    "imageUpload": Task(_upload),
    "mediaHash": Task(_hash),
    "preprocessImage": _of_transform(ControlMap.from_arguments, _missing_for_map),
}
