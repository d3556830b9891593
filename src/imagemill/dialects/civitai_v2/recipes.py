"""Recipes as routes: the body is a step's input, the answer is its output."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.models import StepOutput
from imagemill.dialects.civitai_v2.responses import Wire
from imagemill.dialects.civitai_v2.schemas import StepTemplate, WorkflowTemplate
from imagemill.dialects.civitai_v2.steps import registry
from imagemill.dialects.civitai_v2.workflows import CheckedWorkflow, WorkflowService
from imagemill.domain.credits import amount_of
from imagemill.domain.errors import InvalidInput
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.http import checked, json_body, json_response, request_trace
from imagemill.web.openapi import PRICED
from imagemill.web.problems import problem
from imagemill.web.routing import ContractRoute, Flag

_INPUT: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}}
_OUTPUT: dict[int | str, dict[str, Any]] = {
    408: {"description": "The step is not finished yet; its workflow can be read under the id in `detail`"},
}
_PREFIX = "steps[0].input"


class RecipeRoutes:
    def __init__(
        self, services: Services, workflows: WorkflowService, wire: Callable[[Request, Services], Wire]
    ) -> None:
        self._services = services
        self._workflows = workflows
        self._wire = wire

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["civitai v2 recipes"], route_class=ContractRoute)
        routes.add_api_route(
            "/v2/consumer/recipes/{name}",
            self.invoke,
            methods=["POST"],
            summary="Run one step and return its output",
            response_model=StepOutput,
            responses=_OUTPUT,
            openapi_extra=_INPUT | PRICED,
        )
        return routes

    async def invoke(
        self,
        request: Request,
        name: Annotated[str, Path(max_length=64)],
        whatif: Flag = False,
        ephemeral: Flag = False,
        experimental: Flag = False,
    ) -> Response:
        kind = registry.find(name)
        if kind is None and name.lower() != "repeat":
            raise InvalidInput.at("", registry.refusal(name))
        step = StepTemplate.model_validate({"$type": kind.name if kind else "repeat"})
        step = step.model_copy(update={"input": await json_body(request)})
        template = WorkflowTemplate.model_validate({"steps": [{"$type": step.type}]})
        template = template.model_copy(
            update={"steps": [step], "ephemeral": ephemeral, "experimental": experimental or None}
        )
        owner = caller(request).owner
        try:
            base, trace = self._wire(request, self._services).base_url, request_trace(request)
            found = await checked(request, self._workflows.check, caller(request), template, trace, base)
        except InvalidInput as error:
            raise error.renamed(_of_input) from error
        if whatif:
            return await self._price(request, found, owner)
        return await self._run(request, found, owner)

    async def _price(self, request: Request, found: CheckedWorkflow, owner: str) -> Response:
        total = self._workflows.price(found, owner, self._wire(request, self._services))["cost"]["total"]
        response = json_response({})
        response.headers["X-Civitai-Cost-Total"] = str(total)
        response.headers["X-Civitai-Cost-By-Currency"] = f"yellow={total}"
        lacks = await lacks_credits(request, self._services, total)
        response.headers["X-Civitai-Insufficient-Buzz"] = str(lacks).lower()
        return response

    async def _run(self, request: Request, found: CheckedWorkflow, owner: str) -> Response:
        ids = [draft.id for draft in found.drafts]
        ended = await self._workflows.run(
            owner, ids, lambda: self._workflows.accept(owner, found), self._services.wait_s
        )
        document = await self._workflows.document(ended, self._wire(request, self._services))
        (step,) = document["steps"]
        if step["status"] == "succeeded":
            return json_response(step.get("output", {}))
        if document["status"] in ("failed", "expired", "canceled"):
            errors = (step.get("output") or {}).get("errors", [])
            why = "; ".join(errors) or f"the step was {document['status']}"
            return problem(request, 400, why, code="step_failed")
        waited = f"{self._services.wait_s:g} s"
        where = f"GET /v2/consumer/workflows/{document['id']}"
        return problem(request, 408, f"the step is not finished after {waited}; read it with {where}")


async def lacks_credits(request: Request, services: Services, total: float) -> bool:
    """Whether the caller's credits do not suffice for this many."""
    if not services.submitter.prices.is_charged:
        return False
    balance = await pools.read(services.credits.balance, caller(request))
    return not balance.is_exempt and balance.available < amount_of(total)


def _of_input(path: str) -> str:
    """Return a path in the body, which is the input itself."""
    return path.removeprefix(_PREFIX).removeprefix(".")
