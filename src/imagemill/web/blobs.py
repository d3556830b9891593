"""Files by unguessable, expiring URLs: no token, ETag, ranges.

A local file is sent directly. A blob in a bucket is passed through in pieces, so that a slow client holds
neither memory nor one long request to the store; or the client is redirected to a presigned URL.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from imagemill.blobs.base import BlobStore
from imagemill.domain.blob_urls import PATH
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import Artifact
from imagemill.domain.signing import UrlSigner
from imagemill.media.pictures import EXTENSIONS, UNKNOWN, extension_of
from imagemill.net import pools
from imagemill.web.routing import PlainRoute

_WHOLE_BYTES = 256 * 2**10
"""The largest local file that is sent in one piece."""
_CONDITIONS = frozenset({b"range", b"if-range", b"if-none-match", b"if-modified-since"})
_PIECE_BYTES = 4 * 2**20
"""The largest piece. Most pictures are one piece, which is one request to the store."""
_LEAST_PIECE_BYTES = 256 * 2**10
_HELD_BYTES = 64 * 2**20
"""The memory for all clients together: the more there are, the smaller their pieces."""
_SLICE_BYTES = 64 * 2**10
"""Bytes written to the connection at once, since it buffers everything for a client that reads slowly."""
_READERS = 16
_OVER = "the picture was deleted after its retention; its job can be submitted again"
_GONE = "the picture was deleted, by a client or after its retention"
_RANGE = re.compile(
    r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})(?:, ?(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18}))*"
)


class OutsideError(Exception):
    """The requested range contains no byte of the file."""


def is_range(value: str) -> bool:
    """Whether the header is a valid range; any other is ignored (RFC 9110, 14.2)."""
    if not _RANGE.fullmatch(value):
        return False
    spans = (span.strip().split("-") for span in value.removeprefix("bytes=").split(","))
    return all(not (first and last) or int(first) <= int(last) for first, last in spans)


def span(value: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last; None for the whole file. Raises `OutsideError`.

    For several ranges the whole file is sent, which the RFC allows.
    """
    if not is_range(value) or "," in value:
        return None
    first, _, last = value.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise OutsideError
    return start, stop


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine. ``data``: its content if it is small and was asked for as a whole."""

    path: Path
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignedUrl:
    url: str
    expires_at: int
    """In microseconds since the epoch."""


def picture_url(signer: UrlSigner, base_url: str, artifact: Artifact) -> SignedUrl:
    """Return the URL of a picture, which needs no key and is valid for a limited time."""
    signed = signer.sign(artifact.id)
    name = f"{artifact.id}.{_extension(artifact)}"
    return SignedUrl(f"{base_url}{PATH}/{name}?{signed.query}", signed.expires_at)


def _extension(artifact: Artifact) -> str:
    return extension_of(artifact.media_type)


def router(
    signer: UrlSigner,
    find: Callable[[str], tuple[Artifact, str] | None],
    files: "ArtifactFiles",
) -> APIRouter:
    """Return the router. ``find`` returns an artifact by its id."""
    routes = APIRouter(route_class=PlainRoute)

    def look_up(artifact_id: str, extension: str, *, whole: bool) -> tuple[Artifact, LocalFile | None]:
        found = find(artifact_id)
        if found is None:
            raise HTTPException(404, _GONE)
        artifact = found[0]
        if not artifact.available:
            raise HTTPException(410, _OVER)
        if extension != _extension(artifact):
            raise HTTPException(404, f"the picture is no .{extension[:20]}, it is a .{_extension(artifact)}")
        return artifact, files.open(artifact, whole=whole)

    @routes.head(PATH + "/{name}", include_in_schema=False)
    @routes.get(
        PATH + "/{name}",
        tags=["files"],
        summary="A picture, by a signed URL from a job's answer",
        response_class=Response,
        openapi_extra={"parameters": [_text_parameter("exp"), _text_parameter("sig")]},
        responses={
            200: {"content": {media: {} for media in EXTENSIONS}, "description": "The picture"},
            206: {"content": {media: {} for media in EXTENSIONS}, "description": "A range of it"},
            304: {"description": "Not modified"},
            307: {"description": "The picture is in the store, at the URL in Location"},
            403: {"description": "The URL is wrong or has expired"},
            404: {"description": "The picture was deleted"},
            410: {"description": "The picture's retention has ended; the job still exists"},
            416: {"description": "The range is outside the file"},
            503: {"description": "The store is unavailable; try again"},
        },
    )
    async def blob(request: Request, name: str) -> Response:
        expires, signature = (request.query_params.get(field, "") for field in ("exp", "sig"))
        artifact_id, _, extension = name.partition(".")
        if not signer.check(artifact_id, expires, signature):
            raise HTTPException(403, "this URL is wrong or has expired; ask for the job again for a new one")
        # One call for row and file: each costs the event loop more than the call itself.
        artifact, file = await pools.blob(look_up, artifact_id, extension, whole=is_for_whole_file(request))
        return await files.answer_with(request, artifact, file, seconds_left(expires))

    return routes


def _text_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "default": "", "title": name.title()}
    return {"name": name, "in": "query", "required": False, "schema": schema}


def is_for_whole_file(request: Request) -> bool:
    """Whether the answer is the whole file, if there is one: the request has no conditions and no range."""
    return request.method == "GET" and not any(name in _CONDITIONS for name, _ in request.scope["headers"])


def seconds_left(expires: str) -> int:
    """Return the seconds until a URL expires, for its Cache-Control. ``expires``: seconds since the epoch."""
    return max(0, int(expires) - now_us() // SECOND)


def _headers(artifact: Artifact, left_s: int) -> dict[str, str]:
    headers = {"ETag": f'"{artifact.sha256}"', "Cache-Control": f"private, max-age={left_s}, immutable"}
    if artifact.media_type == UNKNOWN:
        headers["Content-Disposition"] = "attachment"
    return headers


def _is_cached(request: Request, etag: str) -> bool:
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in asked or "*" in asked


class PictureFile(FileResponse):
    """A file of this machine, with ranges."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file. An invalid range is ignored; the framework would refuse it."""
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name != b"range" or is_range(value.decode("latin-1"))
        ]
        await super().__call__({**scope, "headers": headers}, receive, send)


def picture_bytes(request: Request, data: bytes, headers: dict[str, str], media_type: str) -> Response:
    """Return the response with a picture that is in memory, or with the range that is requested of it."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    try:
        part = span(request.headers.get("range", ""), len(data))
    except OutsideError:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    if part is None:
        return Response(data, 200, headers, media_type)
    start, stop = part
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(data[start:stop], 206, headers, media_type)


class ArtifactFiles:
    """Answers with files of jobs. ``redirect`` allows presigned URLs of the store."""

    def __init__(self, blobs: BlobStore, *, redirect: bool = False) -> None:
        self._blobs = blobs
        self._redirect = redirect
        # Threads of their own: a store that hangs must not block the threads used for everything else.
        self._readers = ThreadPoolExecutor(_READERS, "imagemill-blobs")
        self._clients = 0
        """The number of clients that are sent pieces or wait for one."""

    def open(self, artifact: Artifact, *, whole: bool) -> LocalFile | None:
        """Return the file if it is on this machine, with its content if it is small and wanted ``whole``."""
        path = self._blobs.location(artifact.blob_key)
        if path is None or not whole or artifact.size > _WHOLE_BYTES:
            return None if path is None else LocalFile(path)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return LocalFile(path)
        try:
            data = os.read(descriptor, artifact.size + 1)
        finally:
            os.close(descriptor)
        return LocalFile(path, data if len(data) == artifact.size else None)

    async def answer(
        self, request: Request, artifact: Artifact, left_s: int, disposition: str | None = None
    ) -> Response:
        """Return the file, or a redirect to it. ``disposition``: the Content-Disposition, which a redirect
        would lose."""
        file = await pools.blob(self.open, artifact, whole=is_for_whole_file(request))
        return await self.answer_with(request, artifact, file, left_s, disposition)

    async def answer_with(
        self,
        request: Request,
        artifact: Artifact,
        file: LocalFile | None,
        left_s: int,
        disposition: str | None = None,
    ) -> Response:
        """Return what `answer` does. ``file``: what `open` has returned."""
        headers = _headers(artifact, left_s)
        if disposition is not None:
            headers["Content-Disposition"] = disposition
        if file is None:
            redirects = self._redirect and disposition is None
            return await self._from_store(request, artifact, headers, left_s if redirects else None)
        if _is_cached(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if file.data is not None:
            return Response(file.data, 200, {**headers, "Accept-Ranges": "bytes"}, artifact.media_type)
        return PictureFile(str(file.path), media_type=artifact.media_type, headers=headers)

    async def _from_store(
        self, request: Request, artifact: Artifact, headers: dict[str, str], redirect_s: int | None
    ) -> Response:
        """Return the file or, unless ``redirect_s`` is None, a redirect that is valid for so many seconds."""
        if redirect_s is not None:
            method: Literal["GET", "HEAD"] = "HEAD" if request.method == "HEAD" else "GET"
            url = await pools.blob(self._blobs.presign, method, artifact.blob_key, redirect_s)
            if url is not None:
                return RedirectResponse(url, 307, {"Cache-Control": headers["Cache-Control"]})
        if _is_cached(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return await self._streamed(request, artifact, headers)

    async def _streamed(self, request: Request, artifact: Artifact, headers: dict[str, str]) -> Response:
        """Return the response. The first piece is read before, so that a missing blob gives a 404."""
        headers |= {"Accept-Ranges": "bytes"}
        asked = request.headers.get("range", "")
        same = request.headers.get("if-range", headers["ETag"]) == headers["ETag"]
        try:
            part = span(asked, artifact.size) if asked and same else None
        except OutsideError:
            headers["Content-Range"] = f"bytes */{artifact.size}"
            return Response(status_code=416, headers=headers)
        start, stop = part or (0, artifact.size)
        if part:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{artifact.size}"
        headers["Content-Length"] = str(stop - start)
        head = request.method == "HEAD"
        first_stop = min(stop, start + (1 if head else self._piece_bytes()))
        try:
            first = await self._read(artifact.blob_key, start, first_stop)
        except NotFound as error:
            raise HTTPException(404, _GONE) from error
        status, media_type = 206 if part else 200, artifact.media_type
        if head:
            return Response(None, status, headers, media_type)
        pieces = self._pieces(artifact.blob_key, first, start, stop)
        return StreamingResponse(pieces, status, headers, media_type)

    async def _pieces(self, key: str, piece: bytes, position: int, stop: int) -> AsyncIterator[bytes]:
        self._clients += 1
        try:
            while piece:
                for cut in range(0, len(piece), _SLICE_BYTES):
                    yield piece[cut : cut + _SLICE_BYTES]
                position += len(piece)
                piece = b""  # freed before the next one is read
                if position < stop:
                    piece = await self._read(key, position, min(stop, position + self._piece_bytes()))
        finally:
            self._clients -= 1

    def _piece_bytes(self) -> int:
        return max(_LEAST_PIECE_BYTES, min(_PIECE_BYTES, _HELD_BYTES // (self._clients + 1)))

    async def _read(self, key: str, start: int, stop: int) -> bytes:
        loop = asyncio.get_running_loop()
        self._clients += 1
        try:
            if start == stop:
                return await loop.run_in_executor(self._readers, self._blobs.get, key)
            return await loop.run_in_executor(self._readers, self._blobs.read, key, start, stop)
        finally:
            self._clients -= 1
