"""Messages: deliver what endpoints of webhooks wait for, signed, in order for each job, with back-off."""

import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagemill.accounts.store import AccountStore
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.events import Event
from imagemill.domain.signing import sign
from imagemill.jobs.store.queries import View
from imagemill.jobs.store.store import JobStore
from imagemill.net.guarded_client import UrlGuard
from imagemill.observability.metrics import Metrics
from imagemill.observability.tracing import DeliveryTrace, Tracer
from imagemill.settings import WebhookSettings
from imagemill.webhooks.delivery import (
    BlockedTarget,
    DeliveryTarget,
    DeliveryWorker,
    HttpPoster,
    PendingDelivery,
    PostResult,
    target_of,
)
from imagemill.webhooks.store import (
    DeleteMessages,
    DeliveryAttempt,
    Endpoint,
    Message,
    RecordAttempt,
    WebhookStore,
)

log = logging.getLogger(__name__)

_HEADS = 8
"""Messages looked at for each endpoint: twice what it may have on their way."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """What a message tells of."""

    type: str
    event: Event
    view: View
    """The job as it is when the message is sent."""
    user: str | None
    """The end user of the account whose job it is."""


Render = Callable[[WebhookEvent], Mapping[str, Any]]
"""The JSON body of a message."""
Sending = tuple[Endpoint, Message]


class WebhookDispatcher:
    """``leads``: whether this process is the one that delivers; two would deliver twice."""

    def __init__(
        self,
        store: WebhookStore,
        jobs: JobStore,
        accounts: AccountStore,
        guard: UrlGuard,
        settings: WebhookSettings,
        render: Render,
        *,
        poll_s: float,
        leads: Callable[[], bool] = lambda: True,
        meters: Metrics | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._accounts = accounts
        self._settings = settings
        self._render = render
        self._meters = meters or Metrics()
        self._tracer = tracer
        self._poster = HttpPoster(guard, settings.timeout_s)
        self._postman = DeliveryWorker(
            self, name="webhook", poll_s=poll_s, rest_s=settings.retry_base_s, leads=leads
        )

    def start(self) -> None:
        self._postman.start()

    def wake(self) -> None:
        """There may be something to deliver."""
        self._postman.wake()

    def reset_backoff(self, endpoint: Endpoint) -> None:
        """Whatever it did before, it is to be tried at once."""
        self._postman.reset_backoff(_lane(endpoint))

    def close(self) -> None:
        self._postman.close()
        self._poster.close()

    def prune(self) -> int:
        """Delete messages past their retention, a bounded number at a time; how many."""
        oldest = f"msg_{uuid7(now_us() - round(self._settings.retention_s * SECOND))}"
        pruned, shed = 0, DeleteMessages(before=oldest)
        while count := self._store.delete_messages(shed):
            pruned += count
        return pruned

    # What the postman asks

    def due(self, limit: int, held: Sequence[BlockedTarget]) -> Sequence[PendingDelivery[Sending]]:
        now = now_us()
        deliveries: list[PendingDelivery[Sending]] = []
        for endpoint in self._store.waiting(now):
            target = _lane(endpoint)
            # Bad receivers have waited longest, and would be looked through before those that are well.
            if any(hold.covers(target) for hold in held) or self._postman.is_held(target):
                continue
            messages = self._store.heads(endpoint.id, now, _HEADS)
            deliveries += [PendingDelivery(message.id, target, (endpoint, message)) for message in messages]
            if len(deliveries) >= limit:
                break
        return deliveries

    def pause_s(self) -> float | None:
        return None

    def deliver(self, content: Sending) -> bool:
        endpoint, message = content
        told = self._event(message)
        body = self._body(message, told)
        if body is None:
            why = "the message could not be written: its job is gone, or see the server's log"
            posted = PostResult(None, why, 0)
        else:
            posted = self._post(endpoint, message, body, self._trace(told))
        tried = self._record(message, body or "", posted, may_return=body is not None)
        if self._store.record(tried):
            # Once it is resumed nothing more should be waited for.
            self.reset_backoff(endpoint)
        return posted.error is None

    def _post(
        self, endpoint: Endpoint, message: Message, body: str, trace: DeliveryTrace | None
    ) -> PostResult:
        headers = _headers(endpoint, message, body)
        if trace is None:
            return self._poster.post(endpoint.url, body.encode(), headers)
        posted = self._poster.post(endpoint.url, body.encode(), headers | {"traceparent": trace.header})
        trace.close(message.tries + 1, posted.error)
        return posted

    def _trace(self, told: WebhookEvent | None) -> DeliveryTrace | None:
        if told is None or self._tracer is None:
            return None
        return self._tracer.delivery("webhook", told.view.job, told.event.type)

    def _body(self, message: Message, told: WebhookEvent | None) -> str | None:
        """As the job is now, so that what it links to can be fetched; once the job is gone, as it was."""
        if told is None:
            return message.body
        try:
            return json.dumps(self._render(told), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except Exception:
            log.exception("a bug keeps a webhook from being written", extra={"job": message.job_id})
            return message.body

    def _event(self, message: Message) -> WebhookEvent | None:
        """None: of no job, or of one that is gone. Raises `StorageError`: the message stays due."""
        if (job_id := message.job_id) is None:
            return None
        view = self._jobs.views_by_id([job_id]).get(job_id)
        events = self._jobs.events_after(job_id, (message.seq or 1) - 1, limit=1)
        if view is None or not events:
            return None
        owner = self._accounts.owner(view.job.owner)
        user = owner.name if owner is not None and owner.parent is not None else None
        return WebhookEvent(message.type, events[0], view, user)

    def _record(self, message: Message, body: str, posted: PostResult, *, may_return: bool) -> RecordAttempt:
        now, settings = now_us(), self._settings
        attempt = DeliveryAttempt(0, now, posted.status, posted.error, posted.took_ms)
        if posted.error is None:
            self._meters.webhook_sent("delivered")
            return RecordAttempt(message, body, attempt)
        tries = message.tries + 1
        log.warning("webhook failed (%d): %s", tries, posted.error, extra={"endpoint": message.endpoint_id})
        is_last = tries >= settings.tries or not may_return
        self._meters.webhook_sent("given_up" if is_last else "failed")
        delay_s = settings.backoff.delay_s(tries, random.random())  # noqa: S311 - spreads retries
        return RecordAttempt(
            message,
            body,
            attempt,
            again_at=None if is_last else now + round(delay_s * SECOND),
            is_gone=posted.status == _GONE,
            failing_before=now - round(settings.pause_after_s * SECOND),
        )


def _lane(endpoint: Endpoint) -> DeliveryTarget:
    return target_of(endpoint.owner, endpoint.url, endpoint.id)


def _headers(endpoint: Endpoint, message: Message, body: str) -> dict[str, str]:
    now = now_us()
    timestamp_s = now // SECOND
    signatures = [
        sign(secret, message.id, timestamp_s, body.encode()) for secret in endpoint.valid_secrets(now)
    ]
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }
