"""``/api/v1/image-generation``: make pictures of characters, ask how far they are, choose among them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from imagemill.api.base import ApiModule, Services
from imagemill.api.credits import price_docs
from imagemill.api.jobs import moment
from imagemill.blobs.base import BlobStore
from imagemill.domain.access import Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.domain.jobs import Job, JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.submit import JobRequest
from imagemill.media.pictures import EXTENSIONS, media_type_of
from imagemill.products.characters import requests, schemas
from imagemill.products.characters.events import JobFeed, MessageEncoder, NewJobNotifier, UserFeed
from imagemill.products.characters.requests import NAME, CharacterSubmitter, Submitted
from imagemill.products.characters.responses import UrlBuilder, image_body, status_body
from imagemill.products.characters.settings import CharacterSettings
from imagemill.products.characters.store import CharacterStore, ImageFilter, ImageRef
from imagemill.web import openapi
from imagemill.web.auth import caller, optional_caller
from imagemill.web.http import cursor, json_response, number
from imagemill.web.permissions import RoutePermission
from imagemill.web.sse import event_body
from imagemill.web.websockets import EventSocket, previews_of
from imagemill.webhooks.outbox import Delivery

PREFIX = "/api/v1/image-generation"
STORY = "/api/v1/stories/{story_id}/generate-cover"
TYPES = ("avatar", "sticker", "cover")
_LIST = openapi.query(
    type=({"type": "string", "enum": list(TYPES)}, "Only of this type"),
    emotion=(openapi.TEXT, "Only stickers of this emotion"),
    limit=(openapi.whole(1, 200, 50), "How many"),
    cursor=(openapi.TEXT, "`next` of the last answer"),
)
_ACCEPTED = openapi.answered(202, "It is queued", openapi.JSON)


class CharacterRoutes:
    def __init__(self, services: Services, settings: CharacterSettings, store: CharacterStore) -> None:
        self._services = services
        self._settings = settings
        self._store = store
        self._arrivals = NewJobNotifier()
        self._submitter = CharacterSubmitter(services, self._arrivals, reuse=self._settings.reuse)
        self._sockets = EventSocket(services.jobs, services.hub)

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["characters"])
        prices = price_docs(self._services.credits.prices)
        images = "/characters/{character_id}/images"
        for method, path, handler, summary, model in (
            ("POST", f"{PREFIX}/avatar", self.avatar, "Make an avatar", schemas.AvatarRequest),
            ("POST", f"{PREFIX}/sticker", self.sticker, "Make a sticker", schemas.StickerRequest),
            (
                "POST",
                f"{PREFIX}/stickers/bulk",
                self.stickers,
                "Make a set of stickers",
                schemas.StickersRequest,
            ),
            ("POST", f"{PREFIX}/cover", self.cover, "Make a story's cover", schemas.CoverRequest),
            ("POST", STORY, self.story_cover, "Make this story's cover", schemas.StoryCoverRequest),
            ("POST", f"{PREFIX}/scene", self.scene, "Make a picture of a scene", schemas.SceneRequest),
        ):
            extra = openapi.body(model) | _ACCEPTED | prices
            _add(routes, method, path, handler, summary, 202, extra)
        for method, path, handler, summary, status, extra in (
            ("GET", "/status/{job_id}", self.status, "How far a picture is", 200, None),
            ("GET", "/health", self.health, "Whether pictures can be made", 200, _HEALTH),
            ("GET", images, self.images, "The pictures of a character or a story", 200, _LIST),
            ("PUT", f"{images}/{{image_id}}/activate", self.activate, "Make it the active one", 200, None),
            ("DELETE", f"{images}/{{image_id}}", self.delete, "Delete a picture and its files", 204, None),
        ):
            _add(routes, method, PREFIX + path, handler, summary, status, extra)
        routes.add_api_websocket_route(f"{PREFIX}/ws/jobs/{{job_id}}", self.job_socket)
        routes.add_api_websocket_route(f"{PREFIX}/ws/users/me", self.user_socket)
        return routes

    async def avatar(self, request: Request) -> Response:
        body, sent = await schemas.read(request, schemas.AvatarRequest)
        return await self._one(request, requests.avatar(body), sent)

    async def sticker(self, request: Request) -> Response:
        body, sent = await schemas.read(request, schemas.StickerRequest)
        known = None if body.character else await self._known(request, body.character_id)
        return await self._one(request, requests.sticker(body, known), sent)

    async def stickers(self, request: Request) -> Response:
        body, sent = await schemas.read(request, schemas.StickersRequest)
        known = None if body.character else await self._known(request, body.character_id)
        wanted = tuple(requests.stickers(body, self._settings.bulk_priority, known))
        ordered = await self._submitter.order(request, wanted, sent)
        told = {"jobIds": list(ordered.jobs), "batchId": ordered.batch, "emotionCount": len(ordered.jobs)}
        reused = sorted(ordered.reused)
        message = f"{len(ordered.jobs)} stickers are queued"
        return json_response({"success": True, **told, "reused": reused, "message": message}, 202)

    async def _known(self, request: Request, character_id: str) -> requests.Sheet:
        """What the character's active avatar was made from, while its job is kept."""
        return await asyncio.to_thread(self._sheet, caller(request).owner, character_id)

    def _sheet(self, owner: str, character_id: str) -> requests.Sheet:
        active = self._store.images(ImageFilter(owner, character_id, "avatar", is_active=True, limit=1))
        try:
            return self._services.jobs.job(active[0].job_id, owner).input.get("character") if active else None
        except NotFound:
            return None

    async def cover(self, request: Request) -> Response:
        body, sent = await schemas.read(request, schemas.CoverRequest)
        return await self._one(request, requests.cover(body, body.story_id), sent)

    async def story_cover(self, request: Request, story_id: str) -> Response:
        body, sent = await schemas.read(request, schemas.StoryCoverRequest)
        if body.story_id not in (None, story_id):
            raise InvalidInput.at("storyId", "is another than the path's; leave it out")
        story = schemas.checked_id("id", story_id)
        return await self._one(request, requests.cover(body, story), sent)

    async def scene(self, request: Request) -> Response:
        body, sent = await schemas.read(request, schemas.SceneRequest)
        return await self._one(request, requests.scene(body), sent)

    async def _one(self, request: Request, job_request: JobRequest, sent: Any) -> Response:
        ordered: Submitted = await self._submitter.order(request, (job_request,), sent)
        (job_id,) = ordered.jobs
        reused = job_id in ordered.reused
        message = (
            f"an equal {job_request.recipe} was asked for before"
            if reused
            else f"the {job_request.recipe} is queued"
        )
        return json_response({"success": True, "jobId": job_id, "reused": reused, "message": message}, 202)

    async def status(self, request: Request, job_id: str) -> Response:
        job = await self._job(request, job_id)
        body = await self._status(request, job.id)
        if body is None:
            raise NotFound(f"there is no job {job_id[:64]}")
        return json_response(body)

    async def _status(self, request: HTTPConnection, job_id: str) -> dict[str, Any] | None:
        services = self._services
        owner = caller(request).owner
        views = await services.views.load([job_id])
        if not views:
            return None
        view, image = views[0], None
        if view.job.status is JobStatus.SUCCEEDED:
            images = await asyncio.to_thread(self._store.of_jobs, owner, [job_id])
            image = images.get(job_id)
        return status_body(view, image, services.hub.progress(job_id), self._links(request))

    async def _job(self, request: HTTPConnection, job_id: str) -> Job:
        """Raises `NotFound` for one of another owner, or of another API."""
        job = await asyncio.to_thread(self._services.jobs.job, job_id, caller(request).owner)
        if job.dialect != NAME:
            raise NotFound(f"there is no job {job_id[:64]} of a character")
        return job

    async def health(self, request: Request) -> Response:
        """Strangers are told whether it works, and no number of jobs; others the number of their own."""
        nodes = [node for backend in self._services.backends.values() for node in backend.nodes()]
        healthy = any(node.healthy and not node.draining for node in nodes)
        found, queue = await optional_caller(request, self._services.access), None
        if found is not None:
            counts = await asyncio.to_thread(self._store.open_counts, found.owner)
            active = counts.pop(JobStatus.RUNNING, 0)
            queue = {"waiting": sum(counts.values()), "active": active}
        told = {"comfyui": "healthy" if healthy else "unhealthy", "queue": queue}
        return json_response({**told, "timestamp": moment(now_us())}, 200 if healthy else 503)

    async def images(self, request: Request, character_id: str) -> Response:
        limit, query = number(request, "limit", 50, 1, 200), request.query_params
        type_ = query.get("type") or None
        if type_ is not None and type_ not in TYPES:
            raise InvalidInput.at("type", f"is {type_[:40]!r}; write {', '.join(TYPES)}")
        which = ImageFilter(
            caller(request).owner,
            character_id,
            type_,
            query.get("emotion") or None,
            before=cursor(query.get("cursor"), "cursor", "next"),
            limit=limit + 1,
        )
        found = await asyncio.to_thread(self._store.images, which)
        if not found and which.before is None:
            raise NotFound(f"there is no such picture of {character_id[:64]}")
        links = self._links(request)
        items = [image_body(image, links) for image in found[:limit]]
        return json_response({"items": items, "next": found[limit - 1].id if len(found) > limit else None})

    async def activate(self, request: Request, character_id: str, image_id: str) -> Response:
        named = ImageRef(caller(request).owner, character_id, image_id)
        image = await asyncio.to_thread(self._store.activate, named)
        return json_response(image_body(image, self._links(request)))

    async def delete(self, request: Request, character_id: str, image_id: str) -> Response:
        await asyncio.to_thread(
            self._delete, ImageRef(caller(request).owner, character_id, image_id, now_us())
        )
        return Response(status_code=204)

    def _delete(self, named: ImageRef) -> None:
        """What is left of it, should this process end in between, is no picture's and found as an orphan."""
        self._services.blobs.delete(self._store.delete(named))

    async def job_socket(self, socket: WebSocket, job_id: str) -> None:
        async def admit() -> JobFeed:
            job = await self._job(socket, job_id)
            # A reader that is ahead of the log, of a restored database say, reads on from its end.
            after = min(_after(socket, 9), job.last_seq)
            return JobFeed(job.id, after, self._teller(socket))

        await self._sockets.serve(socket, admit)

    async def user_socket(self, socket: WebSocket) -> None:
        async def admit() -> UserFeed:
            since = _after(socket, 17) or None
            return UserFeed(
                caller(socket).owner, NAME, since, self._teller(socket), self._arrivals, self._store
            )

        await self._sockets.serve(socket, admit)

    def _teller(self, socket: WebSocket) -> MessageEncoder:
        return MessageEncoder(lambda job_id: self._status(socket, job_id), previews_of(socket))

    def _links(self, request: HTTPConnection) -> UrlBuilder:
        wire, scheme = self._services.response_config, request.url.scheme.replace("ws", "http", 1)
        base = wire.public_url or f"{scheme}://{request.headers.get('host', '')}"
        return UrlBuilder(wire.signer, base, self._settings.public_base_url)


def _after(request: HTTPConnection, digits: int) -> int:
    """What the client has seen last. Raises `InvalidInput`."""
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > digits:
        raise InvalidInput.at("after", f"is {text[:40]!r}; write the number that came with the last message")
    return int(text)


_HEALTH: dict[str, Any] = {"responses": {"503": {"description": "No node takes work"}}}


def _add(
    routes: APIRouter,
    method: str,
    path: str,
    handler: Any,
    summary: str,
    status: int,
    extra: Mapping[str, Any] | None,
) -> None:
    routes.add_api_route(
        path,
        handler,
        methods=[method],
        summary=summary,
        status_code=status,
        response_class=Response,
        openapi_extra=dict(extra) if extra else None,
    )


_CODES = {"rate_limited": "RATE_LIMIT_EXCEEDED", "unauthenticated": "UNAUTHORIZED"}
_OF_PROBLEMS = frozenset({"type", "title", "status", "detail", "code"})


def words(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """With ``errors`` by field, and of credits what is ``needed`` and ``available``."""
    more = {name: value for name, value in problem.items() if name not in _OF_PROBLEMS}
    code = str(problem["code"])
    return {
        "success": False,
        "code": _CODES.get(code, code.upper()),
        "message": problem["detail"],
        **more,
    }


_GONE = "the picture is gone: it was deleted"


def files_router(signer: UrlSigner, blobs: BlobStore) -> APIRouter:
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


def _callback(delivery: Delivery) -> Mapping[str, Any]:
    return {"jobId": delivery.job.id, **event_body(delivery.event)}


def api_module(settings: CharacterSettings, store: CharacterStore) -> ApiModule:
    def router(services: Services) -> APIRouter:
        routes = APIRouter()
        routes.include_router(CharacterRoutes(services, settings, store).router())
        routes.include_router(files_router(services.response_config.signer, services.blobs))
        return routes

    return ApiModule(
        name=NAME,
        router=router,
        callback=_callback,
        permissions=(
            RoutePermission(f"{PREFIX}/", Scope.JOBS_READ, Scope.JOBS_WRITE, error_body=words),
            RoutePermission(f"{PREFIX}/health", None, error_body=words),
            RoutePermission(STORY, Scope.JOBS_READ, Scope.JOBS_WRITE, error_body=words),
        ),
    )
