"""The queue: submit a request, read or follow its status, fetch its result, cancel it."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from imagemill.api.base import ApiModule, Services
from imagemill.dialects.fal import openapi, responses, webhooks
from imagemill.dialects.fal.direct import DirectRoutes
from imagemill.dialects.fal.errors import BEFORE_ROUTES, FalErrorResponse, FalRoute
from imagemill.dialects.fal.requests import RequestSubmitter
from imagemill.dialects.fal.responses import NAME
from imagemill.dialects.fal.settings import QUEUE, RUN, Apps, FalApiSettings
from imagemill.dialects.fal.webhooks import unsigned, webhook_format
from imagemill.domain.access import Scope
from imagemill.domain.clock import now_us
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import Job, JobStatus
from imagemill.jobs.hub import Watcher
from imagemill.jobs.store.finish import Cancel
from imagemill.jobs.store.queries import View
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.http import flag, json_response
from imagemill.web.policies import CorsClass, PathPolicy
from imagemill.web.sse import KEEP_ALIVE_S

_APP = "/{owner}/{alias}"
_ONE = _APP + "/requests/{request_id}"
KEYS = f"{QUEUE}/.well-known/jwks.json"


class QueueRoutes:
    def __init__(
        self, services: Services, apps: Apps, submitter: RequestSubmitter, settings: FalApiSettings
    ) -> None:
        self._services = services
        self._settings = settings
        self._apps = apps
        self._submitter = submitter

    def router(self) -> APIRouter:
        routes = APIRouter(prefix=QUEUE, tags=["fal"], route_class=FalRoute)
        for method, path, handler, summary, extra in (
            ("GET", KEYS.removeprefix(QUEUE), self.keys, "The keys of webhooks' signatures", openapi.KEYS),
            ("GET", f"{_ONE}/status/stream", self.stream, "Follow a request (SSE)", openapi.STREAM),
            ("GET", f"{_ONE}/status", self.status, "The status of a request", openapi.STATUS),
            ("PUT", f"{_ONE}/cancel", self.cancel, "Cancel a request", openapi.CANCEL),
            ("GET", _ONE, self.result, "The result of a request", openapi.RESULT),
            ("POST", _APP, self.submit, "Queue a request", openapi.SUBMIT),
            ("POST", _APP + "/{path:path}", self.submit_below, "Queue a request", openapi.SUBMIT),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                response_class=Response,
                responses=openapi.UNPROCESSABLE,
                openapi_extra=extra,
            )
        return routes

    async def keys(self) -> Response:
        body = await pools.read(webhooks.key_set, self._services, self._settings)
        response = json_response(body)
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response

    async def submit(self, request: Request, owner: str, alias: str) -> Response:
        return await self.submit_below(request, owner, alias, "")

    async def submit_below(self, request: Request, owner: str, alias: str, path: str) -> Response:
        order = await self._submitter.take(request, self._apps.find(owner, alias, path))
        accepted = await order.accept()
        job = accepted.jobs[0]
        ahead = 0 if job.status is not JobStatus.QUEUED else await self._ahead(job)
        queue = responses.queue_url(request, self._services.response_config)
        body = {"status": "IN_QUEUE", **responses.addresses(job, queue), "queue_position": ahead}
        response = json_response(body)
        response.headers["X-Fal-Request-Id"] = job.id
        return response

    async def status(self, request: Request, owner: str, alias: str, request_id: str) -> Response:
        with_logs = flag(request, "logs")
        view = await self._view(request, owner, alias, request_id)
        body = await self._status(request, view, with_logs)
        return json_response(body, 200 if view.job.status.is_terminal else 202)

    async def stream(self, request: Request, owner: str, alias: str, request_id: str) -> Response:
        with_logs = flag(request, "logs")
        view = await self._view(request, owner, alias, request_id)
        return _Statuses(self, request, view.job.id, with_logs)

    async def result(self, request: Request, owner: str, alias: str, request_id: str) -> Response:
        view = await self._view(request, owner, alias, request_id)
        job = view.job
        if not job.status.is_terminal:
            return FalErrorResponse(400, "the request is not finished yet; ask for its status").response(
                job.id
            )
        base = responses.base_url(request, self._services.response_config)
        result = await pools.read(responses.result, view, base, self._services)
        if isinstance(result, FalErrorResponse):
            return result.response(job.id)
        response = json_response(result)
        response.headers["X-Fal-Request-Id"] = job.id
        return response

    async def cancel(self, request: Request, owner: str, alias: str, request_id: str) -> Response:
        view = await self._view(request, owner, alias, request_id)
        ended = view.job.status.is_terminal
        if not ended:
            job_request = Cancel(view.job.id, caller(request).owner, now_us())
            left = await pools.write(self._services.jobs.cancel, job_request)
            ended = left.is_terminal and left is not JobStatus.CANCELED
        if ended:
            body = {"status": "ALREADY_COMPLETED", "detail": "the request is finished already"}
            return json_response(body, 400)
        return json_response({"status": "CANCELLATION_REQUESTED"}, 202)

    async def _view(self, request: Request, owner: str, alias: str, request_id: str) -> View:
        """Return a request. Raises `NotFound`, also for another owner's or another app's."""
        found = await self._services.views.load([request_id])
        if found and found[0].job.owner == caller(request).owner:
            job = found[0].job
            if (
                job.dialect == responses.NAME
                and responses.marks(job).get("app") == f"{owner}/{alias}".lower()
            ):
                return found[0]
        raise NotFound(f"there is no request {request_id[:60]!r} of {owner[:60]}/{alias[:60]}")

    async def _status(self, request: Request, view: View, with_logs: bool) -> dict[str, Any]:
        job, store = view.job, self._services.jobs
        ahead = await self._ahead(job) if job.status is JobStatus.QUEUED else 0
        logs = responses.logs(await pools.read(store.events_after, job.id, 0)) if with_logs else None
        return responses.status(
            view, responses.queue_url(request, self._services.response_config), ahead, logs
        )

    async def _ahead(self, job: Job) -> int:
        place = (job.lane, job.tag)
        return (await pools.read(self._services.jobs.preceding, [place]))[place]

    async def statuses(
        self, request: Request, job_id: str, watcher: Watcher, with_logs: bool
    ) -> AsyncIterator[bytes]:
        """Yield each status that differs from the one before; the last one is terminal."""
        last: dict[str, Any] = {}
        while True:
            views_ = await self._services.views.load([job_id])
            if not views_:
                return
            body = await self._status(request, views_[0], with_logs)
            if body != last:
                last = body
                yield b"data: " + to_json(body) + b"\n\n"
            if views_[0].job.status.is_terminal or watcher.closed:
                return
            if not await watcher.wait(KEEP_ALIVE_S):
                yield b": keep-alive\n\n"
            watcher.take_live()

    def watch(self, job_id: str, owner: str) -> Watcher:
        return self._services.hub.watch([job_id], owner)


class _Statuses(Response):
    """The response with the statuses of a request. Raises `TooManyStreams` before a byte is sent."""

    def __init__(self, queue: QueueRoutes, request: Request, job_id: str, with_logs: bool) -> None:
        super().__init__()
        self._watcher = queue.watch(job_id, caller(request).owner)
        self._events = queue.statuses(request, job_id, self._watcher, with_logs)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        with self._watcher:
            response = StreamingResponse(
                self._events,
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
            await response(scope, receive, send)


def router(services: Services, options: FalApiSettings) -> APIRouter:
    apps, submitter = Apps(options.offered), RequestSubmitter(services)
    routes = APIRouter()
    routes.include_router(QueueRoutes(services, apps, submitter, options).router())
    routes.include_router(DirectRoutes(services, apps, submitter, options.run_s).router())
    return routes


DIALECT = ApiModule(
    name=NAME,
    router=router,
    callback=unsigned,
    webhook_format=webhook_format,
    settings="fal_api",
    document="fal",
    tags={"fal": "The queue and the direct calls of fal.ai, as its clients call them."},
    policies=(
        PathPolicy(KEYS, None, cors=CorsClass.NONE),
        *(
            PathPolicy(
                f"{path}/", Scope.JOBS_READ, Scope.JOBS_WRITE, cors=CorsClass.CONTRACT, errors=BEFORE_ROUTES
            )
            for path in (QUEUE, RUN)
        ),
    ),
)
