"""``/api/v1/checklist``: the first steps of the caller, and which of them are done."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from imagemill.accounts.checklist import FirstStepReader, FirstSteps
from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import context
from imagemill.domain.access import Caller, Scope
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel

_STEPS = ("picture", "node", "workflow", "key", "webhook")


class FirstStep(ResponseModel):
    name: Literal["picture", "node", "workflow", "key", "webhook"]
    done: bool


class Checklist(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [{"name": name, "done": name == "picture"} for name in _STEPS],
                    "complete": False,
                }
            ]
        }
    )

    items: list[FirstStep] = Field(description="The steps that the caller may take, in order.")
    complete: bool = Field(description="Whether all of them are done.")


class ChecklistContext:
    def __init__(self, services: Services, _: object = None) -> None:
        self._services = services
        self._steps = FirstStepReader(services.database)

    def read(self, found: Caller) -> list[dict[str, Any]]:
        """Return the steps; may block."""
        steps: FirstSteps = self._steps.of(found.owner)
        items = [{"name": "picture", "done": steps.has_picture}]
        if found.may(Scope.NODES_WRITE):
            items.append({"name": "node", "done": bool(self._services.nodes.views())})
        if found.may(Scope.WORKFLOWS_WRITE):
            items.append({"name": "workflow", "done": steps.has_workflow})
        if found.may(Scope.ACCOUNT_WRITE) and found.owner == found.account:
            items.append({"name": "key", "done": steps.has_key})
            items.append({"name": "webhook", "done": steps.has_webhook})
        return items


router = APIRouter(prefix="/api/v1/checklist", tags=["accounts"], route_class=ApiRoute)


@router.get("", summary="List the first steps and which are done", response_model=Checklist)
async def read_checklist(
    request: Request, own: Annotated[ChecklistContext, context("checklist")]
) -> Response:
    items = await pools.read(own.read, caller(request))
    return json_response({"items": items, "complete": all(each["done"] for each in items)})


DIALECT = ApiModule(
    name="checklist",
    router=router,
    context=ChecklistContext,
    callback=no_callback,
    policies=(PathPolicy("/api/v1/checklist", Scope.JOBS_READ),),
    tags={"accounts": "Logins and API keys; for administrators accounts, users and the audit log."},
)
