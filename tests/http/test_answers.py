"""The check of answers itself: `tests.answers`."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Response
from starlette.testclient import TestClient

from imagemill.web.http import json_response
from imagemill.web.routing import ApiRoute, ResponseModel
from tests.answers import AnswerCheck


class Named(ResponseModel):
    name: str


router = APIRouter(route_class=ApiRoute)


@router.get("/declared", response_model=Named)
async def declared(kind: str = "") -> Response:
    bodies: dict[str, Any] = {
        "": {"name": "a"},
        "type": {"name": 1},
        "more": {"name": "a", "b": 1},
        "less": {},
    }
    return json_response(bodies[kind])


@router.get("/undeclared", response_model=None)
async def undeclared() -> Response:
    return json_response({"name": "a"})


@pytest.mark.parametrize(
    ("path", "is_wrong"),
    [
        ("/declared", False),
        ("/declared?kind=type", True),
        ("/declared?kind=more", True),
        ("/declared?kind=less", True),
        ("/undeclared", True),
    ],
)
def test_an_answer_that_its_model_does_not_describe_is_found(path: str, is_wrong: bool) -> None:
    app = FastAPI()
    app.include_router(router)
    check = AnswerCheck(app)
    assert TestClient(check).get(path).status_code == 200
    assert bool(check.wrong) is is_wrong
