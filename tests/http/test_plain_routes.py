"""Handlers that take only the request are called without the framework, and answer as with it."""

import errno
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from imagemill.domain.errors import NotFound
from imagemill.web import problems
from imagemill.web.route_table import PlainRoutes, RouteTable
from imagemill.web.routing import PlainRoute
from tests.conftest import Server


class _Late(Response):
    """A response that fails before it begins."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotFound("the file is gone")


async def _say(request: Request, item: str = "-") -> Response:
    if item == "missing":
        raise NotFound("there is no such item")
    if item == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if item == "bug":
        raise OSError(errno.EPERM, "a bug")
    if item == "late":
        return _Late()
    route = request.scope["route"]
    return Response(f"{request.method} {route.path} {item} {request.query_params.get('a')}")


_ITEMS = ("1", "missing", "full", "bug", "late", "")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
@pytest.mark.parametrize("path", ["/all", "/all?a=1", "/none", *(f"/items/{item}" for item in _ITEMS)])
def test_they_answer_as_before(method: str, path: str):
    answers: list[Any] = []
    for kind in (APIRoute, PlainRoute):
        routes = APIRouter(route_class=kind)
        routes.add_api_route("/all", _say, methods=["GET", "POST"], response_class=Response)
        routes.add_api_route("/items/{item}", _say, response_class=Response)
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
        problems.install(app, None)
        table = RouteTable(routes.routes)
        app.router.routes.append(table)
        for called in (app, PlainRoutes(app, table, app)):
            answer = TestClient(called, raise_server_exceptions=False).request(method, path)
            answers.append((answer.status_code, answer.headers.get("allow"), answer.text))
    assert answers == answers[:1] * 4


def test_an_unknown_error_is_raised_after_its_answer():
    async def fail(request: Request) -> Response:
        raise ValueError("a bug")

    routes = APIRouter(route_class=PlainRoute)
    routes.add_api_route("/all", fail, response_class=Response)
    app = FastAPI()
    problems.install(app, None)
    with pytest.raises(ValueError, match="a bug"):
        TestClient(PlainRoutes(app, RouteTable(routes.routes), app)).get("/all")


def test_submissions_of_v1_are_called_directly(server: Server):
    """And their errors are written in their own shape, with the route's name in metrics."""
    refused = server.client.post("/v1/consumer/jobs", json={"$type": "nope"})
    assert refused.status_code == 400
    assert "nope" in refused.json()["detail"]
    assert 'route="/v1/consumer/jobs"' in server.client.get("/metrics").text
    assert server.client.request("PATCH", "/v1/consumer/jobs").status_code == 405
    assert server.client.get("/v1/consumer/jobs/nope").status_code == 404
