"""The routes of Civitai v1: jobs (section 1.1 of the wire contract), coverage, consumption and requests."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from imagemill.api.base import ApiModule, Services
from imagemill.dialects.civitai_times import date_time
from imagemill.dialects.civitai_v1 import openapi, requests
from imagemill.dialects.civitai_v1.responses import (
    QueuedPosition,
    ResponseOptions,
    callback,
    claim_of,
    job_event,
    job_status,
)
from imagemill.dialects.civitai_v1.schemas import Query, Taint
from imagemill.domain.access import Caller, Scope
from imagemill.domain.clock import SECOND, from_datetime, now_us
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.events import Event, EventType
from imagemill.domain.jobs import Draft, Job, JobStatus
from imagemill.domain.scheduling import mismatch_reason
from imagemill.jobs.model_states import is_family_unsupported, nodes_with_model
from imagemill.jobs.shared_reads import SharedReads
from imagemill.jobs.store.finish import Cancel
from imagemill.jobs.store.queries import Annotate, Filter, Place, View
from imagemill.jobs.store.submit import Accepted
from imagemill.jobs.submit import JobRequest
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.body_fields import field_errors
from imagemill.web.http import (
    base_url,
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
from imagemill.web.openapi import PRICED
from imagemill.web.policies import CorsClass, PathPolicy
from imagemill.web.routing import PlainRoute

NAME = "civitai.v1"
_QUERY = "/v1/consumer/jobs/query"
POLICIES = (
    PathPolicy(_QUERY, Scope.JOBS_READ, Scope.JOBS_READ, cors=CorsClass.CONTRACT),
    PathPolicy("/v1/consumer/", Scope.JOBS_READ, Scope.JOBS_WRITE, cors=CorsClass.CONTRACT),
    PathPolicy("/v1/producer/", Scope.JOBS_READ, Scope.JOBS_WRITE, cors=CorsClass.CONTRACT),
)
_PAGE = 50
_MOST_MODELS = 100
_RECIPES = {"textToImageV2": "textToImage"}
"""Job types of Civitai whose recipe has another name."""
_MONTH_US = 30 * 86_400 * SECOND
_LAST = datetime(9999, 12, 31, tzinfo=UTC)
_HEAD = re.compile(r"((?:jobs\[\d+\]\.)?)(\w+)")
_V1_NAMES = {
    "workflow": "params.workflow",
    "variables": "params",
    "prompt": "params.prompt",
    "negative_prompt": "params.negativePrompt",
    "sampler": "params.scheduler",
    "clip_skip": "params.clipSkip",
    "seed": "params.seed",
    "controls": "controlNets",
}
"""The recipes' names of fields -> the paths in a job template."""


# Jobs


class CivitaiJobRoutes:
    """The handlers of jobs with their dependencies."""

    def __init__(self, services: Services, shape: ResponseOptions, public_url: str | None) -> None:
        self._services = services
        self._shape = shape
        self._public_url = public_url
        self._positions = SharedReads(self._read_positions)

    def declare(self, routes: APIRouter) -> None:
        all_, one = "/v1/consumer/jobs", "/v1/consumer/jobs/{job_id}"
        submission = openapi.SUBMIT | PRICED
        history = "/v1/producer/jobs/{job_id}/events"
        for method, path, handler, summary, extra in (
            ("POST", all_, self.submit, "Submit jobs", submission),
            ("GET", all_, self.by_token, "The jobs of a token", openapi.BY_TOKEN),
            ("PUT", all_, self.taint_all, "Taint the jobs of a token", openapi.TAINT_ALL),
            ("DELETE", all_, self.cancel_all, "Cancel the jobs of a token", openapi.CANCEL_ALL),
            ("POST", f"{all_}/query", self.query, "Find jobs by properties", openapi.FIND),
            ("GET", one, self.by_id, "One job", openapi.BY_ID),
            ("PUT", one, self.taint, "Taint a job", openapi.TAINT),
            ("DELETE", one, self.cancel, "Cancel a job", openapi.CANCEL),
            ("GET", history, self.events, "The events of a job", openapi.EVENTS),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                response_class=Response,
                openapi_extra=extra,
            )

    async def submit(self, request: Request) -> Response:
        services = self._services
        wait, detailed = flag(request, "wait"), flag(request, "detailed")
        body = await json_body(request)
        job_requests = requests.job_requests(
            requests.templates(body),
            services.guard,
            prompt_chars=services.prompt_chars,
            backends=tuple(services.backends),
        )
        drafts = await checked(request, self._drafts, caller(request), job_requests, request_trace(request))
        if flag(request, "whatif"):
            return json_response(_price(drafts))
        key = idempotency_key(request)

        async def accept() -> Accepted:
            marks: dict[str, Any] = {"key": key, "digest": digest(body)} if key else {}
            future = services.submitter.submit_async(caller(request).owner, drafts, **marks)
            accepted = await pools.result_of(future)
            if not accepted.jobs:
                raise Conflict(f"the jobs of the idempotency key {key!r} are gone; use another key")
            return accepted

        if wait:
            return await self._submit_and_wait(request, drafts, accept, detailed)
        accepted = await accept()
        views = [_fresh(job) for job in accepted.jobs] if not accepted.repeated else None
        return await self._collection(request, accepted.batch, accepted.jobs, detailed, views=views)

    def _drafts(
        self, found: Caller, job_requests: Sequence[JobRequest], trace: str | None
    ) -> tuple[Draft, ...]:
        partner = found.may(Scope.PARTNER)
        try:
            drafts = self._services.submitter.prepare(
                found.owner, job_requests, dialect=NAME, trace=trace, partner=partner
            )
        except InvalidInput as error:
            raise error.renamed(_v1_path) from error
        return tuple(
            replace(draft, client={**draft.client, "dependencies": list(draft.depends_on)})
            if draft.depends_on
            else draft
            for draft in drafts
        )

    async def _submit_and_wait(
        self,
        request: Request,
        drafts: Sequence[Draft],
        accept: Callable[[], Awaitable[Accepted]],
        detailed: bool,
    ) -> Response:
        # Watched before: with too many watchers nothing has been accepted yet.
        ids = [draft.id for draft in drafts]
        with self._services.hub.watch(ids, caller(request).owner, ends_only=True) as watcher:
            accepted = await accept()
            if accepted.repeated:
                return await self._wait(request, accepted.batch, accepted.jobs, detailed)
            done = await watcher.wait_finished(self._services.wait_s)
        known = [watcher.views[job.id] for job in accepted.jobs if job.id in watcher.views]
        views = known if len(known) == len(accepted.jobs) else None
        return await self._collection(
            request, accepted.batch, accepted.jobs, detailed, status=200 if done else 202, views=views
        )

    async def by_token(self, request: Request) -> Response:
        token, jobs = await self._of_token(request)
        if flag(request, "wait"):
            return await self._wait(request, token, jobs, flag(request, "detailed"))
        done = all(job.status.is_terminal for job in jobs)
        return await self._collection(
            request, token, jobs, flag(request, "detailed"), status=200 if done else 202
        )

    async def by_id(self, request: Request, job_id: str) -> Response:
        job = await pools.read(self._services.jobs.job, job_id, caller(request).owner)
        for status in await self.statuses(request, [job], flag(request, "detailed")):
            return json_response(status)
        raise NotFound(f"there is no job {job_id}")

    async def cancel_all(self, request: Request) -> Response:
        flag(request, "force", default=True)
        _, jobs = await self._of_token(request)
        for job in jobs:
            await self._cancel(request, job.id)
        return Response(status_code=200)

    async def cancel(self, request: Request, job_id: str) -> Response:
        flag(request, "force", default=True)
        await self._cancel(request, job_id)
        return Response(status_code=200)

    async def taint_all(self, request: Request) -> Response:
        _, jobs = await self._of_token(request)
        note = await _read_taint(request)
        for job in jobs:
            await self._annotate(request, job.id, note)
        return json_response({"jobs": len(jobs)})

    async def taint(self, request: Request, job_id: str) -> Response:
        await self._annotate(request, job_id, await _read_taint(request))
        return Response(status_code=200)

    async def query(self, request: Request) -> Response:
        body = await json_body(request)
        try:
            query = Query.model_validate(body)
        except ValidationError as error:
            raise InvalidInput(field_errors(error, Query)) from error
        wanted = Filter(
            owner=caller(request).owner,
            recipes=(_RECIPES.get(query.job_type, query.job_type),) if query.job_type else (),
            properties=tuple((query.properties or {}).items()),
            before=cursor(query.cursor, "cursor", "cursor"),
            limit=_PAGE + 1,
        )
        jobs = await pools.read(self._services.jobs.list_jobs, wanted)
        page = jobs[:_PAGE]
        found = {"jobs": await self.statuses(request, page, flag(request, "detailed"))}
        return json_response({"cursor": page[-1].id, **found} if len(jobs) > _PAGE else found)

    async def events(self, request: Request, job_id: str) -> Response:
        store = self._services.jobs
        take = number(request, "take", 100, 1, 1000)
        job = await pools.read(store.job, job_id, caller(request).owner)
        if flag(request, "descending"):
            events = await pools.read(store.last_events, job.id, take)
        else:
            events = await pools.read(store.events_after, job.id, 0, take)
        claims = await pools.read(store.claims, job.id)
        return json_response([job_event(event, job, claim_of(event, claims)) for event in events])

    async def _wait(self, request: Request, token: str, jobs: Sequence[Job], detailed: bool) -> Response:
        done = await self.wait_finished(jobs)
        return await self._collection(request, token, jobs, detailed, status=200 if done else 202)

    async def wait_finished(self, jobs: Sequence[Job]) -> bool:
        """Wait until all jobs are finished (True) or for the longest wait (False)."""
        with self._services.hub.watch((job.id for job in jobs), jobs[0].owner, ends_only=True) as watcher:
            # Read after the watch began, so that an end in between is not missed.
            ids = [job.id for job in jobs]
            found = await pools.read(self._services.jobs.progress_of, ids)
            watcher.finished.update(id_ for id_, (_, finished) in found.items() if finished)
            return await watcher.wait_finished(self._services.wait_s)

    async def _of_token(self, request: Request) -> tuple[str, list[Job]]:
        token = request.query_params.get("token", "")
        if not token:
            raise InvalidInput.at("token", "is required: the token that the submission was answered with")
        jobs = await pools.read(self._services.jobs.batch, caller(request).owner, token)
        if not jobs:
            raise NotFound("there are no jobs for this token")
        return token, jobs

    async def _cancel(self, request: Request, job_id: str) -> JobStatus:
        job_request = Cancel(job_id, caller(request).owner, now_us())
        return await pools.write(self._services.jobs.cancel, job_request)

    async def _annotate(self, request: Request, job_id: str, note: Taint) -> None:
        taint = {"taint": {"reason": note.reason, "context": note.context, "at": now_us()}}
        job_request = Annotate(job_id, caller(request).owner, taint, note.properties or {})
        await pools.write(self._services.jobs.annotate, job_request)

    async def _collection(
        self,
        request: Request,
        token: str,
        jobs: Sequence[Job],
        detailed: bool,
        *,
        status: int = 200,
        views: list[View] | None = None,
    ) -> Response:
        statuses = await self.statuses(request, jobs, detailed, views)
        body: dict[str, Any] = {"token": token, "jobs": statuses}
        if len(statuses) == 1:
            # Clients that read `job.jobId` work as well as those that read `jobs[0]`.
            body |= {name: value for name, value in statuses[0].items() if name not in ("token", "jobs")}
        return json_response(body, status)

    async def statuses(
        self, request: Request, jobs: Sequence[Job], detailed: bool, views: list[View] | None = None
    ) -> list[dict[str, Any]]:
        if views is None:
            views = await self._services.views.load([job.id for job in jobs])
        base = base_url(request, self._public_url)
        queued = [view.job for view in views if view.job.status is JobStatus.QUEUED]
        positions = await self._positions.load([(job.lane, job.tag) for job in queued]) if queued else []
        ahead = dict(zip([job.id for job in queued], positions, strict=True))
        return [
            job_status(view, self._shape, base, position=ahead.get(view.job.id), detailed=detailed)
            for view in views
        ]

    def _read_positions(self, places: Collection[Place]) -> dict[Place, QueuedPosition]:
        """Return the number of jobs before each, and whether some slot can take it now."""
        store, offers = self._services.jobs, self._services.offers()
        lanes = {lane: store.lane(lane) for lane, _ in places}
        able = {
            lane: not self._services.capacity.missing_worker(key.queue)
            and any(mismatch_reason(offer, key) is None for offer in offers)
            for lane, key in lanes.items()
        }
        ahead = store.preceding(places)
        return {place: QueuedPosition(ahead[place], able[place[0]]) for place in places}


def _fresh(job: Job) -> View:
    """Return the view of a job that was accepted just now, without reading it again."""
    return View(job, (), Event(job.id, 1, EventType.INITIALIZED, job.created_at, 0, {}))


def _price(drafts: Sequence[Draft]) -> dict[str, Any]:
    jobs = [{"jobId": draft.id, "cost": draft.cost, "scheduled": False} for draft in drafts]
    body: dict[str, Any] = {"jobs": jobs}
    return body | jobs[0] if len(jobs) == 1 else body


async def _read_taint(request: Request) -> Taint:
    try:
        taint = Taint.model_validate(await json_body(request))
    except ValidationError as error:
        raise InvalidInput(field_errors(error, Taint)) from error
    requests.check_keys("properties", taint.properties or ())
    return taint


def _v1_path(path: str) -> str:
    """Return the path of an error in v1, where prompts and graphs are below ``params``."""
    found = _HEAD.match(path)
    if found is None or found[2] not in _V1_NAMES:
        return path
    return f"{found[1]}{_V1_NAMES[found[2]]}{path[found.end() :]}"


# Coverage, consumption, requests


class CivitaiAccountRoutes:
    def __init__(self, services: Services, jobs: CivitaiJobRoutes) -> None:
        self._services = services
        self._jobs = jobs

    def declare(self, routes: APIRouter) -> None:
        for path, handler, summary, extra in (
            ("coverage", self.coverage, "The models that can be used now", openapi.COVERAGE),
            (
                "consumption",
                self.consumption,
                "The number of pictures made and their price",
                openapi.CONSUMPTION,
            ),
            ("requests", self.requests, "Submissions, newest first", openapi.REQUESTS),
        ):
            routes.add_api_route(
                f"/v1/consumer/{path}",
                handler,
                methods=["GET"],
                summary=summary,
                response_class=Response,
                openapi_extra=extra,
            )

    async def coverage(self, request: Request) -> Response:
        models = request.query_params.getlist("model")
        if not models:
            raise InvalidInput.at("model", "is required: one AIR or more, as ?model=a&model=b")
        if len(models) > _MOST_MODELS:
            raise InvalidInput.at(
                "model", f"names {len(models)} models, at most {_MOST_MODELS} are looked up"
            )
        return json_response(await pools.read(lambda: {air: self._cover(air) for air in models}))

    def _cover(self, air: str) -> dict[str, Any]:
        services = self._services
        resource = services.registry.find("model", air)
        if resource is None:
            return {"availability": "Unsupported", "workers": 0}
        queue = services.recipes["textToImage"].queue
        runs = not services.capacity.missing_worker(queue)
        backends = services.backends.values() if runs else ()
        nodes = [node for backend in backends for node in nodes_with_model(backend, resource)]
        if not nodes and is_family_unsupported(resource, services.registry.installed):
            return {"availability": "Unsupported", "workers": 0}
        workers = sum(node.slots for node in nodes)
        return {"availability": "Available" if workers else "Unavailable", "workers": workers}

    async def consumption(self, request: Request) -> Response:
        now = now_us()
        start = _instant(request, "startDate", now - _MONTH_US)
        end = _instant(request, "endDate", now)
        if end < start:
            raise InvalidInput.at("endDate", "is before startDate")
        used = await pools.read(self._services.jobs.consumption, caller(request).owner, start, end)
        return json_response(
            {
                "images": used.images,
                "totalCost": round(used.cost, 4),
                "startDate": date_time(start),
                "endDate": date_time(end),
            }
        )

    async def requests(self, request: Request) -> Response:
        take = number(request, "take", 20, 1, 100)
        before = cursor(request.query_params.get("cursor"), "cursor", "nextId")
        store, owner = self._services.jobs, caller(request).owner
        batches = await pools.read(store.batches, owner, before, take + 1)
        entries = [await self._request(request, batch) for batch in batches[:take]]
        body: dict[str, Any] = {"requests": entries}
        if len(batches) > take:
            body["cursor"] = {"nextDateTime": entries[-1]["dateTime"], "nextId": batches[take - 1]}
        return json_response(body)

    async def _request(self, request: Request, batch: str) -> dict[str, Any]:
        jobs = await pools.read(self._services.jobs.batch, caller(request).owner, batch)
        statuses = await self._jobs.statuses(request, jobs, detailed=True)
        return {
            "dateTime": date_time(jobs[0].created_at) if jobs else "",
            "jobs": [{"job": status["job"], "lastEvent": status["lastEvent"]} for status in statuses],
        }


def _instant(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        # A float of seconds rounds the last microsecond of the year 9999 up to an invalid date.
        return from_datetime(min(in_utc, _LAST))
    except (ValueError, OverflowError) as error:
        raise InvalidInput.at(name, f"is {text[:40]!r}; write a date such as 2026-01-31T00:00:00Z") from error


def router(services: Services, _: object) -> APIRouter:
    wire = services.response_config
    jobs = CivitaiJobRoutes(services, ResponseOptions(wire.signer, wire.v1_result), wire.public_url)
    routes = APIRouter(tags=["civitai v1"], route_class=PlainRoute)
    jobs.declare(routes)
    CivitaiAccountRoutes(services, jobs).declare(routes)
    return routes


DIALECT = ApiModule(
    name=NAME,
    router=router,
    callback=callback,
    policies=POLICIES,
    document="civitai-v1",
    tags={"civitai v1": "The jobs API of Civitai's orchestration service, as its clients call it."},
)
