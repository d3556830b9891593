"""``/api/v1/jobs``: list, look, follow, cancel, replay, submit."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from imagemill.dialects.base import Dialect
from imagemill.dialects.native.schemas import JobRequest, error_body, job_body, moment
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, InvalidInput
from imagemill.domain.jobs import Job, JobStatus
from imagemill.domain.scheduling import explain_wait
from imagemill.service.services import Services
from imagemill.service.submit import Wish
from imagemill.store.finishing import Cancel
from imagemill.store.outbox import Delivery
from imagemill.store.reading import Filter
from imagemill.web.problems import field_errors
from imagemill.web.requests import digest, flag, idempotency_key, json_body, number
from imagemill.web.stream import event_body, job_events

NAME = "native"


class NativeJobs:
    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["jobs"])
        add = routes.add_api_route
        plain: dict[str, Any] = {"response_class": Response}
        body = {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": JobRequest.model_json_schema()}},
            }
        }
        add("/jobs", self.page, methods=["GET"], summary="List jobs, newest first", **plain)
        add(
            "/jobs",
            self.submit,
            methods=["POST"],
            summary="Submit a job",
            status_code=201,
            openapi_extra=body,
            **plain,
        )
        add("/jobs/{job_id}", self.get, methods=["GET"], summary="One job", **plain)
        add("/jobs/{job_id}/cancel", self.cancel, methods=["POST"], summary="Cancel a job", **plain)
        add(
            "/jobs/{job_id}/replay",
            self.replay,
            methods=["POST"],
            summary="Submit a failed job again",
            status_code=201,
            **plain,
        )
        add("/jobs/{job_id}/events", self.events, methods=["GET"], summary="Follow a job (SSE)", **plain)
        return routes

    async def page(self, request: Request) -> Response:
        limit = number(request, "limit", 50, 1, 500)
        cursor = request.query_params.get("cursor") or None
        if cursor is not None and len(cursor) != 36:
            raise InvalidInput.at("cursor", "is not one of ours: take `next` from the last answer")
        wanted = Filter(
            owner=self._services.owner,
            statuses=_statuses(request.query_params.getlist("status")),
            recipe=request.query_params.get("recipe") or None,
            batch=request.query_params.get("batch") or None,
            before=cursor,
            limit=limit + 1,
        )
        jobs = await asyncio.to_thread(self._services.store.list_jobs, wanted)
        items = await self._bodies(request, jobs[:limit])
        return _answer({"items": items, "next": jobs[limit - 1].id if len(jobs) > limit else None})

    async def submit(self, request: Request) -> Response:
        _same_site(request)
        body = await json_body(request)
        try:
            wanted = JobRequest.model_validate(body)
        except ValidationError as error:
            raise InvalidInput(field_errors(error)) from error
        if wanted.callback_url is not None:
            self._services.guard.check_url("callbackUrl", wanted.callback_url)
        wish = Wish(
            recipe=wanted.recipe,
            input=wanted.input,
            path="input.",
            name=wanted.name,
            priority=wanted.priority,
            timeout_s=wanted.timeout_s,
            properties=wanted.properties,
            callback_url=wanted.callback_url,
            labels=tuple(wanted.labels),
        )
        drafts = self._services.submitter.drafts([wish], dialect=NAME)
        key = idempotency_key(request)
        future = self._services.submitter.begin(
            self._services.owner, drafts, key=key, digest=digest(body) if key else ""
        )  # fmt: skip
        accepted = await asyncio.wrap_future(future)
        bodies = await self._bodies(request, accepted.jobs)
        return _answer(bodies[0], 200 if accepted.repeated else 201)

    async def get(self, request: Request, job_id: str) -> Response:
        bodies = await self._bodies(request, [await self._job(job_id)])
        return _answer(bodies[0])

    async def cancel(self, request: Request, job_id: str) -> Response:
        _same_site(request)
        wish = Cancel(job_id, self._services.owner, now_us())
        await asyncio.to_thread(self._services.store.cancel, wish)
        return await self.get(request, job_id)

    async def replay(self, request: Request, job_id: str) -> Response:
        _same_site(request)
        job = await self._job(job_id)
        if not job.status.is_terminal:
            raise Conflict(f"job {job_id} is {job.status}; only a finished job can be submitted again")
        again = await asyncio.to_thread(self._services.submitter.again, job)
        bodies = await self._bodies(request, [again])
        return _answer(bodies[0], 201)

    async def events(self, request: Request, job_id: str) -> Response:
        after = _last_event_id(request)
        job = await self._job(job_id)
        if not flag(request, "stream", default=True):
            events = await asyncio.to_thread(self._services.store.events_after, job.id, after)
            return _answer({"items": [event_body(event) for event in events]})
        stream = job_events(self._services.store, self._services.hub, job.id, after)
        return StreamingResponse(
            stream,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _job(self, job_id: str) -> Job:
        return await asyncio.to_thread(self._services.store.job, job_id, self._services.owner)

    async def _bodies(self, request: Request, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        services = self._services
        views = await services.views.load([job.id for job in jobs])
        base = services.wire.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        return [
            job_body(
                view,
                services.wire.signer,
                base,
                progress=services.hub.progress(view.job.id),
                waits=self._waits(view.job),
            )
            for view in views
        ]

    def _waits(self, job: Job) -> str | None:
        """Why a queued job is not running yet."""
        if job.status is not JobStatus.QUEUED:
            return None
        if job.run_after is not None and job.run_after > now_us():
            return f"is tried again at {moment(job.run_after)}"
        return explain_wait(self._services.offers(), self._services.store.lane(job.lane))


def _statuses(names: Sequence[str]) -> frozenset[JobStatus]:
    found: set[JobStatus] = set()
    for name in (part for text in names for part in text.split(",") if part):
        try:
            found.add(JobStatus(name.lower()))
        except ValueError:
            known = ", ".join(status.value for status in JobStatus)
            raise InvalidInput.at("status", f"is {name[:40]!r}; one of {known}") from None
    return frozenset(found)


def _last_event_id(request: Request) -> int:
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput.at("Last-Event-ID", f"is {text[:40]!r}; write the number of the last event seen")
    return int(text)


def _same_site(request: Request) -> None:
    """Other sites' pages may not act on the jobs of whoever looks at them."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise HTTPException(403, "this route may not be called from another site's page")


def _answer(body: Any, status: int = 200) -> Response:
    return Response(to_json(body), status, media_type="application/json")


def _callback(delivery: Delivery) -> Mapping[str, Any]:
    return {"job": delivery.job.id, "error": error_body(delivery.job), **event_body(delivery.event)}


DIALECT = Dialect(name=NAME, router=lambda services: NativeJobs(services).router(), callback=_callback)
