"""Pictures of characters by signed URLs, for as long as they are kept, whatever became of their jobs."""

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from imagemill.blobs.base import BlobStore
from imagemill.dialects import openapi
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import NotFound
from imagemill.domain.signing import UrlSigner
from imagemill.media.files import media_type_of
from imagemill.media.pictures import EXTENSIONS

_GONE = "the picture is gone: it was deleted"


def router(signer: UrlSigner, blobs: BlobStore) -> APIRouter:
    routes = APIRouter(tags=["blobs"])

    async def served(
        folder: str, subject: str, kind: str, file: str, exp: str = "", sig: str = ""
    ) -> Response:
        key = f"characters/{folder}/{subject}/{kind}/{file}"
        if not signer.check(key, exp, sig):
            raise HTTPException(403, "this URL is wrong or has expired; ask for the picture again")
        left_s = max(0, int(exp) - now_us() // SECOND)
        headers = {"Cache-Control": f"private, max-age={left_s}, immutable"}
        media_type = media_type_of(file)
        path = await asyncio.to_thread(blobs.location, key)
        if path is not None:
            return FileResponse(path, media_type=media_type, headers=headers)
        try:
            data = await asyncio.to_thread(blobs.get, key)
        except NotFound as error:
            raise HTTPException(404, _GONE) from error
        return Response(data, media_type=media_type, headers=headers)

    routes.add_api_route(
        "/blobs/characters/{folder}/{subject}/{kind}/{file}",
        served,
        methods=["GET"],
        summary="A picture of a character, by a signed URL",
        response_class=Response,
        openapi_extra=openapi.answered(200, "The picture", *EXTENSIONS),
    )
    return routes
