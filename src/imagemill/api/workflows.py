"""``/api/v1/workflows``: add graphs, and run each as an API of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response

from imagemill.api import workflow_proposals
from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.credits import estimate
from imagemill.api.dependencies import context
from imagemill.api.jobs import NAME as JOBS
from imagemill.api.jobs import Jobs
from imagemill.api.jobs_schemas import LABEL, Estimate, JobBody
from imagemill.api.workflows_schemas import (
    MOST_VERSIONS,
    RunQuery,
    RunValues,
    WorkflowBody,
    WorkflowChange,
    WorkflowInfo,
    WorkflowList,
    example_of,
    summary_body,
    whole_body,
)
from imagemill.domain.access import Caller, Role, Scope
from imagemill.domain.errors import Conflict, Forbidden, InvalidInput
from imagemill.domain.jobs import Draft, Job
from imagemill.graphs import manifest
from imagemill.net import pools
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.http import digest, idempotency_key, json_response, request_trace
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, Flag
from imagemill.workflows.service import SHARED, WorkflowVersion, spaces_of

_MOST_LABELS = 20
_PATH = "/api/v1/workflows"


class WorkflowRuns:
    """The dependencies of the handlers: jobs from values for a workflow's inputs."""

    def __init__(self, services: Services, _: object) -> None:
        self.services = services
        self.workflows = services.workflows
        self.jobs = Jobs(services)

    def drafts(
        self, request: Request, name: str, values: Mapping[str, Any], query: RunQuery
    ) -> tuple[Draft, ...]:
        """Raises `InvalidInput`."""
        labels = query.label
        if len(labels) > _MOST_LABELS or not all(LABEL.fullmatch(label) for label in labels):
            raise InvalidInput.at(
                "label", f"should be letters, digits or any of . _ : / -; at most {_MOST_LABELS}"
            )
        if query.callback_url is not None:
            self.services.guard.check_url("callbackUrl", query.callback_url)
        if query.name is not None and (len(query.name) > 200 or "\0" in query.name):
            raise InvalidInput.at("name", "should be at most 200 characters of text")
        found = caller(request)
        job_request = replace(
            self.workflows.job_request(name, query.version, values, spaces_of(found)),
            name=query.name,
            priority=query.priority,
            labels=tuple(labels),
            callback_url=query.callback_url,
        )
        trace = request_trace(request)
        partner = found.may(Scope.PARTNER)
        return self.services.submitter.prepare(
            found.owner, [job_request], dialect=JOBS, trace=trace, partner=partner
        )

    async def accept(
        self, request: Request, name: str, values: Mapping[str, Any], drafts: tuple[Draft, ...]
    ) -> tuple[Job, bool]:
        """Return the job, and whether the same request had made it before."""
        key = idempotency_key(request)
        asked = {"workflow": name, "query": sorted(request.query_params.multi_items()), "values": values}
        future = self.services.submitter.submit_async(
            caller(request).owner, drafts, key=key, digest=digest(asked) if key else ""
        )
        accepted = await pools.result_of(future)
        if not accepted.jobs:
            raise Conflict(f"the jobs of the idempotency key {key!r} are gone; use another key")
        return accepted.jobs[0], accepted.repeated

    async def accept_and_wait(
        self, request: Request, name: str, values: Mapping[str, Any], drafts: tuple[Draft, ...]
    ) -> tuple[Job, bool]:
        """Return the job, and whether it is finished."""
        services = self.services
        # The watch comes first: when there are too many, nothing has been accepted yet.
        owner = caller(request).owner
        ids = [draft.id for draft in drafts]
        with services.hub.watch(ids, owner, ends_only=True) as watcher:
            job, repeated = await self.accept(request, name, values, drafts)
            done = not repeated and await watcher.wait_finished(services.wait_s)
        if repeated:
            with services.hub.watch([job.id], owner, ends_only=True) as watcher:
                now = await pools.read(services.jobs.job, job.id)
                done = now.status.is_terminal or await watcher.wait_finished(services.wait_s)
        return job, done


RunsDep = Annotated[WorkflowRuns, context("workflows")]
WorkflowName = Annotated[str, Path(description="`name` of the workflow.", examples=["my-lighthouse"])]
Version = Annotated[
    int | None, Query(ge=0, le=MOST_VERSIONS, description="Number of a version; default: the newest.")
]
Shared = Annotated[
    Flag,
    Query(
        description="Changes everybody's workflow instead of one's own; for operators. Without keys it is "
        "always everybody's."
    ),
]
router = APIRouter(prefix=_PATH, tags=["workflows"], route_class=ApiRoute)
router.routes.extend(workflow_proposals.router.routes)  # before `/{name}`, which would take their paths


@router.get("", summary="List the workflows and their inputs", response_model=WorkflowList)
async def list_workflows(request: Request, runs: RunsDep) -> Response:
    found = await pools.read(runs.workflows.views, spaces_of(caller(request)))
    return json_response({"items": [summary_body(kept) for kept in found]})


@router.post("", summary="Add a workflow", status_code=201, response_model=WorkflowInfo)
async def add_workflow(
    request: Request, runs: RunsDep, body: WorkflowBody, shared: Shared = False
) -> Response:
    what = body.name, body.graph, body.manifest
    kept = await pools.write(runs.workflows.add, *what, _space(request, shared))
    return json_response(whole_body(kept), 201)


@router.get("/{name}", summary="Read a workflow with its manifest", response_model=WorkflowInfo)
async def get_workflow(
    request: Request, runs: RunsDep, name: WorkflowName, version: Version = None
) -> Response:
    which = name, version, spaces_of(caller(request))
    return json_response(whole_body(await pools.read(runs.workflows.get, *which)))


@router.put("/{name}", summary="Change a workflow, as a new version", response_model=WorkflowInfo)
async def change_workflow(
    request: Request, runs: RunsDep, name: WorkflowName, body: WorkflowChange, shared: Shared = False
) -> Response:
    what = name, body.graph, body.manifest
    kept = await pools.write(runs.workflows.change, *what, _space(request, shared))
    return json_response(whole_body(kept))


@router.delete("/{name}", summary="Remove a workflow", status_code=204)
async def remove_workflow(
    request: Request, runs: RunsDep, name: WorkflowName, shared: Shared = False
) -> Response:
    await pools.write(runs.workflows.remove, name, _space(request, shared))
    return Response(status_code=204)


@router.get("/{name}/versions", summary="List all versions of a workflow", response_model=WorkflowList)
async def list_workflow_versions(request: Request, runs: RunsDep, name: WorkflowName) -> Response:
    found = await pools.read(runs.workflows.versions, name, spaces_of(caller(request)))
    return json_response({"items": [summary_body(kept) for kept in found]})


_FINISHED = "The job is finished; or the same request had made it before; or, with `whatif`, what it costs."
_GOES_ON = "The longest wait is over and the job goes on."
_ACCEPTED = "The job is accepted."


@router.post(
    "/{name}",
    summary="Run a workflow with values for its inputs",
    status_code=201,
    response_model=JobBody,
    response_description=_ACCEPTED,
    responses={
        200: {"model": JobBody | Estimate, "description": _FINISHED},
        202: {"model": JobBody, "description": _GOES_ON},
    },
    openapi_extra=openapi.PRICED | openapi.IDEMPOTENCY_KEY,
)
async def run_workflow(
    request: Request,
    runs: RunsDep,
    name: WorkflowName,
    values: Annotated[
        RunValues,
        Body(
            description="Values by the names of inputs. Each workflow's own path has their schema.",
            examples=[{"prompt": "a fox in the snow"}],
        ),
    ],
    query: Annotated[RunQuery, Query()],
) -> Response:
    drafts = await pools.read(runs.drafts, request, name, values, query)
    if query.whatif:
        return json_response(await estimate(request, runs.services.credits, drafts))
    if query.wait:
        job, done = await runs.accept_and_wait(request, name, values, drafts)
        status = 200 if done else 202
    else:
        job, repeated = await runs.accept(request, name, values, drafts)
        status = 200 if repeated else 201
    bodies = await runs.jobs.bodies(request, [job])
    return json_response(bodies[0], status)


def described_paths(services: Services, reader: Caller | None) -> dict[str, Any]:
    """Return a path for each workflow the reader may run, with the schema of its inputs. Reads the store."""
    spaces = (SHARED,) if reader is None else spaces_of(reader)
    return {
        f"{_PATH}/{kept.workflow.name}": {"post": _operation(kept)}
        for kept in services.workflows.views(spaces)
    }


def _operation(kept: WorkflowVersion) -> dict[str, Any]:
    workflow = kept.workflow
    content = {"schema": manifest.schema(workflow), "example": example_of(workflow)}
    return {
        "tags": ["workflows"],
        "summary": f"Run {workflow.title or workflow.name}",
        "description": workflow.description,
        "operationId": f"run_workflow_{workflow.name}",
        "parameters": openapi.query_of(RunQuery),
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "201": openapi.referred("JobBody", _ACCEPTED),
            "200": openapi.referred("JobBody", _FINISHED),
            "202": openapi.referred("JobBody", _GOES_ON),
        },
    }


def _space(request: Request, shared: bool) -> str:
    """Return where the request changes workflows."""
    found = caller(request)
    if found.is_unauthenticated_local:
        return SHARED
    if not shared:
        return found.owner
    if found.role is Role.USER:
        raise Forbidden("shared: only an operator or an administrator changes what everybody has")
    return SHARED


DIALECT = ApiModule(
    name="workflows",
    router=router,
    context=WorkflowRuns,
    callback=no_callback,
    extra_openapi=described_paths,
    policies=(
        *(
            PathPolicy(path, Scope.WORKFLOWS_READ, Scope.WORKFLOWS_WRITE, owner_methods=READING)
            for path in ("/api/v1/workflows", "/api/v1/workflows/")
        ),
        PathPolicy("/api/v1/workflows/propose", Scope.WORKFLOWS_READ, Scope.WORKFLOWS_READ),
        PathPolicy(
            "/api/v1/workflows/{name}",
            Scope.WORKFLOWS_READ,
            Scope.WORKFLOWS_WRITE,
            methods={"POST": Scope.JOBS_WRITE},
            owner_methods=READING,
        ),
    ),
    tags={"workflows": "Graphs of ComfyUI with named, typed inputs, each of which is an API of its own."},
)
