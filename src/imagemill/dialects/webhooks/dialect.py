"""``/api/v1/webhooks``: endpoints, their secrets, and what became of each message."""

import asyncio
import re
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from imagemill.dialects import openapi
from imagemill.dialects.answers import answer
from imagemill.dialects.base import Dialect, no_callback
from imagemill.dialects.webhooks.schemas import (
    EndpointBody,
    EndpointChange,
    Since,
    endpoint_body,
    message_body,
    whole_message_body,
)
from imagemill.domain.access import Scope
from imagemill.domain.clock import from_datetime
from imagemill.domain.errors import InvalidInput
from imagemill.service.webhooks import Webhooks
from imagemill.store.webhooks import Page
from imagemill.web.gate import caller
from imagemill.web.permits import Permit
from imagemill.web.problems import field_errors
from imagemill.web.requests import flag, json_body, number

_Model = TypeVar("_Model", bound=BaseModel)
_MESSAGE = re.compile(r"msg_[0-9a-f-]{36}")
_PAGE = openapi.query(
    limit=(openapi.whole(1, 500, 50), "How many"),
    cursor=(openapi.TEXT, "`next` of the last answer"),
    failed=(openapi.FLAG, "true: only those that were given up"),
)


class WebhookRoutes:
    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["webhooks"])
        one = "/webhooks/{webhook_id}"
        message = f"{one}/messages/{{message_id}}"
        change, since = openapi.body(EndpointChange), openapi.body(Since)
        for method, path, handler, summary, status, extra in (
            ("GET", "/webhooks", self.list, "Your endpoints", 200, None),
            ("POST", "/webhooks", self.add, "Add an endpoint", 201, openapi.body(EndpointBody)),
            ("GET", one, self.get, "One endpoint", 200, None),
            ("PATCH", one, self.patch, "Change an endpoint", 200, change),
            ("DELETE", one, self.remove, "Delete an endpoint and its messages", 204, None),
            ("POST", f"{one}/rotate", self.rotate, "Draw a new secret", 200, None),
            ("POST", f"{one}/pause", self.pause, "Keep messages back", 200, None),
            ("POST", f"{one}/resume", self.resume, "Send what was kept back", 200, None),
            ("POST", f"{one}/test", self.test, "Send a test message", 202, None),
            ("POST", f"{one}/redeliver", self.redeliver_failed, "Send failed messages again", 202, since),
            ("GET", f"{one}/messages", self.messages, "Messages, newest first", 200, _PAGE),
            ("GET", message, self.message, "One message and its attempts", 200, None),
            ("POST", f"{message}/redeliver", self.redeliver, "Send a message again", 202, None),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                status_code=status,
                response_class=Response,
                openapi_extra=extra,
            )
        return routes

    async def list(self, request: Request) -> Response:
        endpoints = await asyncio.to_thread(self._webhooks.list, caller(request).owner)
        return answer({"items": [endpoint_body(endpoint) for endpoint in endpoints]})

    async def add(self, request: Request) -> Response:
        body = _read(await json_body(request), EndpointBody)
        owner = caller(request).owner
        added = await asyncio.to_thread(self._webhooks.add, owner, body.url, body.description, body.events)
        return answer(endpoint_body(added, secret=True), 201)

    async def get(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.get, caller(request).owner, webhook_id)
        return answer(endpoint_body(endpoint))

    async def patch(self, request: Request, webhook_id: str) -> Response:
        body = _read(await json_body(request), EndpointChange)
        values: dict[str, Any] = {"url": body.url, "description": body.description, "types": body.events}
        given = {"types" if name == "events" else name for name in body.model_fields_set}
        changes = {name: value for name, value in values.items() if name in given}
        changed = await asyncio.to_thread(self._webhooks.alter, caller(request).owner, webhook_id, changes)
        return answer(endpoint_body(changed))

    async def remove(self, request: Request, webhook_id: str) -> Response:
        await asyncio.to_thread(self._webhooks.remove, caller(request).owner, webhook_id)
        return Response(status_code=204)

    async def rotate(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.rotate, caller(request).owner, webhook_id)
        return answer(endpoint_body(endpoint, secret=True))

    async def pause(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.pause, caller(request).owner, webhook_id)
        return answer(endpoint_body(endpoint))

    async def resume(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.resume, caller(request).owner, webhook_id)
        return answer(endpoint_body(endpoint))

    async def test(self, request: Request, webhook_id: str) -> Response:
        message = await asyncio.to_thread(self._webhooks.test, caller(request).owner, webhook_id)
        return answer(message_body(message), 202)

    async def redeliver(self, request: Request, webhook_id: str, message_id: str) -> Response:
        owner = caller(request).owner
        message = await asyncio.to_thread(self._webhooks.redeliver, owner, webhook_id, message_id)
        return answer(message_body(message), 202)

    async def redeliver_failed(self, request: Request, webhook_id: str) -> Response:
        owner, body = caller(request).owner, _read(await json_body(request), Since)
        since = from_datetime(body.since)
        count = await asyncio.to_thread(self._webhooks.redeliver_failed, owner, webhook_id, since)
        return answer({"messages": count}, 202)

    async def messages(self, request: Request, webhook_id: str) -> Response:
        limit = number(request, "limit", 50, 1, 500)
        failed = flag(request, "failed")
        page = Page(webhook_id, _cursor(request.query_params.get("cursor")), failed, limit + 1)
        found = await asyncio.to_thread(self._webhooks.messages, caller(request).owner, page)
        items = [message_body(message, last) for message, last in found[:limit]]
        return answer({"items": items, "next": items[-1]["id"] if len(found) > limit else None})

    async def message(self, request: Request, webhook_id: str, message_id: str) -> Response:
        owner = caller(request).owner
        message, attempts = await asyncio.to_thread(self._webhooks.message, owner, webhook_id, message_id)
        return answer(whole_message_body(message, attempts))


def _cursor(text: str | None) -> str | None:
    if text and not _MESSAGE.fullmatch(text):
        raise InvalidInput.at(
            "cursor", f"is {text[:40]!r}, not one of ours; take it from the last answer's next"
        )
    return text or None


def _read(body: Any, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model)) from error


DIALECT = Dialect(
    name="webhooks",
    router=lambda services: WebhookRoutes(services.webhooks).router(),
    callback=no_callback,
    permits=(
        Permit("/api/v1/webhooks", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE),
        Permit("/api/v1/webhooks/", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE),
    ),
)
