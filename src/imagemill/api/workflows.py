"""``/api/v1/workflows``: add graphs, and run each as an API of its own."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.credits import estimate, price_docs
from imagemill.api.jobs import LABEL, NAME, JobRoutes, moment
from imagemill.domain.access import Caller, Role, Scope
from imagemill.domain.errors import Conflict, Forbidden, InvalidInput
from imagemill.domain.jobs import Draft, Job
from imagemill.graphs import manifest
from imagemill.graphs.manifest import Input
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.http import digest, flag, idempotency_key, json_body, json_response, number, request_trace
from imagemill.web.permissions import RoutePermission
from imagemill.web.problems import field_errors
from imagemill.workflows.service import SHARED, WorkflowVersion, spaces_of

_Model = TypeVar("_Model", bound=BaseModel)
_MOST_VERSIONS = 2**31 - 1
_MOST_LABELS = 20
_RUN: dict[str, tuple[dict[str, Any], str]] = {
    "version": (openapi.whole(0, _MOST_VERSIONS, 0), "Which version; absent: the newest"),
    "wait": (openapi.FLAG, "Answer when the job is finished, or after the longest wait: then 202"),
    "whatif": (openapi.FLAG, "Say what it would cost, and make no job"),
    "name": (openapi.TEXT, "A name of your own for the job"),
    "priority": (openapi.whole(-100, 100, 0), "Smaller is more urgent"),
    "label": (openapi.TEXTS, "Labels the node must carry, repeated"),
    "callbackUrl": (openapi.TEXT, "Where events of the job are sent"),
}
_ANSWERS = {
    "201": {"description": "The job was accepted"},
    "200": {"description": "The job is finished, or the same request had made it before, or what it costs"},
    "202": {"description": "The job goes on; the wait is over"},
    "400": {"description": "A value is wrong; `errors` names its input"},
}
_VERSION = openapi.query(version=_RUN["version"])
_SHARED = openapi.query(
    shared=(openapi.FLAG, "Everybody's instead of one's own; for operators. Always so where no key is needed")
)


class WorkflowChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    graph: dict[str, Any] | None = Field(
        None, description="As ComfyUI exports it: Export (API); or its UI format, when a node is known."
    )
    manifest: Annotated[str, Field(max_length=2 * 2**20)] | None = Field(
        None, description="TOML: the inputs, for people to edit, with the graph in it."
    )


class WorkflowBody(WorkflowChange):
    name: str = Field(max_length=64)


class WorkflowRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._workflows = services.workflows
        self._jobs = JobRoutes(services)

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["workflows"])
        one = "/workflows/{name}"
        run = (
            openapi.query(**_RUN)
            | _any_inputs()
            | price_docs(self._services.credits.prices)
            | {"responses": _ANSWERS}
        )
        change = openapi.body(WorkflowChange) | _SHARED
        for method, path, handler, summary, status, extra in (
            ("GET", "/workflows", self.list, "The workflows and their inputs", 200, None),
            ("POST", "/workflows", self.add, "Add a workflow", 201, openapi.body(WorkflowBody) | _SHARED),
            ("GET", one, self.get, "One workflow, with its manifest", 200, _VERSION),
            ("PUT", one, self.put, "Change a workflow: a new version", 200, change),
            ("DELETE", one, self.remove, "Remove a workflow", 204, _SHARED),
            ("GET", f"{one}/versions", self.versions, "All versions of a workflow", 200, None),
            ("POST", one, self.run, "Run a workflow with values for its inputs", 201, run),
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
        return routes

    async def list(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._workflows.views, spaces_of(caller(request)))
        return json_response({"items": [summary_body(kept) for kept in found]})

    async def add(self, request: Request) -> Response:
        body = await _read(request, WorkflowBody)
        what = body.name, body.graph, body.manifest
        kept = await asyncio.to_thread(self._workflows.add, *what, _space(request))
        return json_response(whole_body(kept), 201)

    async def get(self, request: Request, name: str) -> Response:
        which = name, _version(request), spaces_of(caller(request))
        return json_response(whole_body(await asyncio.to_thread(self._workflows.get, *which)))

    async def put(self, request: Request, name: str) -> Response:
        body = await _read(request, WorkflowChange)
        what = name, body.graph, body.manifest
        kept = await asyncio.to_thread(self._workflows.change, *what, _space(request))
        return json_response(whole_body(kept))

    async def remove(self, request: Request, name: str) -> Response:
        await asyncio.to_thread(self._workflows.remove, name, _space(request))
        return Response(status_code=204)

    async def versions(self, request: Request, name: str) -> Response:
        found = await asyncio.to_thread(self._workflows.versions, name, spaces_of(caller(request)))
        return json_response({"items": [summary_body(kept) for kept in found]})

    async def run(self, request: Request, name: str) -> Response:
        values = await json_body(request)
        if not isinstance(values, Mapping):
            raise InvalidInput.at("", "should be an object with values for the workflow's inputs")
        wait = flag(request, "wait")
        drafts = await asyncio.to_thread(self._drafts, request, name, values)
        if flag(request, "whatif"):
            return json_response(await estimate(request, self._services.credits, drafts))
        if not wait:
            job, repeated = await self._accept(request, name, values, drafts)
            bodies = await self._jobs.bodies(request, [job])
            return json_response(bodies[0], 200 if repeated else 201)
        # The watch comes first: when there are too many, nothing has been accepted yet.
        with self._services.hub.watch(draft.id for draft in drafts) as watcher:
            job, repeated = await self._accept(request, name, values, drafts)
            done = not repeated and await watcher.wait_finished(self._services.wait_s)
        if repeated:
            with self._services.hub.watch([job.id]) as watcher:
                now = await asyncio.to_thread(self._services.jobs.job, job.id)
                done = now.status.is_terminal or await watcher.wait_finished(self._services.wait_s)
        bodies = await self._jobs.bodies(request, [job])
        return json_response(bodies[0], 200 if done else 202)

    def _drafts(self, request: Request, name: str, values: Mapping[str, Any]) -> tuple[Draft, ...]:
        query = request.query_params
        labels = query.getlist("label")
        if len(labels) > _MOST_LABELS or not all(LABEL.fullmatch(label) for label in labels):
            raise InvalidInput.at(
                "label", f"should be letters, digits or any of . _ : / -; at most {_MOST_LABELS}"
            )
        callback = query.get("callbackUrl") or None
        if callback is not None:
            self._services.guard.check_url("callbackUrl", callback)
        job_name = query.get("name") or None
        if job_name is not None and (len(job_name) > 200 or "\0" in job_name):
            raise InvalidInput.at("name", "should be at most 200 characters of text")
        job_request = replace(
            self._workflows.job_request(name, _version(request), values, spaces_of(caller(request))),
            name=job_name,
            priority=number(request, "priority", 0, -100, 100),
            labels=tuple(labels),
            callback_url=callback,
        )
        trace = request_trace(request)
        return self._services.submitter.prepare(
            caller(request).owner, [job_request], dialect=NAME, trace=trace
        )

    async def _accept(
        self, request: Request, name: str, values: Mapping[str, Any], drafts: tuple[Draft, ...]
    ) -> tuple[Job, bool]:
        """The job, and whether the same request had made it before."""
        key = idempotency_key(request)
        asked = {"workflow": name, "query": sorted(request.query_params.multi_items()), "values": values}
        future = self._services.submitter.submit_async(
            caller(request).owner, drafts, key=key, digest=digest(asked) if key else ""
        )
        accepted = await asyncio.wrap_future(future)
        if not accepted.jobs:
            raise Conflict(f"the jobs of the idempotency key {key!r} are gone; use another key")
        return accepted.jobs[0], accepted.repeated


def summary_body(kept: WorkflowVersion) -> dict[str, Any]:
    workflow = kept.workflow
    return {
        "name": workflow.name,
        "version": kept.version,
        "source": "built-in" if kept.is_built_in else "added",
        "shared": kept.space == SHARED,
        "title": workflow.title,
        "description": workflow.description,
        "inputs": [_input_body(one) for one in workflow.inputs],
        "createdAt": moment(kept.created_at),
        "deletedAt": moment(kept.deleted_at),
    }


def whole_body(kept: WorkflowVersion) -> dict[str, Any]:
    return summary_body(kept) | {"schema": manifest.schema(kept.workflow), "manifest": kept.text}


def _input_body(one: Input) -> dict[str, Any]:
    body: dict[str, Any] = {"name": one.name, "type": one.type, "required": one.required}
    further = {
        "default": one.default,
        "minimum": one.minimum,
        "maximum": one.maximum,
        "step": one.step,
        "choices": list(one.choices) or None,
        "help": one.help or None,
    }
    return body | {name: value for name, value in further.items() if value is not None}


def described_paths(services: Services, reader: Caller | None) -> dict[str, Any]:
    """A path for each workflow the reader may run, with the schema of its inputs, for the OpenAPI document.
    Reads the store."""
    spaces = (SHARED,) if reader is None else spaces_of(reader)
    return {
        f"/api/v1/workflows/{kept.workflow.name}": {"post": _operation(kept)}
        for kept in services.workflows.views(spaces)
    }


def _operation(kept: WorkflowVersion) -> dict[str, Any]:
    workflow = kept.workflow
    title = workflow.title or workflow.name
    content = {"application/json": {"schema": manifest.schema(workflow)}}
    return {
        "tags": ["workflows"],
        "summary": f"Run {title}",
        "description": workflow.description,
        "operationId": f"run_workflow_{workflow.name}",
        **openapi.query(**_RUN),
        "requestBody": {"required": True, "content": content},
        "responses": _ANSWERS,
    }


def _any_inputs() -> dict[str, Any]:
    content = {
        "application/json": {"schema": {"type": "object", "description": "See the workflow's own path."}}
    }
    return {"requestBody": {"required": True, "content": content}}


def _space(request: Request) -> str:
    """Where the request changes workflows."""
    found = caller(request)
    shared = flag(request, "shared")
    if found.is_unauthenticated_local:
        return SHARED
    if not shared:
        return found.owner
    if found.role is Role.USER:
        raise Forbidden("shared: only an operator or an administrator changes what everybody has")
    return SHARED


def _version(request: Request) -> int | None:
    if not request.query_params.get("version"):
        return None
    return number(request, "version", 0, 0, _MOST_VERSIONS)


async def _read(request: Request, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(await json_body(request))
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model)) from error


DIALECT = ApiModule(
    name="workflows",
    router=lambda services: WorkflowRoutes(services).router(),
    callback=no_callback,
    extra_openapi=described_paths,
    permissions=(
        RoutePermission(
            "/api/v1/workflows", Scope.WORKFLOWS_READ, Scope.WORKFLOWS_WRITE, requires_token=True
        ),
        RoutePermission(
            "/api/v1/workflows/", Scope.WORKFLOWS_READ, Scope.WORKFLOWS_WRITE, requires_token=True
        ),
        RoutePermission(
            "/api/v1/workflows/{name}",
            Scope.WORKFLOWS_READ,
            Scope.WORKFLOWS_WRITE,
            methods={"POST": Scope.JOBS_WRITE},
            requires_token=True,
        ),
    ),
)
