"""A span for each request, around all that answers it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.tracing.tracer import Tracer
from imagemill.web.requests import inbound_trace, trace_of

_QUIET = ("/health", "/metrics")
"""Asked every few seconds by machines, and part of no job's life."""


class Traced:
    """Pure ASGI. The span lasts until the answer is complete, so a stream's is as long as the stream."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_QUIET):
            await self._app(scope, receive, send)
            return
        given = inbound_trace(scope["headers"])
        trace = trace_of(scope["headers"])
        request = self._tracer.request(trace, given[36:52] if given else None)
        scope["imagemill.trace"] = trace if request is None else f"{trace[:-2]}01"
        if request is None:
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            request.close(scope["method"], getattr(scope.get("route"), "path", ""), status)
