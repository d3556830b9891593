"""``/api/v1/jobs``: list, look, follow, cancel, replay, submit."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response, WebSocket
from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import HTTPConnection

from imagemill.api.base import ApiModule, Services
from imagemill.api.credits import estimate, price_docs
from imagemill.backends.base import Progress
from imagemill.domain.access import Scope
from imagemill.domain.clock import now_us, to_datetime
from imagemill.domain.errors import Conflict, InvalidInput
from imagemill.domain.jobs import Artifact, Draft, Job, JobStatus
from imagemill.domain.placement import explain_wait
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.finish import Cancel
from imagemill.jobs.store.queries import Filter, View
from imagemill.jobs.store.submit import MAX_KEY
from imagemill.jobs.submit import JobRequest
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.blobs import picture_url
from imagemill.web.http import (
    Real,
    Whole,
    checked,
    cursor,
    digest,
    flag,
    idempotency_key,
    json_body,
    json_response,
    number,
    request_trace,
)
from imagemill.web.permissions import RoutePermission
from imagemill.web.problems import field_errors, suggestion
from imagemill.web.sse import EventStream, event_body, progress_body
from imagemill.web.websockets import EventSocket, EventSubscription, previews_of
from imagemill.webhooks.outbox import Delivery

LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
Label = Annotated[str, Field(pattern=f"^{LABEL.pattern}$")]
"""Labels are part of the key that jobs are queued under, and an index holds no long keys."""


class JobSubmission(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )

    recipe: str = Field(max_length=64)
    input: dict[str, Any]
    name: str | None = Field(None, max_length=200)
    priority: Whole = Field(0, ge=-100, le=100, description="Smaller is more urgent.")
    timeout_s: Real | None = Field(None, gt=0, le=86_400, allow_inf_nan=False)
    properties: dict[str, Any] = Field(default={}, max_length=50)
    callback_url: str | None = None
    labels: list[Label] = Field(default=[], max_length=20, description="Labels the node must carry.")
    private: bool = Field(False, description="Made on local nodes only, never by a paid provider.")


def job_body(
    view: View,
    signer: UrlSigner,
    base_url: str,
    *,
    progress: Progress | None = None,
    waits: str | None = None,
) -> dict[str, Any]:
    job = view.job
    body: dict[str, Any] = {
        "id": job.id,
        "batch": job.batch,
        "name": job.name,
        "recipe": job.recipe,
        "status": job.status.value,
        "queue": job.queue,
        "priority": job.priority,
        "cost": job.cost,
        "attempt": job.attempt,
        "failures": job.failures,
        "maxFailures": job.max_failures,
        "node": job.node,
        "worker": job.worker,
        "reason": job.reason,
        "cancelRequested": job.cancel_requested_at is not None,
        "trace": job.trace,
        "input": job.input,
        "properties": job.properties,
        "error": error_body(job),
        "createdAt": moment(job.created_at),
        "startedAt": moment(job.started_at),
        "finishedAt": moment(job.finished_at),
        "expiresAt": moment(job.expires_at),
        "retryAt": moment(job.run_after),
        "lastEvent": {"seq": view.last_event.seq, "type": view.last_event.type.value},
        "artifacts": [_artifact_body(artifact, signer, base_url) for artifact in view.artifacts],
    }
    flags = [*job.client.get("safety", {}).get("flags", ()), *view.last_event.data.get("flags", ())]
    if flags or job.client.get("safety"):
        body["safety"] = {"rewritten": bool(job.client.get("safety", {}).get("rewritten")), "flags": flags}
    if job.status is JobStatus.QUEUED:
        body["waits"] = waits
    if progress is not None:
        body["progress"] = progress_body(progress)
    return body


def _artifact_body(artifact: Artifact, signer: UrlSigner, base_url: str) -> dict[str, Any]:
    return {
        "id": artifact.id,
        "mediaType": artifact.media_type,
        "size": artifact.size,
        "width": artifact.width,
        "height": artifact.height,
        "sha256": artifact.sha256,
        "seed": artifact.seed,
        "available": artifact.available,
        "url": picture_url(signer, base_url, artifact).url if artifact.available else None,
    }


def error_body(job: Job) -> dict[str, Any] | None:
    if job.error is None:
        return None
    return {
        "code": job.error.code.value,
        "message": job.error.message,
        "advice": job.error.policy.advice,
    }


def moment(instant_us: int | None) -> str | None:
    return None if instant_us is None else to_datetime(instant_us).isoformat()


NAME = "native"
_PAGE = openapi.query(
    limit=(openapi.whole(1, 500, 50), "How many"),
    cursor=(openapi.TEXT, "`next` of the last answer"),
    status=(openapi.TEXTS, "Only these, repeated or separated by commas"),
    recipe=(openapi.TEXT, "Only this one"),
    batch=(openapi.TEXT, "Only the jobs of one submission"),
)
_EVENTS = openapi.query(
    after=(
        openapi.whole(0, 999_999_999, 0),
        "Events after this number; the header Last-Event-ID goes before",
    ),
    stream=(openapi.FLAG, "false: those there are, as a list"),
) | openapi.answered(200, "As they happen, or those there are", "text/event-stream", "application/json")

_SUBMIT = openapi.query(whatif=(openapi.FLAG, "Say what it would cost, and make no job"))


_AGAIN = openapi.answered(200, "The same request had made it before, or what it costs", openapi.JSON)


class JobRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._sockets = EventSocket(services.jobs, services.hub)

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["jobs"])
        one = "/jobs/{job_id}"
        submission = (
            openapi.body(JobSubmission) | _SUBMIT | _AGAIN | price_docs(self._services.credits.prices)
        )
        for method, path, handler, summary, status, extra in (
            ("GET", "/jobs", self.page, "List jobs, newest first", 200, _PAGE),
            ("POST", "/jobs", self.submit, "Submit a job", 201, submission),
            ("GET", one, self.get, "One job", 200, None),
            ("POST", f"{one}/cancel", self.cancel, "Cancel a job", 200, None),
            ("POST", f"{one}/replay", self.replay, "Submit a finished job again", 201, None),
            ("GET", f"{one}/events", self.events, "Follow a job (SSE)", 200, _EVENTS),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                status_code=status,
                response_class=Response,
                openapi_extra=extra,
            )
        routes.add_api_websocket_route(f"{one}/ws", self.socket)
        return routes

    async def page(self, request: Request) -> Response:
        limit = number(request, "limit", 50, 1, 500)
        wanted = Filter(
            owner=caller(request).owner,
            statuses=_statuses(request.query_params.getlist("status")),
            recipe=request.query_params.get("recipe") or None,
            batch=request.query_params.get("batch") or None,
            before=cursor(request.query_params.get("cursor"), "cursor", "next"),
            limit=limit + 1,
        )
        jobs = await asyncio.to_thread(self._services.jobs.list_jobs, wanted)
        items = await self.bodies(request, jobs[:limit])
        return json_response({"items": items, "next": jobs[limit - 1].id if len(jobs) > limit else None})

    async def submit(self, request: Request) -> Response:
        body = await json_body(request)
        job_request = self._wish(body)
        drafts = await checked(
            request, self._drafts, caller(request).owner, job_request, request_trace(request)
        )
        if flag(request, "whatif"):
            return json_response(await estimate(request, self._services.credits, drafts))
        key = idempotency_key(request)
        future = self._services.submitter.submit_async(
            caller(request).owner, drafts, key=key, digest=digest(body) if key else ""
        )  # fmt: skip
        accepted = await asyncio.wrap_future(future)
        if not accepted.jobs:
            raise Conflict(f"the jobs of the idempotency key {key!r} are gone; use another key")
        bodies = await self.bodies(request, accepted.jobs)
        return json_response(bodies[0], 200 if accepted.repeated else 201)

    def _wish(self, body: Any) -> JobRequest:
        try:
            wanted = JobSubmission.model_validate(body)
        except ValidationError as error:
            raise InvalidInput(field_errors(error, JobSubmission)) from error
        if wanted.recipe not in self._services.recipes:
            near = suggestion(wanted.recipe, self._services.recipes)
            raise InvalidInput.at("recipe", f"is {wanted.recipe!r}{near}")
        if wanted.callback_url is not None:
            self._services.guard.check_url("callbackUrl", wanted.callback_url)
        if any(len(key) > MAX_KEY for key in wanted.properties):
            raise InvalidInput.at("properties", f"has a key of more than {MAX_KEY} characters")
        return JobRequest(
            recipe=wanted.recipe,
            input=wanted.input,
            path="input.",
            name=wanted.name,
            priority=wanted.priority,
            timeout_s=wanted.timeout_s,
            properties=wanted.properties,
            callback_url=wanted.callback_url,
            labels=tuple(wanted.labels),
            private=wanted.private,
        )

    def _drafts(self, owner: str, job_request: JobRequest, trace: str | None) -> tuple[Draft, ...]:
        try:
            return self._services.submitter.prepare(owner, [job_request], dialect=NAME, trace=trace)
        except InvalidInput as error:
            # A recipe names a graph as Civitai's API does, not as its own input field.
            raise error.renamed(_own_path) from error

    async def get(self, request: Request, job_id: str) -> Response:
        bodies = await self.bodies(request, [await self._job(request, job_id)])
        return json_response(bodies[0])

    async def cancel(self, request: Request, job_id: str) -> Response:
        job_request = Cancel(job_id, caller(request).owner, now_us())
        await asyncio.to_thread(self._services.jobs.cancel, job_request)
        return await self.get(request, job_id)

    async def replay(self, request: Request, job_id: str) -> Response:
        job = await self._job(request, job_id)
        if not job.status.is_terminal:
            raise Conflict(f"job {job_id} is {job.status}; only a finished job can be submitted again")
        again = await asyncio.to_thread(self._services.submitter.resubmit, job, request_trace(request))
        bodies = await self.bodies(request, [again])
        return json_response(bodies[0], 201)

    async def events(self, request: Request, job_id: str) -> Response:
        job, after = await self._reader(request, job_id)
        if not flag(request, "stream", default=True):
            events = await asyncio.to_thread(self._services.jobs.events_after, job.id, after)
            return json_response({"items": [event_body(event) for event in events]})
        return EventStream(self._services.jobs, self._services.hub, job.id, after)

    async def socket(self, socket: WebSocket, job_id: str) -> None:
        async def admit() -> EventSubscription:
            job, after = await self._reader(socket, job_id)
            return EventSubscription(job.id, after, previews_of(socket))

        await self._sockets.serve(socket, admit)

    async def _reader(self, request: HTTPConnection, job_id: str) -> tuple[Job, int]:
        """Who may follow a job, however they do, and from where on."""
        job = await self._job(request, job_id)
        # A reader that is ahead of the log, of a restored database say, reads on from its end.
        return job, min(_last_event_id(request), job.last_seq)

    async def _job(self, request: HTTPConnection, job_id: str) -> Job:
        return await asyncio.to_thread(self._services.jobs.job, job_id, caller(request).owner)

    async def bodies(self, request: Request, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        """The jobs as they are now, as this API shows them."""
        services = self._services
        views = await services.views.load([job.id for job in jobs])
        base = (
            services.response_config.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        )
        return [
            job_body(
                view,
                services.response_config.signer,
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
        offers, store = self._services.offers(), self._services.jobs
        if not offers and (troubles := self._troubles()):
            return f"no node takes jobs now: {'; '.join(troubles)}"
        return explain_wait(offers, store.lane(job.lane), store.queue_position(job, now_us()))

    def _troubles(self) -> list[str]:
        """Why the nodes this process knows take nothing; of those at rest, that they are drained."""
        nodes = [node for backend in self._services.backends.values() for node in backend.nodes()]
        troubled = [node.problem for node in nodes if node.problem]
        return troubled or [f"{node.name} is drained" for node in nodes if node.draining]


def _own_path(path: str) -> str:
    if path == "input.private":  # which is beside the recipe's input here
        return "private"
    return path.replace("input.workflow", "input.graph", 1)


def _statuses(names: Sequence[str]) -> frozenset[JobStatus]:
    found: set[JobStatus] = set()
    for name in (part for text in names for part in text.split(",") if part):
        try:
            found.add(JobStatus(name.lower()))
        except ValueError:
            near = suggestion(name, [status.value for status in JobStatus])
            raise InvalidInput.at("status", f"is {name[:40]!r}{near}") from None
    return frozenset(found)


def _last_event_id(request: HTTPConnection) -> int:
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput.at("Last-Event-ID", f"is {text[:40]!r}; write the number of the last event seen")
    return int(text)


def _callback(delivery: Delivery) -> Mapping[str, Any]:
    return {"job": delivery.job.id, "error": error_body(delivery.job), **event_body(delivery.event)}


DIALECT = ApiModule(
    name=NAME,
    router=lambda services: JobRoutes(services).router(),
    callback=_callback,
    permissions=(
        RoutePermission("/api/v1/jobs", Scope.JOBS_READ, Scope.JOBS_WRITE),
        RoutePermission("/api/v1/jobs/", Scope.JOBS_READ, Scope.JOBS_WRITE),
    ),
)
