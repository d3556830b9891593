"""Events and progress between the processes of one machine, over Unix sockets in the data folder.

Each process listens on a socket of its own and subscribes to every other process by a connection to its
socket. A process that starts binds its socket, then subscribes to all it finds in the folder; each of them
subscribes to it in return. So whichever of two processes comes second finds the first, and no process is in
the middle whose end would interrupt the others.

A slow process is never waited for: when too much is unsent, its connection is closed. It subscribes again and
looks in the database for what it has missed, as after every connection that ends.
"""

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from functools import partial
from pathlib import Path

from pydantic_core import from_json, to_json

from imagemill.backends.base import Progress
from imagemill.domain.dataclass import dataclass
from imagemill.pubsub.base import ClusterEvent, EventHandlers
from imagemill.pubsub.codec import merge, pack, pack_progress, unpack, unpack_progress
from imagemill.pubsub.peer_link import FrameKind, PeerLink, frame

log = logging.getLogger(__name__)

_LONGEST_PATH = 103
"""Bytes of a socket's path: macOS takes 103, Linux 107."""
_SUFFIX = ".sock"
_BACKLOG = 128
_CHECK_S = 10.0
"""Seconds between two looks into the folder, for sockets that were deleted or could not be made."""
_RETRY_S, _RETRY_CAP_S = 0.01, 2.0
_FOLLOW_S = 0.05
"""Seconds before the progress of a job is asked for: most short jobs have ended by then."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The parts of events that a process receives."""

    job_events: bool = True
    """Whether requests of it wait for events of jobs."""
    work: bool = True
    """Whether it has slots to wake."""

    def part_of(self, event: ClusterEvent) -> ClusterEvent:
        if self.job_events and self.work:
            return event
        events = event.events if self.job_events else ()
        return replace(event, events=events, queues_with_work=event.queues_with_work if self.work else ())


@dataclass(slots=True, eq=False)
class _Subscriber:
    """A process that receives what this one publishes."""

    link: PeerLink
    name: str = ""
    wishes: Wishes = Wishes()
    followed: set[str] = field(default_factory=set[str])
    """Jobs whose progress it wants."""


@dataclass(slots=True, eq=False)
class _Subscription:
    """A process whose events this one receives."""

    name: str
    link: PeerLink
    is_welcomed: bool = False
    """Whether its events arrive."""
    is_mutual: bool = False
    """Whether the other process has subscribed in return."""


class SocketPubSub:
    """``folder`` has the sockets of all processes. ``sender`` is the unique name of this one, and ``is_dead``
    returns whether the process of a name has ended. ``wishes``: what this process receives."""

    def __init__(
        self,
        folder: Path,
        sender: str,
        is_dead: Callable[[str], bool],
        *,
        wishes: Wishes = Wishes(),
        check_s: float = _CHECK_S,
    ) -> None:
        self._folder = folder
        self._sender = sender
        self._is_dead = is_dead
        self._wishes = wishes
        self._check_s = check_s
        self._path = folder / f"{sender}{_SUFFIX}"
        self._subscribers: tuple[_Subscriber, ...] = ()
        """Replaced as a whole, so that any thread may read it."""
        self._is_connected = False
        # Used on the event loop only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handlers: EventHandlers | None = None
        self._server: socket.socket | None = None
        self._inode = 0
        self._subscriptions: dict[str, _Subscription] = {}
        self._unreachable: set[str] = set()
        self._is_look_due = False
        self._followed: set[str] = set()
        self._to_follow: set[str] = set()
        self._to_unfollow: set[str] = set()

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    # Publishing, from any thread

    def publish(self, events: Sequence[ClusterEvent]) -> None:
        if not (subscribers := self._subscribers):
            return
        event = merge(list(events))
        for wishes in {each.wishes for each in subscribers}:
            content = wishes.part_of(event)
            if content:
                packed = frame(FrameKind.EVENT, pack(self._sender, content))
                for each in subscribers:
                    if each.wishes == wishes:
                        each.link.send(packed)

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        receivers = [each.link for each in self._subscribers if job_id in each.followed]
        if receivers:
            body = pack_progress(self._sender, progress, whole=True)
            packed = frame(FrameKind.PROGRESS, job_id.encode() + b"\n" + body)
            for link in receivers:
                link.send_latest(job_id, packed)

    def close(self) -> None:
        subscribers, self._subscribers = self._subscribers, ()
        for each in subscribers:
            each.link.close()

    # Following the progress of jobs, on the event loop

    def subscribe(self, ids: Iterable[str]) -> None:
        fresh = set(ids) - self._followed
        self._followed |= fresh
        if self._subscriptions and fresh:
            if not self._to_follow:
                self._running_loop.call_later(_FOLLOW_S, self._send_followed)
            self._to_follow |= fresh

    def unsubscribe(self, ids: Iterable[str]) -> None:
        gone = self._followed & set(ids)
        self._followed -= gone
        known = gone - self._to_follow
        self._to_follow -= gone
        if self._subscriptions and known:
            self._to_unfollow |= known
            self._send_followed()

    def _send_followed(self) -> None:
        changes = ((FrameKind.UNFOLLOW, self._to_unfollow), (FrameKind.FOLLOW, self._to_follow))
        self._to_follow, self._to_unfollow = set(), set()
        for kind, ids in changes:
            for each in self._subscriptions.values() if ids else ():
                each.link.send(frame(kind, to_json(sorted(ids))))

    # Listening, on the event loop

    async def listen(self, handlers: EventHandlers) -> None:
        self._loop, self._handlers = asyncio.get_running_loop(), handlers
        has_failed = False
        try:
            while True:
                try:
                    self._check_folder()
                    has_failed = False
                except OSError as error:
                    if not has_failed:
                        log.warning(
                            "events of other processes are polled, no socket in the data folder: %s", error
                        )
                    has_failed = True
                self._update_state()
                await asyncio.sleep(self._check_s)
        finally:
            self._stop_listening()

    def _check_folder(self) -> None:
        """Bind this process's socket unless it is there, and subscribe to all others. Raises `OSError`."""
        if not self._is_bound():
            self._close_server()
            self._bind()
            self._look_soon()
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if path != self._path:
                self._connect(path.stem)

    def _is_bound(self) -> bool:
        with suppress(OSError):
            return self._server is not None and self._path.stat().st_ino == self._inode
        return False

    def _bind(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._folder.chmod(0o700)
        self._path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.setblocking(False)
            with short_path(self._path) as path:
                server.bind(path)
            self._path.chmod(0o600)
            server.listen(_BACKLOG)
            self._inode = self._path.stat().st_ino
        except OSError:
            server.close()
            raise
        self._server = server
        self._running_loop.add_reader(server, self._accept)

    @property
    def _running_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None  # noqa: S101 - set before anything is called on the loop
        return self._loop

    def _close_server(self) -> None:
        if self._server is not None:
            self._running_loop.remove_reader(self._server)
            self._server.close()
            self._server = None

    def _stop_listening(self) -> None:
        """Receive nothing more. What this process still publishes reaches its subscribers until `close`."""
        self._is_connected = False
        self._close_server()
        with suppress(OSError):
            self._path.unlink()
        for subscription in self._subscriptions.values():
            subscription.link.stop_reading()
            subscription.link.close()
        self._subscriptions.clear()
        for subscriber in self._subscribers:
            subscriber.link.stop_reading()
        self._loop = self._handlers = None

    # Subscribers, on the event loop

    def _accept(self) -> None:
        assert self._server is not None  # noqa: S101 - its reader is removed before it
        try:
            connection, _ = self._server.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the other process has ended meanwhile
        except OSError as error:
            log.warning("a process cannot be subscribed, which is tried again soon: %s", error)
            self._close_server()
            self._update_state()
            return
        connection.setblocking(False)
        subscriber = _Subscriber(PeerLink(connection, self._running_loop))
        subscriber.link.start(
            partial(self._on_requests, subscriber), partial(self._on_subscriber_end, subscriber)
        )

    def _on_requests(self, subscriber: _Subscriber, frames: list[tuple[int, bytes]]) -> None:
        for kind, body in frames:
            try:
                if kind == FrameKind.HELLO:
                    hello = from_json(body)
                    subscriber.name = Path(hello["name"]).name
                    subscriber.wishes = Wishes(bool(hello["events"]), bool(hello["work"]))
                    self._welcome(subscriber)
                elif kind == FrameKind.FOLLOW:
                    subscriber.followed |= set(from_json(body))
                elif kind == FrameKind.UNFOLLOW:
                    subscriber.followed -= set(from_json(body))
            except (ValueError, KeyError, TypeError) as error:
                log.warning("a message of the process %s cannot be read: %s", subscriber.name, error)

    def _welcome(self, subscriber: _Subscriber) -> None:
        """Send the subscriber all events from now on, and subscribe to it in return."""
        self._connect(subscriber.name)
        self._subscribers = (*self._subscribers, subscriber)
        subscriber.link.send(frame(FrameKind.WELCOME))
        if (mutual := self._subscriptions.get(subscriber.name)) is not None:
            mutual.is_mutual = True
            self._update_state()

    def _on_subscriber_end(self, subscriber: _Subscriber) -> None:
        self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

    # Subscriptions, on the event loop

    def _connect(self, name: str, pause_s: float = _RETRY_S) -> None:
        """Subscribe to a process. While that fails it is tried again, until the process has ended."""
        if self._server is None or name in self._subscriptions:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            with short_path(self._folder / f"{name}{_SUFFIX}") as path:
                connection.connect(path)
        except OSError as error:
            connection.close()
            self._on_unreachable(name, error, pause_s)
        else:
            self._unreachable.discard(name)
            self._subscribe(name, PeerLink(connection, self._running_loop))
        self._update_state()

    def _on_unreachable(self, name: str, error: OSError, pause_s: float) -> None:
        """Try again soon, unless the process has ended: then its socket is removed."""
        is_refused = isinstance(error, ConnectionRefusedError) and pause_s >= _RETRY_CAP_S
        if isinstance(error, FileNotFoundError) or is_refused or self._is_dead(name):
            self._unreachable.discard(name)
            with suppress(OSError):
                (self._folder / f"{name}{_SUFFIX}").unlink()
            return
        if name not in self._unreachable:
            log.info("the process %s cannot be reached yet: %s", name, error)
        self._unreachable.add(name)
        next_pause_s = min(pause_s * 2, _RETRY_CAP_S)
        self._running_loop.call_later(pause_s, self._connect, name, next_pause_s)

    def _subscribe(self, name: str, link: PeerLink) -> None:
        is_mutual = any(each.name == name for each in self._subscribers)
        self._subscriptions[name] = subscription = _Subscription(name, link, is_mutual=is_mutual)
        link.start(partial(self._on_frames, subscription), partial(self._on_subscription_end, subscription))
        hello = {"name": self._sender, "events": self._wishes.job_events, "work": self._wishes.work}
        link.send(frame(FrameKind.HELLO, to_json(hello)))
        if known := self._followed - self._to_follow:
            link.send(frame(FrameKind.FOLLOW, to_json(sorted(known))))

    def _on_frames(self, subscription: _Subscription, frames: list[tuple[int, bytes]]) -> None:
        events: list[ClusterEvent] = []
        for kind, body in frames:
            try:
                if kind == FrameKind.EVENT:
                    events.append(unpack(body)[1])
                elif kind == FrameKind.PROGRESS:
                    self._on_progress(body)
                elif kind == FrameKind.WELCOME:
                    subscription.is_welcomed = True
                    self._update_state()
                    self._look_soon()
            except (ValueError, KeyError, TypeError) as error:
                log.warning("a message of the process %s cannot be read: %s", subscription.name, error)
        if events and self._handlers is not None:
            self._handlers.on_event(events[0] if len(events) == 1 else merge(events))

    def _on_progress(self, body: bytes) -> None:
        job_id, _, packed = body.partition(b"\n")
        _, progress = unpack_progress(packed)
        if self._handlers is not None:
            self._handlers.on_progress(job_id.decode(), progress)

    def _on_subscription_end(self, subscription: _Subscription) -> None:
        """Look for what the other process may have committed without a message, and subscribe again."""
        del self._subscriptions[subscription.name]
        self._running_loop.call_later(_RETRY_S, self._connect, subscription.name)
        self._update_state()
        self._look_soon()

    # State, on the event loop

    def _update_state(self) -> None:
        self._is_connected = (
            self._server is not None
            and not self._unreachable
            and all(each.is_welcomed and each.is_mutual for each in self._subscriptions.values())
        )

    def _look_soon(self) -> None:
        if not self._is_look_due:
            self._is_look_due = True
            self._running_loop.call_soon(self._look)

    def _look(self) -> None:
        self._is_look_due = False
        if self._handlers is not None:
            self._handlers.on_connect()


@contextmanager
def short_path(path: Path) -> Generator[str]:
    """Yield a path of the same file that is short enough for a socket: itself, or one by a temporary link."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="im") as folder:
        link = Path(folder, "d")
        link.symlink_to(path.parent.resolve(), target_is_directory=True)
        yield str(link / path.name)
