"""uvicorn's protocol of a WebSocket, with an end for clients that read nothing."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, except that a client which reads nothing does not delay the close.

    Otherwise the connection and its buffers would be kept for as long as the client holds it open.
    """

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close" and not self.writable.is_set():
            self.stop_keepalive()
            self.transport.abort()
            return
        await super().send(message)

    def keepalive_timeout(self) -> None:
        stuck = not self.writable.is_set()
        super().keepalive_timeout()
        if stuck:
            self.transport.abort()
