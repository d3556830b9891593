"""HTTP connections with time limits for clients that send or read nothing, or a byte now and then."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LEAST_BYTES = 64 * 2**10
"""Bytes that a client must read in `Connection`'s ``answer_s``: in 30 s even a phone on GPRS can."""


class Connection(HttpToolsProtocol):
    """A connection with time limits, in seconds.

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
        super().data_received(data)
        # Nearly all heads arrive in one piece and need no timer.
        if self._waits:
            self._watch()

    def on_message_begin(self) -> None:
        self._waits = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
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
        self._look, self._drained = None, False
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
