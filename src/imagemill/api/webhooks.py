"""``/api/v1/webhooks``: endpoints, their secrets, and what became of each message."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.jobs_schemas import job_body, moment
from imagemill.domain.access import Scope
from imagemill.domain.clock import from_datetime, now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.signing import CHOICES, ENDS, UrlSigner
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.http import flag, json_body, json_response, number
from imagemill.web.policies import PathPolicy
from imagemill.web.problems import field_errors
from imagemill.web.sse import event_body
from imagemill.webhooks.endpoints import EndpointService
from imagemill.webhooks.messages import WebhookEvent
from imagemill.webhooks.store import DeliveryAttempt, Endpoint, Message, MessagePage

_EventName = Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(CHOICES)})]
_Events = Annotated[list[_EventName], Field(min_length=1, max_length=20)]
_Description = Annotated[str, Field(max_length=200)]


class EndpointChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field("", description="http(s)://host[:port]/path, of a public address.")
    description: _Description = ""
    events: _Events = Field(list(ENDS), description="What it is told of; default: how each job ended.")


class EndpointBody(EndpointChange):
    url: str = Field(description="http(s)://host[:port]/path, of a public address.")


class Since(BaseModel):
    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime = Field(description="Messages written since then; ISO 8601 with its offset.")


def endpoint_body(endpoint: Endpoint, *, secret: bool = False) -> dict[str, Any]:
    """``secret``: show the present one, which is done once."""
    body: dict[str, Any] = {
        "id": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description,
        "events": sorted(endpoint.types),
        "state": _state(endpoint),
        "failingSince": moment(endpoint.failing_since),
        "pausedAt": moment(endpoint.paused_at),
        "pauseReason": endpoint.pause_reason,
        "formerSecretsUntil": _former(endpoint),
        "createdAt": moment(endpoint.created_at),
        "updatedAt": moment(endpoint.updated_at),
    }
    return body | {"secret": endpoint.secrets[0].text} if secret else body


def _state(endpoint: Endpoint) -> str:
    if endpoint.paused_at is not None:
        return "paused"
    return "active" if endpoint.failing_since is None else "failing"


def _former(endpoint: Endpoint) -> list[str | None]:
    now = now_us()
    ends = [secret.until for secret in endpoint.secrets if secret.until is not None]
    return [moment(until) for until in ends if until > now]


def message_body(message: Message, last: DeliveryAttempt | None = None) -> dict[str, Any]:
    return {
        "id": message.id,
        "type": message.type,
        "job": message.job_id,
        "seq": message.seq,
        "state": _message_state(message),
        "tries": message.tries,
        "createdAt": moment(message.created_at),
        "dueAt": moment(message.due_at),
        "deliveredAt": moment(message.delivered_at),
        "lastAttempt": attempt_body(last) if last is not None else None,
    }


def whole_message_body(message: Message, attempts: Sequence[DeliveryAttempt]) -> dict[str, Any]:
    """With what was sent last, and every attempt."""
    return message_body(message, attempts[-1] if attempts else None) | {
        "body": from_json(message.body) if message.body else None,
        "attempts": [attempt_body(attempt) for attempt in attempts],
    }


def _message_state(message: Message) -> str:
    if message.due_at is not None:
        return "waiting"
    return "delivered" if message.delivered_at is not None else "failed"


def attempt_body(attempt: DeliveryAttempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": moment(attempt.at),
        "status": attempt.status,
        "error": attempt.error,
        "ms": attempt.took_ms,
    }


def renderer(signer: UrlSigner, base_url: str) -> Callable[[WebhookEvent], Mapping[str, Any]]:
    """``base_url``: where pictures can be fetched from outside."""

    def render(told: WebhookEvent) -> Mapping[str, Any]:
        return {
            "type": told.type,
            "timestamp": moment(told.event.at),
            "data": {
                "user": told.user,
                "event": event_body(told.event),
                "job": job_body(told.view, signer, base_url),
            },
        }

    return render


_Model = TypeVar("_Model", bound=BaseModel)
_MESSAGE = re.compile(r"msg_[0-9a-f-]{36}")
_PAGE = openapi.query(
    limit=(openapi.whole(1, 500, 50), "How many"),
    cursor=(openapi.TEXT, "`next` of the last answer"),
    failed=(openapi.FLAG, "true: only those that were given up"),
)


class WebhookRoutes:
    def __init__(self, webhooks: EndpointService) -> None:
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
        return json_response({"items": [endpoint_body(endpoint) for endpoint in endpoints]})

    async def add(self, request: Request) -> Response:
        body = _read(await json_body(request), EndpointBody)
        owner = caller(request).owner
        added = await asyncio.to_thread(self._webhooks.add, owner, body.url, body.description, body.events)
        return json_response(endpoint_body(added, secret=True), 201)

    async def get(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.get, caller(request).owner, webhook_id)
        return json_response(endpoint_body(endpoint))

    async def patch(self, request: Request, webhook_id: str) -> Response:
        body = _read(await json_body(request), EndpointChange)
        values: dict[str, Any] = {"url": body.url, "description": body.description, "types": body.events}
        given = {"types" if name == "events" else name for name in body.model_fields_set}
        changes = {name: value for name, value in values.items() if name in given}
        changed = await asyncio.to_thread(self._webhooks.update, caller(request).owner, webhook_id, changes)
        return json_response(endpoint_body(changed))

    async def remove(self, request: Request, webhook_id: str) -> Response:
        await asyncio.to_thread(self._webhooks.remove, caller(request).owner, webhook_id)
        return Response(status_code=204)

    async def rotate(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.rotate, caller(request).owner, webhook_id)
        return json_response(endpoint_body(endpoint, secret=True))

    async def pause(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.pause, caller(request).owner, webhook_id)
        return json_response(endpoint_body(endpoint))

    async def resume(self, request: Request, webhook_id: str) -> Response:
        endpoint = await asyncio.to_thread(self._webhooks.resume, caller(request).owner, webhook_id)
        return json_response(endpoint_body(endpoint))

    async def test(self, request: Request, webhook_id: str) -> Response:
        message = await asyncio.to_thread(self._webhooks.test, caller(request).owner, webhook_id)
        return json_response(message_body(message), 202)

    async def redeliver(self, request: Request, webhook_id: str, message_id: str) -> Response:
        owner = caller(request).owner
        message = await asyncio.to_thread(self._webhooks.redeliver, owner, webhook_id, message_id)
        return json_response(message_body(message), 202)

    async def redeliver_failed(self, request: Request, webhook_id: str) -> Response:
        owner, body = caller(request).owner, _read(await json_body(request), Since)
        since = from_datetime(body.since)
        count = await asyncio.to_thread(self._webhooks.redeliver_failed, owner, webhook_id, since)
        return json_response({"messages": count}, 202)

    async def messages(self, request: Request, webhook_id: str) -> Response:
        limit = number(request, "limit", 50, 1, 500)
        failed = flag(request, "failed")
        page = MessagePage(webhook_id, _cursor(request.query_params.get("cursor")), failed, limit + 1)
        found = await asyncio.to_thread(self._webhooks.messages, caller(request).owner, page)
        items = [message_body(message, last) for message, last in found[:limit]]
        return json_response({"items": items, "next": items[-1]["id"] if len(found) > limit else None})

    async def message(self, request: Request, webhook_id: str, message_id: str) -> Response:
        owner = caller(request).owner
        message, attempts = await asyncio.to_thread(self._webhooks.message, owner, webhook_id, message_id)
        return json_response(whole_message_body(message, attempts))


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


DIALECT = ApiModule(
    name="webhooks",
    router=lambda services, _: WebhookRoutes(services.webhooks).router(),
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/webhooks", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE),
        PathPolicy("/api/v1/webhooks/", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE),
    ),
)
