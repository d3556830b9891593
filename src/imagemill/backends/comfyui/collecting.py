"""Fetching what a prompt made."""

import mimetypes
from collections.abc import Iterable, Iterator
from dataclasses import replace

from imagemill.backends.base import Order, Output
from imagemill.backends.comfyui.faults import BadStatus, Damaged, failure
from imagemill.backends.comfyui.flight import Flight
from imagemill.backends.comfyui.link import NodeLink
from imagemill.backends.comfyui.verdicts import File
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode


class Gone(Exception):
    """A file the history names is not there any more: an earlier identical prompt's, removed since."""


def collect(link: NodeLink, flight: Flight, order: Order, files: Iterable[File]) -> tuple[Output, ...]:
    """All files, then what came over the socket. Raises `BackendError`, `WireError`, `Gone`."""
    outputs = [_fetch(link, file) for file in files]
    outputs += [Output(data, _sniffed(data) or "image/png") for data in _frames(flight)]
    if not outputs:
        raise BackendError(
            FailureCode.BAD_OUTPUT, f"{link.name}: the prompt ended well and delivered no file"
        )
    return tuple(replace(output, seed=order.work.seed) for output in outputs)


def _frames(flight: Flight) -> Iterator[bytes]:
    ranks = {node_id: rank for rank, node_id in enumerate(flight.graph)}
    for key in sorted(flight.frames, key=lambda key: (ranks.get(key[0], 0), key[1])):
        yield flight.frames[key]


def _fetch(link: NodeLink, file: File) -> Output:
    """Read twice at most: a file may be cut short on the way, or still be written."""
    for last in (False, True):
        try:
            data, told = link.client.view(file.name, file.subfolder, file.kind, most=link.settings.file_bytes)
        except BadStatus as error:
            if error.status == 404:
                raise Gone(file.name) from error
            raise
        except Damaged as error:
            if last:
                raise failure(link.name, error) from error
            continue
        kind = _sniffed(data) or mimetypes.guess_type(file.name)[0] or told or "application/octet-stream"
        if data and is_whole(data, kind):
            return Output(data, kind, name=file.name)
    raise BackendError(FailureCode.BAD_OUTPUT, f"{link.name} delivers {file.name} cut short")


def is_whole(data: bytes, media_type: str) -> bool:
    """Whether a picture ends as its format ends; other files are not judged."""
    match media_type:
        case "image/png":
            return data[-8:-4] == b"IEND"
        case "image/jpeg":
            return b"\xff\xd9" in data[-1024:]
        case "image/webp":
            return len(data) >= 8 + int.from_bytes(data[4:8], "little")
        case _:
            return True


def _sniffed(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
