"""The routes of the application, of which a request tries only those whose path may be its own."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi.datastructures import DefaultPlaceholder
from starlette._utils import get_route_path
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from imagemill.web.path_index import PathIndex
from imagemill.web.routing import LazyRoute

_CHOSEN = "imagemill.chosen_route"


class RouteTable(BaseRoute):
    """Answers as a list of the routes would: the first that matches wins, then one with another method."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._index: PathIndex[BaseRoute] = PathIndex()
        for route in routes:
            if isinstance(route, Route | WebSocketRoute):
                self._index.add(route.path, route)
            elif isinstance(route, Mount):
                self._index.add_prefix(f"{route.path}/", route)
            else:
                self._index.add_everywhere(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        partial: tuple[Match, Scope] | None = None
        for _, route in self._index.candidates(get_route_path(scope)):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return match, {**child, _CHOSEN: route}
            if match is Match.PARTIAL and partial is None:
                partial = match, {**child, _CHOSEN: route}
        return partial or (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope[_CHOSEN].handle(scope, receive, send)


def flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield the routes with those of included routers in their place.

    FastAPI would build each included route a second time. Routers that hold other routes than `LazyRoute` or
    were included with dependencies and the like are left to it.
    """
    for route in routes:
        # FastAPI has no public name for an included router.
        inner: Any = None if isinstance(route, Route) else getattr(route, "original_router", None)
        if inner is None:
            yield route
            continue
        context: Any = getattr(route, "include_context", None)
        if context is None or not _is_plain(context):
            yield route
            continue
        included = [*flat(inner.routes)]
        if context.include_in_schema and not (context.prefix or context.tags):
            yield from included
        elif all(isinstance(each, LazyRoute) for each in included):
            for each in included:
                assert isinstance(each, LazyRoute)  # noqa: S101 - checked for all of them
                yield each.below(context.prefix, context.tags, in_schema=context.include_in_schema)
        else:
            yield route


def _is_plain(context: Any) -> bool:
    """Whether a router was included with nothing but a prefix, tags, or outside the schema."""
    changes = (
        context.dependencies,
        context.responses,
        context.callbacks,
        context.deprecated,
        context.max_body_size,
        context.form_limits,
    )
    return not any(changes) and isinstance(context.default_response_class, DefaultPlaceholder)
