"""``/api/v1/uploads``: bring a picture once, name it in any number of jobs."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, BinaryIO, cast

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import moment
from imagemill.blobs.base import BlobStore
from imagemill.domain.access import Scope
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.jobs.inputs import StoredInput
from imagemill.media.pictures import EXTENSIONS, media_type_of
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.blobs import PictureFile, picture_bytes, seconds_left
from imagemill.web.forms import IN_MEMORY_BYTES, read_form
from imagemill.web.http import base_url, json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, LazyRoute, ResponseModel

PATH = "/api/v1/uploads"
_SERVED = "/blobs/inputs/{mark}/{digest}/{name}"


@asynccontextmanager
async def _form_file(request: Request) -> AsyncGenerator[BinaryIO]:
    """The one file of a form, whatever its field is called. Raises `InvalidInput`."""
    async with read_form(request, otherwise=", or the picture's") as form:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        if len(files) != 1:
            raise InvalidInput.at("file", f"is there {len(files)} times; send one file a request")
        yield files[0].file


@asynccontextmanager
async def body_file(request: Request) -> AsyncGenerator[BinaryIO]:
    """The whole body as a file."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
        async for chunk in request.stream():
            file.write(chunk)
        yield cast("BinaryIO", file)


_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
}
PICTURE_BODY: dict[str, Any] = {"image/png": _BINARY, "image/jpeg": _BINARY, "image/webp": _BINARY}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {**PICTURE_BODY, "multipart/form-data": _FORM}}
}
UPLOAD_REFUSED: dict[int | str, dict[str, Any]] = {
    413: {"description": "The file has more bytes than are accepted."},
    415: {"description": "The file is no PNG, JPEG or WebP, whatever it is called."},
    422: {"description": "The file is damaged, too large, animated, or contains something else."},
}


class Upload(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "blob:inputs/6f1ed002/9f86d081884c/picture.png",
                    "url": "http://localhost:8000/blobs/inputs/6f1ed002/9f86d081884c/picture.png?exp=1&sig=...",
                    "urlExpiresAt": "2026-01-31T12:00:00+00:00",
                    "width": 512,
                    "height": 512,
                    "mediaType": "image/png",
                }
            ]
        }
    )

    key: str = Field(description="Names the picture in jobs, wherever they take one.")
    url: str = Field(description="Where it can be fetched without a key, for a limited time.")
    url_expires_at: datetime | None
    width: int = Field(description="Pixels.")
    height: int
    media_type: str


router = APIRouter(tags=["uploads"], route_class=ApiRoute)
files = APIRouter(tags=["files"], route_class=LazyRoute)


@router.post(
    PATH,
    summary="Upload a picture for use in jobs",
    status_code=201,
    response_model=Upload,
    responses=UPLOAD_REFUSED,
    openapi_extra=_BODY,
)
async def upload_picture(request: Request, services: ServicesDep) -> Response:
    form = request.headers.get("content-type", "").lower().startswith("multipart/")
    async with _form_file(request) if form else body_file(request) as file:
        kept = await pools.decode(
            keep_picture, services, caller(request).owner, "file" if form else "body", file
        )
    signed = services.response_config.signer.sign(kept.key)
    base = base_url(request, services.response_config.public_url)
    return json_response(
        {
            "key": kept.name,
            "url": f"{base}/blobs/{kept.key}?{signed.query}",
            "urlExpiresAt": moment(signed.expires_at),
            "width": kept.info.width,
            "height": kept.info.height,
            "mediaType": kept.info.media_type,
        },
        201,
    )


def keep_picture(services: Services, owner: str, field: str, file: BinaryIO) -> StoredInput:
    """Check and store an uploaded file. Errors name ``field``."""
    file.seek(0)
    return services.inputs.keep(field, file.read(), owner)


_FILE = {media: {} for media in EXTENSIONS}


@files.head(_SERVED, include_in_schema=False)
@files.get(
    _SERVED,
    summary="Read an uploaded picture by its signed URL",
    response_class=Response,
    responses={
        200: {"content": _FILE, "description": "The picture."},
        206: {"content": _FILE, "description": "A range of it."},
        416: {"description": "The range is outside the file."},
    },
)
async def get_uploaded_picture(
    request: Request, services: ServicesDep, mark: str, digest: str, name: str, exp: str = "", sig: str = ""
) -> Response:
    key = f"inputs/{mark}/{digest}/{name}"
    if not services.response_config.signer.check(key, exp, sig):
        raise HTTPException(403, "this URL is wrong or has expired; upload the picture again")
    return await uploaded_picture(request, services.blobs, key, seconds_left(exp))


async def uploaded_picture(
    request: Request, blobs: BlobStore, key: str, left_s: int, disposition: str | None = None
) -> Response:
    """Return the picture of an upload, by its key. ``disposition``: the Content-Disposition, if any."""
    headers = {"Cache-Control": f"private, max-age={left_s}, immutable"}
    if disposition is not None:
        headers["Content-Disposition"] = disposition
    media_type = media_type_of(key)
    if (path := await pools.blob(blobs.location, key)) is not None:
        return PictureFile(str(path), media_type=media_type, headers=headers)
    try:
        data = await pools.blob(blobs.get, key)
    except NotFound as error:
        raise HTTPException(404, "the picture was deleted after its retention") from error
    return picture_bytes(request, data, headers, media_type)


router.include_router(files)
DIALECT = ApiModule(
    name="uploads",
    router=router,
    callback=no_callback,
    policies=(PathPolicy(PATH, Scope.JOBS_READ, Scope.JOBS_WRITE),),
    tags={"uploads": "Bring a picture once and name it in any number of jobs."},
)
