"""``/api/v1/uploads``: bring a picture once, name it in any number of jobs."""

import asyncio
import re
import tempfile
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.jobs.inputs import StoredInput
from imagemill.media.pictures import EXTENSIONS, media_type_of
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy

_BOUNDARY = re.compile(
    r'multipart/form-data\s*;.*\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE
)
_FILE = re.compile(rb"content-disposition\s*:[^\r\n]*\bfilename", re.IGNORECASE)
_MOST_PARTS = 20


def is_form(content_type: str) -> bool:
    return content_type.lower().startswith("multipart/")


def file_of(content_type: str, body: bytes) -> bytes:
    """Raises `InvalidInput`."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise InvalidInput.at("Content-Type", "must be multipart/form-data with a boundary, or the picture's")
    mark = b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")
    parts = (b"\r\n" + body).split(mark, _MOST_PARTS)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise InvalidInput.at("", "is no whole form: it is cut off, or has more than a few fields")
    files: list[bytes] = []
    for part in parts[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        if _FILE.search(head):
            files.append(data)
    if len(files) != 1:
        raise InvalidInput.at("file", f"is there {len(files)} times; send one file a request")
    return files[0]


PATH = "/api/v1/uploads"
_SERVED = "/blobs/inputs/{mark}/{digest}/{name}"
_IN_MEMORY_BYTES = 2**20
"""What is larger waits on disk until it is whole: slow clients hold no memory."""
FORM_BYTES = 64 * 2**10
"""What a form may have around its file."""

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/png": _BINARY,
            "image/jpeg": _BINARY,
            "image/webp": _BINARY,
            "multipart/form-data": _FORM,
        },
    },
    "responses": {
        "413": {"description": "It has more bytes than are accepted"},
        "415": {"description": "It is no PNG, JPEG or WebP, whatever it is called"},
        "422": {"description": "It is damaged, too large, animated, or has something else in it"},
    },
}


class UploadRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["uploads"])
        routes.add_api_route(
            PATH,
            self.upload,
            methods=["POST"],
            summary="Upload a picture for use in jobs",
            status_code=201,
            response_class=Response,
            openapi_extra=_BODY,
        )
        routes.add_api_route(
            _SERVED,
            self.served,
            methods=["GET"],
            summary="An uploaded picture, by a signed URL",
            response_class=Response,
            openapi_extra=openapi.answered(200, "The picture", *EXTENSIONS),
            tags=["blobs"],
        )
        return routes

    async def upload(self, request: Request) -> Response:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
            async for chunk in request.stream():
                file.write(chunk)
            kept = await asyncio.to_thread(self._keep, request, file)
        return json_response(self._body(request, kept), 201)

    def _keep(self, request: Request, file: Any) -> StoredInput:
        file.seek(0)
        body, content_type = file.read(), request.headers.get("content-type", "")
        form = is_form(content_type)
        data = file_of(content_type, body) if form else body
        return self._services.inputs.keep("file" if form else "body", data, caller(request).owner)

    def _body(self, request: Request, kept: StoredInput) -> dict[str, Any]:
        wire = self._services.response_config
        base = wire.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        signed = wire.signer.sign(kept.key)
        return {
            "key": kept.name,
            "url": f"{base}/blobs/{kept.key}?{signed.query}",
            "urlExpiresAt": moment(signed.expires_at),
            "width": kept.info.width,
            "height": kept.info.height,
            "mediaType": kept.info.media_type,
        }

    async def served(self, mark: str, digest: str, name: str, exp: str = "", sig: str = "") -> Response:
        key = f"inputs/{mark}/{digest}/{name}"
        if not self._services.response_config.signer.check(key, exp, sig):
            raise HTTPException(403, "this URL is wrong or has expired; upload the picture again")
        left_s = max(0, int(exp) - now_us() // SECOND)
        headers = {"Cache-Control": f"private, max-age={left_s}, immutable"}
        media_type, blobs = media_type_of(name), self._services.blobs
        if (path := await asyncio.to_thread(blobs.location, key)) is not None:
            return FileResponse(path, media_type=media_type, headers=headers)
        try:
            data = await asyncio.to_thread(blobs.get, key)
        except NotFound as error:
            raise HTTPException(404, "the picture is gone: its retention is over") from error
        return Response(data, media_type=media_type, headers=headers)


DIALECT = ApiModule(
    name="uploads",
    router=lambda services, _: UploadRoutes(services).router(),
    callback=no_callback,
    policies=(PathPolicy(PATH, Scope.JOBS_READ, Scope.JOBS_WRITE),),
)
