"""A real receiver of OTLP over HTTP, which parses what comes as a collector does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

STATUS_ERROR = 2


@dataclass(frozen=True)
class Received:
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: float
    end: float
    """Seconds since the epoch."""
    attributes: dict[str, Any]
    failed: bool
    resource: dict[str, Any]

    @property
    def process(self) -> str:
        return self.resource["service.instance.id"]


@dataclass
class Collector:
    url: str
    answers: int = 200
    spans: list[Received] = field(default_factory=list[Received])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    bodies: list[bytes] = field(default_factory=list[bytes])
    news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        with self.news:
            self.headers.append(headers)
            if self.answers == 200:
                self.bodies.append(body)
                self.spans += spans_of(body)
            self.news.notify_all()
            return self.answers

    def until(self, holds: Callable[[list[Received]], bool], seconds: float = 30) -> list[Received]:
        """The spans, once it holds of them."""
        end = time.monotonic() + seconds
        with self.news:
            while not holds(self.spans):
                left = end - time.monotonic()
                assert left > 0, f"only these came: {[(s.name, s.trace) for s in self.spans]}"
                self.news.wait(left)
            return list(self.spans)


def spans_of(body: bytes) -> Iterator[Received]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = plain(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.start_time_unix_nano / 1e9,
                    span.end_time_unix_nano / 1e9,
                    plain(span.attributes),
                    span.status.code == STATUS_ERROR,
                    resource,
                )


def plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            given = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(collector.take({**given, "path": self.path}, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
