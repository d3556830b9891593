"""Handlers that take only the request are called without the framework, and answer as before."""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from imagemill.web.plain_routes import PlainRoutes
from tests.conftest import Server


async def _plain(request: Request) -> Response:
    return Response(f"{request.method} {request.scope['route'].path} {request.query_params.get('a')}")


async def _with_query(request: Request, a: int) -> Response:
    return Response(f"{request.method} {a}")


async def _with_model(request: Request) -> dict[str, str]:
    return {"method": request.method}


def _nothing() -> None:
    """A dependency."""


def _routes() -> APIRouter:
    routes = APIRouter()
    routes.add_api_route("/plain", _plain, methods=["GET", "POST"], response_class=Response)
    routes.add_api_route("/query", _with_query, response_class=Response)
    routes.add_api_route("/model", _with_model, response_model=dict[str, str])
    routes.add_api_route("/items/{item}", _plain, response_class=Response)
    routes.add_api_route("/guarded", _plain, response_class=Response, dependencies=[Depends(_nothing)])
    return routes


def test_only_handlers_that_take_nothing_else_are_called_directly():
    app, routes = FastAPI(), _routes()
    app.include_router(routes)
    plain = PlainRoutes(app.router.middleware_stack, [*routes.routes, Route("/x", _plain)])
    assert set(plain.routes) == {("GET", "/plain"), ("POST", "/plain")}


def test_they_answer_as_before():
    answers: list[Any] = []
    for is_direct in (False, True):
        app, routes = FastAPI(), _routes()
        app.include_router(routes)
        if is_direct:
            app.router.middleware_stack = PlainRoutes(app.router.middleware_stack, routes.routes)
        client = TestClient(app)
        asked = [
            client.request(method, path)
            for method in ("GET", "POST", "PUT")
            for path in (
                "/plain",
                "/plain?a=1",
                "/query?a=1",
                "/query",
                "/model",
                "/items/1",
                "/guarded",
                "/no",
            )
        ]
        answers.append([(answer.status_code, dict(answer.headers), answer.text) for answer in asked])
    assert answers[0] == answers[1]
    assert answers[1][1][2] == "GET /plain 1"


def test_submissions_of_v1_are_called_directly(server: Server):
    """And their errors are written in their own shape, with the route's name in metrics."""
    refused = server.client.post("/v1/consumer/jobs", json={"$type": "nope"})
    assert refused.status_code == 400
    assert "nope" in refused.json()["detail"]
    assert 'route="/v1/consumer/jobs"' in server.client.get("/metrics").text
    assert server.client.request("PATCH", "/v1/consumer/jobs").status_code == 405
