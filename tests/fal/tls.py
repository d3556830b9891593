"""A server that speaks TLS, as fal's client does, and a proxy that finds it under names of fal's own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trustme
import uvicorn

from imagemill.bootstrap.application import Application, application
from imagemill.config import Settings
from imagemill.web import websockets

NAMES = ("127.0.0.1", "localhost", "fal.test", "queue.fal.test")


@dataclass
class Secured:
    app: Application
    port: int
    authority: Path
    """Who signed its certificate, as PEM."""


@contextmanager
def secured(settings: Settings, folder: Path) -> Iterator[Secured]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    own = authority.issue_cert(*NAMES)
    own.cert_chain_pems[0].write_to_path(str(folder / "own.pem"))
    own.private_key_pem.write_to_path(str(folder / "own.key"))
    app = Application(settings)
    config = uvicorn.Config(
        application(app),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        lifespan="on",
        proxy_headers=False,
        ssl_certfile=folder / "own.pem",
        ssl_keyfile=folder / "own.key",
        **websockets.wire(),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    yield Secured(app, server.servers[0].sockets[0].getsockname()[1], folder / "authority.pem")
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "the server did not stop"


@dataclass
class Proxy:
    """Leads every CONNECT, whatever it names, to one port of this machine."""

    url: str
    asked: set[str] = field(default_factory=set)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    proxy = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            proxy.asked.add(head.split()[1].decode())
            with socket.create_connection(("127.0.0.1", port)) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join(30)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield proxy
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(30)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
