"""Notify: deliver callbacks from the outbox, in order for each job, with back-off."""

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2

from imagemill import logs
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import StorageError
from imagemill.domain.failures import Backoff
from imagemill.metrics.meters import Meters
from imagemill.service.deadline import Deadline
from imagemill.service.guard import Guard, GuardedTransport
from imagemill.store.outbox import Delivered, Delivery
from imagemill.store.store import Store
from imagemill.tracing.tracer import Tracer

log = logging.getLogger(__name__)

_PAGE = 64
_SENDERS = 8
_SENDERS_PER_HOST = 2
"""A receiver that hangs holds no more than these, so it delays nobody else."""

Format = Callable[[Delivery], Mapping[str, Any]]
"""The JSON body of a delivery, in the words of the dialect the job came in."""


@dataclass(frozen=True, slots=True)
class NotifyRules:
    timeout_s: float
    tries: int
    backoff: Backoff
    poll_s: float


class Notifier:
    """``leads``: whether this process is the one that delivers; two would deliver twice."""

    def __init__(
        self,
        store: Store,
        formats: Mapping[str, Format],
        guard: Guard,
        rules: NotifyRules,
        *,
        leads: Callable[[], bool] = lambda: True,
        meters: Meters | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._formats = formats
        self._rules = rules
        self._leads = leads
        self._meters = meters or Meters()
        self._tracer = tracer
        self._client = httpx2.Client(
            transport=GuardedTransport(guard),
            timeout=rules.timeout_s,
            follow_redirects=False,
            headers={"User-Agent": "imagemill"},
        )
        self._pool = ThreadPoolExecutor(_SENDERS, thread_name_prefix="imagemill-callback")
        self._news = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._busy: dict[tuple[str, int], str] = {}
        self._settled: set[tuple[str, int]] = set()
        """Recorded since the outbox was last read: what was read may not know it yet."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="imagemill-notify", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be something to deliver."""
        self._news.set()

    def close(self) -> None:
        self._stop.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                pause_s = self._rules.poll_s
                if self._leads():
                    self._send_due()
                    pause_s = self._pause()
            except StorageError as error:
                log.warning("callbacks are held up: %s", error)
                pause_s = self._rules.poll_s
            self._news.wait(pause_s)
            self._news.clear()

    def _pause(self) -> float:
        due = self._store.next_delivery()
        if due is None:
            return self._rules.poll_s
        return min(self._rules.poll_s, max(0.05, (due - now_us()) / SECOND))

    def _send_due(self) -> None:
        with self._lock:
            self._settled.clear()
        full: set[str] = set()
        while due := self._store.due_deliveries(now_us(), _PAGE, sorted(full)):
            before = len(full)
            for delivery in due:
                if not self._start(delivery):
                    full.add(_receiver(delivery.url))
            # A page of nothing but full receivers may hide others behind it.
            if len(due) < _PAGE or len(full) == before or len(self._busy) >= _SENDERS:
                return

    def _start(self, delivery: Delivery) -> bool:
        """Send it unless its receiver has all the senders it may have (False)."""
        key = (delivery.job.id, delivery.event.seq)
        host = _host(delivery.url)
        with self._lock:
            if key in self._busy or key in self._settled:
                return True
            if Counter(self._busy.values())[host] >= _SENDERS_PER_HOST or len(self._busy) >= _SENDERS:
                return False
            self._busy[key] = host
        self._pool.submit(self._send, delivery, key)
        return True

    def _send(self, delivery: Delivery, key: tuple[str, int]) -> None:
        try:
            with logs.of_job(delivery.job.id, delivery.job.trace):
                self._settle(delivery)
        finally:
            with self._lock:
                self._busy.pop(key, None)
                self._settled.add(key)
            # The job's next event may go now.
            self._news.set()

    def _settle(self, delivery: Delivery) -> None:
        try:
            self._store.record_delivery(self._deliver(delivery))
        except Exception:
            log.exception("a callback could not be recorded")

    def _deliver(self, delivery: Delivery) -> Delivered:
        try:
            body = self._formats[delivery.job.dialect](delivery)
        except Exception:
            log.exception("a bug keeps a callback from being written")
            return Delivered(delivery, now_us(), "the callback could not be written: see the server's log")
        job, event = delivery.job, delivery.event.type
        trace = None if self._tracer is None else self._tracer.of_delivery(job, event)
        if trace is None:
            return self._result(delivery, self._post(delivery, body, {}))
        error = self._post(delivery, body, {"traceparent": trace.header})
        trace.close(delivery.tries + 1, error)
        return self._result(delivery, error)

    def _post(self, delivery: Delivery, body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
        """What went wrong, or None. The answer's body is not read: it is of no use and may be endless."""
        deadline = Deadline()
        stream = self._client.stream(
            "POST", delivery.url, json=body, headers=headers, extensions=deadline.extensions
        )
        try:
            with deadline.within(self._rules.timeout_s), stream as response:
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            if deadline.passed:
                return f"the receiver did not answer within {self._rules.timeout_s:g} s"
            return f"{type(error).__name__}: {error}"
        return None if 200 <= status < 300 else f"the receiver answered {status}"

    def _result(self, delivery: Delivery, error: str | None) -> Delivered:
        now = now_us()
        if error is None:
            self._meters.called_back("delivered")
            return Delivered(delivery, now)
        tries = delivery.tries + 1
        log.warning("callback failed (%d): %s", tries, error)
        self._meters.called_back("given_up" if tries >= self._rules.tries else "failed")
        if tries >= self._rules.tries:
            return Delivered(delivery, now, error)
        delay_s = self._rules.backoff.delay_s(tries, random.random())  # noqa: S311 - spreads retries
        return Delivered(delivery, now, error, again_at=now + round(delay_s * SECOND))


def _host(url: str) -> str:
    try:
        return httpx2.URL(url).host
    except (httpx2.InvalidURL, ValueError):
        return ""


def _receiver(url: str) -> str:
    """The part of a URL that all URLs of its receiver share; a client may use another one for each job."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.partition('/')[0]}"
