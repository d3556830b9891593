"""Webhook messages: deliver them signed, in order for each job, with retries and back-off."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imagemill.accounts.store import AccountStore
from imagemill.domain.clock import SECOND, now_us, random_fraction, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import Event
from imagemill.domain.signing import sign
from imagemill.jobs.store.queries import View
from imagemill.jobs.store.store import JobStore
from imagemill.net.url_guard import UrlGuard
from imagemill.observability.metrics import Metrics
from imagemill.observability.tracing import DeliveryTrace, Tracer
from imagemill.settings import WebhookSettings
from imagemill.webhooks.delivery import (
    HEADERS,
    BlockedTarget,
    DeliveryTarget,
    DeliveryWorker,
    HttpPoster,
    PendingDelivery,
    PostResult,
    target_of,
)
from imagemill.webhooks.exchanges import Exchange
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
"""Messages read for each endpoint: twice the number that may be under way to it."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """The event of a message."""

    type: str
    event: Event
    view: View
    """The job as it is when the message is sent."""
    user: str | None
    """The end user of the account whose job it is."""


Render = Callable[[WebhookEvent], Mapping[str, Any]]
"""The JSON body of a message."""
WebhookData = Callable[[WebhookEvent], Mapping[str, Any]]
"""Writes what a message says about a job, in the form of the job's dialect."""
Sending = tuple[Endpoint, Message]


class WebhookDispatcher:
    """Delivers messages in the process where ``leads`` returns True; two processes would deliver twice."""

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
        idle_s: Callable[[], float] | None = None,
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
        self._next_due = math.inf
        """When the first message is due, as of the last look."""
        self._worker = DeliveryWorker(
            self,
            name="webhook",
            poll_s=poll_s,
            rest_s=settings.retry_base_s,
            idle_s=idle_s,
            leads=leads,
        )

    def start(self) -> None:
        self._worker.start()

    def wake(self) -> None:
        """Look for due messages now."""
        self._worker.wake()

    def reset_backoff(self, endpoint: Endpoint) -> None:
        """Try the endpoint's messages at once, despite earlier failures."""
        self._worker.reset_backoff(_target(endpoint))

    def close(self) -> None:
        self._worker.close()
        self._poster.close()

    def prune(self) -> int:
        """Delete messages past their retention in bounded transactions; return their number."""
        oldest = f"msg_{uuid7(now_us() - round(self._settings.retention_s * SECOND))}"
        pruned, shed = 0, DeleteMessages(before=oldest)
        while count := self._store.delete_messages(shed):
            pruned += count
        return pruned

    # The source of the delivery worker

    def due(self, limit: int, held: Sequence[BlockedTarget]) -> Sequence[PendingDelivery[Sending]]:
        now = now_us()
        deliveries: list[PendingDelivery[Sending]] = []
        waiting = self._store.waiting()
        self._next_due = min((due_at for _, due_at in waiting), default=math.inf)
        for endpoint, due_at in waiting:
            if due_at > now:
                break
            target = _target(endpoint)
            # Failing receivers have waited longest and would otherwise be read before the healthy ones.
            if any(hold.covers(target) for hold in held) or self._worker.is_held(target):
                continue
            messages = self._store.heads(endpoint.id, now, _HEADS)
            deliveries += [PendingDelivery(message.id, target, (endpoint, message)) for message in messages]
            if len(deliveries) >= limit:
                break
        return deliveries

    def pause_s(self) -> float | None:
        now = now_us()
        # What is due and was not sent may be held back by an earlier message of its job.
        return None if self._next_due <= now else (self._next_due - now) / SECOND

    def deliver(self, content: Sending) -> bool:
        endpoint, message = content
        event = self._event(message)
        body = self._body(message, event)
        if body is None:
            why = "the message could not be written: its job is gone, or see the server's log"
            tried = self._record(message, "", PostResult(None, why, 0), {}, may_return=False)
        else:
            headers = _headers(endpoint, message, body)
            trace = self._trace(event)
            if trace is not None:
                headers["traceparent"] = trace.header
            posted = self._poster.post(endpoint.url, body.encode(), headers, keep_answer=True)
            if trace is not None:
                trace.close(message.tries + 1, posted.error)
            tried = self._record(message, body, posted, HEADERS | headers, may_return=True)
        if self._store.record(tried):
            # The endpoint is paused; once resumed, its messages should not wait for the back-off.
            self.reset_backoff(endpoint)
        return tried.attempt.error is None

    def _trace(self, event: WebhookEvent | None) -> DeliveryTrace | None:
        if event is None or self._tracer is None:
            return None
        return self._tracer.delivery("webhook", event.view.job, event.event.type)

    def _body(self, message: Message, event: WebhookEvent | None) -> str | None:
        """Return the body for the job's current state, so that its links work; or the last body sent."""
        if event is None:
            return message.body
        try:
            return json.dumps(self._render(event), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except Exception:
            log.exception(
                "a bug prevented the body of a webhook message from being written",
                extra={"job": message.job_id},
            )
            return message.body

    def _event(self, message: Message) -> WebhookEvent | None:
        """Return the event, or None without a job. Raises `StorageError`; the message stays due then."""
        if (job_id := message.job_id) is None:
            return None
        view = self._jobs.views_by_id([job_id]).get(job_id)
        events = self._jobs.events_after(job_id, (message.seq or 1) - 1, limit=1)
        if view is None or not events:
            return None
        owner = self._accounts.owner(view.job.owner)
        user = owner.name if owner is not None and owner.parent is not None else None
        return WebhookEvent(message.type, events[0], view, user)

    def _record(
        self,
        message: Message,
        body: str,
        posted: PostResult,
        headers: Mapping[str, str],
        *,
        may_return: bool,
    ) -> RecordAttempt:
        now, settings = now_us(), self._settings
        exchange = Exchange(headers, posted.answer)
        attempt = DeliveryAttempt(0, now, posted.status, posted.error, posted.took_ms, exchange)
        if posted.error is None:
            self._meters.webhook_sent("delivered")
            return RecordAttempt(message, body, attempt)
        tries = message.tries + 1
        log.warning("webhook failed (%d): %s", tries, posted.error, extra={"endpoint": message.endpoint_id})
        is_last = tries >= settings.tries or not may_return
        self._meters.webhook_sent("given_up" if is_last else "failed")
        delay_s = settings.backoff.delay_s(tries, random_fraction())
        return RecordAttempt(
            message,
            body,
            attempt,
            again_at=None if is_last else now + round(delay_s * SECOND),
            is_gone=posted.status == _GONE,
            failing_before=now - round(settings.pause_after_s * SECOND),
        )


def _target(endpoint: Endpoint) -> DeliveryTarget:
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
