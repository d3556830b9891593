"""``/api/v1/limits``: the limits of an owner and, for administrators, those that differ from the settings."""

import math
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.domain.access import Scope
from imagemill.domain.clock import now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.quotas import KINDS, NONE, Limits, QuotaPolicy
from imagemill.net import pools
from imagemill.quotas.store import OwnerLimits, is_kind
from imagemill.web.auth import audit_change, caller
from imagemill.web.body_fields import Real
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel

_Amount = Annotated[Real, Field(ge=0, le=1e12, allow_inf_nan=False)]
_KINDS = (
    "requests a minute, jobs in flight, megapixels a day, cooldown:RECIPE in seconds, "
    "daily:RECIPE in jobs a day; null means no limit"
)


class LimitsBody(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"limits": {"requests": 120, "daily:textToImage": 500}}]}
    )

    limits: dict[str, _Amount | None] = Field(
        max_length=50, description=f"{_KINDS}. The settings decide about what is not named."
    )


class UsedLimits(ResponseModel):
    jobs: int = Field(description="Jobs in flight.")
    megapixels: float = Field(description="Megapixels of the last 24 hours.")


class OwnerLimitsInfo(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "owner": "local",
                    "enforced": True,
                    "limits": {"requests": 120.0, "jobs": None, "megapixels": None},
                    "own": {"requests": 120.0},
                    "used": {"jobs": 2, "megapixels": 0.524},
                }
            ]
        }
    )

    owner: str
    enforced: bool = Field(description="False where this server enforces no limits.")
    limits: dict[str, float | None] = Field(description=f"{_KINDS}.")
    own: dict[str, float | None] = Field(description="The limits that differ from the settings.")
    used: UsedLimits


router = APIRouter(prefix="/api/v1/limits", tags=["limits"], route_class=ApiRoute)
OwnerName = Annotated[str, Path(description="Account, or account:user.", examples=["local"])]


@router.get("", summary="Read your own limits and what is used", response_model=OwnerLimitsInfo)
async def get_own_limits(request: Request, services: ServicesDep) -> Response:
    return json_response(await pools.read(_body, services, caller(request).owner))


@router.get("/{owner}", summary="Read the limits of an owner", response_model=OwnerLimitsInfo)
async def get_limits(services: ServicesDep, owner: OwnerName) -> Response:
    return json_response(await pools.read(_body, services, owner))


@router.put("/{owner}", summary="Set limits for an owner", response_model=OwnerLimitsInfo)
async def set_limits(request: Request, services: ServicesDep, owner: OwnerName, body: LimitsBody) -> Response:
    for kind in body.limits:
        if not is_kind(kind):
            raise InvalidInput.at(
                f"limits[{kind[:40]!r}]",
                f"should be one of {', '.join(KINDS)}, cooldown:RECIPE, daily:RECIPE",
            )
    amounts = {kind: NONE if amount is None else amount for kind, amount in body.limits.items()}
    await pools.write(services.quotas.put, OwnerLimits(owner, amounts))
    audit_change(request, " ".join(_said(kind, amount) for kind, amount in body.limits.items()) or "none")
    if services.throttle is not None:
        services.throttle.forget()
    return json_response(await pools.read(_body, services, owner))


def _body(services: Services, owner: str) -> dict[str, Any]:
    store, throttle = services.quotas, services.throttle
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
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/limits", Scope.ACCOUNT_READ),
        PathPolicy("/api/v1/limits/", Scope.ADMIN, Scope.ADMIN),
    ),
    tags={"limits": "Limits of requests, jobs and pictures, and how much of them is used."},
)
