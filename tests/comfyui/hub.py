"""Who hears what: the sockets by client, and the events on their way to them."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from tests.comfyui.faults import Faults
from tests.comfyui.wire import Socket

HELD_S = 0.02  # an event held back to change places goes out alone when no other follows
PREVIEW, PREVIEW_WITH_METADATA = 1, 4
FORMS = {"image/jpeg": 1, "image/png": 2}


def encoded(type_: str, data: Mapping[str, Any]) -> str:
    return json.dumps({"type": type_, "data": data})


class Hub:
    """One socket a client: a newer one takes its place, and closing any of them forgets the client."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._sockets: dict[str, Socket] = {}
        self._held: dict[Socket, str] = {}
        self.listeners: list[tuple[str, Callable[[Mapping[str, Any]], None]]] = []

    def __len__(self) -> int:
        return len(self._sockets)

    def join(self, client: str | None, socket: Socket, remaining: int, running_node: str | None) -> str:
        """Greet a new socket; a client whose prompt runs hears at which node, without the prompt's id."""
        sid = client or uuid4().hex
        self._sockets[sid] = socket
        socket.on_close = lambda: self._sockets.pop(sid, None)
        if not self._faults.silent:
            socket.send_text(encoded("status", {**_status(remaining), "sid": sid}))
            if running_node is not None:
                socket.send_text(encoded("executing", {"node": running_node}))
        return sid

    def hears(self, client: str | None) -> bool:
        """Somebody would get what is told to this client; None is everybody."""
        return bool(self._sockets) if client is None else client in self._sockets

    def status(self, remaining: int) -> None:
        self.tell_text(encoded("status", _status(remaining)), None)

    def tell(self, type_: str, data: Mapping[str, Any], client: str | None) -> None:
        for wanted, listener in self.listeners:
            if wanted == type_:
                listener(data)
        if self.hears(client):
            self.tell_text(encoded(type_, data), client)

    def tell_text(self, text: str, client: str | None) -> None:
        for socket in self._listeners(client):
            self._send(socket, text)

    def tell_frame(
        self,
        client: str | None,
        metadata: Mapping[str, Any],
        data: bytes,
        media_type: str,
        *,
        with_metadata: bool,
    ) -> None:
        """Send a preview or a finished picture in one of two forms, to the sockets that want that form."""
        head = json.dumps({**metadata, "image_type": media_type}).encode()
        for socket in self._listeners(client):
            if socket.wants_metadata != with_metadata or self._faults.silent:
                continue
            if with_metadata:
                socket.send_bytes(_words(PREVIEW_WITH_METADATA, len(head)) + head + data)
            else:
                socket.send_bytes(_words(PREVIEW, FORMS[media_type]) + data)

    def drop_all(self) -> None:
        """End every socket at once, without a close frame (1006)."""
        for socket in list(self._sockets.values()):
            socket.abort()

    def _listeners(self, client: str | None) -> list[Socket]:
        if client is None:
            return list(self._sockets.values())
        socket = self._sockets.get(client)
        return [socket] if socket else []

    def _send(self, socket: Socket, text: str) -> None:
        if self._faults.silent:
            return
        copies = [text, text] if self._faults.duplicate else [text]
        held = self._held.pop(socket, None)
        if held is not None:
            copies.append(held)
        elif self._faults.disorder:
            self._held[socket] = text
            asyncio.get_running_loop().call_later(HELD_S, self._release, socket, text)
            return
        for copy in copies:
            socket.send_text(copy)

    def _release(self, socket: Socket, text: str) -> None:
        if self._held.get(socket) is text:
            del self._held[socket]
            socket.send_text(text)


def timestamps(faults: Faults) -> Callable[[], int]:
    """Milliseconds since the epoch, by the node's own clock."""
    return lambda: int((time.time() + faults.clock_skew_s) * 1000)


def _status(remaining: int) -> dict[str, Any]:
    return {"status": {"exec_info": {"queue_remaining": remaining}}}


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)
