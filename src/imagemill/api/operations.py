"""``/api/v1/jobs/bulk`` and ``/api/v1/operations``: one action on all jobs that match a filter."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.job_filters import JobFilter, filter_of
from imagemill.api.jobs_schemas import Label, moment
from imagemill.domain.access import EVERY_OWNER, Caller, Scope
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.operations import Ineligible, OperationAction, OperationState, Override
from imagemill.jobs.operations.service import DryRun
from imagemill.jobs.operations.store import Operation, OperationChange
from imagemill.net import pools
from imagemill.web.auth import audit_change, caller
from imagemill.web.body_fields import Whole
from imagemill.web.http import cursor, json_response
from imagemill.web.policies import CHANGING, PathPolicy
from imagemill.web.routing import ApiRoute, Cursor, RequestModel, ResponseModel

_OPERATION = {
    "id": "01a2238c-4a37-7e4e-8fe9-c660c98ffd26",
    "owner": "anna",
    "by": "anna",
    "action": "replay",
    "state": "running",
    "total": 10412,
    "done": 400,
    "skipped": 3,
    "failed": 1,
    "samples": [
        {
            "job": "01a2238c-4a3f-7fdc-b438-f7fe2b2d3d8d",
            "code": "invalid_input",
            "message": "override.input.width: should be at most 4096",
        }
    ],
    "createdAt": "2026-01-31T12:00:00+00:00",
    "startsAt": "2026-01-31T12:00:00+00:00",
    "finishedAt": None,
}


class OverrideBody(RequestModel):
    model: str | None = Field(None, max_length=512, description="Another model, as the recipe names it.")
    labels: list[Label] | None = Field(
        None, max_length=20, description="Labels the node must carry, in place of those of the job."
    )
    input: dict[str, Any] = Field(
        default={}, max_length=50, description="Other values of the recipe's input, such as the size."
    )


class BulkRequest(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"filter": {"status": ["failed"], "error": ["timeout"]}, "action": "replay", "dryRun": True}
            ]
        }
    )

    filter: JobFilter = Field(description="Which jobs; an empty one is all of them.")
    action: OperationAction
    priority: Whole | None = Field(
        None, ge=-100, le=100, description="The new priority, for the action `priority`."
    )
    override: OverrideBody | None = Field(
        None, description="What the new jobs have in place of the old ones', for the action `replay`."
    )
    dry_run: bool = Field(False, description="Only count the jobs.")


class DryRunBody(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"eligible": 10400, "ineligible": {"replayed": 12}, "complete": True}]
        }
    )

    eligible: int = Field(description="Jobs that the action concerns.")
    ineligible: dict[Ineligible, int] = Field(description="Jobs that match and are left alone, by reason.")
    complete: bool = Field(description="False where there are so many that not all were counted.")


class ProblemSample(ResponseModel):
    job: str
    code: str
    message: str


class OperationBody(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_OPERATION]})

    id: str
    owner: str = Field(description="Whose jobs it concerns; `*` means all.")
    by: str = Field(description="Who asked for it.")
    action: OperationAction
    state: OperationState
    total: int = Field(description="Jobs that match; of very many, those that were counted so far.")
    done: int
    skipped: int = Field(description="Jobs that the action does not concern, as they are in another state.")
    failed: int
    samples: list[ProblemSample] = Field(description="Why jobs failed, of up to 20 of them.")
    created_at: datetime
    starts_at: datetime = Field(description="Until then it can be cancelled without an effect.")
    finished_at: datetime | None


class OperationPage(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_OPERATION], "next": None}]})

    items: list[OperationBody]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


router = APIRouter(tags=["jobs"], route_class=ApiRoute)
OperationId = Annotated[str, Path(description="`id` of the operation.")]


@router.post(
    "/api/v1/jobs/bulk",
    summary="Cancel, replay, delete or reprioritize all jobs that match a filter",
    status_code=202,
    response_model=OperationBody,
    responses={200: {"model": DryRunBody, "description": "With `dryRun`: how many jobs it concerns."}},
)
async def start_operation(request: Request, services: ServicesDep, body: BulkRequest) -> Response:
    """It runs in the background, on the jobs that match and were submitted before the request.

    Actions that cannot be undone begin after five seconds, in which the operation can be cancelled.
    """
    found = caller(request)
    change = OperationChange(body.priority, _override(body), found.may(Scope.PARTNER))
    _check(body, change)
    wanted = filter_of(body.filter, None if found.owner == EVERY_OWNER else found.owner)
    if body.dry_run:
        counted = await pools.read(services.operations.dry_run, body.action, wanted)
        return json_response(_counts(counted))
    operation = await pools.write(services.operations.start, body.action, wanted, change, _actor(found))
    audit_change(request, f"{body.action} {operation.progress.total} jobs, operation {operation.id}")
    return json_response(_body(operation), 202)


@router.get("/api/v1/operations", summary="List operations, newest first", response_model=OperationPage)
async def list_operations(
    request: Request,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100, description="Most operations of a page.")] = 20,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> Response:
    before = cursor(cursor_, "cursor", "next")
    found = await pools.read(services.operations.page, caller(request).owner, before, limit + 1)
    following = found[limit - 1].id if len(found) > limit else None
    return json_response({"items": [_body(each) for each in found[:limit]], "next": following})


@router.get("/api/v1/operations/{operation_id}", summary="Read an operation", response_model=OperationBody)
async def get_operation(request: Request, services: ServicesDep, operation_id: OperationId) -> Response:
    found = await pools.read(services.operations.get, operation_id, caller(request).owner)
    return json_response(_body(found))


@router.delete(
    "/api/v1/operations/{operation_id}", summary="Cancel an operation", response_model=OperationBody
)
async def cancel_operation(request: Request, services: ServicesDep, operation_id: OperationId) -> Response:
    """Stop after the jobs it is at. Nothing that was done is taken back."""
    stopped = await pools.write(services.operations.stop, operation_id, caller(request).owner)
    return json_response(_body(stopped))


def _actor(found: Caller) -> str:
    """Return who asks: an end user for itself, not the account whose key acts for it."""
    return found.owner if found.owner.startswith(f"{found.account}:") else found.account


def _override(body: BulkRequest) -> Override:
    given = body.override
    if given is None:
        return Override()
    return Override(given.model, None if given.labels is None else tuple(sorted(given.labels)), given.input)


def _check(body: BulkRequest, change: OperationChange) -> None:
    """Raise `InvalidInput` for values that the action needs or has no use for."""
    errors: list[FieldError] = []
    if body.action is OperationAction.PRIORITY:
        if body.priority is None:
            errors.append(FieldError("priority", "is required: a number from -100 to 100"))
    elif body.priority is not None:
        errors.append(FieldError("priority", f"has no effect with the action {body.action}; leave it out"))
    if change.override and body.action is not OperationAction.REPLAY:
        errors.append(FieldError("override", f"has no effect with the action {body.action}; leave it out"))
    if errors:
        raise InvalidInput(errors)


def _counts(found: DryRun) -> Mapping[str, Any]:
    ineligible = {reason.value: number for reason, number in found.ineligible.items()}
    return {"eligible": found.eligible, "ineligible": ineligible, "complete": found.complete}


def _body(operation: Operation) -> dict[str, Any]:
    progress = operation.progress
    return {
        "id": operation.id,
        "owner": operation.owner,
        "by": operation.actor,
        "action": operation.action.value,
        "state": operation.state.value,
        "total": progress.total,
        "done": progress.done,
        "skipped": progress.skipped,
        "failed": progress.failed,
        "samples": [
            {"job": each.job, "code": each.code, "message": each.message} for each in progress.samples
        ],
        "createdAt": moment(operation.created_at),
        "startsAt": moment(operation.starts_at),
        "finishedAt": moment(operation.finished_at),
    }


_OF_OWNERS: Mapping[str, Any] = {"owner_methods": CHANGING, "all_owners": True}
DIALECT = ApiModule(
    name="operations",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/jobs/bulk", Scope.JOBS_READ, Scope.JOBS_WRITE, **_OF_OWNERS),
        PathPolicy("/api/v1/operations", Scope.JOBS_READ, Scope.JOBS_WRITE, **_OF_OWNERS),
        PathPolicy("/api/v1/operations/", Scope.JOBS_READ, Scope.JOBS_WRITE, **_OF_OWNERS),
    ),
    tags={"jobs": "Submit a recipe's input, follow its progress, and fetch the pictures it made."},
)
