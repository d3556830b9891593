"""Handlers that take only the request are called without the framework, and answer as with it."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from imagemill.domain.errors import NotFound
from imagemill.web import problems
from imagemill.web.route_table import RouteTable
from imagemill.web.routing import PlainRoute
from tests.conftest import Server


async def _say(request: Request, item: str = "-") -> Response:
    if item == "missing":
        raise NotFound("there is no such item")
    route = request.scope["route"]
    return Response(f"{request.method} {route.path} {item} {request.query_params.get('a')}")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/all", "/all?a=1", "/items/1", "/items/missing", "/items/", "/none"])
def test_they_answer_as_before(method: str, path: str):
    answers: list[Any] = []
    for kind in (APIRoute, PlainRoute):
        routes = APIRouter(route_class=kind)
        routes.add_api_route("/all", _say, methods=["GET", "POST"], response_class=Response)
        routes.add_api_route("/items/{item}", _say, response_class=Response)
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
        problems.install(app, None)
        app.router.routes.append(RouteTable(routes.routes))
        answer = TestClient(app).request(method, path)
        answers.append((answer.status_code, answer.headers.get("allow"), answer.text))
    assert answers[0] == answers[1]


def test_submissions_of_v1_are_called_directly(server: Server):
    """And their errors are written in their own shape, with the route's name in metrics."""
    refused = server.client.post("/v1/consumer/jobs", json={"$type": "nope"})
    assert refused.status_code == 400
    assert "nope" in refused.json()["detail"]
    assert 'route="/v1/consumer/jobs"' in server.client.get("/metrics").text
    assert server.client.request("PATCH", "/v1/consumer/jobs").status_code == 405
    assert server.client.get("/v1/consumer/jobs/nope").status_code == 404
