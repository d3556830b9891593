"""Pictures by unguessable, expiring URLs: no token, ETag, ranges."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.jobs import Artifact
from imagemill.domain.signing import UrlSigner
from imagemill.media.files import UNKNOWN, extension_of
from imagemill.media.pictures import EXTENSIONS

PATH = "/blobs"

_RANGE = re.compile(
    rb"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})(?:, ?(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18}))*"
)


@dataclass(frozen=True, slots=True)
class SignedUrl:
    url: str
    expires_at: int
    """Microseconds since the epoch."""


def picture_url(signer: UrlSigner, base_url: str, artifact: Artifact) -> SignedUrl:
    """Where a picture can be fetched by anybody who has the URL, for as long as it is valid."""
    signed = signer.sign(artifact.id)
    name = f"{artifact.id}.{_extension(artifact)}"
    return SignedUrl(f"{base_url}{PATH}/{name}?{signed.query}", signed.expires_at)


def _extension(artifact: Artifact) -> str:
    return extension_of(artifact.media_type)


def router(
    signer: UrlSigner,
    find: Callable[[str], tuple[Artifact, str] | None],
    locate: Callable[[str], object],
) -> APIRouter:
    """``find`` gives an artifact by its public name, ``locate`` the local file of a blob key."""
    routes = APIRouter()

    @routes.head(PATH + "/{name}", include_in_schema=False)
    @routes.get(
        PATH + "/{name}",
        tags=["blobs"],
        summary="A picture, by a signed URL from a job's answer",
        response_class=Response,
        responses={
            200: {"content": {media: {} for media in EXTENSIONS}, "description": "The picture"},
            206: {"description": "A range of it"},
            304: {"description": "Not modified"},
            403: {"description": "The URL is wrong or has expired"},
            404: {"description": "The picture is gone"},
            416: {"description": "The range lies outside"},
        },
    )
    async def blob(request: Request, name: str, exp: str = "", sig: str = "") -> Response:
        artifact_id, _, extension = name.partition(".")
        if not signer.check(artifact_id, exp, sig):
            raise HTTPException(403, "this URL is wrong or has expired; ask for the job again for a new one")
        found = await asyncio.to_thread(find, artifact_id)
        path = await asyncio.to_thread(locate, found[0].blob_key) if found else None
        if found is None or path is None:
            raise HTTPException(404, "the picture is gone: it was deleted or its retention is over")
        if extension != _extension(found[0]):
            raise HTTPException(404, f"the picture is no .{extension[:20]}, it is a .{_extension(found[0])}")
        return _answer(request, found[0], path, int(exp))

    return routes


def _answer(request: Request, artifact: Artifact, path: object, expires_s: int) -> Response:
    etag = f'"{artifact.sha256}"'
    left_s = max(0, expires_s - now_us() // SECOND)
    headers = {
        "ETag": etag,
        "Cache-Control": f"private, max-age={left_s}, immutable",
    }
    if artifact.media_type == UNKNOWN:
        headers["Content-Disposition"] = "attachment"
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in asked or "*" in asked:
        return Response(status_code=304, headers=headers)
    return _Picture(str(path), media_type=artifact.media_type, headers=headers)


class _Picture(FileResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A range that is not understood is no range (RFC 9110, 14.2), where the framework refuses it."""
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name != b"range" or _is_range(value)
        ]  # fmt: skip
        await super().__call__({**scope, "headers": headers}, receive, send)


def _is_range(value: bytes) -> bool:
    if not _RANGE.fullmatch(value):
        return False
    spans = (span.strip().split(b"-") for span in value.removeprefix(b"bytes=").split(b","))
    return all(not (first and last) or int(first) <= int(last) for first, last in spans)
