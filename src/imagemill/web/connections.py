"""HTTP connections that have to get on: nobody holds one by sending nothing, or a byte now and then, nor by
reading so."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LEAST_BYTES = 64 * 2**10
"""That a client takes of an answer in `Connection`'s ``answer_s``: with 30 s a phone on GPRS does."""


class Connection(HttpToolsProtocol):
    """Closed when the head of a request takes longer than ``head_s``, counted from the connection's beginning
    or the head's; so is one whose client still sends a body that was answered already.

    Cut when less than 64 KiB of an answer that waits to be read are taken in ``answer_s``: what is buffered
    for a client is kept no longer for one that reads a byte a second, nor for one that reads nothing.
    """

    def __init__(self, *args: Any, head_s: float, answer_s: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_s = head_s
        self._answer_s = answer_s
        self._look: asyncio.TimerHandle | None = None
        """At what is still to be read."""
        self._drained = False
        """Since the last look."""
        self._deadline: asyncio.TimerHandle | None = None
        self._waits = True
        """For the rest of a head, or of a body that nobody reads any more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._drained = True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Heads that came in one piece, nearly all, need no timer.
        if self._waits:
            self._watch()

    def on_message_begin(self) -> None:
        self._waits = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._rest()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._rest()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.cycle is not None and self.cycle.more_body and not self.pipeline:
            self._waits = True
            self._watch()
        super().on_response_complete()
        # Closing, too, waits until everything is taken.
        self._watch_reader()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._look is None and left:
            self._look = self.loop.call_later(self._answer_s, self._look_again, left)

    def _look_again(self, before: int) -> None:
        """Nothing is written while it is not drained; but when one answer is over the next may be."""
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

    def _rest(self) -> None:
        self._waits = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
