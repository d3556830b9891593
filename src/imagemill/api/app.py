"""The HTTP application: the same object in tests and in production."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from pydantic_core import to_json
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

import imagemill
from imagemill.api import health, simulator
from imagemill.api.base import ApiModule, Services
from imagemill.backends.simulator.http_faults import HttpFaults
from imagemill.domain.access import Caller, Scope
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import SIMULATOR
from imagemill.jobs.capacity import usable_nodes
from imagemill.net import pools
from imagemill.observability.metrics import Metrics
from imagemill.observability.tracing import Tracer
from imagemill.web import blobs, frontend, openapi, problems
from imagemill.web.access_log import AccessLog
from imagemill.web.auth import AuthMiddleware, optional_caller
from imagemill.web.fault_injection import FaultMiddleware, with_transport
from imagemill.web.middleware import EdgeMiddleware, EdgeRules, HeadMiddleware, Traced, behind_proxies
from imagemill.web.policies import CorsClass, PathPolicies, PathPolicy
from imagemill.web.route_table import PlainRoutes, RouteTable, flat
from imagemill.web.security_headers import INLINE_SCRIPT_CSP

_DESCRIPTION = (
    "A self-hosted image-generation orchestrator: jobs on your own nodes, with durable queues, events and "
    "webhooks."
)
_STATIC = "/static-offline-docs"
_FIRST_TAGS = ("jobs", "recipes", "uploads", "workflows")
_LAST_TAGS = (
    *(
        "models",
        "nodes",
        "webhooks",
        "credits",
        "limits",
        "files",
        "health",
        "doctor",
        "simulator",
        "accounts",
    ),
)
_FIRST = ("native", "civitai.v1")
"""The modules whose paths come first in the documents."""
_OWN = ""
"""The name of our own document."""


def _public(path: str, **changes: Any) -> PathPolicy:
    return PathPolicy(path, None, **{"cors": CorsClass.NONE, "caching": None, **changes})


PUBLIC = (
    *frontend.POLICIES,
    _public("/health", traced=False),
    _public("/health/", traced=False),
    _public("/openapi.json"),
    _public("/openapi/"),
    _public("/docs", page_csp=INLINE_SCRIPT_CSP),
    _public("/docs/", page_csp=INLINE_SCRIPT_CSP),
    _public("/redoc", page_csp=INLINE_SCRIPT_CSP),
    _public("/static-offline-docs/"),
    _public("/blobs/", cors=CorsClass.CONTRACT, on_every_host=True),  # their URLs are signed
    PathPolicy("/metrics", Scope.METRICS_READ, cors=CorsClass.NONE, caching=None, traced=False),
    *simulator.POLICIES,
)


def create_app(
    services: Services,
    modules: Sequence[ApiModule],
    settings: Callable[[str], Any],
    *,
    edge: EdgeRules,
    redirect_to_blobs: bool,
    picture_urls: Sequence[str] = (),
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]],
    meters: Metrics,
    tracer: Tracer | None = None,
) -> ASGIApp:
    """Return the application of the modules; ``settings`` finds a settings group by its name.

    ``picture_urls``: addresses beside the server's own from which its pages load pictures.
    """
    policies = PathPolicies([*PUBLIC, *(policy for module in modules for policy in module.policies)])
    documents = _Documents(services, modules, policies)
    app = FastAPI(
        title="Imagemill",
        version=imagemill.__version__,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False},
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.contexts = {}
    problems.install(app, services.response_config.public_url)
    routes: list[BaseRoute] = []
    for module in sorted(modules, key=lambda module: module.name not in _FIRST):
        own = settings(module.settings) if module.settings is not None else None
        if module.context is not None:
            app.state.contexts[module.name] = module.context(services, own)
        router = module.router if isinstance(module.router, APIRouter) else module.router(services, own)
        documents.add(module.document or _OWN, router.routes)
        routes += flat(router.routes)
    drawn, control = services.backends.get(SIMULATOR), services.simulator
    faults = HttpFaults(() if control is None else control.tuning.http_rules)
    files = app.state.files = blobs.ArtifactFiles(services.blobs, redirect=redirect_to_blobs)
    for router in (
        blobs.router(services.response_config.signer, services.jobs.artifact, files),
        health.router,
        simulator.router(faults),
        health.metrics_router(meters.registry),
    ):
        documents.add(_OWN, router.routes)
        routes += flat(router.routes)
    routes += documents.pages()
    routes += frontend.ConsoleFiles(picture_urls=picture_urls).routes()
    routes.append(Mount(_STATIC, StaticFiles(packages=[("fastapi_offline", "static")])))
    table = RouteTable(routes)
    app.router.routes.append(table)
    inner: ASGIApp = PlainRoutes(app, table, HeadMiddleware(app))
    if drawn is not None:
        inner = FaultMiddleware(inner, faults, lambda: bool(usable_nodes(drawn)))
    gate = AuthMiddleware(inner, services.access, services.audit, services.throttle, services.tickets)
    checked: ASGIApp = EdgeMiddleware(gate, edge, policies, on_response=meters.request)
    outermost = behind_proxies(AccessLog(checked, policies) if edge.access_log else checked, edge.proxies)
    traced = outermost if tracer is None else Traced(outermost, tracer, policies)
    return traced if drawn is None else with_transport(traced)


class _Documents:
    """The OpenAPI documents with the paths of this moment. The part that routes declare is made once."""

    def __init__(self, services: Services, modules: Sequence[ApiModule], policies: PathPolicies) -> None:
        self._services = services
        self._modules = modules
        self._policies = policies
        self._routes: dict[str, list[BaseRoute]] = {_OWN: []}
        self._made: dict[str, dict[str, Any]] = {}

    def add(self, name: str, routes: Iterable[BaseRoute]) -> None:
        self._routes.setdefault(name, []).extend(routes)

    def pages(self) -> list[Route]:
        """The documents and the pages that show them. Their scripts come from us: no internet is needed."""
        return [
            Route("/openapi.json", self._own),
            Route("/openapi/{name}.json", self._foreign),
            Route("/docs", self._docs),
            Route("/docs/{name}", self._docs),
            Route("/redoc", self._redoc),
        ]

    async def _own(self, request: Request) -> Response:
        return await self._answer(request, _OWN)

    async def _foreign(self, request: Request) -> Response:
        return await self._answer(request, self._name(request))

    async def _docs(self, request: Request) -> Response:
        name = self._name(request)
        return get_swagger_ui_html(
            openapi_url=_address(name),
            title=f"Imagemill {name}".strip(),
            swagger_js_url=f"{_STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{_STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{_STATIC}/favicon.png",
            swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
        )

    async def _redoc(self, request: Request) -> Response:
        return get_redoc_html(
            openapi_url=_address(self._name(request)),
            title="Imagemill",
            redoc_js_url=f"{_STATIC}/redoc.standalone.js",
            with_google_fonts=False,
            redoc_favicon_url=f"{_STATIC}/favicon.png",
        )

    def _name(self, request: Request) -> str:
        """Return the name of the requested document. Raises `NotFound`."""
        name = request.path_params.get("name", _OWN)
        if name not in self._routes or ("name" in request.path_params and name == _OWN):
            exist = ", ".join(sorted(filter(None, self._routes)))
            raise NotFound(f"there is no document {name[:64]!r}; there are {exist}")
        return name

    def _description(self, name: str) -> str:
        if name != _OWN:
            return "The protocol of another service, as its clients expect it. [All of Imagemill](/docs)."
        others = [f"[{other}](/docs/{other})" for other in sorted(filter(None, self._routes))]
        return f"{_DESCRIPTION} Protocols of other services: {', '.join(others)}."

    async def _answer(self, request: Request, name: str) -> Response:
        if name not in self._made:
            self._made[name] = self._make(name)
        made = self._made[name]
        caller = await optional_caller(request, self._services.access)
        further = await pools.read(self._further, name, caller)
        body = {**made, "paths": {**made["paths"], **openapi.complete(further, self._policies)}}
        return Response(to_json(body), media_type="application/json")

    def _make(self, name: str) -> dict[str, Any]:
        modules = [module for module in self._modules if (module.document or _OWN) == name]
        said = {**(_CORE_TAGS if name == _OWN else {}), **{k: v for m in modules for k, v in m.tags.items()}}
        made = openapi.document(
            self._routes[name],
            self._policies,
            title="Imagemill" if name == _OWN else f"Imagemill: {name}",
            description=self._description(name),
            tags=[{"name": tag, "description": said[tag]} for tag in sorted(said, key=_tag_order)],
        )
        prices = self._services.credits.prices.table()
        for item in made["paths"].values():
            for operation in item.values():
                if openapi.PRICE in operation:
                    operation[openapi.PRICE] = prices
        return made

    def _further(self, name: str, caller: Caller | None) -> Mapping[str, Any]:
        return {
            path: operations
            for module in self._modules
            if module.extra_openapi is not None and (module.document or _OWN) == name
            for path, operations in module.extra_openapi(self._services, caller).items()
        }


def _address(name: str) -> str:
    return "/openapi.json" if name == _OWN else f"/openapi/{name}.json"


_CORE_TAGS = {
    "files": "Pictures by signed addresses, as the answers of other routes name them. No key is needed.",
    "health": "Probes for orchestrators and load balancers, and figures for Prometheus.",
    **simulator.TAGS,
}


def _tag_order(tag: str) -> tuple[int, str]:
    """Jobs come first and accounts last; the tags of products stand in between."""
    if tag in _FIRST_TAGS:
        return _FIRST_TAGS.index(tag), ""
    if tag in _LAST_TAGS:
        return 100 + _LAST_TAGS.index(tag), ""
    return 50, tag
