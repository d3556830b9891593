"""``/api/v1/jobs``: submit, list, read, follow, cancel and replay jobs.

The example for other modules: functions with typed parameters at module level, what they share in a context.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response, WebSocket
from pydantic import Field
from starlette.requests import HTTPConnection

from imagemill.api.base import ApiModule, Services
from imagemill.api.credits import estimate
from imagemill.api.dependencies import context
from imagemill.api.job_filters import JobFilter, filter_of
from imagemill.api.jobs_schemas import (
    Estimate,
    EventList,
    JobBody,
    JobChange,
    JobGroups,
    JobPage,
    JobSubmission,
    error_body,
    job_body,
    moment,
)
from imagemill.backends.base import kind_run_by, renderers
from imagemill.domain.access import EVERY_OWNER, Caller, Scope
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.images import WorkKind
from imagemill.domain.jobs import Draft, Job, JobStatus, LaneKey
from imagemill.domain.pauses import is_parked
from imagemill.domain.placement import explain_wait
from imagemill.domain.scheduling import TASKS, Offer
from imagemill.jobs.store.counts import Dimension
from imagemill.jobs.store.finish import Cancel
from imagemill.jobs.store.priority import Reprioritize
from imagemill.jobs.store.submit import MAX_KEY
from imagemill.jobs.submit import JobRequest
from imagemill.net import pools
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.body_fields import suggestion
from imagemill.web.http import (
    base_url,
    checked,
    cursor,
    digest,
    idempotency_key,
    json_response,
    request_trace,
)
from imagemill.web.policies import CHANGING, READING, PathPolicy
from imagemill.web.routing import ApiRoute, Cursor, Flag
from imagemill.web.sse import EventStream, event_body
from imagemill.web.websockets import EventSocket, EventSubscription, previews_of
from imagemill.webhooks.outbox import Delivery

NAME = "native"


class Jobs:
    """The dependencies of the handlers: jobs in the form of this API."""

    def __init__(self, services: Services, _: object = None) -> None:
        self.services = services
        self.sockets = EventSocket(services.jobs, services.hub)

    def request(self, body: JobSubmission) -> JobRequest:
        """Raises `InvalidInput`."""
        if body.recipe not in self.services.recipes:
            near = suggestion(body.recipe, self.services.recipes)
            raise InvalidInput.at("recipe", f"is {body.recipe!r}{near}")
        if body.callback_url is not None:
            self.services.guard.check_url("callbackUrl", body.callback_url)
        if any(len(key) > MAX_KEY for key in body.properties):
            raise InvalidInput.at("properties", f"has a key of more than {MAX_KEY} characters")
        return JobRequest(
            recipe=body.recipe,
            input=body.input,
            path="input.",
            name=body.name,
            priority=body.priority,
            timeout_s=body.timeout_s,
            properties=body.properties,
            callback_url=body.callback_url,
            labels=tuple(body.labels),
            private=body.private,
        )

    def drafts(self, found: Caller, job_request: JobRequest, trace: str | None) -> tuple[Draft, ...]:
        partner = found.may(Scope.PARTNER)
        try:
            return self.services.submitter.prepare(
                found.owner, [job_request], dialect=NAME, trace=trace, partner=partner
            )
        except InvalidInput as error:
            # A recipe names a graph as Civitai's API does, not as its own input field.
            raise error.renamed(_own_path) from error

    async def job(self, request: HTTPConnection, job_id: str) -> Job:
        return await pools.read(self.services.jobs.job, job_id, _owner(request))

    async def followed(self, request: HTTPConnection, job_id: str, after: int) -> tuple[Job, int]:
        """Return the job that the caller may follow, and the event after which its log is read on."""
        job = await self.job(request, job_id)
        # A reader may be ahead of the log, say of a restored database.
        return job, min(_last_event_id(request, after), job.last_seq)

    async def bodies(self, request: Request, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        """Return the jobs as they are now, as this API shows them."""
        services = self.services
        views = await services.views.load([job.id for job in jobs])
        base = base_url(request, services.response_config.public_url)
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

    async def body(self, request: Request, job: Job) -> dict[str, Any]:
        """Return a job as it is now. Raises `NotFound` for one that was erased meanwhile."""
        for body in await self.bodies(request, [job]):
            return body
        raise NotFound(f"there is no job {job.id}")

    async def accept(self, request: Request, drafts: tuple[Draft, ...]) -> tuple[Job, bool]:
        """Return the stored job, and whether the same request had made it before."""
        key = idempotency_key(request)
        future = self.services.submitter.submit_async(
            caller(request).owner, drafts, key=key, digest=digest(await request.json()) if key else ""
        )
        accepted = await pools.result_of(future)
        if not accepted.jobs:
            raise Conflict(f"the jobs of the idempotency key {key!r} are gone; use another key")
        return accepted.jobs[0], accepted.repeated

    async def accept_and_wait(self, request: Request, drafts: tuple[Draft, ...]) -> tuple[Job, bool, bool]:
        """Return the job, whether the same request had made it before, and whether it is finished."""
        services, owner = self.services, caller(request).owner
        # The watch comes first: when there are too many, nothing has been accepted yet.
        ids = [draft.id for draft in drafts]
        with services.hub.watch(ids, owner, ends_only=True) as watcher:
            job, repeated = await self.accept(request, drafts)
            done = not repeated and await watcher.wait_finished(services.wait_s)
        if repeated:
            with services.hub.watch([job.id], owner, ends_only=True) as watcher:
                job = await pools.read(services.jobs.job, job.id)
                done = job.status.is_terminal or await watcher.wait_finished(services.wait_s)
        return job, repeated, done

    def _waits(self, job: Job) -> str | None:
        """Return why a queued job does not run yet."""
        if job.status is not JobStatus.QUEUED:
            return None
        if (pause := self.services.pauses.of_job(job.owner, job.recipe)) is not None:
            return pause.text
        if job.run_after is not None and (missing := self.services.capacity.missing_scheduler()):
            return missing
        if is_parked(job.run_after):
            return "was paused, and continues within seconds"
        if job.run_after is not None and job.run_after > now_us():
            return f"is tried again at {moment(job.run_after)}"
        lane = self.services.jobs.lane(job.lane)
        if missing := self.services.capacity.missing_worker(lane.queue):
            return missing
        kind, store = self._kind_of(lane), self.services.jobs
        backends = self.services.backends
        offers = [each for each in self.services.offers() if kind_run_by(backends[each.backend]) == kind]
        if not offers and (problems := self._node_problems()):
            return f"no node takes jobs now: {'; '.join(problems)}"
        position = store.queue_position(job, now_us())
        return explain_wait(offers, lane, position, self._unavailable())

    def _kind_of(self, lane: LaneKey) -> WorkKind:
        """Return the kind of work of the lane's jobs."""
        if lane.queue == TASKS:
            return "tasks"
        backends = self.services.backends
        named = {kind_run_by(backends[name]) for name in lane.backends if name in backends}
        return "pages" if "pages" in named else "pictures"

    def _unavailable(self) -> list[tuple[Offer, str]]:
        """Return what the unhealthy nodes of this process would offer, and their problems."""
        nodes = [node for backend in self.services.backends.values() for node in backend.nodes()]
        return [(node.offer(), node.problem) for node in nodes if node.problem]

    def _node_problems(self) -> list[str]:
        """Return why the nodes of this process take no jobs; of healthy ones, that they are drained."""
        nodes = renderers(self.services.backends.values())
        problems = [node.problem for node in nodes if node.problem]
        paused = [f"{each.name} is {each.text}" for each in self.services.pauses.of_nodes()]
        return problems or [f"{node.name} is drained" for node in nodes if node.draining] + paused


JobsDep = Annotated[Jobs, context(NAME)]
JobId = Annotated[str, Path(description="`id` of the job.")]
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=ApiRoute)


class JobListQuery(JobFilter):
    limit: int = Field(50, ge=1, le=500, description="Most jobs of a page.")
    cursor: Cursor = Field(None, description="`next` of the last answer.")


@router.get("", summary="List jobs, newest first", response_model=JobPage)
async def list_jobs(
    request: Request,
    jobs: JobsDep,
    query: Annotated[JobListQuery, Query()],
) -> Response:
    before = cursor(query.cursor, "cursor", "next")
    wanted = filter_of(query, _owner(request), before=before, limit=query.limit)
    found = await pools.read(jobs.services.jobs.search, wanted)
    items = await jobs.bodies(request, found.jobs)
    return json_response({"items": items, "next": found.next, "searchedTo": moment(found.searched_to)})


class JobCountQuery(JobFilter):
    by: Dimension = Field(
        Dimension.STATUS,
        description="What the jobs of a group share. By `error`: failed jobs by error code and model.",
    )


@router.get("/counts", summary="Count jobs by group", response_model=JobGroups)
async def count_jobs(request: Request, jobs: JobsDep, query: Annotated[JobCountQuery, Query()]) -> Response:
    wanted = filter_of(query, _owner(request))
    found = await pools.read(jobs.services.jobs.count_groups, wanted, query.by)
    items = [
        {
            "key": group.key,
            "count": group.count,
            "model": group.model if query.by is Dimension.ERROR else None,
            "firstAt": moment(group.first_at),
            "lastAt": moment(group.last_at),
            "lastJob": group.last_job,
        }
        for group in found.groups
    ]
    return json_response({"items": items, "complete": found.complete})


@router.post(
    "",
    summary="Submit a job",
    status_code=201,
    response_model=JobBody,
    responses={
        200: {
            "model": JobBody | Estimate,
            "description": "The same request had made the job before; or, with `whatif`, what it costs.",
        },
        202: {"model": JobBody, "description": "With `wait`: the job is not finished yet."},
    },
    openapi_extra=openapi.PRICED | openapi.IDEMPOTENCY_KEY,
)
async def submit_job(
    request: Request,
    jobs: JobsDep,
    body: JobSubmission,
    whatif: Annotated[Flag, Query(description="Only return what the job would cost.")] = False,
    wait: Annotated[
        Flag, Query(description="Return the finished job, or after a time limit what there is (202).")
    ] = False,
) -> Response:
    drafts = await checked(request, jobs.drafts, caller(request), jobs.request(body), request_trace(request))
    if whatif:
        return json_response(await estimate(request, jobs.services.credits, drafts))
    if wait:
        job, repeated, done = await jobs.accept_and_wait(request, drafts)
    else:
        (job, repeated), done = await jobs.accept(request, drafts), True
    return json_response(await jobs.body(request, job), (200 if repeated else 201) if done else 202)


@router.get("/{job_id}", summary="Read a job", response_model=JobBody)
async def get_job(request: Request, jobs: JobsDep, job_id: JobId) -> Response:
    return json_response(await jobs.body(request, await jobs.job(request, job_id)))


@router.patch("/{job_id}", summary="Change the priority of a waiting job", response_model=JobBody)
async def change_job(request: Request, jobs: JobsDep, job_id: JobId, body: JobChange) -> Response:
    job = await jobs.job(request, job_id)
    await pools.write(jobs.services.jobs.reprioritize, Reprioritize(job.id, job.owner, body.priority))
    return await get_job(request, jobs, job_id)


@router.post("/{job_id}/cancel", summary="Cancel a job", response_model=JobBody)
async def cancel_job(request: Request, jobs: JobsDep, job_id: JobId) -> Response:
    job = await jobs.job(request, job_id)
    reason = {} if job.owner == caller(request).account else {"reason": "canceled by an administrator"}
    await pools.write(jobs.services.jobs.cancel, Cancel(job_id, job.owner, now_us(), **reason))
    return await get_job(request, jobs, job_id)


@router.post(
    "/{job_id}/replay",
    summary="Submit a finished job again",
    status_code=201,
    response_model=JobBody,
    responses={200: {"model": JobBody, "description": "The same request had made the job before."}},
    openapi_extra=openapi.IDEMPOTENCY_KEY,
)
async def replay_job(request: Request, jobs: JobsDep, job_id: JobId) -> Response:
    job = await jobs.job(request, job_id)
    if not job.status.is_terminal:
        raise Conflict(f"job {job_id} is {job.status}; only a finished job can be submitted again")
    trace, key = request_trace(request), idempotency_key(request)
    partner = caller(request).may(Scope.PARTNER)
    accepted = await pools.write(partial(jobs.services.submitter.resubmit, job, trace, key, partner=partner))
    return json_response(await jobs.body(request, accepted.jobs[0]), 200 if accepted.repeated else 201)


@router.get(
    "/{job_id}/events",
    summary="Follow a job by server-sent events",
    response_model=EventList,
    responses={
        200: {"description": "Events as they happen, or a list.", "content": {"text/event-stream": {}}}
    },
)
async def follow_job(
    request: Request,
    jobs: JobsDep,
    job_id: JobId,
    after: Annotated[
        int,
        Query(
            ge=0, le=999_999_999, description="Only later events; the header Last-Event-ID has precedence."
        ),
    ] = 0,
    stream: Annotated[Flag, Query(description="False returns the events there are, as a list.")] = True,
) -> Response:
    job, seen = await jobs.followed(request, job_id, after)
    if stream:
        return EventStream(jobs.services.jobs, jobs.services.hub, job.id, seen, _owner(request) or job.owner)
    events = await pools.read(jobs.services.jobs.events_after, job.id, seen)
    return json_response({"items": [event_body(event) for event in events]})


@router.websocket("/{job_id}/ws")
async def follow_job_by_websocket(socket: WebSocket, jobs: JobsDep, job_id: JobId) -> None:
    async def admit() -> EventSubscription:
        job, after = await jobs.followed(socket, job_id, 0)
        return EventSubscription(job.id, after, previews_of(socket), _owner(socket) or job.owner)

    await jobs.sockets.serve(socket, admit)


def _owner(request: HTTPConnection) -> str | None:
    """Return whose jobs the request is about; None for those of all owners."""
    owner = caller(request).owner
    return None if owner == EVERY_OWNER else owner


def _own_path(path: str) -> str:
    if path == "input.private":  # which stands beside the recipe's input here
        return "private"
    return path.replace("input.workflow", "input.graph", 1)


def _last_event_id(request: HTTPConnection, after: int) -> int:
    text = request.headers.get("last-event-id") or request.query_params.get("after") or str(after)
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput.at("Last-Event-ID", f"is {text[:40]!r}; write the number of the last event seen")
    return int(text)


def _callback(delivery: Delivery) -> Mapping[str, Any]:
    return {"job": delivery.job.id, "error": error_body(delivery.job), **event_body(delivery.event)}


DIALECT = ApiModule(
    name=NAME,
    router=router,
    context=Jobs,
    callback=_callback,
    policies=(
        PathPolicy("/api/v1/jobs", Scope.JOBS_READ, Scope.JOBS_WRITE, owner_methods=READING, all_owners=True),
        PathPolicy(
            "/api/v1/jobs/", Scope.JOBS_READ, Scope.JOBS_WRITE, owner_methods=CHANGING, all_owners=True
        ),
    ),
    tags={"jobs": "Submit a recipe's input, follow its progress, and fetch the pictures it made."},
)
