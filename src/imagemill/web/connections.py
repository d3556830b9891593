"""HTTP connections that have to get on: nobody holds one by sending nothing, or a byte now and then."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """Closed when the head of a request takes longer than ``head_s``, counted from the connection's beginning
    or the head's; so is one whose client still sends a body that was answered already."""

    def __init__(self, *args: Any, head_s: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_s = head_s
        self._deadline: asyncio.TimerHandle | None = None
        self._waits = True
        """For the rest of a head, or of a body that nobody reads any more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

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

    def _watch(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._head_s, self.transport.close)

    def _rest(self) -> None:
        self._waits = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
