"""Holds every JSON answer of our own API against the model that its route declares."""

import json
from typing import Any

from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.web.openapi import Problem
from imagemill.web.routing import ApiRoute


class AnswerCheck:
    """ASGI around an application: remembers answers that their declared model refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._adapters: dict[tuple[str, str, int], TypeAdapter[Any] | None] = {}
        self.wrong: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, kind, body = 0, b"", bytearray()

        async def sending(message: Message) -> None:
            nonlocal status, kind
            if message["type"] == "http.response.start":
                status = message["status"]
                kind = dict(message.get("headers", ())).get(b"content-type", b"")
            elif kind.startswith((b"application/json", b"application/problem+json")):
                body.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, sending)
        route = scope.get("route")
        if isinstance(route, ApiRoute) and body and scope["method"] != "HEAD":
            self._check(route, scope["method"], status, kind, bytes(body))

    def _check(self, route: APIRoute, method: str, status: int, kind: bytes, body: bytes) -> None:
        where = f"{method} {route.path} answered {status}"
        if kind.startswith(b"application/problem+json"):
            adapter: TypeAdapter[Any] | None = TypeAdapter(Problem)
        else:
            key = (method, route.path, status)
            if key not in self._adapters:
                self._adapters[key] = _declared(route, status)
            adapter = self._adapters[key]
        if adapter is None:
            if status < 400:
                self.wrong.append(f"{where} with JSON that no model describes")
            return
        try:
            adapter.validate_json(body, strict=True)
        except ValidationError as error:
            self.wrong.append(f"{where}: {error}\n{json.loads(body)}")


def _declared(route: APIRoute, status: int) -> TypeAdapter[Any] | None:
    model = route.responses.get(status, {}).get("model")
    if model is None and status == (route.status_code or 200):
        model = route.response_model
    return TypeAdapter(model) if model is not None else None
