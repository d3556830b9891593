"""``/api/v1/settings``: the settings of this process that differ from the defaults."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, SettingView, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.doctor import TAGS
from imagemill.domain.access import Scope
from imagemill.net import pools
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, Flag, ResponseModel


class SettingInfo(ResponseModel):
    name: str = Field(description="The name as an environment variable.")
    value: str = Field(description="As an environment variable has it; a secret is asterisks.")
    default: str
    source: str = Field(
        description="Where the value is from: `environment`, `.env`, `imagemill.toml`, `profile dev`, "
        "`command line` or `default`."
    )
    changed: bool = Field(description="It differs from the default.")
    description: str
    takes: str = Field(description="The values that it takes, such as `integer, from 1 to 64`.")


class SettingList(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total": 190,
                    "items": [
                        {
                            "name": "IMAGEMILL_JOB__RETENTION_DAYS",
                            "value": "7",
                            "default": "30",
                            "source": "environment",
                            "changed": True,
                            "description": "Days that finished jobs are kept.",
                            "takes": "integer, from 1",
                        }
                    ],
                }
            ]
        }
    )

    total: int = Field(description="The number of all settings.")
    items: list[SettingInfo]


router = APIRouter(prefix="/api/v1/settings", tags=["doctor"], route_class=ApiRoute)


@router.get("", summary="List the settings that differ from the defaults", response_model=SettingList)
async def list_settings(
    services: ServicesDep,
    every: Annotated[Flag, Query(alias="all", description="Also those that have their default.")] = False,
) -> Response:
    found = await pools.read(services.settings)
    shown = [each for each in found if every or each.is_changed]
    return json_response({"total": len(found), "items": [_body(each) for each in shown]})


def _body(setting: SettingView) -> dict[str, object]:
    return {
        "name": setting.name,
        "value": setting.value,
        "default": setting.default,
        "source": setting.source,
        "changed": setting.is_changed,
        "description": setting.purpose,
        "takes": setting.takes,
    }


DIALECT = ApiModule(
    name="settings",
    router=router,
    callback=no_callback,
    policies=(PathPolicy("/api/v1/settings", Scope.ADMIN),),
    tags=TAGS,
)
