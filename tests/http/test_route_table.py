"""A request gets the route and the policy that it would get if all of them were tried in their order."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from imagemill.api import health
from imagemill.api.app import PUBLIC
from imagemill.bootstrap.application import Application, Roles
from imagemill.config import Settings
from imagemill.web.frontend import ConsoleFiles
from imagemill.web.path_index import PathIndex
from imagemill.web.policies import UNDECLARED, PathPolicies, PathPolicy
from imagemill.web.route_table import RouteTable, flat
from imagemill.web.routing import ApiRoute, LazyRoute

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("routes"))
    app = Application(settings, Roles(scheduler=False, worker=False))
    yield app
    app.close()


@pytest.fixture(scope="module")
def routes(mill: Application) -> list[BaseRoute]:
    found = [*flat(health.router.routes)]
    for module in mill.dialects:
        own = mill.settings_group(module.settings) if module.settings is not None else None
        made = module.router if isinstance(module.router, APIRouter) else module.router(mill.services, own)
        found += flat(made.routes)
    found += ConsoleFiles().routes()
    return [*found, Mount("/static", StaticFiles(packages=[("fastapi_offline", "static")]))]


def _paths(templates: Sequence[str]) -> list[str]:
    """Every template with values in place of its parameters, and mixtures of their parts."""
    words = sorted({part for path in templates for part in path.split("/") if part and "{" not in part})
    random = Random(16)
    found = ["", "/", "//", "*", "/x", "/static", "/static/", "/static/a/b"]
    for template in templates:
        for value in random.sample(("x", "7", "a.json", random.choice(words), ""), 2):
            found.append(re.sub(r"\{[^}]*\}", value, template))
        found.append(template + random.choice(("/", "/x/y", "x")))
    for _ in range(300):
        found.append("/" + "/".join(random.choice([*words, "x", ""]) for _ in range(random.randint(1, 6))))
    return found


def _tried(routes: Sequence[BaseRoute], scope: dict[str, Any]) -> tuple[Match, Any]:
    partial: tuple[Match, Any] = (Match.NONE, None)
    for route in routes:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return match, route
        if match is Match.PARTIAL and partial[1] is None:
            partial = match, route
    return partial


def test_the_table_finds_what_trying_all_routes_finds(routes: list[BaseRoute]):
    table = RouteTable(routes)
    paths = _paths([route.path for route in routes if isinstance(route, Route | WebSocketRoute)])
    found, random = 0, Random(17)
    for number, path in enumerate(paths):
        kind = (
            {"type": "websocket"} if number % 9 == 0 else {"type": "http", "method": random.choice(_METHODS)}
        )
        scope = {"path": path, "root_path": "", "headers": [], **kind}
        match, child = table.matches(scope)
        assert (match, child.get("imagemill.chosen_route")) == _tried(routes, scope), scope
        found += match is not Match.NONE
    assert found > len(routes)


def test_policies_are_those_of_the_longest_path_that_matches(mill: Application):
    policies = [*PUBLIC, *(policy for module in mill.dialects for policy in module.policies)]
    policies += [PathPolicy("/x/{name}.json", None), PathPolicy("/x/{name}/below/", None)]
    found = PathPolicies(policies)
    by_length = sorted(policies, key=lambda policy: -len(policy.path))

    def pattern(path: str) -> str:
        text = re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(path))
        return text if path.endswith("/") and path != "/" else rf"{text}\Z"

    patterns = [(re.compile(pattern(policy.path)), policy) for policy in by_length]
    for path in [*_paths([policy.path for policy in policies]), "/x/a.json\n", "/x/.json", "/x/a/below"]:
        expected = next((policy for each, policy in patterns if each.match(path)), UNDECLARED)
        assert found.of(path) is expected, path


def test_the_index_keeps_the_order_in_which_entries_were_added():
    index: PathIndex[str] = PathIndex()
    index.add("/a/{id}", "by id")
    index.add_everywhere("everywhere")
    index.add("/a/b", "literal")
    index.add_prefix("/a/", "below")
    index.add("/a/{rest:path}", "rest")
    assert [name for _, name in index.candidates("/a/b")] == [
        "by id", "everywhere", "literal", "below", "rest",
    ]  # fmt: skip
    assert [name for _, name in index.candidates("/a/b/c")] == ["everywhere", "below", "rest"]
    assert [name for _, name in index.candidates("/a/")] == ["everywhere", "below", "rest"]
    assert [name for _, name in index.candidates("/a")] == ["everywhere"]


def test_no_route_is_built_before_it_is_called(routes: list[BaseRoute]):
    ours = [route for route in routes if isinstance(route, APIRoute)]
    fresh = [LazyRoute.below(route, "", (), in_schema=True) for route in ours if isinstance(route, LazyRoute)]
    assert len(fresh) == len(ours) > 200
    RouteTable(fresh).matches({"type": "http", "method": "GET", "path": "/api/v1/jobs", "root_path": ""})
    assert [route.path for route in fresh if "dependant" in vars(route)] == []


class _Filter(BaseModel, defer_build=True):
    colour: str = "red"


@pytest.mark.filterwarnings("error")
def test_included_routers_keep_their_prefix_their_tags_and_their_place_outside_the_schema():
    inner = APIRouter(prefix="/inner", tags=["inner"], route_class=ApiRoute)

    @inner.get("/{name}")
    async def read(name: str, wish: Annotated[_Filter, Query()]) -> dict[str, str]:
        return {"name": name, "colour": wish.colour}

    outer = APIRouter()
    outer.include_router(inner, prefix="/outer", tags=["outer"])
    outer.include_router(inner, include_in_schema=False)
    first, second = flat(outer.routes)
    assert isinstance(first, ApiRoute)
    assert isinstance(second, ApiRoute)
    assert (first.path, first.tags, first.include_in_schema) == (
        "/outer/inner/{name}", ["outer", "inner"], True,
    )  # fmt: skip
    assert (second.path, second.include_in_schema) == ("/inner/{name}", False)
    app = FastAPI()
    app.router.routes.append(RouteTable([first, second]))

    async def called() -> list[Any]:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
            asked = [
                ("GET", "/outer/inner/a?colour=blue"),
                ("GET", "/inner/b"),
                ("POST", "/inner/b"),
                ("GET", "/c"),
            ]
            return [
                (answer.status_code, answer.json())
                for each in asked
                for answer in [await http.request(*each)]
            ]

    assert asyncio.run(called()) == [
        (200, {"name": "a", "colour": "blue"}),
        (200, {"name": "b", "colour": "red"}),
        (405, {"detail": "Method Not Allowed"}),
        (404, {"detail": "Not Found"}),
    ]


def test_a_router_that_was_included_with_more_is_left_to_the_framework():
    inner = APIRouter()
    inner.add_api_route("/plain", lambda: {"ok": True})
    outer = APIRouter()
    outer.include_router(inner, prefix="/below")
    (kept,) = flat(outer.routes)
    table = RouteTable([kept])
    scope = {"type": "http", "method": "GET", "path": "/below/plain", "root_path": "", "headers": []}
    assert table.matches(scope)[0] is Match.FULL
