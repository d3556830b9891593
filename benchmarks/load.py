"""A load of closed-loop HTTP clients in a process of its own, lean enough not to be what is measured.

    python -m benchmarks.load URL CLIENTS JOBS BODY [send]

Each client sends one job, waits for its picture's answer, and sends the next; with ``send`` it does not wait
for the picture. Prints one JSON object. BENCH_KEY is the key they show.
"""

import asyncio
import json
import os
import sys
import time


async def client(
    host: str, port: int, request: bytes, jobs: int, expected: bytes, latencies: list[float]
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for _ in range(jobs):
        start = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200") or expected not in body:
            raise SystemExit(f"a job was not done: {head[:200]!r} {body[:300]!r}")
        latencies.append(time.perf_counter() - start)
    writer.close()


async def run(url: str, clients: int, jobs: int, body: str, *, waits: bool = True) -> dict[str, float]:
    host, _, port = url.removeprefix("http://").partition(":")
    payload, key = body.encode(), os.environ.get("BENCH_KEY", "bench").encode()
    request = (
        b"POST /v1/consumer/jobs?wait=%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % (b"true" if waits else b"false", key, len(payload))
    ) + payload
    expected = b'"available":true' if waits else b'"scheduled":true'
    latencies: list[float] = []
    start = time.perf_counter()
    await asyncio.gather(
        *(client(host, int(port), request, jobs // clients, expected, latencies) for _ in range(clients))
    )
    seconds = time.perf_counter() - start
    latencies.sort()
    return {
        "jobs": len(latencies),
        "per_second": len(latencies) / seconds,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    import uvloop

    url, clients, jobs, body, *rest = sys.argv[1:]
    print(json.dumps(uvloop.run(run(url, int(clients), int(jobs), body, waits=not rest))))
