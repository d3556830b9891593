"""A TCP proxy before a store, that can be slow, refuse, damage or go away in the middle of an upload."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 16_384


@dataclass
class Proxy:
    """Its attributes may change while it runs; they hold for what is forwarded from then on."""

    upstream: int
    port: int = 0
    silent: bool = False
    """Requests are taken in and nobody answers."""
    status: str = ""
    """Every request is answered with it, such as ``500 Internal Server Error``; open connections break."""
    cut_up_after: int | None = None
    """Connections break after so many bytes on the way to the store."""
    cut_down_after: int | None = None
    """Connections break after so many bytes on the way back."""
    flip: bytes = b""
    """These bytes are damaged, in either direction."""
    connections: int = 0
    refused: int = 0
    """Connections that were answered with the status."""
    _open: set[socket.socket] = field(default_factory=set[socket.socket])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # closed
            self.connections += 1
            self._open.add(client)
            threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def close(self) -> None:
        for each in list(self._open):
            _break(each)

    def _handle(self, client: socket.socket) -> None:
        with suppress(OSError):
            if self.status:
                client.recv(_CHUNK)
                self.refused += 1
                head = f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                client.sendall(head.encode())
                client.shutdown(socket.SHUT_WR)
                while client.recv(_CHUNK):
                    pass
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            self._open.add(server)
            down = threading.Thread(target=self._pump, args=(server, client, "down"), daemon=True)
            down.start()
            self._pump(client, server, "up")

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if self.status:
                    break
                limit = self.cut_up_after if way == "up" else self.cut_down_after
                if limit is not None and passed + len(data) > limit:
                    sink.sendall(data[: limit - passed])
                    break
                passed += len(data)
                if self.silent:
                    continue
                if self.flip:
                    data = data.replace(self.flip, bytes(byte ^ 1 for byte in self.flip))
                sink.sendall(data)
        _break(source)
        _break(sink)


def _break(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@contextmanager
def before(port: int) -> Generator[Proxy]:
    """A proxy before the store at ``port`` of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(port, listener.getsockname()[1])
        thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
        thread.start()
        yield proxy
        proxy.close()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
