"""``/api/v1/image-generation``: make pictures of characters, read how far they are, choose among them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response, WebSocket
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from imagemill.api.base import ApiModule, Services
from imagemill.api.dependencies import context
from imagemill.api.jobs_schemas import moment
from imagemill.blobs.base import BlobStore
from imagemill.domain.access import Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.domain.jobs import Job, JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.submit import JobRequest
from imagemill.media.pictures import EXTENSIONS, media_type_of
from imagemill.net import pools
from imagemill.products.characters import requests
from imagemill.products.characters.events import JobFeed, MessageEncoder, NewJobNotifier, UserFeed
from imagemill.products.characters.requests import NAME, CharacterSubmitter
from imagemill.products.characters.responses import (
    CharacterError,
    CharacterHealth,
    CharacterPicture,
    CharacterPicturePage,
    PictureAccepted,
    PictureStatus,
    StickersAccepted,
    UrlBuilder,
    character_error,
    image_body,
    status_body,
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
from imagemill.products.characters.store import CharacterStore, ImageFilter, ImageRef
from imagemill.web import openapi
from imagemill.web.auth import caller, optional_caller
from imagemill.web.http import base_url, cursor, json_response
from imagemill.web.policies import ErrorShape, PathPolicy
from imagemill.web.routing import ApiRoute, Cursor
from imagemill.web.sse import event_body
from imagemill.web.websockets import EventSocket, previews_of
from imagemill.webhooks.outbox import Delivery

PREFIX = "/api/v1/image-generation"
STORY = "/api/v1/stories/{story_id}/generate-cover"
_SUBMITS = openapi.PRICED | openapi.IDEMPOTENCY_KEY


class CharacterApi:
    """The dependencies of the handlers: jobs of characters in the form of this API."""

    def __init__(self, services: Services, settings: CharacterSettings, store: CharacterStore) -> None:
        self.services = services
        self.settings = settings
        self.store = store
        self.arrivals = NewJobNotifier()
        self.submitter = CharacterSubmitter(services, self.arrivals, reuse=settings.reuse)
        self.sockets = EventSocket(services.jobs, services.hub)

    async def known(self, request: Request, body: StickerRequest | StickersRequest) -> requests.Sheet:
        """Return the sheet of the character's active avatar, if the request has none and its job is kept."""
        if body.character is not None:
            return None
        return await pools.read(self._sheet, caller(request).owner, body.character_id)

    def _sheet(self, owner: str, character_id: str) -> requests.Sheet:
        active = self.store.images(ImageFilter(owner, character_id, "avatar", is_active=True, limit=1))
        try:
            return self.services.jobs.job(active[0].job_id, owner).input.get("character") if active else None
        except NotFound:
            return None

    async def submitted(self, request: Request, job_request: JobRequest) -> Response:
        """Submit the job and answer with its id, or with the id of an equal request's job."""
        submitted = await self.submitter.order(request, (job_request,), await request.json())
        (job_id,) = submitted.jobs
        reused = job_id in submitted.reused
        message = (
            f"an equal {job_request.recipe} was asked for before"
            if reused
            else f"the {job_request.recipe} is queued"
        )
        return json_response({"success": True, "jobId": job_id, "reused": reused, "message": message}, 202)

    async def status(self, request: HTTPConnection, job_id: str) -> dict[str, Any] | None:
        """Return how far the job is; None if it is gone."""
        services = self.services
        owner = caller(request).owner
        views = await services.views.load([job_id])
        if not views:
            return None
        view, image = views[0], None
        if view.job.status is JobStatus.SUCCEEDED:
            images = await pools.read(self.store.of_jobs, owner, [job_id])
            image = images.get(job_id)
        return status_body(view, image, services.hub.progress(job_id), self.urls(request))

    async def job(self, request: HTTPConnection, job_id: str) -> Job:
        """Raises `NotFound` for a job of another owner or of another API."""
        job = await pools.read(self.services.jobs.job, job_id, caller(request).owner)
        if job.dialect != NAME:
            raise NotFound(f"there is no job {job_id[:64]} of a character")
        return job

    def delete(self, image: ImageRef) -> None:
        """Delete the row, then the files. If the process ends in between, the sweeper deletes the files."""
        self.services.blobs.delete(self.store.delete(image))

    def encoder(self, socket: WebSocket) -> MessageEncoder:
        return MessageEncoder(lambda job_id: self.status(socket, job_id), previews_of(socket))

    def urls(self, request: HTTPConnection) -> UrlBuilder:
        config = self.services.response_config
        return UrlBuilder(config.signer, base_url(request, config.public_url), self.settings.public_base_url)


CharactersDep = Annotated[CharacterApi, context(NAME)]
JobId = Annotated[str, Path(description="`jobId` of the answer to a request.")]
CharacterId = Annotated[
    str,
    Path(description="The character, or of a cover the story.", openapi_examples={"lia": {"value": "lia"}}),
]
ImageId = Annotated[str, Path(description="`id` of the picture.")]
router = APIRouter(tags=["characters"], route_class=ApiRoute)


@router.post(
    f"{PREFIX}/avatar",
    summary="Make an avatar",
    status_code=202,
    response_model=PictureAccepted,
    openapi_extra=_SUBMITS,
)
async def make_avatar(request: Request, characters: CharactersDep, body: AvatarRequest) -> Response:
    return await characters.submitted(request, requests.avatar(body))


@router.post(
    f"{PREFIX}/sticker",
    summary="Make a sticker",
    status_code=202,
    response_model=PictureAccepted,
    openapi_extra=_SUBMITS,
)
async def make_sticker(request: Request, characters: CharactersDep, body: StickerRequest) -> Response:
    known = await characters.known(request, body)
    return await characters.submitted(request, requests.sticker(body, known))


@router.post(
    f"{PREFIX}/stickers/bulk",
    summary="Make a set of stickers",
    status_code=202,
    response_model=StickersAccepted,
    openapi_extra=_SUBMITS,
)
async def make_stickers(request: Request, characters: CharactersDep, body: StickersRequest) -> Response:
    known = await characters.known(request, body)
    wanted = tuple(requests.stickers(body, characters.settings.bulk_priority, known))
    submitted = await characters.submitter.order(request, wanted, await request.json())
    answer = {
        "success": True,
        "jobIds": list(submitted.jobs),
        "batchId": submitted.batch,
        "emotionCount": len(submitted.jobs),
        "reused": sorted(submitted.reused),
        "message": f"{len(submitted.jobs)} stickers are queued",
    }
    return json_response(answer, 202)


@router.post(
    f"{PREFIX}/cover",
    summary="Make the cover of a story",
    status_code=202,
    response_model=PictureAccepted,
    openapi_extra=_SUBMITS,
)
async def make_cover(request: Request, characters: CharactersDep, body: CoverRequest) -> Response:
    return await characters.submitted(request, requests.cover(body, body.story_id))


@router.post(
    STORY,
    summary="Make the cover of the story in the path",
    status_code=202,
    response_model=PictureAccepted,
    openapi_extra=_SUBMITS,
)
async def make_story_cover(
    request: Request,
    characters: CharactersDep,
    story_id: Annotated[
        str, Path(description="The story.", openapi_examples={"lighthouse": {"value": "lighthouse"}})
    ],
    body: StoryCoverRequest,
) -> Response:
    if body.story_id not in (None, story_id):
        raise InvalidInput.at("storyId", "is another than the path's; leave it out")
    return await characters.submitted(request, requests.cover(body, checked_id("id", story_id)))


@router.post(
    f"{PREFIX}/scene",
    summary="Make a picture of a scene",
    status_code=202,
    response_model=PictureAccepted,
    openapi_extra=_SUBMITS,
)
async def make_scene(request: Request, characters: CharactersDep, body: SceneRequest) -> Response:
    return await characters.submitted(request, requests.scene(body))


@router.get(f"{PREFIX}/status/{{job_id}}", summary="Read how far a picture is", response_model=PictureStatus)
async def get_picture_status(request: Request, characters: CharactersDep, job_id: JobId) -> Response:
    job = await characters.job(request, job_id)
    body = await characters.status(request, job.id)
    if body is None:
        raise NotFound(f"there is no job {job_id[:64]}")
    return json_response(body)


@router.get(
    f"{PREFIX}/health",
    summary="Read whether pictures can be made",
    response_model=CharacterHealth,
    responses={503: {"model": CharacterHealth, "description": "No node takes jobs."}},
)
async def get_character_health(request: Request, characters: CharactersDep) -> Response:
    """Without a key the answer has no number of jobs; with one it has the numbers of the caller's jobs."""
    services = characters.services
    nodes = [node for backend in services.backends.values() for node in backend.nodes()]
    healthy = any(node.healthy and not node.draining for node in nodes)
    found, queue = await optional_caller(request, services.access), None
    if found is not None:
        counts = await pools.read(characters.store.open_counts, found.owner)
        active = counts.pop(JobStatus.RUNNING, 0)
        queue = {"waiting": sum(counts.values()), "active": active}
    body = {
        "comfyui": "healthy" if healthy else "unhealthy",
        "queue": queue,
        "timestamp": moment(now_us()),
    }
    return json_response(body, 200 if healthy else 503)


_IMAGES = f"{PREFIX}/characters/{{character_id}}/images"


@router.get(
    _IMAGES, summary="List the pictures of a character or a story", response_model=CharacterPicturePage
)
async def list_character_pictures(
    request: Request,
    characters: CharactersDep,
    character_id: CharacterId,
    type_: Annotated[
        Literal["avatar", "sticker", "cover"] | None,
        Query(alias="type", description="Only pictures of this type."),
    ] = None,
    emotion: Annotated[str | None, Query(description="Only stickers of this emotion.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most pictures of a page.")] = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> Response:
    wanted = ImageFilter(
        caller(request).owner,
        character_id,
        type_,
        emotion,
        before=cursor(cursor_, "cursor", "next"),
        limit=limit + 1,
    )
    found = await pools.read(characters.store.images, wanted)
    if not found and wanted.before is None:
        raise NotFound(f"there is no such picture of {character_id[:64]}")
    urls = characters.urls(request)
    items = [image_body(image, urls) for image in found[:limit]]
    return json_response({"items": items, "next": found[limit - 1].id if len(found) > limit else None})


@router.put(
    f"{_IMAGES}/{{image_id}}/activate",
    summary="Make a picture the active one",
    response_model=CharacterPicture,
)
async def activate_character_picture(
    request: Request, characters: CharactersDep, character_id: CharacterId, image_id: ImageId
) -> Response:
    wanted = ImageRef(caller(request).owner, character_id, image_id)
    image = await pools.write(characters.store.activate, wanted)
    return json_response(image_body(image, characters.urls(request)))


@router.delete(
    f"{_IMAGES}/{{image_id}}",
    summary="Delete a picture and its files",
    status_code=204,
    response_class=Response,
)
async def delete_character_picture(
    request: Request, characters: CharactersDep, character_id: CharacterId, image_id: ImageId
) -> Response:
    wanted = ImageRef(caller(request).owner, character_id, image_id, now_us())
    await pools.write(characters.delete, wanted)
    return Response(status_code=204)


@router.websocket(f"{PREFIX}/ws/jobs/{{job_id}}")
async def follow_picture(socket: WebSocket, characters: CharactersDep, job_id: str) -> None:
    async def admit() -> JobFeed:
        job = await characters.job(socket, job_id)
        # A reader may be ahead of the log, say of a restored database; it then reads on from the log's end.
        after = min(_after(socket, 9), job.last_seq)
        return JobFeed(job.id, after, characters.encoder(socket))

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


_GONE = "the picture was deleted"


def files_router(signer: UrlSigner, blobs: BlobStore) -> APIRouter:
    routes = APIRouter(tags=["files"])

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


def _callback(delivery: Delivery) -> Mapping[str, Any]:
    return {"jobId": delivery.job.id, **event_body(delivery.event)}


_ERRORS = ErrorShape(character_error, CharacterError)


def api_module(settings: CharacterSettings, store: CharacterStore) -> ApiModule:
    def routes(services: Services, _: object) -> APIRouter:
        both = APIRouter()
        both.include_router(router)
        both.include_router(files_router(services.response_config.signer, services.blobs))
        return both

    return ApiModule(
        name=NAME,
        router=routes,
        context=lambda services, _: CharacterApi(services, settings, store),
        callback=_callback,
        policies=(
            PathPolicy(f"{PREFIX}/", Scope.JOBS_READ, Scope.JOBS_WRITE, errors=_ERRORS),
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
