"""The shortest way to handlers that take nothing but the request.

FastAPI finds a route by trying all, and then solves its dependencies and makes its answer. For a handler that
reads its body itself and returns a `Response` all that does nothing, and is a fifth of what a request costs.
The route stays declared, so the OpenAPI document has it.
"""

from collections.abc import Iterable

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class PlainRoutes:
    """Calls the handler of a route in ``routes`` directly where that is all there is to do; else ``app``."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self.routes: dict[tuple[str, str], APIRoute] = {}
        """The routes that are called directly, by method and path."""
        for route in routes:
            if isinstance(route, APIRoute) and _is_plain(route):
                for method in route.methods or ():
                    self.routes.setdefault((method, route.path), route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"], scope["endpoint"], scope["path_params"] = route, route.endpoint, {}
        response = await route.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def _is_plain(route: APIRoute) -> bool:
    """Whether a route's path is fixed and its handler takes the request and returns a response."""
    given = route.dependant
    return (
        "{" not in route.path
        and route.response_model is None
        and not (route.dependencies or route.body_field or given.dependencies)
        and not (given.query_params or given.header_params or given.cookie_params or given.body_params)
        and given.request_param_name == "request"
        and not (given.response_param_name or given.background_tasks_param_name)
    )
