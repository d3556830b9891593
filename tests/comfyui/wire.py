"""HTTP and WebSocket on bare asyncio, so that a connection can be cut, frozen or lied on at any byte."""

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httptools

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # from RFC 6455


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    too_large: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None  # a Content-Length that is not the body's


def json_reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), "application/json; charset=utf-8")


def text_reply(text: str, status: int) -> Reply:
    return Reply(status, text.encode(), "text/plain; charset=utf-8")


Answering = Callable[[Request, "Connection"], Awaitable[Reply | None]]


class Server:
    """Listens on one port and gives each request to `answer`; None means the connection was dealt with."""

    def __init__(self, answer: Answering, largest_body: int) -> None:
        self.answer = answer
        self.largest_body = largest_body
        self.connections: set[Connection] = set()
        self.unreachable = False  # new connections are taken and then ignored
        self._listening: asyncio.Server | None = None

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: Connection(self), host, port, ssl=tls)
        return self._listening.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no more and cut every connection."""
        if self._listening:
            self._listening.close()
        for connection in list(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another, or a socket after an upgrade."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._early = b""
        self.socket: Socket | None = None
        self.frozen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        self.frozen = self._server.unreachable

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        for task in self._tasks:
            task.cancel()
        if self.socket:
            self.socket.closed()

    def data_received(self, data: bytes) -> None:
        if self.frozen:
            return
        if self.socket:
            self.socket.feed(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._early = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.abort()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body, self._size = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._server.largest_body:
            self._body.append(part)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        parts = urlsplit(self._url.decode("latin-1"))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        too_large = self._size > self._server.largest_body
        request = Request(method, parts.path, query, self._headers, b"".join(self._body), too_large)
        task = asyncio.get_running_loop().create_task(self._reply(request, self._parser.should_keep_alive()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, request: Request, keep_alive: bool) -> None:
        reply = await self._server.answer(request, self)
        if reply is None:
            return
        self.write(_packed(reply, request.method == "HEAD", keep_alive))
        lied = reply.promised is not None
        if (not keep_alive or lied) and self._transport and not self.frozen:
            self._transport.close()

    def upgrade(self, request: Request) -> "Socket":
        """Answer the handshake and speak WebSocket from now on."""
        key = request.headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + ACCEPT_SALT, usedforsecurity=False).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.write(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.socket = Socket(self)
        early, self._early = self._early, b""
        asyncio.get_running_loop().call_soon(self.socket.feed, early)
        return self.socket

    def write(self, data: bytes) -> None:
        if self._transport and not self.frozen and not self._transport.is_closing():
            self._transport.write(data)

    def freeze(self) -> None:
        """Neither read nor write from now on, without an end."""
        self.frozen = True

    def close(self) -> None:
        if self._transport and not self.frozen:
            self._transport.close()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()


class Socket:
    """The server's side of a WebSocket. What is sent within one turn of the loop goes out in one write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._received = b""
        self._parts: list[bytes] = []
        self._waiting: list[bytes] = []
        self._heard_first = False
        self.wants_metadata = False
        self.on_close: Callable[[], object] = lambda: None
        self.on_flags: Callable[[], object] = lambda: None

    def send_text(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def send_bytes(self, data: bytes) -> None:
        self._send(BINARY, data)

    def abort(self) -> None:
        self._flush()
        self._connection.abort()

    def closed(self) -> None:
        self.on_close()

    def feed(self, data: bytes) -> None:
        self._received += data
        while (frame := self._next_frame()) is not None:
            self._take(*frame)

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._received
        if len(buffer) < 2:
            return None
        length, at = buffer[1] & 127, 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            length, at = int.from_bytes(buffer[2 : 2 + wide], "big"), 2 + wide
        masked = bool(buffer[1] & 128)
        end = at + (4 if masked else 0) + length
        if len(buffer) < end:
            return None
        mask, payload = buffer[at : at + 4], buffer[end - length : end]
        if masked:
            payload = bytes(byte ^ mask[place & 3] for place, byte in enumerate(payload))
        self._received = buffer[end:]
        return bool(buffer[0] & 128), buffer[0] & 15, payload

    def _take(self, last: bool, kind: int, payload: bytes) -> None:
        if kind == PING:
            self._send(PONG, payload)
        elif kind == CLOSE:
            self._send(CLOSE, payload[:2])
            self._flush()
            self._connection.close()
        elif kind != PONG:
            self._parts.append(payload)
            if last:
                message, self._parts = b"".join(self._parts), []
                self._hear(message)

    def _hear(self, message: bytes) -> None:
        """Only the first message counts, and only if it tells feature flags; anything else is ignored."""
        if self._heard_first:
            return
        self._heard_first = True
        try:
            heard = json.loads(message)
            if heard["type"] == "feature_flags":
                self.wants_metadata = bool(heard["data"].get("supports_preview_metadata"))
                self.on_flags()
        except (ValueError, KeyError, TypeError, AttributeError):
            self.wants_metadata = False

    def _send(self, kind: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = bytes((128 | kind, length))
        elif length < 65536:
            head = bytes((128 | kind, 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((128 | kind, 127)) + length.to_bytes(8, "big")
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting += (head, payload)

    def _flush(self) -> None:
        data, self._waiting = b"".join(self._waiting), []
        if data:
            self._connection.write(data)


def _packed(reply: Reply, head_only: bool, keep_alive: bool) -> bytes:
    length = len(reply.body) if reply.promised is None else reply.promised
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
        *([] if keep_alive else ["Connection: close"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head_only else reply.body)
