"""Direct calls: the answer is the result, or a stream of progress and the result."""

import asyncio
import base64
from collections.abc import AsyncIterator
from enum import Enum, auto
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from imagemill.api.base import Services
from imagemill.backends.base import Progress
from imagemill.dialects.fal import openapi, responses
from imagemill.dialects.fal.errors import FalErrorResponse, FalRoute
from imagemill.dialects.fal.requests import PreparedRequest, RequestSubmitter
from imagemill.dialects.fal.settings import RUN, App, Apps
from imagemill.domain.clock import now_us
from imagemill.domain.errors import NotFound
from imagemill.jobs.hub import Watcher
from imagemill.jobs.store.finish import Cancel
from imagemill.net import pools
from imagemill.web.http import json_response
from imagemill.web.problems import CLIENT_CLOSED
from imagemill.web.sse import KEEP_ALIVE_S

_APP = "/{owner}/{alias}"
_STREAM = "stream"


class HoldResult(Enum):
    """The reason why a direct call is answered."""

    FINISHED = auto()
    LATE = auto()
    LEFT = auto()
    """The client has disconnected."""
    STOPPED = auto()
    """The process is stopping; the request continues."""


class DirectRoutes:
    """The routes. A call is held for ``longest_s`` seconds at most."""

    def __init__(self, services: Services, apps: Apps, submitter: RequestSubmitter, longest_s: float) -> None:
        self._services = services
        self._apps = apps
        self._submitter = submitter
        self._longest_s = longest_s

    def router(self) -> APIRouter:
        routes = APIRouter(prefix=RUN, tags=["fal"], route_class=FalRoute)
        for path, handler in ((_APP, self.run), (_APP + "/{path:path}", self.run_below)):
            routes.add_api_route(
                path,
                handler,
                methods=["POST"],
                summary="Make pictures and wait for them",
                response_class=Response,
                responses=openapi.UNPROCESSABLE,
                openapi_extra=openapi.RUN,
            )
        return routes

    async def run(self, request: Request, owner: str, alias: str) -> Response:
        return await self.run_below(request, owner, alias, "")

    async def run_below(self, request: Request, owner: str, alias: str, path: str) -> Response:
        app, streams = self._find(owner, alias, path)
        order = await self._submitter.take(request, app)
        # Watched before: with too many watchers nothing has been accepted yet.
        watcher = self._services.hub.watch([order.draft.id], order.owner)
        try:
            accepted = await order.accept()
        except BaseException:
            self._services.hub.leave(watcher)
            raise
        job_id = accepted.jobs[0].id
        if accepted.repeated:
            self._services.hub.leave(watcher)
            watcher = self._services.hub.watch([job_id], order.owner)
        call = _Call(
            self._services, order, job_id, responses.base_url(request, self._services.response_config)
        )
        if streams:
            return _Pictures(call, watcher, self._longest_s)
        with watcher:
            end = await self._held(request, watcher, job_id)
        return await call.answered(end)

    def _find(self, owner: str, alias: str, path: str) -> tuple[App, bool]:
        """Return the app and whether its events are requested."""
        before, _, last = path.strip("/").rpartition("/")
        if last == _STREAM:
            return self._apps.find(owner, alias, before), True
        return self._apps.find(owner, alias, path), False

    async def _held(self, request: Request, watcher: Watcher, job_id: str) -> HoldResult:
        # Read after the watch began, so that an end in between is not missed.
        found = await pools.read(self._services.jobs.progress_of, [job_id])
        watcher.finished.update(id_ for id_, (_, finished) in found.items() if finished)
        waiting = asyncio.ensure_future(watcher.wait_finished(self._longest_s))
        leaving = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return HoldResult.LEFT
            if waiting.result():
                return HoldResult.FINISHED
            return HoldResult.STOPPED if watcher.closed else HoldResult.LATE
        finally:
            waiting.cancel()
            leaving.cancel()
            await asyncio.gather(waiting, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Call:
    """A direct call whose request is stored."""

    def __init__(self, services: Services, order: PreparedRequest, job_id: str, base: str) -> None:
        self._services = services
        self._order = order
        self._base = base
        self.job_id = job_id

    async def answered(self, end: HoldResult) -> Response:
        if end is HoldResult.FINISHED:
            result = await self.result()
            if isinstance(result, FalErrorResponse):
                return result.response(self.job_id)
            response = json_response(result)
            response.headers["X-Fal-Request-Id"] = self.job_id
            return response
        return (await self.given_up(end)).response(self.job_id)

    async def result(self) -> dict[str, Any] | FalErrorResponse:
        found = await self._services.views.load([self.job_id])
        if not found:
            raise NotFound(f"request {self.job_id} was deleted")
        return await pools.read(responses.result, found[0], self._base, self._services)

    async def state(self) -> dict[str, Any] | FalErrorResponse | None:
        """Return the result, or None while the request is not finished."""
        found = await pools.read(self._services.jobs.progress_of, [self.job_id])
        return await self.result() if found.get(self.job_id, (0, True))[1] else None

    async def given_up(self, end: HoldResult) -> FalErrorResponse:
        """Return the error of a call without a result. Without an idempotency key it is cancelled."""
        if end is HoldResult.STOPPED:
            return FalErrorResponse(
                503, f"the server is stopping; request {self.job_id} continues", "runner_disconnected"
            )
        if self._order.key is None:
            await pools.write(self.cancel)
        if end is HoldResult.LATE:
            return FalErrorResponse(
                504, "the request took longer than a direct call is held", "request_timeout"
            )
        return FalErrorResponse(CLIENT_CLOSED, "the client disconnected", "client_disconnected")

    def cancel(self) -> None:
        job_request = Cancel(self.job_id, self._order.owner, now_us(), "its caller disconnected")
        self._services.jobs.cancel(job_request)

    def leave(self) -> None:
        """End the call of a stream that is being closed and so cannot wait."""
        if self._order.key is None:
            pools.write.start(self.cancel)


class _Pictures(Response):
    """A response with progress and previews, then the result, as server-sent events."""

    def __init__(self, call: _Call, watcher: Watcher, longest_s: float) -> None:
        super().__init__()
        self._call = call
        self._watcher = watcher
        self._longest_s = longest_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._watcher:
            response = StreamingResponse(
                self._events(),
                media_type="text/event-stream",
                headers={
                    "Cache-Control": "no-store",
                    "X-Accel-Buffering": "no",
                    "X-Fal-Request-Id": self._call.job_id,
                },
            )
            await response(scope, receive, send)

    async def _events(self) -> AsyncIterator[bytes]:
        loop, watcher, call = asyncio.get_running_loop(), self._watcher, self._call
        until, done = loop.time() + self._longest_s, False
        try:
            while not done:
                result = await call.state()
                if result is not None:
                    done = True
                    yield _event(result.body if isinstance(result, FalErrorResponse) else result)
                elif watcher.closed or loop.time() > until:
                    done = True
                    end = await call.given_up(HoldResult.STOPPED if watcher.closed else HoldResult.LATE)
                    yield _event(end.body)
                elif not await watcher.wait(min(KEEP_ALIVE_S, max(0.0, until - loop.time()))):
                    yield b": keep-alive\n\n"
                else:
                    for progress in watcher.take_live().values():
                        yield _event(_progress_body(progress))
        finally:
            if not done:
                call.leave()


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + to_json(body, inf_nan_mode="null") + b"\n\n"


def _progress_body(progress: Progress) -> dict[str, Any]:
    body: dict[str, Any] = {"images": [], "progress": round(progress.fraction, 4)}
    if progress.preview is not None:
        data = base64.b64encode(progress.preview).decode()
        picture = {
            "url": f"data:{progress.preview_type};base64,{data}",
            "content_type": progress.preview_type,
        }
        body["images"] = [picture]
    return body
