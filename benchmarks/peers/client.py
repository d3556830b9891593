"""A load of closed-loop HTTP clients in a process of its own, lean enough not to be what is measured.

    python -m benchmarks.peers.client URL CLIENTS SECONDS REQUEST

REQUEST is JSON: the path, the body, the headers, and the text that a successful answer contains. Each client
sends one request, waits for its answer and sends the next. Prints a `Load` as JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, cast
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    body: Any
    expected: str
    """Text that the body of a successful answer contains."""
    headers: tuple[tuple[str, str], ...] = ()

    def encoded(self) -> bytes:
        body = json.dumps(self.body).encode()
        head = [
            f"POST {self.path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class Load:
    """Figures of one load; ``client_cpu_ms`` is the CPU of the load's own process for each job."""

    jobs: int
    per_second: float
    p50_ms: float
    p99_ms: float
    client_cpu_ms: float


def summarise(latencies: list[float], seconds: float, cpu_s: float) -> Load:
    """Return the figures of the answers that took these ``latencies``, in seconds."""
    ordered = sorted(latencies)
    jobs = len(ordered)
    return Load(
        jobs,
        jobs / seconds,
        ordered[jobs // 2] * 1000,
        ordered[int(jobs * 0.99)] * 1000,
        cpu_s * 1000 / jobs,
    )


class Client(asyncio.Protocol):
    """One connection that has one request under way until the deadline, a time of `time.perf_counter`."""

    def __init__(self, request: bytes, expected: bytes, deadline: float) -> None:
        self._request = request
        self._expected = expected
        self._deadline = deadline
        self._received = b""
        self._sent = 0.0
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 20") or self._expected not in body:
            self._fail(f"a job was not done: {head[:200]!r} {body[:400]!r}")
            return
        self.latencies.append(now - self._sent)
        self._received = b""
        if now < self._deadline:
            self._send()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was closed: {exc}")

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))


def _content_length(head: bytes) -> int:
    return int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])


async def load(url: str, clients: int, seconds: float, request: Request) -> Load:
    address, loop = urlsplit(url), asyncio.get_running_loop()
    assert address.hostname is not None
    encoded, expected = request.encoded(), request.expected.encode()
    start, cpu_start = time.perf_counter(), time.process_time()
    connections = [
        await loop.create_connection(
            lambda: Client(encoded, expected, start + seconds), address.hostname, address.port or 80
        )
        for _ in range(clients)
    ]
    protocols = [protocol for _, protocol in connections]
    try:
        await asyncio.gather(*(protocol.done for protocol in protocols))
    finally:
        for transport, _ in connections:
            transport.close()
    elapsed, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    return summarise([each for protocol in protocols for each in protocol.latencies], elapsed, cpu_s)


if __name__ == "__main__":
    import uvloop

    target, count, duration, text = sys.argv[1:]
    fields = json.loads(text)
    fields["headers"] = tuple((name, value) for name, value in fields["headers"])
    print(json.dumps(asdict(uvloop.run(load(target, int(count), float(duration), Request(**fields))))))
