"""``/api/v1/image-generation/characters``: stored sheets, so that requests need the id alone."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from imagemill.domain.errors import NotFound
from imagemill.net import pools
from imagemill.products.characters.character_api import PREFIX, CharacterId, CharactersDep
from imagemill.products.characters.responses import (
    CharacterSheetAnswer,
    CharacterSheetPage,
    DriftReport,
    SheetPreview,
    image_body,
    listed_body,
    sheet_body,
)
from imagemill.products.characters.schemas import SheetBody, checked_id
from imagemill.products.characters.store import CharacterSummary
from imagemill.web.auth import caller
from imagemill.web.http import json_response
from imagemill.web.routing import ApiRoute, Cursor

router = APIRouter(tags=["characters"], route_class=ApiRoute)
_CHARACTERS = f"{PREFIX}/characters"


@router.get(_CHARACTERS, summary="List the characters with a sheet", response_model=CharacterSheetPage)
async def list_characters(
    request: Request,
    characters: CharactersDep,
    limit: Annotated[int, Query(ge=1, le=200, description="Most characters of a page.")] = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> Response:
    """In the order of their ids."""
    after = checked_id("cursor", cursor_) if cursor_ else None
    owner = caller(request).owner
    found = await pools.read(characters.sheets.page, owner, after, limit + 1)
    summaries = await pools.read(characters.store.summaries, owner, [each.id for each in found[:limit]])
    links = characters.urls(request)
    items = [listed_body(each, summaries.get(each.id, CharacterSummary()), links) for each in found[:limit]]
    return json_response({"items": items, "next": found[limit - 1].id if len(found) > limit else None})


@router.post(
    f"{_CHARACTERS}/preview",
    summary="Read the tags of a sheet without a picture",
    response_model=SheetPreview,
)
async def preview_character(characters: CharactersDep, body: SheetBody) -> Response:
    """Nothing is stored, and nothing is charged."""
    # In a thread, since the glossary takes milliseconds for a new sheet.
    return json_response(await pools.decode(characters.preview, body.character))


@router.get(
    f"{_CHARACTERS}/{{character_id}}/drift",
    summary="Compare the pictures of a character with its avatar",
    response_model=DriftReport,
)
async def get_character_drift(
    request: Request, characters: CharactersDep, character_id: CharacterId
) -> Response:
    """The active pictures, those that are farthest from the active avatar first; at most 50."""
    owner = caller(request).owner
    images = await pools.read(characters.active_images, owner, character_id)
    found = await pools.decode(characters.drift.measure, images)
    links = characters.urls(request)
    items = [{"image": image_body(image, links), "distance": distance} for image, distance in found.items]
    body = {"characterId": character_id, "measure": "colours", "identity": found.identity, "items": items}
    return json_response(body)


@router.get(
    f"{_CHARACTERS}/{{character_id}}",
    summary="Read the sheet of a character",
    response_model=CharacterSheetAnswer,
)
async def get_character(request: Request, characters: CharactersDep, character_id: CharacterId) -> Response:
    found = await pools.read(characters.sheets.sheet, caller(request).owner, character_id)
    return json_response(sheet_body(found))


@router.put(
    f"{_CHARACTERS}/{{character_id}}",
    summary="Store the sheet of a character",
    response_model=CharacterSheetAnswer,
)
async def put_character(
    request: Request, characters: CharactersDep, character_id: CharacterId, body: SheetBody
) -> Response:
    """Requests without a sheet use it from now on; those with one neither use it nor change it."""
    id_ = checked_id("id", character_id)
    stored = await pools.write(characters.put_sheet, caller(request).owner, id_, body.character)
    return json_response(sheet_body(stored))


@router.delete(
    f"{_CHARACTERS}/{{character_id}}",
    summary="Delete the sheet of a character",
    status_code=204,
    response_class=Response,
)
async def delete_character(
    request: Request,
    characters: CharactersDep,
    character_id: CharacterId,
    pictures: Annotated[
        bool, Query(description="Delete all pictures of the character and their files, too.")
    ] = False,
) -> Response:
    owner = caller(request).owner
    if pictures:
        deleted = await pools.write(characters.delete_pictures, owner, character_id)
        try:
            await pools.write(characters.sheets.delete, owner, character_id)
        except NotFound:
            if not deleted:
                raise
    else:
        await pools.write(characters.sheets.delete, owner, character_id)
    return Response(status_code=204)
