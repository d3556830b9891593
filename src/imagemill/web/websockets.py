"""A job's events over a WebSocket: the same objects as the server-sent events, one message each.

Clients only receive. Messages of a client have no meaning; their number and size are limited, so that they
cannot keep the server busy. A connection's memory is limited, too: one message that the client has not read
yet and the buffer of the transport (64 KiB). A client that reads nothing for a while is disconnected and can
resume by `after`.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Literal, Protocol

from fastapi import WebSocket, WebSocketDisconnect
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from imagemill.backends.base import Progress
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, InvalidInput
from imagemill.domain.events import Event
from imagemill.jobs.hub import Hub
from imagemill.jobs.store.store import JobStore
from imagemill.web.problems import STATUSES
from imagemill.web.sse import StreamEnd, job_news, streamed_event

log = logging.getLogger(__name__)

Previews = Literal["base64", "binary", "none"]

PING_S = 20.0
"""Seconds between pings of a WebSocket: below the time-outs of common proxies, 60 s."""
PONG_S = 20.0
"""Seconds without an answer to a ping after which a client counts as disconnected."""
SLOW_S = 10.0
"""Seconds without reading after which a client is disconnected; it can resume."""
MESSAGE_BYTES = 4096
"""The largest message of a client, in bytes."""
MESSAGES, RATE_S = 20, 10.0
"""The most messages of a client, and in how many seconds."""
_CLOSE_S = 2.0
"""The longest wait in seconds until a client has read the close frame."""
_LONGEST_REASON = 120
"""In bytes: a close frame holds 125, two of them for the code."""


@dataclass(frozen=True, slots=True)
class Close:
    code: int
    reason: str


ENDS = {
    StreamEnd.FINISHED: Close(1000, "the job has ended"),
    StreamEnd.GONE: Close(4404, "the job was deleted"),
    StreamEnd.STOPPED: Close(1012, "this server stops; resume at another"),
}


Message = dict[str, Any]
"""An ASGI message of the type ``websocket.send``."""
Fed = Sequence[Message] | Close
"""The next messages, none after a while without events; or the close."""


class EventFeed(Protocol):
    """The source of a connection's messages."""

    def feed(self, store: JobStore, hub: Hub) -> AsyncGenerator[Fed, None]:
        """Yield messages, and last a `Close`. An exception determines the close code."""
        ...


@dataclass(frozen=True, slots=True)
class EventSubscription:
    """The events of one job."""

    job_id: str
    after: int
    previews: Previews
    owner: str
    """The owner who reads them."""

    async def feed(self, store: JobStore, hub: Hub) -> AsyncGenerator[Fed, None]:
        with hub.watch([self.job_id], self.owner) as watcher:
            async for news in job_news(store, watcher, self.job_id, self.after):
                if isinstance(news, StreamEnd):
                    yield ENDS[news]
                else:
                    yield [] if news is None else list(_messages(news, self.previews))


class EventSocket:
    def __init__(self, store: JobStore, hub: Hub) -> None:
        self._store = store
        self._hub = hub

    async def serve(self, socket: WebSocket, admit: Callable[[], Awaitable[EventFeed]]) -> None:
        """Serve a connection. ``admit`` returns its feed, or raises an error that gives the close code."""
        with suppress(WebSocketDisconnect):
            # Only an open socket has a close code; before, a browser reports a failure without a reason.
            await socket.accept()
            close = await self._served(socket, admit)
            if close is not None:
                # A client that reads nothing does not read the close frame either.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_S):
                        await socket.close(close.code, close.reason)

    async def _served(self, socket: WebSocket, admit: Callable[[], Awaitable[EventFeed]]) -> Close | None:
        """Serve and return the close; None when the client has disconnected."""
        try:
            return await self._follow(socket, await admit())
        except (ImagemillError, HTTPException) as error:
            return refusal(error)
        except WebSocketDisconnect:
            return None
        except Exception:
            log.exception("a bug ended a WebSocket", extra={"trace": socket.scope.get("imagemill.trace")})
            return Close(1011, "a bug in the server; its log has more")

    async def _follow(self, socket: WebSocket, feed: EventFeed) -> Close | None:
        """Send the feed and read the client's messages until either ends."""
        sending = asyncio.create_task(self._send_feed(socket, feed))
        listening = asyncio.create_task(self._listen(socket))
        both = (sending, listening)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            return sending.result() if sending.done() else listening.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _send_feed(self, socket: WebSocket, feed: EventFeed) -> Close:
        async with aclosing(feed.feed(self._store, self._hub)) as fed:
            async for messages in fed:
                if isinstance(messages, Close):
                    return messages
                # Without messages the server's pings keep the connection alive.
                try:
                    async with asyncio.timeout(SLOW_S):
                        for message in messages:
                            await socket.send(message)
                except TimeoutError:
                    return Close(4408, f"nothing was read for {SLOW_S:g} s; resume by after")
        raise AssertionError("a feed ends with a Close")

    async def _listen(self, socket: WebSocket) -> Close | None:
        times: deque[float] = deque(maxlen=MESSAGES)
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            text = message.get("text")
            size = len(text.encode() if text is not None else message.get("bytes") or b"")
            if size > MESSAGE_BYTES:
                return Close(1009, f"a message of {size} bytes; at most {MESSAGE_BYTES} are read")
            now = time.monotonic()
            if len(times) == MESSAGES and now - times[0] < RATE_S:
                return Close(1008, f"more than {MESSAGES} messages in {RATE_S:g} s; send none")
            times.append(now)


def _messages(news: Event | Progress, previews: Previews) -> Iterator[Message]:
    body = streamed_event(news, preview=previews == "base64").body
    yield from messages_of(body, news if isinstance(news, Progress) else None, previews)


def messages_of(body: dict[str, Any], progress: Progress | None, previews: Previews) -> Iterator[Message]:
    """Yield a text message, and after it the preview if the client wants binary ones."""
    picture: bytes | None = None
    if previews == "binary" and progress is not None and progress.preview is not None:
        picture = progress.preview
        body |= {"previewType": progress.preview_type, "previewBytes": len(picture)}
    yield {"type": "websocket.send", "text": to_json(body).decode()}
    if picture is not None:
        yield {"type": "websocket.send", "bytes": picture}


def previews_of(request: HTTPConnection) -> Previews:
    """Return the form of previews the client wants. Raises `InvalidInput`."""
    text = request.query_params.get("previews") or "base64"
    if text not in ("base64", "binary", "none"):
        raise InvalidInput.at("previews", f"is {text[:40]!r}; write base64, binary or none")
    return text


def refusal(error: ImagemillError | HTTPException) -> Close:
    """Return the close of an error: 4000 plus the HTTP status, or 1013 if a retry may help."""
    if isinstance(error, HTTPException):
        code, text = 4000 + error.status_code, str(error.detail)
    elif error.retryable:
        code, text = 1013, str(error)
    else:
        code, text = 4000 + STATUSES.get(error.code, 500), str(error)
    return Close(code, text.encode()[:_LONGEST_REASON].decode(errors="ignore"))


def _protocol(*args: Any, **named: Any) -> asyncio.Protocol:
    """Return the protocol of a connection, imported with the first: most servers never get one."""
    from imagemill.web.websocket_protocol import SocketProtocol

    return SocketProtocol(*args, **named)


def wire() -> dict[str, Any]:
    """Return uvicorn's settings for WebSockets."""
    return {
        "ws": _protocol,
        "ws_max_size": MESSAGE_BYTES,
        "ws_ping_interval": PING_S,
        "ws_ping_timeout": PONG_S,
        # Previews are compressed already, and compression tables take more memory than a connection's events.
        "ws_per_message_deflate": False,
    }
