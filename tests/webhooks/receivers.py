"""Receivers of webhooks as there are: well, slow, dead, hanging, dripping, gone."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Got:
    at: float
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def job(self) -> str:
        return self.body["data"]["job"]["id"]

    @property
    def seq(self) -> int:
        return self.body["data"]["event"]["seq"]


@dataclass
class Receiver:
    """Notes what it is sent; answers with the next of ``answers``, else ``status``, after ``delay_s``."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    got: list[Got] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [each.body["type"] for each in self.got]


@contextmanager
def receiving(address: str = "127.0.0.1", **how: Any) -> Iterator[Receiver]:
    receiver = Receiver(**how)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.got.append(Got(time.monotonic(), self.path, headers, raw))
            status = receiver.answers.pop(0) if receiver.answers else receiver.status
            time.sleep(receiver.delay_s)
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in {**receiver.headers, "Content-Length": str(len(receiver.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.body)

        def log_message(self, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 200

    server = Server((address, 0), Handler)
    receiver.url = f"http://{address}:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def hanging(address: str) -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server((address, 0), backlog=200) as server:
        yield f"http://{address}:{server.getsockname()[1]}/hook"


@contextmanager
def dripping(address: str) -> Iterator[str]:
    """Answers a byte at a time, without an end."""
    server = socket.create_server((address, 0), backlog=200)

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://{address}:{server.getsockname()[1]}/hook"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
