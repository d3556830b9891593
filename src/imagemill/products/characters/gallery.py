"""Lists of the pictures of characters, stories and chats, the choice among them, and their files."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from imagemill.blobs.base import BlobStore
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import NotFound
from imagemill.domain.signing import UrlSigner
from imagemill.media.pictures import EXTENSIONS, media_type_of
from imagemill.net import pools
from imagemill.products.characters.character_api import (
    PREFIX,
    CharacterApi,
    CharacterId,
    CharactersDep,
    ChatId,
    ImageId,
    StoryId,
)
from imagemill.products.characters.records import Subject
from imagemill.products.characters.responses import CharacterPicture, CharacterPicturePage, image_body
from imagemill.products.characters.store import ImageFilter, ImageRef
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.http import cursor, json_response
from imagemill.web.routing import ApiRoute, Cursor, LazyRoute

router = APIRouter(tags=["characters"], route_class=ApiRoute)
_OF_CHARACTER = f"{PREFIX}/characters/{{character_id}}/images"
_OF_STORY = f"{PREFIX}/stories/{{story_id}}/images"
_OF_CHAT = f"{PREFIX}/chats/{{chat_id}}/images"
_GONE = "the picture was deleted"

_PageLimit = Annotated[int, Query(ge=1, le=200, description="Most pictures of a page.")]
_PageCursor = Annotated[Cursor, Query(alias="cursor")]
_TYPE = Query(alias="type", description="Only pictures of this type.")


@router.get(_OF_CHARACTER, summary="List the pictures of a character", response_model=CharacterPicturePage)
async def list_character_pictures(
    request: Request,
    characters: CharactersDep,
    character_id: CharacterId,
    type_: Annotated[Literal["avatar", "sticker", "cover", "scene"] | None, _TYPE] = None,
    emotion: Annotated[str | None, Query(description="Only stickers of this emotion.")] = None,
    limit: _PageLimit = 50,
    cursor_: _PageCursor = None,
) -> Response:
    owner = caller(request).owner
    wanted = ImageFilter(
        owner, character_id, type=type_, emotion=emotion, before=_before(cursor_), limit=limit
    )
    page = await _page(request, characters, wanted)
    if not page["items"] and cursor_ is None:
        # Raises `NotFound` for a character that has neither a picture nor a sheet.
        await pools.read(characters.check_known, owner, character_id)
    return json_response(page)


@router.get(_OF_STORY, summary="List the pictures of a story", response_model=CharacterPicturePage)
async def list_story_pictures(
    request: Request,
    characters: CharactersDep,
    story_id: StoryId,
    type_: Annotated[Literal["cover", "scene"] | None, _TYPE] = None,
    limit: _PageLimit = 50,
    cursor_: _PageCursor = None,
) -> Response:
    owner = caller(request).owner
    wanted = ImageFilter(owner, story_id, subject="story", type=type_, before=_before(cursor_), limit=limit)
    return json_response(await _page(request, characters, wanted))


@router.get(_OF_CHAT, summary="List the scenes of a chat", response_model=CharacterPicturePage)
async def list_chat_pictures(
    request: Request,
    characters: CharactersDep,
    chat_id: ChatId,
    limit: _PageLimit = 50,
    cursor_: _PageCursor = None,
) -> Response:
    owner = caller(request).owner
    wanted = ImageFilter(owner, chat_id, subject="chat", before=_before(cursor_), limit=limit)
    return json_response(await _page(request, characters, wanted))


def _before(text: str | None) -> str | None:
    return cursor(text, "cursor", "next")


async def _page(request: Request, characters: CharacterApi, wanted: ImageFilter) -> dict[str, Any]:
    limit = wanted.limit
    found = await pools.read(characters.store.images, replace(wanted, limit=limit + 1))
    urls = characters.urls(request)
    items = [image_body(image, urls) for image in found[:limit]]
    return {"items": items, "next": found[limit - 1].id if len(found) > limit else None}


_ACTIVATE = "Make a picture the active one"
_DELETE = "Delete a picture and its files"


@router.put(f"{_OF_CHARACTER}/{{image_id}}/activate", summary=_ACTIVATE, response_model=CharacterPicture)
async def activate_character_picture(
    request: Request, characters: CharactersDep, character_id: CharacterId, image_id: ImageId
) -> Response:
    """A sheet that came with an avatar follows the active avatar."""
    return await _activate(request, characters, "character", character_id, image_id)


@router.put(f"{_OF_STORY}/{{image_id}}/activate", summary=_ACTIVATE, response_model=CharacterPicture)
async def activate_story_picture(
    request: Request, characters: CharactersDep, story_id: StoryId, image_id: ImageId
) -> Response:
    return await _activate(request, characters, "story", story_id, image_id)


@router.put(f"{_OF_CHAT}/{{image_id}}/activate", summary=_ACTIVATE, response_model=CharacterPicture)
async def activate_chat_picture(
    request: Request, characters: CharactersDep, chat_id: ChatId, image_id: ImageId
) -> Response:
    return await _activate(request, characters, "chat", chat_id, image_id)


async def _activate(
    request: Request, characters: CharacterApi, subject: Subject, id_: str, image_id: str
) -> Response:
    wanted = ImageRef(caller(request).owner, id_, image_id, subject=subject)
    image = await pools.write(characters.activate, wanted)
    return json_response(image_body(image, characters.urls(request)))


@router.delete(f"{_OF_CHARACTER}/{{image_id}}", summary=_DELETE, status_code=204, response_class=Response)
async def delete_character_picture(
    request: Request, characters: CharactersDep, character_id: CharacterId, image_id: ImageId
) -> Response:
    return await _delete(request, characters, "character", character_id, image_id)


@router.delete(f"{_OF_STORY}/{{image_id}}", summary=_DELETE, status_code=204, response_class=Response)
async def delete_story_picture(
    request: Request, characters: CharactersDep, story_id: StoryId, image_id: ImageId
) -> Response:
    return await _delete(request, characters, "story", story_id, image_id)


@router.delete(f"{_OF_CHAT}/{{image_id}}", summary=_DELETE, status_code=204, response_class=Response)
async def delete_chat_picture(
    request: Request, characters: CharactersDep, chat_id: ChatId, image_id: ImageId
) -> Response:
    return await _delete(request, characters, "chat", chat_id, image_id)


async def _delete(
    request: Request, characters: CharacterApi, subject: Subject, id_: str, image_id: str
) -> Response:
    wanted = ImageRef(caller(request).owner, id_, image_id, now_us(), subject)
    await pools.write(characters.delete, wanted)
    return Response(status_code=204)


def files_router(signer: UrlSigner, blobs: BlobStore) -> APIRouter:
    routes = APIRouter(tags=["files"], route_class=LazyRoute)

    async def served(
        folder: str, subject: str, kind: str, file: str, exp: str = "", sig: str = ""
    ) -> Response:
        key = f"characters/{folder}/{subject}/{kind}/{file}"
        if not signer.check(key, exp, sig):
            raise HTTPException(403, "this URL is wrong or has expired; ask for the picture again")
        left_s = max(0, int(exp) - now_us() // SECOND)
        headers = {"Cache-Control": f"private, max-age={left_s}, immutable"}
        media_type = media_type_of(file)
        path = await pools.blob(blobs.location, key)
        if path is not None:
            return FileResponse(path, media_type=media_type, headers=headers)
        try:
            data = await pools.blob(blobs.get, key)
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
