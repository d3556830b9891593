"""The routes of Civitai v2: workflows, their tags and steps, and recipes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.dialects.civitai_v2 import archives, models, patches
from imagemill.dialects.civitai_v2.callback_bodies import batch_format
from imagemill.dialects.civitai_v2.recipes import RecipeRoutes, lacks_credits
from imagemill.dialects.civitai_v2.responses import Wire
from imagemill.dialects.civitai_v2.schemas import (
    PatchOperation,
    StepUpdate,
    Tag,
    WorkflowTemplate,
    WorkflowUpdate,
)
from imagemill.dialects.civitai_v2.statuses import combined, status_of
from imagemill.dialects.civitai_v2.workflows import (
    NAME,
    LoadedWorkflow,
    WorkflowService,
    has_ended,
    step_of,
    template_of,
)
from imagemill.domain.access import Scope
from imagemill.domain.clock import from_datetime
from imagemill.domain.errors import InvalidInput
from imagemill.jobs.store.batches import BatchFilter, BatchRecord
from imagemill.net import pools
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.body_fields import field_errors
from imagemill.web.http import base_url, checked, cursor, json_body, json_response, request_trace
from imagemill.web.openapi import PRICED
from imagemill.web.policies import CorsClass, PathPolicy
from imagemill.web.routing import ContractRoute, Flag

_ALL, _ONE = "/v2/consumer/workflows", "/v2/consumer/workflows/{workflow_id}"
_STEP = _ONE + "/steps/{step_name}"
_RECIPES = "/v2/consumer/recipes/"
_LONGEST_WAIT_S = 100
_QUICK_STEPS = 16
"""Steps up to which a workflow is checked between other requests, as for half a millisecond each."""
_ZIP = "application/zip"
_DONE: dict[int | str, dict[str, Any]] = {204: {"description": "Done"}}
_RUNNING: dict[int | str, dict[str, Any]] = {
    200: {"model": models.WorkflowAnswer, "description": "The workflow has ended"},
    202: {"model": models.WorkflowAnswer, "description": "The workflow is not finished yet"},
}


def _seconds(value: Any) -> Any:
    """Return a wait in seconds: a number, or as older clients write it, true or false."""
    if isinstance(value, str):
        return {"true": str(_LONGEST_WAIT_S), "false": "0"}.get(value.lower(), value)
    return value


Wait = Annotated[
    str,
    Query(description=f"Seconds to hold the answer until the workflow has ended, {_LONGEST_WAIT_S} at most."),
]
HidesMature = Annotated[Flag, Query(alias="hideMatureContent", description="Leave out flagged pictures.")]
WorkflowId = Annotated[str, Path(max_length=100)]
StepName = Annotated[str, Path(max_length=200)]


class WorkflowRoutes:
    def __init__(self, services: Services, workflows: WorkflowService) -> None:
        self._services = services
        self._workflows = workflows

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["civitai v2 workflows"], route_class=ContractRoute)
        submission = openapi.body(WorkflowTemplate) | PRICED
        patch = openapi.body(PatchOperation)
        tag = {"requestBody": {"content": {"application/json": {"schema": openapi.TEXT}}}}
        for method, path, handler, summary, extra in (
            ("PUT", _ONE, self.update, "Change or cancel a workflow", openapi.body(WorkflowUpdate)),
            ("PATCH", _ONE, self.patch, "Change a workflow by a JSON Patch", patch),
            ("DELETE", _ONE, self.delete, "Delete a workflow with its files", {}),
            ("POST", _ONE + "/tags", self.add_tag, "Add a tag", tag),
            ("DELETE", _ONE + "/tags", self.remove_tags, "Remove all tags", {}),
            ("DELETE", _ONE + "/tags/{tag}", self.remove_tag, "Remove a tag", {}),
            ("PUT", _STEP, self.update_step, "Change a step's metadata", openapi.body(StepUpdate)),
            ("PATCH", _STEP, self.patch_step, "Change a step's metadata by a JSON Patch", patch),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                status_code=204,
                response_class=Response,
                responses=_DONE,
                openapi_extra=extra,
            )
        for method, path, handler, summary, extra in (
            ("POST", _ALL, self.submit, "Submit a workflow", submission),
            ("GET", _ONE, self.get, "One workflow", {}),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                response_class=Response,
                responses=_RUNNING,
                openapi_extra=extra,
            )
        routes.add_api_route(
            _ALL,
            self.query,
            methods=["GET"],
            summary="Find workflows",
            response_model=models.WorkflowPage,
            responses={200: {"content": {_ZIP: {}}, "description": "The workflows, or their pictures"}},
        )
        routes.add_api_route(
            _STEP, self.step, methods=["GET"], summary="One step", response_model=models.WorkflowStep
        )
        return routes

    async def submit(
        self,
        request: Request,
        wait: Wait = "0",
        whatif: Flag = False,
        hide_mature: HidesMature = False,
    ) -> Response:
        wait_s = wait_seconds(wait, self._services.wait_s)
        template = template_of(await json_body(request))
        if template.ephemeral and not template.callbacks and not wait_s and not whatif:
            raise InvalidInput.at(
                "ephemeral", "needs a callback, or `wait` above 0: nobody could read its result otherwise"
            )
        owner = caller(request).owner
        wire = wire_of(request, self._services, hides_mature=hide_mature)
        trace = request_trace(request)
        given = (caller(request), template, trace, wire.base_url)
        if len(template.steps) > _QUICK_STEPS:
            found = await pools.decode(self._workflows.check, *given)
        else:
            found = await checked(request, self._workflows.check, *given)
        if whatif:
            document = self._workflows.price(found, owner, wire)
            lacks = await lacks_credits(request, self._services, document["cost"]["total"])
            document["transactions"] = {"list": [], "insufficientBuzz": lacks}
            return json_response(document)
        if not wait_s:
            accepted = await self._workflows.accept(owner, found)
        else:
            ids = [draft.id for draft in found.drafts]
            accepted = await self._workflows.run(
                owner, ids, lambda: self._workflows.accept(owner, found), wait_s
            )
        document = await self._workflows.document(accepted, wire)
        return json_response(document, 200 if has_ended(document) else 202)

    async def get(
        self,
        request: Request,
        workflow_id: WorkflowId,
        wait: Wait = "0",
        hide_mature: HidesMature = False,
    ) -> Response:
        wait_s, owner = wait_seconds(wait, self._services.wait_s), caller(request).owner
        found = await self._workflows.find(workflow_id, owner)
        if wait_s and not found.has_ended:
            ids = [job.id for job in found.jobs]
            found = await self._workflows.run(
                owner, ids, lambda: self._workflows.find(workflow_id, owner), wait_s
            )
        wire = wire_of(request, self._services, hides_mature=hide_mature)
        document = await self._workflows.document(found, wire)
        return json_response(document, 200 if has_ended(document) else 202)

    async def query(
        self,
        request: Request,
        tags: Annotated[list[str] | None, Query(max_length=10)] = None,
        query: Annotated[str, Query(max_length=200, description="A part of the metadata.")] = "",
        cursor_: Annotated[str | None, Query(alias="cursor")] = None,
        take: Annotated[int, Query(ge=1, le=100)] = 100,
        ascending: Flag = False,
        hide_mature: HidesMature = True,
        from_date: Annotated[datetime | None, Query(alias="fromDate")] = None,
        to_date: Annotated[datetime | None, Query(alias="toDate")] = None,
        exclude_failed: Annotated[Flag, Query(alias="excludeFailed")] = False,
    ) -> Response:
        wanted = BatchFilter(
            caller(request).owner,
            NAME,
            tags=tuple(tags or ()),
            text=query,
            created_from=_instant(from_date),
            created_to=_instant(to_date),
            successful=exclude_failed,
            ascending=ascending,
            after=cursor(cursor_, "cursor", "next"),
            limit=take + 1,
        )
        found = await self._workflows.search(wanted)
        if _ZIP in request.headers.get("accept", ""):
            return await self._archive(found[:take])
        wire = wire_of(request, self._services, hides_mature=hide_mature)
        items = await self._workflows.documents(found[:take], wire)
        next_ = found[take - 1].record.id if len(found) > take else None
        return json_response({"next": next_, "items": items})

    async def _archive(self, found: Sequence[LoadedWorkflow]) -> Response:
        states = await self._workflows.states(found, places=False)
        file = await pools.blob(archives.zip_of, list(states.values()), self._services.blobs)
        named = {"Content-Disposition": 'attachment; filename="workflows.zip"'}
        return StreamingResponse(archives.pieces(file), media_type=_ZIP, headers=named)

    async def update(self, request: Request, workflow_id: WorkflowId) -> Response:
        update = _validated(WorkflowUpdate, await json_body(request))
        await self._workflows.update(workflow_id, caller(request).owner, update)
        return _done()

    async def patch(self, request: Request, workflow_id: WorkflowId) -> Response:
        operations = _operations(await json_body(request))
        owner = caller(request).owner
        found = await self._workflows.find(workflow_id, owner)
        status = combined([status_of(job.status) for job in found.jobs])
        before = patches.workflow_part(found.record, status)
        # Applied to what is there now, to refuse a wrong patch before anything is changed.
        patched = patches.apply(before, operations)
        changed = {name: value for name, value in patched.items() if value != before.get(name)}
        update = _validated(WorkflowUpdate, changed)
        if update.status is not None:
            await self._workflows.cancel(workflow_id, owner)
        await self._workflows.change(workflow_id, owner, patches.change_of(operations, status))
        return _done()

    async def delete(self, request: Request, workflow_id: WorkflowId) -> Response:
        await self._workflows.delete(workflow_id, caller(request).owner)
        return _done()

    async def add_tag(self, request: Request, workflow_id: WorkflowId) -> Response:
        try:
            tag = TypeAdapter(Tag).validate_python(await json_body(request), strict=True)
        except ValidationError as error:
            raise InvalidInput.at(
                "", 'should be a text of up to 200 characters, such as "favorite"'
            ) from error
        await self._change_tags(request, workflow_id, lambda tags: (*tags, tag))
        return _done()

    async def remove_tag(self, request: Request, workflow_id: WorkflowId, tag: str) -> Response:
        await self._change_tags(
            request, workflow_id, lambda tags: tuple(each for each in tags if each != tag)
        )
        return _done()

    async def remove_tags(self, request: Request, workflow_id: WorkflowId) -> Response:
        await self._change_tags(request, workflow_id, lambda _: ())
        return _done()

    async def _change_tags(self, request: Request, id_: str, change: Any) -> None:
        def in_record(record: BatchRecord) -> BatchRecord:
            return patches.with_tags(record, change(record.tags))

        await self._workflows.change(id_, caller(request).owner, in_record)

    async def step(self, request: Request, workflow_id: WorkflowId, step_name: StepName) -> Response:
        found = await self._workflows.find(workflow_id, caller(request).owner)
        document = await self._workflows.document(found, wire_of(request, self._services))
        return json_response(step_of(document, step_name))

    async def update_step(self, request: Request, workflow_id: WorkflowId, step_name: StepName) -> Response:
        update = _validated(StepUpdate, await json_body(request))
        await self._workflows.change_step(
            workflow_id,
            caller(request).owner,
            step_name,
            lambda metadata: metadata if update.metadata is None else update.metadata,
        )
        return _done()

    async def patch_step(self, request: Request, workflow_id: WorkflowId, step_name: StepName) -> Response:
        operations = _operations(await json_body(request))
        await self._workflows.change_step(
            workflow_id,
            caller(request).owner,
            step_name,
            lambda metadata: patches.metadata_of(patches.apply({"metadata": metadata}, operations)),
        )
        return _done()


def wire_of(request: Request, services: Services, *, hides_mature: bool = False) -> Wire:
    config = services.response_config
    charged = services.submitter.prices.is_charged
    return Wire(config.signer, base_url(request, config.public_url), hides_mature, charged)


def wait_seconds(text: str, longest_s: float) -> float:
    """Return the seconds of a ``wait``. Raises `InvalidInput`."""
    text = str(_seconds(text))
    if not text.isdigit() or len(text) > 9:
        raise InvalidInput.at("wait", f"is {text[:40]!r}; write whole seconds, {_LONGEST_WAIT_S} at most")
    return min(float(text), _LONGEST_WAIT_S, longest_s)


def _validated(model: type[Any], body: Any) -> Any:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model)) from error


def _operations(body: Any) -> Sequence[PatchOperation]:
    if not isinstance(body, list):
        raise InvalidInput.at("", 'should be a list: [{"op": "replace", "path": "/metadata/x", "value": 1}]')
    if len(body) > patches.MOST:
        raise InvalidInput.at("", f"has {len(body)} operations; at most {patches.MOST} are applied")
    operations: list[PatchOperation] = []
    for number, each in enumerate(body):
        try:
            operations.append(PatchOperation.model_validate(each))
        except ValidationError as error:
            raise InvalidInput(field_errors(error, PatchOperation, f"[{number}]")) from error
    return operations


def _instant(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return from_datetime(moment.astimezone(UTC) if moment.tzinfo else moment)


def _done() -> Response:
    return Response(status_code=204)


def router(services: Services, _: object) -> APIRouter:
    workflows = WorkflowService(services)
    routes = APIRouter()
    routes.include_router(WorkflowRoutes(services, workflows).router())
    routes.include_router(RecipeRoutes(services, workflows, wire_of).router())
    return routes


DIALECT = ApiModule(
    name=NAME,
    router=router,
    callback=no_callback,
    batch_format=batch_format,
    policies=(
        PathPolicy(_ALL, Scope.JOBS_READ, Scope.JOBS_WRITE, cors=CorsClass.CONTRACT),
        PathPolicy(f"{_ALL}/", Scope.JOBS_READ, Scope.JOBS_WRITE, cors=CorsClass.CONTRACT),
        PathPolicy(_RECIPES, Scope.JOBS_READ, Scope.JOBS_WRITE, cors=CorsClass.CONTRACT),
    ),
    document="civitai-v2",
    tags={
        "civitai v2 workflows": "Workflows of steps, as Civitai's orchestration API has them.",
        "civitai v2 recipes": "One step in one request, answered with its output.",
    },
)
