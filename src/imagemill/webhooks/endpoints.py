"""Webhook endpoints of an owner and the messages to them: adding, changing, testing, redelivery."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imagemill.domain.clock import SECOND, now_us, to_datetime, uuid7
from imagemill.domain.errors import Conflict, InvalidInput
from imagemill.domain.signing import CHOICES, TEST, new_secret
from imagemill.net.url_guard import UrlGuard
from imagemill.settings import WebhookSettings
from imagemill.webhooks.store import (
    AddEndpoint,
    DeleteMessages,
    DeliveryAttempt,
    Endpoint,
    Message,
    MessagePage,
    PauseEndpoint,
    Redeliver,
    RemoveEndpoint,
    ResumeEndpoint,
    RotateSecret,
    Secret,
    UpdateEndpoint,
    WebhookStore,
)

_AT_ONCE = 1000
"""The most messages that one transaction changes."""


class EndpointService:
    """The webhook endpoints. All methods but `add` and `list` raise `NotFound`, also for another owner's.

    ``rouse`` is called with an endpoint whose deliveries should be tried at once, despite its back-off.
    """

    def __init__(
        self,
        store: WebhookStore,
        guard: UrlGuard,
        settings: WebhookSettings,
        reset_backoff: Callable[[Endpoint], None],
    ) -> None:
        self._store = store
        self._guard = guard
        self._settings = settings
        self._reset_backoff = reset_backoff

    def add(self, owner: str, url: str, description: str, types: Sequence[str]) -> Endpoint:
        """Add an endpoint with a new secret. Raises `InvalidInput`, `Conflict`."""
        now = now_us()
        endpoint = Endpoint(
            id=uuid7(),
            owner=owner,
            url=self._guard.check_url("url", url),
            description=description,
            types=_checked(types),
            secrets=(Secret(new_secret()),),
            created_at=now,
            updated_at=now,
        )
        self._store.add(AddEndpoint(endpoint, self._settings.endpoints))
        return endpoint

    def list(self, owner: str) -> Sequence[Endpoint]:
        return self._store.endpoints(owner)

    def get(self, owner: str, id: str) -> Endpoint:
        return self._store.endpoint(id, owner)

    def update(self, owner: str, id: str, changes: Mapping[str, Any]) -> Endpoint:
        """Change url, description or types. Raises `InvalidInput`."""
        checked = dict(changes)
        if "url" in checked:
            self._guard.check_url("url", checked["url"])
        if "types" in checked:
            checked["types"] = _checked(checked["types"])
        endpoint = self._store.update(UpdateEndpoint(id, owner, now_us(), checked))
        self._reset_backoff(endpoint)
        return endpoint

    def rotate(self, owner: str, id: str) -> Endpoint:
        """Add a new secret; the former one also signs for a while. Raises `Conflict`."""
        now = now_us()
        until = now + round(self._settings.rotation_s * SECOND)
        return self._store.rotate(RotateSecret(id, owner, now, new_secret(), until))

    def pause(self, owner: str, id: str) -> Endpoint:
        """Pause an endpoint; its messages are kept until it is resumed."""
        return self._store.pause(PauseEndpoint(id, owner, now_us(), "paused by its owner"))

    def resume(self, owner: str, id: str) -> Endpoint:
        endpoint = self._store.resume(ResumeEndpoint(id, owner, now_us()))
        self._reset_backoff(endpoint)
        return endpoint

    def remove(self, owner: str, id: str) -> None:
        # It may have many messages: each transaction deletes some.
        self._store.pause(PauseEndpoint(id, owner, now_us(), "is being deleted"))
        while self._store.delete_messages(DeleteMessages(endpoint_id=id, limit=_AT_ONCE)) == _AT_ONCE:
            pass
        self._store.remove(RemoveEndpoint(id, owner, now_us()))

    def test(self, owner: str, id: str) -> Message:
        """Send a test message, delivered like any other. Raises `Conflict` for a paused endpoint."""
        endpoint, now = self.get(owner, id), now_us()
        if endpoint.paused_at is not None:
            raise Conflict("the endpoint is paused; resume it before you test it")
        body = {"type": TEST, "timestamp": to_datetime(now).isoformat(), "data": {"endpoint": endpoint.id}}
        message = Message(
            id=f"msg_{uuid7(now)}",
            endpoint_id=id,
            job_id=None,
            seq=None,
            type=TEST,
            body=json.dumps(body, separators=(",", ":")),
            created_at=now,
            due_at=now,
            tries=0,
            delivered_at=None,
        )
        self._store.put_message(message)
        self._reset_backoff(endpoint)
        return message

    def redeliver(self, owner: str, id: str, message_id: str) -> Message:
        endpoint = self.get(owner, id)
        self._store.redeliver(Redeliver(id, owner, now_us(), message_id=message_id))
        self._reset_backoff(endpoint)
        return self._store.message(id, message_id)[0]

    def redeliver_failed(self, owner: str, id: str, since: int) -> int:
        """Redeliver all failed messages written since ``since``; return their number."""
        endpoint, now, total = self.get(owner, id), now_us(), 0
        while True:
            request = Redeliver(id, owner, now, since=since, limit=_AT_ONCE)
            total += (count := self._store.redeliver(request))
            if count < _AT_ONCE:
                break
        self._reset_backoff(endpoint)
        return total

    def messages(self, owner: str, page: MessagePage) -> Sequence[tuple[Message, DeliveryAttempt | None]]:
        """Return the newest messages first, each with its last attempt."""
        self.get(owner, page.endpoint_id)
        found = self._store.messages(page)
        last = self._store.last_attempts([message.id for message in found])
        return [(message, last.get(message.id)) for message in found]

    def message(self, owner: str, id: str, message_id: str) -> tuple[Message, Sequence[DeliveryAttempt]]:
        self.get(owner, id)
        return self._store.message(id, message_id)


def _checked(types: Sequence[str]) -> frozenset[str]:
    for index, type_ in enumerate(types):
        if type_ not in CHOICES:
            raise InvalidInput.at(f"events[{index}]", f"is {type_[:40]!r}; write one of {', '.join(CHOICES)}")
    if not types:
        raise InvalidInput.at("events", f"is empty; write some of {', '.join(CHOICES)}, or leave it out")
    return frozenset(types)
