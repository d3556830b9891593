"""Delivery: a worker takes due deliveries from an outbox; a bounded number of senders posts them."""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Generic, Protocol, TypedDict, TypeVar

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError
from imagemill.net.backoff import doubled_s
from imagemill.net.url_guard import UrlGuard

if TYPE_CHECKING:
    import httpx2

    from imagemill.net.guarded_client import Deadline

log = logging.getLogger(__name__)

_PAGE = 64
"""Deliveries read from an outbox at once."""
_SHORTEST_PAUSE_S = 0.05
HEADERS = {"User-Agent": "imagemill", "Content-Type": "application/json", "Accept-Encoding": "identity"}

# Delivery slots
#
# Delivery slots, the senders, are limited so that a slow or dead receiver does not delay others.
#
# A target is one account at one receiver. A target whose last delivery failed or was slow is suspect; one
# that was never called is unproven. Suspect targets share a few of the slots and unproven ones leave some
# free, so a healthy receiver always finds a slot. A target that fails repeatedly is blocked for a while: a
# dead receiver then costs one try a minute, not one for each waiting message.

SENDERS = 32
"""Deliveries of one outbox at once. The next five numbers are the most of them for some targets together."""
_UNPROVEN = 24
"""For unproven and suspect targets."""
_SUSPECTS = 8
"""For suspect targets."""
_OF_ACCOUNT = 8
_OF_RECEIVER = 8
_OF_TARGET = 4
_SLOW_S = 1.0
"""A longer delivery, in seconds, makes its target suspect: it holds a slot for which others need
milliseconds."""
_BLOCKED_AFTER = 3
"""Failures in a row that block a target; one or two may be caused by a message."""
_LONGEST_BLOCK_S = 60.0
_MOST_KNOWN = 20_000
"""Targets whose record is kept."""


@dataclass(frozen=True, slots=True)
class DeliveryTarget:
    account: str
    receiver: str
    """Scheme, host and port of its URL."""
    endpoint: str = ""
    """The id of a webhook endpoint; empty for callbacks."""


@dataclass(frozen=True, slots=True)
class BlockedTarget:
    """Targets that get no sender now; None means any account, receiver or endpoint."""

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
    blocked_until: float = 0.0

    @property
    def is_suspect(self) -> bool:
        return self.is_slow or self.failures > 0


class DeliverySlots:
    """The senders and the record of each target. Times are seconds of a monotonic clock.

    A target is blocked for ``rest_s`` seconds at first; each next block is twice as long.
    """

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
        """Reserve a sender for ``key``, or return the targets that must wait."""
        with self._lock:
            hold = self._hold(target, now)
            if hold is None:
                self._busy[key] = target
            return hold

    def is_held(self, target: DeliveryTarget, now: float) -> bool:
        """Whether there is no sender for the target now."""
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
            over = record.failures - _BLOCKED_AFTER
            rest_s = doubled_s(self._rest_s, over, _LONGEST_BLOCK_S)
            record.blocked_until = now + rest_s if over >= 0 else 0.0

    def reset_backoff(self, target: DeliveryTarget) -> None:
        """Unblock a target. Its record is kept, so this gives it no more senders than before."""
        with self._lock:
            if target in self._known:
                self._known[target].blocked_until = 0.0

    def _hold(self, target: DeliveryTarget, now: float) -> BlockedTarget | None:
        busy, known = self._busy.values(), self._known.get(target)
        suspect = known is not None and known.is_suspect
        whole = BlockedTarget(target.account, target.receiver, target.endpoint)
        if known is not None and now < known.blocked_until:
            return whole
        if sum(each == target for each in busy) >= (1 if suspect else _OF_TARGET):
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


# The worker

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class PendingDelivery(Generic[Content]):
    """A delivery of an outbox; ``key`` is unique in it."""

    key: Hashable
    target: DeliveryTarget
    content: Content


class DeliverySource(Protocol[Content]):
    def due(self, limit: int, held: Sequence[BlockedTarget]) -> Sequence[PendingDelivery[Content]]:
        """Return due deliveries that are not ``held``; fewer than ``limit`` means that there are no more."""
        ...

    def pause_s(self) -> float | None:
        """Return the seconds until the next delivery is due, infinity without one; None if unknown."""
        ...

    def deliver(self, content: Content) -> bool:
        """Send a delivery and record the result; return whether it succeeded. Raises only for bugs."""
        ...


class DeliveryPauses(TypedDict):
    """When a `DeliveryWorker` reads its outbox."""

    poll_s: float
    idle_s: Callable[[], float]
    leads: Callable[[], bool]


class DeliveryWorker(Generic[Content]):
    """Delivers from an outbox in the process where ``leads`` returns True; two would deliver twice.

    The outbox is read again after ``poll_s`` seconds at most, or as many as ``idle_s`` returns while it says
    when the next delivery is due.
    """

    def __init__(
        self,
        outbox: DeliverySource[Content],
        *,
        name: str,
        poll_s: float,
        rest_s: float,
        idle_s: Callable[[], float] | None = None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._outbox = outbox
        self._name = name
        self._poll_s = poll_s
        self._idle_s = idle_s or (lambda: poll_s)
        self._leads = leads
        self._slots = DeliverySlots(rest_s=rest_s)
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix=f"imagemill-{name}")
        self._wake_up = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._settled: set[Hashable] = set()
        """Deliveries recorded since the outbox was last read: the deliveries read then may include them."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name=f"imagemill-{self._name}s", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._wake_up.set()

    def is_held(self, target: DeliveryTarget) -> bool:
        """Whether deliveries to the target would have to wait now, so that an outbox need not read them."""
        return self._slots.is_held(target, time.monotonic())

    def reset_backoff(self, target: DeliveryTarget) -> None:
        """Unblock a target and look for its deliveries now."""
        self._slots.reset_backoff(target)
        self._wake_up.set()

    def close(self) -> None:
        self._stop.set()
        self._wake_up.set()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _serve(self) -> None:
        while not self._stop.is_set():
            pause_s = self._poll_s
            try:
                # A free sender sets the event; until then held deliveries could not be sent anyway.
                if self._leads() and not self._send_due():
                    pause_s = self._pause()
            except StorageError as error:
                log.warning("%ss are delayed, the database cannot be read: %s", self._name, error)
            except Exception:
                log.exception("a bug interrupted the delivery of %ss; it continues", self._name)
            self._wake_up.wait(pause_s)
            self._wake_up.clear()

    def _pause(self) -> float:
        due_s = self._outbox.pause_s()
        return self._poll_s if due_s is None else min(self._idle_s(), max(_SHORTEST_PAUSE_S, due_s))

    def _send_due(self) -> bool:
        """Start due deliveries; return whether any had to wait."""
        with self._lock:
            self._settled.clear()
        held: list[BlockedTarget] = []
        while due := self._outbox.due(_PAGE, held):
            before = len(held)
            for delivery in due:
                if not any(hold.covers(delivery.target) for hold in held) and (hold := self._start(delivery)):
                    held.append(hold)
            # A page of held deliveries only may be followed by others.
            if len(due) < _PAGE or len(held) == before or self._slots.are_all_busy or self._stop.is_set():
                break
        return bool(held)

    def _start(self, delivery: PendingDelivery[Content]) -> BlockedTarget | None:
        """Start a delivery, or return the targets that must wait."""
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
            log.exception("the result of a %s could not be recorded", self._name)
        finally:
            now = time.monotonic()
            with self._lock:
                self._slots.give_back(delivery.key, well=well, took_s=now - begin, now=now)
                self._settled.add(delivery.key)
            # The next delivery of the same job may be sent now.
            self._wake_up.set()


# Posting


@dataclass(frozen=True, slots=True)
class PostAnswer:
    """The beginning of a receiver's answer."""

    headers: Mapping[str, str]
    body: str
    """At most `ANSWER_BYTES`."""
    is_private: bool
    """Whether the receiver has no public address: its answers are for operators only."""


@dataclass(frozen=True, slots=True)
class PostResult:
    status: int | None
    """None means that there was no answer."""
    error: str | None
    """None means success."""
    took_ms: int
    answer: PostAnswer | None = None
    """None without an answer, and where it was not asked for."""


ANSWER_BYTES = 4096
_ANSWER_S = 0.5
"""Seconds that reading the beginning of an answer may take, as it holds a sender."""
_MOST_HEADERS = 40
_LONGEST_HEADER = 1000


class HttpPoster:
    """Posts bodies. ``timeout_s`` covers the DNS look-up, connecting, sending and the answer together.

    The HTTP client is loaded at the first post.
    """

    def __init__(self, guard: UrlGuard, timeout_s: float) -> None:
        self._guard = guard
        self._timeout_s = timeout_s

    @cached_property
    def _client(self) -> "httpx2.Client":
        from imagemill.net.guarded_client import guarded_client

        return guarded_client(self._guard, timeout_s=self._timeout_s, headers=HEADERS)

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def post(
        self, url: str, content: bytes, headers: Mapping[str, str] | None = None, *, keep_answer: bool = False
    ) -> PostResult:
        """Post a body and return the result, also for errors. ``keep_answer``: with what was answered."""
        import httpx2

        from imagemill.net.guarded_client import Deadline

        begin = time.monotonic()
        deadline = Deadline(self._timeout_s)
        stream = self._client.stream(
            "POST", url, content=content, headers=headers, extensions=deadline.extensions
        )
        status: int | None = None
        answer: PostAnswer | None = None
        took_s = 0.0
        try:
            with deadline.running(), stream as response:
                status, took_s = response.status_code, time.monotonic() - begin
                # Otherwise the body is not read: it is not needed and may be endless.
                answer = _read_answer(response, deadline) if keep_answer else None
            error = _status_error(status)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as failure:
            took_s = took_s or time.monotonic() - begin
            error = f"{type(failure).__name__}: {failure}" if status is None else _status_error(status)
            if status is None and deadline.passed:
                error = f"the receiver did not answer within {self._timeout_s:g} s"
        return PostResult(status, error, round(took_s * 1000), answer)


def _status_error(status: int) -> str | None:
    if 300 <= status < 400:
        return f"the receiver answered {status}; redirects are not followed"
    return None if 200 <= status < 300 else f"the receiver answered {status}"


def _read_answer(response: "httpx2.Response", deadline: "Deadline") -> PostAnswer:
    pairs = list(response.headers.items())[:_MOST_HEADERS]
    headers = {name: value[:_LONGEST_HEADER].replace("\0", "") for name, value in pairs}
    is_private = _is_private(response)  # before the body: its end closes the socket
    return PostAnswer(headers, _read_body(response, deadline), is_private)


def _read_body(response: "httpx2.Response", deadline: "Deadline") -> str:
    """Return the beginning of a body as text; what a slow receiver has not sent in time is left out."""
    import httpx2

    is_empty = response.headers.get("content-length") == "0" or response.status_code == 204
    if is_empty or response.headers.get("content-encoding", "identity") != "identity":
        return ""
    data = bytearray()
    with contextlib.suppress(httpx2.HTTPError), deadline.ending_in(_ANSWER_S):
        for part in response.iter_raw():
            data += part
            if len(data) >= ANSWER_BYTES:
                break
    return data[:ANSWER_BYTES].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _is_private(response: "httpx2.Response") -> bool:
    """Whether the receiver's address is not public; also for one that is not known."""
    stream = response.extensions.get("network_stream")
    try:
        address = stream.get_extra_info("server_addr") if stream is not None else None
    except OSError:  # the connection was closed, by the receiver or as the time was over
        return True
    return address is None or not ip_address(str(address[0]).split("%", 1)[0]).is_global


def target_of(owner: str, url: str, target: str = "") -> DeliveryTarget:
    """Return the target of a delivery; an account and its end users share one."""
    return DeliveryTarget(owner.partition(":")[0], receiver_of(url), target)


def receiver_of(url: str) -> str:
    """Return scheme, host and port of a URL; the rest may differ for each job of a client."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.partition('/')[0]}"
