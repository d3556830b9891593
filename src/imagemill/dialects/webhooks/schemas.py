"""What the webhooks' API reads and answers, and what its messages say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import from_json

from imagemill.dialects.native.schemas import job_body, moment
from imagemill.domain.clock import now_us
from imagemill.domain.signing import UrlSigner
from imagemill.domain.webhooks import CHOICES, ENDS
from imagemill.service.messages import Told
from imagemill.store.endpoints import Endpoint
from imagemill.store.webhooks import Attempt, Message
from imagemill.web.stream import event_body

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


def message_body(message: Message, last: Attempt | None = None) -> dict[str, Any]:
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


def whole_message_body(message: Message, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """With what was sent last, and every attempt."""
    return message_body(message, attempts[-1] if attempts else None) | {
        "body": from_json(message.body) if message.body else None,
        "attempts": [attempt_body(attempt) for attempt in attempts],
    }


def _message_state(message: Message) -> str:
    if message.due_at is not None:
        return "waiting"
    return "delivered" if message.delivered_at is not None else "failed"


def attempt_body(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": moment(attempt.at),
        "status": attempt.status,
        "error": attempt.error,
        "ms": attempt.took_ms,
    }


def renderer(signer: UrlSigner, base_url: str) -> Callable[[Told], Mapping[str, Any]]:
    """``base_url``: where pictures can be fetched from outside."""

    def render(told: Told) -> Mapping[str, Any]:
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
