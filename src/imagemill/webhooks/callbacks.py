"""Callbacks: deliver them from the outbox, in order for each job, with retries and back-off."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imagemill.domain.clock import SECOND, now_us, random_fraction
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError
from imagemill.net.url_guard import UrlGuard
from imagemill.observability import logs
from imagemill.observability.metrics import Metrics
from imagemill.observability.tracing import Tracer
from imagemill.settings import WebhookSettings
from imagemill.webhooks.delivery import BlockedTarget, DeliveryWorker, HttpPoster, PendingDelivery, target_of
from imagemill.webhooks.outbox import CallbackOutbox, Delivered, Delivery, Exclusion

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SignedPayload:
    body: Mapping[str, Any]
    headers: Callable[[bytes], Mapping[str, str]]
    """Returns the headers for the body as it is sent."""


Format = Callable[[Delivery], Mapping[str, Any] | SignedPayload | None]
"""Returns the JSON body of a delivery in the dialect of its job, with headers where it has some; None means
that no callback is sent for this event."""


class CallbackDispatcher:
    """Delivers callbacks in the process where ``leads`` returns True; two processes would deliver twice."""

    def __init__(
        self,
        store: CallbackOutbox,
        formats: Mapping[str, Format],
        guard: UrlGuard,
        settings: WebhookSettings,
        *,
        poll_s: float,
        idle_s: Callable[[], float] | None = None,
        leads: Callable[[], bool] = lambda: True,
        meters: Metrics | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._formats = formats
        self._settings = settings
        self._meters = meters or Metrics()
        self._tracer = tracer
        self._poster = HttpPoster(guard, settings.timeout_s)
        self._worker = DeliveryWorker(
            self,
            name="callback",
            poll_s=poll_s,
            rest_s=settings.retry_base_s,
            idle_s=idle_s,
            leads=leads,
        )

    def start(self) -> None:
        self._worker.start()

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._worker.wake()

    def close(self) -> None:
        self._worker.close()
        self._poster.close()

    # The source of the delivery worker

    def due(self, limit: int, held: Sequence[BlockedTarget]) -> Sequence[PendingDelivery[Delivery]]:
        without = [Exclusion(hold.account, hold.receiver) for hold in held]
        return [
            PendingDelivery((one.job.id, one.event.seq), target_of(one.job.owner, one.url), one)
            for one in self._store.due(now_us(), limit, without)
        ]

    def pause_s(self) -> float | None:
        due = self._store.next_due()
        return math.inf if due is None else (due - now_us()) / SECOND

    def deliver(self, content: Delivery) -> bool:
        with logs.of_job(content.job.id, content.job.trace):
            result = self._deliver(content)
            self._store.record(result)
        return result.error is None

    def _deliver(self, delivery: Delivery) -> Delivered:
        try:
            written = self._formats[delivery.job.dialect](delivery)
        except StorageError as error:
            return self._result(
                delivery, f"the body cannot be written now, the database is unavailable: {error}"
            )
        except Exception:
            log.exception("a bug prevented the body of a callback from being written")
            return Delivered(delivery, now_us(), "the callback could not be written: see the server's log")
        if written is None:
            return Delivered(delivery, now_us())
        payload = written if isinstance(written, SignedPayload) else SignedPayload(written, _no_headers)
        job, event = delivery.job, delivery.event.type
        trace = None if self._tracer is None else self._tracer.delivery("callback", job, event)
        if trace is None:
            return self._result(delivery, self._post(delivery, payload, {}))
        error = self._post(delivery, payload, {"traceparent": trace.header})
        trace.close(delivery.tries + 1, error)
        return self._result(delivery, error)

    def _post(self, delivery: Delivery, payload: SignedPayload, headers: Mapping[str, str]) -> str | None:
        """Send a delivery; return the error, or None on success."""
        text = json.dumps(payload.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        content = text.encode()
        return self._poster.post(delivery.url, content, {**payload.headers(content), **headers}).error

    def _result(self, delivery: Delivery, error: str | None) -> Delivered:
        now = now_us()
        if error is None:
            self._meters.callback_sent("delivered")
            return Delivered(delivery, now)
        tries = delivery.tries + 1
        log.warning("callback failed (%d): %s", tries, error)
        self._meters.callback_sent("given_up" if tries >= self._settings.tries else "failed")
        if tries >= self._settings.tries:
            return Delivered(delivery, now, error)
        delay_s = self._settings.backoff.delay_s(tries, random_fraction())
        return Delivered(delivery, now, error, again_at=now + round(delay_s * SECOND))


def _no_headers(_: bytes) -> Mapping[str, str]:
    return {}
