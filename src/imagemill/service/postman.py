"""The postman: takes what is due from an outbox and has it delivered by a bounded number of senders."""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from imagemill.domain.errors import StorageError
from imagemill.service.senders import SENDERS, Hold, Lane, Senders

log = logging.getLogger(__name__)

_PAGE = 64
_SHORTEST_PAUSE_S = 0.05

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Parcel(Generic[Content]):
    """Something to deliver. ``key`` tells it from all others of its outbox."""

    key: Hashable
    lane: Lane
    content: Content


class Outbox(Protocol[Content]):
    def due(self, limit: int, held: Sequence[Hold]) -> Sequence[Parcel[Content]]:
        """What may be delivered now and is not ``held``; less than ``limit`` when that is all."""
        ...

    def pause_s(self) -> float | None:
        """Until the next is due, where the outbox knows it."""
        ...

    def deliver(self, content: Content) -> bool:
        """Send it and record how that went; whether the receiver took it. Raises nothing but bugs."""
        ...


class Postman(Generic[Content]):
    """``leads``: whether this process is the one that delivers; two would deliver twice."""

    def __init__(
        self,
        outbox: Outbox[Content],
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
        self._senders = Senders(rest_s=rest_s)
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

    def is_held(self, lane: Lane) -> bool:
        """Whether what is due there would have to wait now: an outbox need not read it."""
        return self._senders.is_held(lane, time.monotonic())

    def rouse(self, lane: Lane) -> None:
        """The lane need not rest any longer."""
        self._senders.rouse(lane)
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
        held: list[Hold] = []
        while due := self._outbox.due(_PAGE, held):
            before = len(held)
            for parcel in due:
                if not any(hold.covers(parcel.lane) for hold in held) and (hold := self._start(parcel)):
                    held.append(hold)
            # A page of nothing but what is held may hide others behind it.
            if len(due) < _PAGE or len(held) == before or self._senders.are_all_busy or self._stop.is_set():
                break
        return bool(held)

    def _start(self, parcel: Parcel[Content]) -> Hold | None:
        """Send it, or say what has to wait."""
        with self._lock:
            if self._senders.is_busy(parcel.key) or parcel.key in self._settled:
                return None
            hold = self._senders.take(parcel.key, parcel.lane, time.monotonic())
        if hold is None:
            self._pool.submit(self._send, parcel)
        return hold

    def _send(self, parcel: Parcel[Content]) -> None:
        begin, well = time.monotonic(), False
        try:
            well = self._outbox.deliver(parcel.content)
        except Exception:
            log.exception("a %s could not be recorded", self._name)
        finally:
            now = time.monotonic()
            with self._lock:
                self._senders.give_back(parcel.key, well=well, took_s=now - begin, now=now)
                self._settled.add(parcel.key)
            # What comes after it may go now.
            self._news.set()
