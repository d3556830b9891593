"""An API module with one route: the jobs of the recipe in a format of its own."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from imagemill.api.base import ApiModule, no_callback
from imagemill.domain.access import Scope
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel

PATH = "/gradient/colours/{name}"
COLOURS = {"red": 0xFF0000, "green": 0x00FF00, "blue": 0x0000FF}


class Colour(ResponseModel):
    name: str
    value: int


router = APIRouter(tags=["gradients"], route_class=ApiRoute)


@router.get(PATH, summary="Read a colour by its name", response_model=Colour)
async def read_colour(name: Annotated[str, Path(description="Name of a colour.")]) -> Response:
    return json_response({"name": name, "value": COLOURS.get(name, 0)})


MODULE = ApiModule(
    name="gradient",
    router=router,
    callback=no_callback,
    policies=(PathPolicy(PATH, read=Scope.JOBS_READ),),
    tags={"gradients": "Gradients of two colours."},
)
