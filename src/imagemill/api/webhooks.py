"""``/api/v1/webhooks``: endpoints, their secrets, and the deliveries of their messages."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, ConfigDict, Field
from pydantic_core import from_json

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import job_body, moment
from imagemill.domain.access import Scope
from imagemill.domain.clock import from_datetime, now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.signing import CHOICES, ENDS, TEST, UrlSigner
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.body_fields import suggestion
from imagemill.web.http import json_response
from imagemill.web.policies import CHANGING, READING, PathPolicy
from imagemill.web.routing import ApiRoute, Cursor, Flag, RequestModel, ResponseModel
from imagemill.web.sse import event_body
from imagemill.webhooks.delivery import PostAnswer
from imagemill.webhooks.messages import WebhookData, WebhookEvent
from imagemill.webhooks.store import DeliveryAttempt, Endpoint, Message, MessagePage

_EventName = Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(CHOICES)})]
_Events = Annotated[list[_EventName], Field(min_length=1, max_length=20)]
_Description = Annotated[str, Field(max_length=200)]
_URL = "http(s)://host[:port]/path, of a public address."
_ENDPOINT = {
    "id": "01a2238c-4a37-7e4e-8fe9-c660c98ffd26",
    "url": "https://example.com/hooks/imagemill",
    "description": "Orders",
    "events": ["job.succeeded", "job.failed"],
    "state": "active",
    "failingSince": None,
    "pausedAt": None,
    "pauseReason": None,
    "formerSecretsUntil": [],
    "createdAt": "2026-01-31T12:00:00+00:00",
    "updatedAt": "2026-01-31T12:00:00+00:00",
}


class EndpointChange(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Orders"}]})

    url: str = Field("", description=_URL)
    description: _Description = ""
    events: _Events = Field(list(ENDS), description="The events it receives; default: how each job ended.")


class EndpointBody(EndpointChange):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://example.com/hooks/imagemill", "description": "Orders"}]
        }
    )

    url: str = Field(description=_URL)


class Since(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"since": "2026-01-31T00:00:00Z"}]})

    since: AwareDatetime = Field(description="Messages written since then; ISO 8601 with its offset.")


class EndpointInfo(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_ENDPOINT]})

    id: str
    url: str
    description: str
    events: list[str]
    state: Literal["active", "failing", "paused"]
    failing_since: datetime | None
    paused_at: datetime | None
    pause_reason: str | None
    former_secrets_until: list[datetime] = Field(
        description="When each replaced secret ends; until then messages are signed with it too."
    )
    created_at: datetime | None
    updated_at: datetime | None


class EndpointSecret(EndpointInfo):
    model_config = ConfigDict(json_schema_extra={"examples": [{**_ENDPOINT, "secret": "whsec_MfKQ9r8..."}]})

    secret: str = Field(description="Shown only now.")


class EndpointList(ResponseModel):
    items: list[EndpointInfo]


class AttemptInfo(ResponseModel):
    number: int
    at: datetime | None
    status: int | None = Field(description="The HTTP status of the answer; null where there was none.")
    error: str | None
    ms: int | None = Field(description="How long it took, in milliseconds.")


class AttemptRequest(ResponseModel):
    headers: dict[str, str]
    body: str = Field(description="The text that was sent.")


class AttemptAnswer(ResponseModel):
    headers: dict[str, str]
    body: str = Field(description="The first 4 KB; empty where the receiver was slow, or compressed it.")
    hidden: bool = Field(
        description="The receiver is in a private network, so only operators see headers and body."
    )


class AttemptWhole(AttemptInfo):
    request: AttemptRequest | None = Field(description="null for attempts of releases that did not keep it.")
    answer: AttemptAnswer | None = Field(description="null where there was no answer.")


class MessageInfo(ResponseModel):
    id: str
    type: str
    job: str | None
    seq: int | None
    state: Literal["waiting", "delivered", "failed"]
    tries: int
    created_at: datetime | None
    due_at: datetime | None = Field(description="When it is sent next.")
    delivered_at: datetime | None
    last_attempt: AttemptInfo | None


class MessageList(ResponseModel):
    items: list[MessageInfo]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class MessageWhole(MessageInfo):
    body: Any = Field(description="The JSON that was sent last.")
    attempts: list[AttemptWhole]


class RedeliveredCount(ResponseModel):
    messages: int = Field(description="Messages that are sent again.")


def endpoint_body(endpoint: Endpoint, *, secret: bool = False) -> dict[str, Any]:
    """``secret`` shows the present one, which is done once."""
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


def whole_message_body(
    message: Message, attempts: Sequence[DeliveryAttempt], *, sees_private: bool
) -> dict[str, Any]:
    """Return a message with the body that was sent last, and every attempt.

    ``sees_private``: also the answers from private networks, which users could else explore.
    """
    return message_body(message, attempts[-1] if attempts else None) | {
        "body": from_json(message.body) if message.body else None,
        "attempts": [_whole_attempt_body(attempt, sees_private) for attempt in attempts],
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


def _whole_attempt_body(attempt: DeliveryAttempt, sees_private: bool) -> dict[str, Any]:
    exchange = attempt.exchange
    request = {"headers": exchange.request_headers, "body": exchange.request_body} if exchange else None
    answer = _answer_body(exchange.answer, sees_private) if exchange and exchange.answer else None
    return attempt_body(attempt) | {"request": request, "answer": answer}


def _answer_body(answer: PostAnswer, sees_private: bool) -> dict[str, Any]:
    if answer.is_private and not sees_private:
        return {"headers": {}, "body": "", "hidden": True}
    return {"headers": answer.headers, "body": answer.body, "hidden": False}


def renderer(
    signer: UrlSigner, base_url: str, of_dialect: Callable[[str], WebhookData | None]
) -> Callable[[WebhookEvent], Mapping[str, Any]]:
    """Return the function that writes the body of an event; pictures are addressed below ``base_url``."""

    def own(event_: WebhookEvent) -> Mapping[str, Any]:
        job = _without_graph(job_body(event_.view, signer, base_url))
        return {"event": event_body(event_.event), "job": job}

    def render(event_: WebhookEvent) -> Mapping[str, Any]:
        write = of_dialect(event_.view.job.dialect) or own
        return {
            "type": event_.type,
            "timestamp": moment(event_.event.at),
            "data": {"user": event_.user, **write(event_)},
        }

    return render


def _without_graph(job: dict[str, Any]) -> dict[str, Any]:
    """Leave out a ComfyUI graph, which would be most of the message; `GET /api/v1/jobs/{id}` has it."""
    return {**job, "input": {name: value for name, value in job["input"].items() if name != "graph"}}


router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"], route_class=ApiRoute)
WebhookId = Annotated[str, Path(description="`id` of the endpoint.")]
MessageId = Annotated[str, Path(description="`id` of the message.")]
_MESSAGE = re.compile(r"msg_[0-9a-f-]{36}")


@router.get("", summary="List your endpoints", response_model=EndpointList)
async def list_webhooks(request: Request, services: ServicesDep) -> Response:
    endpoints = await pools.read(services.webhooks.list, caller(request).owner)
    return json_response({"items": [endpoint_body(endpoint) for endpoint in endpoints]})


@router.post("", summary="Add an endpoint", status_code=201, response_model=EndpointSecret)
async def add_webhook(request: Request, services: ServicesDep, body: EndpointBody) -> Response:
    owner = caller(request).owner
    added = await pools.write(services.webhooks.add, owner, body.url, body.description, body.events)
    return json_response(endpoint_body(added, secret=True), 201)


@router.get("/{webhook_id}", summary="Read an endpoint", response_model=EndpointInfo)
async def get_webhook(request: Request, services: ServicesDep, webhook_id: WebhookId) -> Response:
    endpoint = await pools.read(services.webhooks.get, caller(request).owner, webhook_id)
    return json_response(endpoint_body(endpoint))


@router.patch("/{webhook_id}", summary="Change an endpoint", response_model=EndpointInfo)
async def change_webhook(
    request: Request, services: ServicesDep, webhook_id: WebhookId, body: EndpointChange
) -> Response:
    values: dict[str, Any] = {"url": body.url, "description": body.description, "types": body.events}
    given = {"types" if name == "events" else name for name in body.model_fields_set}
    changes = {name: value for name, value in values.items() if name in given}
    changed = await pools.write(services.webhooks.update, caller(request).owner, webhook_id, changes)
    return json_response(endpoint_body(changed))


@router.delete("/{webhook_id}", summary="Delete an endpoint and its messages", status_code=204)
async def remove_webhook(request: Request, services: ServicesDep, webhook_id: WebhookId) -> Response:
    await pools.write(services.webhooks.remove, caller(request).owner, webhook_id)
    return Response(status_code=204)


@router.post("/{webhook_id}/rotate", summary="Draw a new secret", response_model=EndpointSecret)
async def rotate_webhook_secret(request: Request, services: ServicesDep, webhook_id: WebhookId) -> Response:
    endpoint = await pools.write(services.webhooks.rotate, caller(request).owner, webhook_id)
    return json_response(endpoint_body(endpoint, secret=True))


@router.post(
    "/{webhook_id}/pause", summary="Hold back the messages of an endpoint", response_model=EndpointInfo
)
async def pause_webhook(request: Request, services: ServicesDep, webhook_id: WebhookId) -> Response:
    endpoint = await pools.write(services.webhooks.pause, caller(request).owner, webhook_id)
    return json_response(endpoint_body(endpoint))


@router.post("/{webhook_id}/resume", summary="Send what was held back", response_model=EndpointInfo)
async def resume_webhook(request: Request, services: ServicesDep, webhook_id: WebhookId) -> Response:
    endpoint = await pools.write(services.webhooks.resume, caller(request).owner, webhook_id)
    return json_response(endpoint_body(endpoint))


@router.post("/{webhook_id}/test", summary="Send a test message", status_code=202, response_model=MessageInfo)
async def test_webhook(request: Request, services: ServicesDep, webhook_id: WebhookId) -> Response:
    message = await pools.write(services.webhooks.test, caller(request).owner, webhook_id)
    return json_response(message_body(message), 202)


@router.post(
    "/{webhook_id}/redeliver",
    summary="Send failed messages again",
    status_code=202,
    response_model=RedeliveredCount,
)
async def redeliver_failed_messages(
    request: Request, services: ServicesDep, webhook_id: WebhookId, body: Since
) -> Response:
    owner, since = caller(request).owner, from_datetime(body.since)
    count = await pools.write(services.webhooks.redeliver_failed, owner, webhook_id, since)
    return json_response({"messages": count}, 202)


@router.get("/{webhook_id}/messages", summary="List messages, newest first", response_model=MessageList)
async def list_messages(
    request: Request,
    services: ServicesDep,
    webhook_id: WebhookId,
    limit: Annotated[int, Query(ge=1, le=500, description="Most messages of a page.")] = 50,
    cursor: Cursor = None,
    failed: Annotated[Flag, Query(description="Only messages whose last attempt has failed.")] = False,
    event: Annotated[
        str | None, Query(max_length=64, description="Only messages of this event, such as `job.failed`.")
    ] = None,
) -> Response:
    if event is not None and event not in (*CHOICES, TEST):
        raise InvalidInput.at("event", f"is {event!r}{suggestion(event, (*CHOICES, TEST))}")
    page = MessagePage(webhook_id, _cursor(cursor), failed, limit + 1, event)
    found = await pools.read(services.webhooks.messages, caller(request).owner, page)
    items = [message_body(message, last) for message, last in found[:limit]]
    return json_response({"items": items, "next": items[-1]["id"] if len(found) > limit else None})


@router.get(
    "/{webhook_id}/messages/{message_id}",
    summary="Read a message and its attempts",
    response_model=MessageWhole,
)
async def get_message(
    request: Request, services: ServicesDep, webhook_id: WebhookId, message_id: MessageId
) -> Response:
    found = caller(request)
    message, attempts = await pools.read(services.webhooks.message, found.owner, webhook_id, message_id)
    sees_private = found.may(Scope.NODES_READ)
    return json_response(whole_message_body(message, attempts, sees_private=sees_private))


@router.post(
    "/{webhook_id}/messages/{message_id}/redeliver",
    summary="Send a message again",
    status_code=202,
    response_model=MessageInfo,
)
async def redeliver_message(
    request: Request, services: ServicesDep, webhook_id: WebhookId, message_id: MessageId
) -> Response:
    owner = caller(request).owner
    message = await pools.write(services.webhooks.redeliver, owner, webhook_id, message_id)
    return json_response(message_body(message), 202)


def _cursor(text: str | None) -> str | None:
    if text and not _MESSAGE.fullmatch(text):
        raise InvalidInput.at(
            "cursor", f"is {text[:40]!r}, not one of ours; take it from the last answer's next"
        )
    return text or None


DIALECT = ApiModule(
    name="webhooks",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/webhooks", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, owner_methods=READING),
        PathPolicy("/api/v1/webhooks/", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, owner_methods=CHANGING),
    ),
    tags={"webhooks": "Signed messages to your own server about jobs, with retries and a log of deliveries."},
)
