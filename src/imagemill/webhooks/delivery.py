"""The postman: takes what is due from an outbox and has it delivered by a bounded number of senders."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import httpx2

from imagemill.domain.errors import StorageError
from imagemill.net.backoff import doubled_s
from imagemill.net.guarded_client import Deadline, UrlGuard, guarded_client

# Delivery slots are limited so that a slow or dead receiver delays nobody else.
#
# A target is one account at one receiver. A target whose last delivery failed or was slow is suspect; one
# that was never called is unproven. Suspect targets share a few of the slots and unproven ones leave some
# free, so a healthy receiver always finds a slot. A target that fails repeatedly is blocked for a while: a
# dead receiver then costs one try a minute, not one for each waiting message.

SENDERS = 32
_UNPROVEN = 24
"""Senders that lanes may hold together which are not known to be well."""
_SUSPECTS = 8
_OF_ACCOUNT = 8
_OF_RECEIVER = 8
_OF_LANE = 4
_SLOW_S = 1.0
"""An answer that takes longer makes a lane a suspect: it holds a sender where others need milliseconds."""
_RESTS_AFTER = 3
"""Failures in a row: one or two may be the fault of a message."""
_LONGEST_REST_S = 60.0
_MOST_KNOWN = 20_000
"""Lanes that are remembered."""


@dataclass(frozen=True, slots=True)
class DeliveryTarget:
    account: str
    receiver: str
    """Scheme, host and port of its URL."""
    endpoint: str = ""
    """What tells one thing that is called there from others, where they are known apart."""


@dataclass(frozen=True, slots=True)
class BlockedTarget:
    """What gets no sender now; None: of any."""

    account: str | None = None
    receiver: str | None = None
    endpoint: str | None = None

    def covers(self, target: DeliveryTarget) -> bool:
        return (
            self.account in (None, target.account)
            and self.receiver in (None, target.receiver)
            and self.endpoint in (None, target.endpoint)
        )


@dataclass(slots=True)
class _Record:
    failures: int = 0
    is_slow: bool = False
    rests_until: float = 0.0

    @property
    def is_suspect(self) -> bool:
        return self.is_slow or self.failures > 0


class DeliverySlots:
    """Times are seconds of a monotonic clock. ``rest_s``: the first rest of a lane; each next one doubles."""

    def __init__(self, *, rest_s: float) -> None:
        self._rest_s = rest_s
        self._lock = threading.Lock()
        self._busy: dict[Hashable, DeliveryTarget] = {}
        self._known: dict[DeliveryTarget, _Record] = {}

    @property
    def are_all_busy(self) -> bool:
        return len(self._busy) >= SENDERS

    def is_busy(self, key: Hashable) -> bool:
        return key in self._busy

    def take(self, key: Hashable, target: DeliveryTarget, now: float) -> BlockedTarget | None:
        """Hold a sender for ``key``; what has to wait when there is none for it."""
        with self._lock:
            hold = self._hold(target, now)
            if hold is None:
                self._busy[key] = target
            return hold

    def is_held(self, target: DeliveryTarget, now: float) -> bool:
        """Whether there is no sender for the lane now."""
        with self._lock:
            return self._hold(target, now) is not None

    def give_back(self, key: Hashable, *, well: bool, took_s: float, now: float) -> None:
        with self._lock:
            target = self._busy.pop(key)
            if len(self._known) >= _MOST_KNOWN and target not in self._known:
                self._known.clear()
            record = self._known.setdefault(target, _Record())
            record.is_slow = took_s > _SLOW_S
            record.failures = 0 if well else record.failures + 1
            over = record.failures - _RESTS_AFTER
            rest_s = doubled_s(self._rest_s, over, _LONGEST_REST_S)
            record.rests_until = now + rest_s if over >= 0 else 0.0

    def reset_backoff(self, target: DeliveryTarget) -> None:
        """It need not rest any longer. What is known of it stays: nobody gets more senders by saying so."""
        with self._lock:
            if target in self._known:
                self._known[target].rests_until = 0.0

    def _hold(self, target: DeliveryTarget, now: float) -> BlockedTarget | None:
        busy, known = self._busy.values(), self._known.get(target)
        suspect = known is not None and known.is_suspect
        whole = BlockedTarget(target.account, target.receiver, target.endpoint)
        if known is not None and now < known.rests_until:
            return whole
        if sum(each == target for each in busy) >= (1 if suspect else _OF_LANE):
            return whole
        if Counter(each.account for each in busy)[target.account] >= _OF_ACCOUNT:
            return BlockedTarget(account=target.account)
        if Counter(each.receiver for each in busy)[target.receiver] >= _OF_RECEIVER:
            return BlockedTarget(receiver=target.receiver)
        if known is None or suspect:
            records = [self._known.get(each) for each in busy]
            suspects = sum(record is not None and record.is_suspect for record in records)
            unproven = suspects + sum(record is None for record in records)
            if unproven >= _UNPROVEN or (suspect and suspects >= _SUSPECTS):
                return whole
        return whole if len(self._busy) >= SENDERS else None


log = logging.getLogger(__name__)

_PAGE = 64
_SHORTEST_PAUSE_S = 0.05

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class PendingDelivery(Generic[Content]):
    """Something to deliver. ``key`` tells it from all others of its outbox."""

    key: Hashable
    target: DeliveryTarget
    content: Content


class DeliverySource(Protocol[Content]):
    def due(self, limit: int, held: Sequence[BlockedTarget]) -> Sequence[PendingDelivery[Content]]:
        """What may be delivered now and is not ``held``; less than ``limit`` when that is all."""
        ...

    def pause_s(self) -> float | None:
        """Until the next is due, where the outbox knows it."""
        ...

    def deliver(self, content: Content) -> bool:
        """Send it and record how that went; whether the receiver took it. Raises nothing but bugs."""
        ...


class DeliveryWorker(Generic[Content]):
    """``leads``: whether this process is the one that delivers; two would deliver twice."""

    def __init__(
        self,
        outbox: DeliverySource[Content],
        *,
        name: str,
        poll_s: float,
        rest_s: float,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._outbox = outbox
        self._name = name
        self._poll_s = poll_s
        self._leads = leads
        self._slots = DeliverySlots(rest_s=rest_s)
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix=f"imagemill-{name}")
        self._news = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._settled: set[Hashable] = set()
        """Recorded since the outbox was last read: what was read may not know it yet."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name=f"imagemill-{self._name}s", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be something to deliver."""
        self._news.set()

    def is_held(self, target: DeliveryTarget) -> bool:
        """Whether what is due there would have to wait now: an outbox need not read it."""
        return self._slots.is_held(target, time.monotonic())

    def reset_backoff(self, target: DeliveryTarget) -> None:
        """The lane need not rest any longer."""
        self._slots.reset_backoff(target)
        self._news.set()

    def close(self) -> None:
        self._stop.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _serve(self) -> None:
        while not self._stop.is_set():
            pause_s = self._poll_s
            try:
                # Whoever gives a sender back says so; until then what is held would be due in vain.
                if self._leads() and not self._send_due():
                    pause_s = self._pause()
            except StorageError as error:
                log.warning("%ss are held up: %s", self._name, error)
            except Exception:
                log.exception("the delivery of %ss met a bug and goes on", self._name)
            self._news.wait(pause_s)
            self._news.clear()

    def _pause(self) -> float:
        due_s = self._outbox.pause_s()
        return self._poll_s if due_s is None else min(self._poll_s, max(_SHORTEST_PAUSE_S, due_s))

    def _send_due(self) -> bool:
        """Whether something that is due had to wait."""
        with self._lock:
            self._settled.clear()
        held: list[BlockedTarget] = []
        while due := self._outbox.due(_PAGE, held):
            before = len(held)
            for delivery in due:
                if not any(hold.covers(delivery.target) for hold in held) and (hold := self._start(delivery)):
                    held.append(hold)
            # A page of nothing but what is held may hide others behind it.
            if len(due) < _PAGE or len(held) == before or self._slots.are_all_busy or self._stop.is_set():
                break
        return bool(held)

    def _start(self, delivery: PendingDelivery[Content]) -> BlockedTarget | None:
        """Send it, or say what has to wait."""
        with self._lock:
            if self._slots.is_busy(delivery.key) or delivery.key in self._settled:
                return None
            hold = self._slots.take(delivery.key, delivery.target, time.monotonic())
        if hold is None:
            self._pool.submit(self._send, delivery)
        return hold

    def _send(self, delivery: PendingDelivery[Content]) -> None:
        begin, well = time.monotonic(), False
        try:
            well = self._outbox.deliver(delivery.content)
        except Exception:
            log.exception("a %s could not be recorded", self._name)
        finally:
            now = time.monotonic()
            with self._lock:
                self._slots.give_back(delivery.key, well=well, took_s=now - begin, now=now)
                self._settled.add(delivery.key)
            # What comes after it may go now.
            self._news.set()


_HEADERS = {"User-Agent": "imagemill", "Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class PostResult:
    status: int | None
    """None: there was no answer."""
    error: str | None
    """What went wrong; None: the receiver took it."""
    took_ms: int


class HttpPoster:
    """``timeout_s``: for looking the host up, connecting, sending and the answer, all together."""

    def __init__(self, guard: UrlGuard, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client = guarded_client(guard, timeout_s=timeout_s, headers=_HEADERS)

    def close(self) -> None:
        self._client.close()

    def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> PostResult:
        """Raises nothing."""
        begin = time.monotonic()
        status, error = self._exchange(url, content, headers)
        return PostResult(status, error, round((time.monotonic() - begin) * 1000))

    def _exchange(
        self, url: str, content: bytes, headers: Mapping[str, str] | None
    ) -> tuple[int | None, str | None]:
        deadline = Deadline(self._timeout_s)
        stream = self._client.stream(
            "POST", url, content=content, headers=headers, extensions=deadline.extensions
        )
        try:
            # The answer's body is not read: it is of no use and may be endless.
            with deadline.running(), stream as response:
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            if deadline.passed:
                return None, f"the receiver did not answer within {self._timeout_s:g} s"
            return None, f"{type(error).__name__}: {error}"
        if 300 <= status < 400:
            return status, f"the receiver answered {status}; redirects are not followed"
        return status, None if 200 <= status < 300 else f"the receiver answered {status}"


def target_of(owner: str, url: str, target: str = "") -> DeliveryTarget:
    """The lane of a delivery; an account and its end users are one."""
    return DeliveryTarget(owner.partition(":")[0], receiver_of(url), target)


def receiver_of(url: str) -> str:
    """The part of a URL that all URLs of its receiver share; a client may use another one for each job."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.partition('/')[0]}"
