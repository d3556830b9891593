"""``/api/v1/image-generation``: make pictures of characters and stories, and read how far they are."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from imagemill.api.base import ApiModule, Services
from imagemill.api.jobs_schemas import Estimate, moment
from imagemill.domain.access import Scope
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.finish import Cancel
from imagemill.net import pools
from imagemill.products.characters import gallery, requests, sheet_routes
from imagemill.products.characters.character_api import (
    PREFIX,
    CharacterApi,
    CharactersDep,
    JobId,
    StoryId,
)
from imagemill.products.characters.drift import DriftMeter
from imagemill.products.characters.events import JobFeed, UserFeed
from imagemill.products.characters.requests import NAME
from imagemill.products.characters.responses import (
    CharacterError,
    CharacterHealth,
    PictureAccepted,
    PictureStatus,
    StickersAccepted,
    character_error,
)
from imagemill.products.characters.schemas import (
    AvatarRequest,
    CoverRequest,
    SceneRequest,
    StickerRequest,
    StickersRequest,
    StoryCoverRequest,
    checked_id,
)
from imagemill.products.characters.settings import CharacterSettings
from imagemill.products.characters.sheets import SheetStore
from imagemill.products.characters.store import CharacterStore
from imagemill.web import openapi
from imagemill.web.auth import caller, optional_caller
from imagemill.web.http import json_response
from imagemill.web.policies import READING, ErrorShape, PathPolicy
from imagemill.web.routing import ApiRoute, Flag
from imagemill.web.sse import event_body
from imagemill.webhooks.outbox import Delivery

STORY = "/api/v1/stories/{story_id}/generate-cover"
_SUBMITS = openapi.PRICED | openapi.IDEMPOTENCY_KEY
_PRICE: dict[int | str, dict[str, Any]] = {
    200: {"model": Estimate, "description": "Of a request with `whatif`: what it costs."}
}
_WhatIf = Annotated[Flag, Query(description="Only return what the jobs would cost.")]

router = APIRouter(tags=["characters"], route_class=ApiRoute)


@router.post(
    f"{PREFIX}/avatar",
    summary="Make an avatar",
    status_code=202,
    response_model=PictureAccepted,
    responses=_PRICE,
    openapi_extra=_SUBMITS,
)
async def make_avatar(
    request: Request, characters: CharactersDep, body: AvatarRequest, whatif: _WhatIf = False
) -> Response:
    known = await characters.known(request, body)
    return await characters.accepted(request, body, requests.avatar(body, known), whatif=whatif)


@router.post(
    f"{PREFIX}/sticker",
    summary="Make a sticker",
    status_code=202,
    response_model=PictureAccepted,
    responses=_PRICE,
    openapi_extra=_SUBMITS,
)
async def make_sticker(
    request: Request, characters: CharactersDep, body: StickerRequest, whatif: _WhatIf = False
) -> Response:
    known = await characters.known(request, body)
    return await characters.accepted(request, body, requests.sticker(body, known), whatif=whatif)


@router.post(
    f"{PREFIX}/stickers/bulk",
    summary="Make a set of stickers",
    status_code=202,
    response_model=StickersAccepted,
    responses=_PRICE,
    openapi_extra=_SUBMITS,
)
async def make_stickers(
    request: Request, characters: CharactersDep, body: StickersRequest, whatif: _WhatIf = False
) -> Response:
    known = await characters.known(request, body)
    wanted = requests.stickers(body, characters.settings.bulk_priority, known)
    if whatif:
        return await characters.price(request, wanted)
    submitted = await characters.submitted(request, body, wanted)
    reused = len(submitted.reused)
    made = len(submitted.jobs) - reused
    message = f"{made or 'no'} {'stickers are' if made > 1 else 'sticker is'} queued"
    if reused:
        message += f"; {reused} {'were' if reused > 1 else 'was'} asked for before"
    answer = {
        "success": True,
        "jobIds": list(submitted.jobs),
        "batchId": submitted.batch,
        "emotionCount": len(submitted.jobs),
        "reused": sorted(submitted.reused),
        "untranslated": submitted.untranslated,
        "message": message + characters.reuse_note(body),
    }
    return json_response(answer, 202)


@router.post(
    f"{PREFIX}/cover",
    summary="Make the cover of a story or a character",
    status_code=202,
    response_model=PictureAccepted,
    responses=_PRICE,
    openapi_extra=_SUBMITS,
)
async def make_cover(
    request: Request, characters: CharactersDep, body: CoverRequest, whatif: _WhatIf = False
) -> Response:
    known = await characters.known(request, body)
    wanted = requests.cover(body, known, story=body.story_id, character=body.character_id)
    return await characters.accepted(request, body, wanted, whatif=whatif)


@router.post(
    STORY,
    summary="Make the cover of the story in the path",
    status_code=202,
    response_model=PictureAccepted,
    responses=_PRICE,
    openapi_extra=_SUBMITS,
)
async def make_story_cover(
    request: Request,
    characters: CharactersDep,
    story_id: StoryId,
    body: StoryCoverRequest,
    whatif: _WhatIf = False,
) -> Response:
    if body.story_id not in (None, story_id):
        raise InvalidInput.at("storyId", "is another than the path's; leave it out")
    story = checked_id("id", story_id)
    known = await characters.known(request, body)
    wanted = requests.cover(body, known, story=story, character=None)
    return await characters.accepted(request, body, wanted, whatif=whatif)


@router.post(
    f"{PREFIX}/scene",
    summary="Make a picture of a scene",
    status_code=202,
    response_model=PictureAccepted,
    responses=_PRICE,
    openapi_extra=_SUBMITS,
)
async def make_scene(
    request: Request, characters: CharactersDep, body: SceneRequest, whatif: _WhatIf = False
) -> Response:
    known = await characters.known(request, body)
    return await characters.accepted(request, body, requests.scene(body, known), whatif=whatif)


@router.get(f"{PREFIX}/status/{{job_id}}", summary="Read how far a picture is", response_model=PictureStatus)
async def get_picture_status(request: Request, characters: CharactersDep, job_id: JobId) -> Response:
    job = await characters.job(request, job_id)
    body = await characters.status(request, job.id)
    if body is None:
        raise NotFound(f"there is no job {job_id[:64]}")
    return json_response(body)


@router.post(
    f"{PREFIX}/cancel/{{job_id}}",
    summary="Cancel a picture",
    response_model=PictureStatus,
    responses={409: {"model": CharacterError, "description": "The job has ended."}},
)
async def cancel_picture(request: Request, characters: CharactersDep, job_id: JobId) -> Response:
    """Credits that were held for it are released."""
    job = await characters.job(request, job_id)
    owner = caller(request).owner
    await pools.write(characters.services.jobs.cancel, Cancel(job.id, owner, now_us()))
    ended = await characters.job(request, job_id)
    if ended.status is not JobStatus.CANCELED:
        raise Conflict(f"job {job_id} has {ended.status}; it cannot be canceled any more")
    return await get_picture_status(request, characters, job_id)


@router.get(
    f"{PREFIX}/health",
    summary="Read whether pictures can be made",
    response_model=CharacterHealth,
    responses={503: {"model": CharacterHealth, "description": "No node takes jobs."}},
)
async def get_character_health(request: Request, characters: CharactersDep) -> Response:
    """Without a key the answer has no number of jobs; with one it has the numbers of the caller's jobs."""
    services = characters.services
    capacity = await pools.probe(services.capacity.report)
    healthy = capacity.slots > 0
    found, queue = await optional_caller(request, services.access), None
    if found is not None:
        counts = await pools.read(characters.store.open_counts, found.owner)
        active = counts.pop(JobStatus.RUNNING, 0)
        queue = {"waiting": sum(counts.values()), "active": active}
    body = {
        "comfyui": "healthy" if healthy else "unhealthy",
        "status": capacity.status,
        "simulated": capacity.simulated,
        "queue": queue,
        "timestamp": moment(now_us()),
    }
    return json_response(body, 200 if healthy else 503)


@router.websocket(f"{PREFIX}/ws/jobs/{{job_id}}")
async def follow_picture(socket: WebSocket, characters: CharactersDep, job_id: str) -> None:
    async def admit() -> JobFeed:
        job = await characters.job(socket, job_id)
        # A reader may be ahead of the log, say of a restored database; it then reads on from the log's end.
        after = min(_after(socket, 9), job.last_seq)
        return JobFeed(job.owner, job.id, after, characters.encoder(socket))

    await characters.sockets.serve(socket, admit)


@router.websocket(f"{PREFIX}/ws/users/me")
async def follow_own_pictures(socket: WebSocket, characters: CharactersDep) -> None:
    async def admit() -> UserFeed:
        since = _after(socket, 17) or None
        return UserFeed(
            caller(socket).owner,
            NAME,
            since,
            characters.encoder(socket),
            characters.arrivals,
            characters.store,
        )

    await characters.sockets.serve(socket, admit)


def _after(request: HTTPConnection, digits: int) -> int:
    """Return the number of the last message that the client has seen. Raises `InvalidInput`."""
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > digits:
        raise InvalidInput.at("after", f"is {text[:40]!r}; write the number that came with the last message")
    return int(text)


def _callback(delivery: Delivery) -> Mapping[str, Any]:
    return {"jobId": delivery.job.id, **event_body(delivery.event)}


_ERRORS = ErrorShape(character_error, CharacterError)


def api_module(
    settings: CharacterSettings,
    store: CharacterStore,
    sheets: SheetStore,
    drift: DriftMeter,
    *,
    has_language_model: bool,
) -> ApiModule:
    def routes(services: Services, _: object) -> APIRouter:
        both = APIRouter()
        both.include_router(router)
        both.include_router(sheet_routes.router)
        both.include_router(gallery.router)
        both.include_router(gallery.files_router(services.response_config.signer, services.blobs))
        return both

    return ApiModule(
        name=NAME,
        router=routes,
        context=lambda services, _: CharacterApi(
            services, settings, store, sheets, drift=drift, has_language_model=has_language_model
        ),
        callback=_callback,
        policies=(
            PathPolicy(
                f"{PREFIX}/", Scope.JOBS_READ, Scope.JOBS_WRITE, errors=_ERRORS, owner_methods=READING
            ),
            PathPolicy(f"{PREFIX}/health", None, errors=_ERRORS),
            PathPolicy(STORY, Scope.JOBS_READ, Scope.JOBS_WRITE, errors=_ERRORS),
        ),
        tags={
            "characters": "Avatars, stickers, covers and scenes of characters, from texts in any language. "
            f"Progress and pictures arrive over WebSockets, too: `{PREFIX}/ws/jobs/{{job_id}}` sends those "
            f"of one job, `{PREFIX}/ws/users/me` those of all jobs of the caller; with `?after=` they resume "
            "after the number that came with the last message."
        },
    )
