"""``/api/v1/doctor``: the checks of the installation, as `imagemill doctor` makes them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.examination import STREAMED, NodeFinding, finding_body, is_ok, stream_findings
from imagemill.domain.access import Scope
from imagemill.net import pools
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, Flag, ResponseModel

TAGS = {"doctor": "Checks of the installation, with a remedy for each fault; and its settings."}


class DoctorReport(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ok": True,
                    "findings": [
                        {"level": "ok", "subject": "settings", "message": "all settings are valid"},
                        {
                            "level": "warning",
                            "subject": "nodes",
                            "message": "there is no ComfyUI node, so the simulator makes the pictures: "
                            "imagemill nodes add NAME http://HOST:8188",
                        },
                    ],
                }
            ]
        }
    )

    ok: bool
    findings: list[NodeFinding]


router = APIRouter(prefix="/api/v1/doctor", tags=["doctor"], route_class=ApiRoute)


@router.get(
    "",
    summary="Check the installation, which takes seconds",
    response_model=DoctorReport,
    responses=STREAMED,
)
async def run_doctor(
    services: ServicesDep,
    stream: Annotated[Flag, Query(description="Return each finding as a server-sent event.")] = False,
) -> Response:
    """Check settings, plug-ins, folder, database, broker, blobs, nodes and processes from this process."""
    if stream:
        return stream_findings(services.doctor())
    found = await pools.call(lambda: list(services.doctor()))
    return json_response({"ok": is_ok(found), "findings": [finding_body(each) for each in found]})


DIALECT = ApiModule(
    name="doctor",
    router=router,
    callback=no_callback,
    # Findings name folders and addresses, and the checks write: viewers have no use for them.
    policies=(PathPolicy("/api/v1/doctor", Scope.NODES_WRITE),),
    tags=TAGS,
)
