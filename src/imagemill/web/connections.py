"""HTTP connections with limits: for heads of requests, and for clients that send or read nothing."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LEAST_BYTES = 64 * 2**10
"""Bytes that a client must read in `Connection`'s ``answer_s``: in 30 s even a phone on GPRS can."""


MOST_HEAD_BYTES = 64 * 2**10
"""Bytes of a request's head, and of the trailers of its body: nginx passes on half as much."""
MOST_HEADERS = 200
_TOO_LARGE = f"the head of a request has at most {MOST_HEAD_BYTES} bytes and {MOST_HEADERS} headers"


class _HeadTooLarge(Exception):
    """Ends the parsing of a connection's bytes."""


class Connection(HttpToolsProtocol):
    """A connection with limits; those of time are in seconds.

    A head larger than `MOST_HEAD_BYTES`, or of more than `MOST_HEADERS` headers, is answered with a 431.

    It is closed when the head of a request takes longer than ``head_s``, counted from the beginning of the
    connection or of the head, and when a client takes that long to send a body that was answered already.

    It is aborted when the client reads less than 64 KiB of a waiting answer in ``answer_s``, so that no
    memory is held for a client that reads nothing or a byte a second.
    """

    def __init__(self, *args: Any, head_s: float, answer_s: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_s = head_s
        self._answer_s = answer_s
        self._reader_check: asyncio.TimerHandle | None = None
        """The timer of the next check of the bytes the client has not read."""
        self._drained = False
        """Whether the client has read everything since the last check."""
        self._deadline: asyncio.TimerHandle | None = None
        self._waits = True
        """Whether it waits for the rest of a head, or of a body that was answered already."""
        self._head_bytes = 0
        """Bytes of the URL and headers of the present request."""
        self._raw_head_bytes: int | None = None
        """Bytes received of a head that is not complete, without its first piece; None outside a head."""
        self._head_is_too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        if self._reader_check is not None:
            self._reader_check.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._drained = True

    def data_received(self, data: bytes) -> None:
        began_before = self._raw_head_bytes is not None
        super().data_received(data)
        if self._raw_head_bytes is not None and began_before:
            # The parser keeps an unfinished line, which no callback has shown yet.
            self._raw_head_bytes += len(data)
            if self._raw_head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self._head_is_too_large = True
                self.send_400_response(_TOO_LARGE)
        # Nearly all heads arrive in one piece and need no timer.
        if self._waits:
            self._watch()

    def on_message_begin(self) -> None:
        self._waits = True
        self._head_bytes, self._raw_head_bytes = 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES or len(self.headers) >= MOST_HEADERS:
            self._head_is_too_large = True
            raise _HeadTooLarge

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, and close."""
        status, text = (431, _TOO_LARGE) if self._head_is_too_large else (400, msg)
        phrase, body = HTTPStatus(status).phrase, text.encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def on_headers_complete(self) -> None:
        self._raw_head_bytes = None
        self._unwatch()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._unwatch()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.cycle is not None and self.cycle.more_body and not self.pipeline:
            self._waits = True
            self._watch()
        super().on_response_complete()
        # A closing connection also waits until the client has read everything.
        self._watch_reader()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._reader_check is None and left:
            self._reader_check = self.loop.call_later(self._answer_s, self._check_reader, left)

    def _check_reader(self, before: int) -> None:
        """Check that the client reads. New bytes may have been written only if the buffer was drained."""
        left = self.transport.get_write_buffer_size()
        is_stuck = not self._drained and before - _LEAST_BYTES < left <= before
        self._reader_check, self._drained = None, False
        if left and is_stuck:
            self.transport.abort()
        else:
            self._watch_reader()

    def _watch(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._head_s, self.transport.close)

    def _unwatch(self) -> None:
        self._waits = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
