"""``/api/v1/limits``: what an owner is held to, and, for administrators, limits of an owner's own."""

import asyncio
import math
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.domain.access import Scope
from imagemill.domain.clock import now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.quotas import KINDS, NONE, Limits, QuotaPolicy
from imagemill.quotas.store import OwnerLimits, is_kind
from imagemill.web import openapi
from imagemill.web.auth import audit_change, caller
from imagemill.web.http import Real, json_body, json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.problems import field_errors

_Amount = Annotated[Real, Field(ge=0, le=1e12, allow_inf_nan=False)]


class LimitsBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limits: dict[str, _Amount | None] = Field(
        max_length=50,
        description="requests a minute, jobs in flight, megapixels a day, cooldown:RECIPE in seconds, "
        "daily:RECIPE in jobs a day; "
        "null: none. What is not named is as the settings say.",
    )


class LimitRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["limits"])
        one = "/limits/{owner}"
        for method, path, handler, summary, extra in (
            ("GET", "/limits", self.mine, "What you may ask for, and have", None),
            ("GET", one, self.get, "What an owner may ask for, and has", None),
            ("PUT", one, self.put, "Limits of an owner's own", openapi.body(LimitsBody)),
        ):
            routes.add_api_route(
                path, handler, methods=[method], summary=summary, response_class=Response, openapi_extra=extra
            )
        return routes

    async def mine(self, request: Request) -> Response:
        return json_response(await asyncio.to_thread(self._body, caller(request).owner))

    async def get(self, request: Request, owner: str) -> Response:
        del request  # the gate has seen that an administrator asks
        return json_response(await asyncio.to_thread(self._body, owner))

    async def put(self, request: Request, owner: str) -> Response:
        try:
            body = LimitsBody.model_validate(await json_body(request))
        except ValidationError as error:
            raise InvalidInput(field_errors(error, LimitsBody)) from error
        for kind in body.limits:
            if not is_kind(kind):
                raise InvalidInput.at(
                    f"limits[{kind[:40]!r}]",
                    f"should be one of {', '.join(KINDS)}, cooldown:RECIPE, daily:RECIPE",
                )
        amounts = {kind: NONE if amount is None else amount for kind, amount in body.limits.items()}
        await asyncio.to_thread(self._services.quotas.put, OwnerLimits(owner, amounts))
        audit_change(request, " ".join(_said(kind, amount) for kind, amount in body.limits.items()) or "none")
        if self._services.throttle is not None:
            self._services.throttle.forget()
        return json_response(await asyncio.to_thread(self._body, owner))

    def _body(self, owner: str) -> dict[str, Any]:
        store, throttle = self._services.quotas, self._services.throttle
        terms = throttle.terms if throttle is not None else QuotaPolicy()
        its = store.resolve(terms, [owner])[owner]
        own = store.own([owner]).get(owner, {})
        return {
            "owner": owner,
            "enforced": throttle is not None,
            "limits": _shown(its),
            "own": {kind: None if amount == NONE else amount for kind, amount in own.items()},
            "used": {
                "jobs": store.open_jobs(owner),
                "megapixels": math.ceil(store.used(owner, now_us()) * 1000) / 1000,
            },
        }


def _said(kind: str, amount: float | None) -> str:
    return f"{kind}={'none' if amount is None else f'{amount:g}'}"


def _shown(its: Limits) -> dict[str, float | None]:
    cooldowns = {f"cooldown:{recipe}": seconds for recipe, seconds in sorted(its.cooldowns.items())}
    daily = {f"daily:{recipe}": jobs for recipe, jobs in sorted(its.daily.items()) if jobs != math.inf}
    return {"requests": its.requests, "jobs": its.jobs, "megapixels": its.megapixels, **cooldowns, **daily}


DIALECT = ApiModule(
    name="limits",
    router=lambda services, _: LimitRoutes(services).router(),
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/limits", Scope.ACCOUNT_READ),
        PathPolicy("/api/v1/limits/", Scope.ADMIN, Scope.ADMIN),
    ),
)
