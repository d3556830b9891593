"""The routes of the application, of which a request tries only those whose path may be its own."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.datastructures import DefaultPlaceholder
from starlette._utils import get_route_path
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.web.path_index import PathIndex
from imagemill.web.routing import LazyRoute, PlainRoute

_CHOSEN = "imagemill.chosen_route"
_Handler = Callable[[Request, Exception], Awaitable[Response]]


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

    def plain(self, scope: Scope) -> dict[str, Any] | None:
        """Return what a match adds to the scope if the first route that matches is a plain one, else None."""
        path = get_route_path(scope)
        for _, route in self._index.candidates(path):
            if not isinstance(route, PlainRoute):
                return None
            if scope["method"] not in route.methods:
                continue
            if route.path == path:
                return {"endpoint": route.endpoint, "path_params": {}, "route": route}
            match, child = route.matches(scope)
            if match is Match.FULL:
                return dict(child)
        return None


class PlainRoutes:
    """Calls the handlers of plain routes without the framework's layers, other routes with them.

    The layers are half of what a small request costs. Errors are answered as they do it: by the
    application's handler for their type, and unknown ones are raised again after that.
    """

    def __init__(self, app: FastAPI, table: RouteTable, framed: ASGIApp) -> None:
        """``framed`` answers requests of other routes."""
        self._app = app
        self._table = table
        self._framed = framed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._table.plain(scope) if scope["type"] == "http" else None
        if found is None:
            await self._framed(scope, receive, send)
            return
        scope.update(found, app=self._app, router=self._app.router)
        request = Request(scope, receive, send)
        try:
            response = await found["endpoint"](request, **found["path_params"])
        except Exception as error:  # noqa: BLE001 - answered by its type
            await self._answer(request, error, send)
            return
        if type(response) is Response:  # fails before it begins in no case
            await response(scope, receive, send)
        else:
            await self._respond(request, response, send)

    async def _respond(self, request: Request, response: Response, send: Send) -> None:
        """Send a response that may fail before it begins, as that of a file does."""
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await response(request.scope, request.receive, sending)
        except Exception as error:
            if has_begun:
                raise
            await self._answer(request, error, send)

    async def _answer(self, request: Request, error: Exception, send: Send) -> None:
        handlers = cast("Mapping[type[Exception], _Handler]", self._app.exception_handlers)
        handle = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
        if handle is not handlers[Exception]:
            try:
                response = await handle(request, error)
            except Exception as unknown:  # noqa: BLE001 - answered below
                error = unknown
            else:
                await response(request.scope, request.receive, send)
                return
        await (await handlers[Exception](request, error))(request.scope, request.receive, send)
        raise error


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
