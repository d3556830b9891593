"""Closed loops of clients that have prompts rendered by a ComfyUI server: each sends one, waits for its end,
and fetches the picture. The same loop runs on the server itself, through Imagemill, and through
comfy-api-proxy.

``python -m benchmarks.comfyui_clients --help`` measures them in turns, on a real server or the test node.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import psutil
from websockets.sync.client import connect

from benchmarks.processes import Row, free_port, imagemill

HEADERS = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
TIMEOUT_S = 60.0
WARM_UP = 8
"""Prompts before what is measured: the first ones open connections and start processes."""
WORK = ((0, 200), (50, 60), (1000, 8))
"""Milliseconds that a prompt takes on the test node, and the prompts of a loop."""
PROXY_POLL_S = 0.003
"""Pause of a client of comfy-api-proxy between two reads of its job."""

SOCKET: dict[str, Any] = {"compression": None, "ping_interval": None, "close_timeout": 0.1}
"""A client that has ended reads nothing more, so a closing handshake would take its whole time limit."""

Graph = dict[str, Any]


class Client(Protocol):
    """One client with its own connections; used by one thread."""

    def run(self, graph: Graph) -> int:
        """Have the graph rendered and fetch its picture; return the picture's size in bytes."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Rate:
    """The outcome of one closed loop."""

    per_s: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    """CPU milliseconds a prompt, of the process between the clients and the server; 0 without one."""


def closed_loop(
    make: Callable[[], Client],
    graphs: Iterator[Graph],
    *,
    clients: int,
    prompts: int,
    process: psutil.Process | None = None,
) -> Rate:
    """Run ``prompts`` prompts in all with so many clients at once. ``process``: whose CPU time is counted."""
    opened = [make() for _ in range(clients)]
    try:
        for number in range(max(WARM_UP, clients)):
            opened[number % clients].run(next(graphs))
        todo = iter([next(graphs) for _ in range(prompts)])
        took: list[float] = []
        failed: list[Exception] = []
        lock = threading.Lock()

        def serve(client: Client) -> None:
            while True:
                with lock:
                    graph = next(todo, None)
                if graph is None or failed:
                    return
                begin = time.perf_counter()
                try:
                    client.run(graph)
                except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
                    failed.append(error)
                    return
                took.append(time.perf_counter() - begin)

        threads = [threading.Thread(target=serve, args=(client,)) for client in opened]
        before, start = _cpu_s(process), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, cpu_s = time.perf_counter() - start, _cpu_s(process) - before
        if failed:
            raise failed[0]
    finally:
        for client in opened:
            client.close()
    took.sort()
    p50, p95 = took[len(took) // 2], took[int(len(took) * 0.95)]
    return Rate(prompts / seconds, p50 * 1000, p95 * 1000, cpu_s * 1000 / prompts)


def _cpu_s(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


class _Http:
    """One kept connection."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._headers = headers

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        try:
            answer = self._answer(method, path, data)
        except (ConnectionError, http.client.BadStatusLine):
            # A server closes connections that were idle for long, as they are on a machine with other work.
            self._connection.close()
            answer = self._answer(method, path, data)
        content = answer.read()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def _answer(self, method: str, path: str, data: str | None) -> http.client.HTTPResponse:
        self._connection.request(method, path, data, self._headers)
        return self._connection.getresponse()

    def stream(self, path: str) -> Iterator[bytes]:
        """Read the lines of an event stream, which the server ends."""
        self._connection.request("GET", path, None, self._headers)
        with self._connection.getresponse() as answer:
            while line := answer.readline():
                yield line

    def close(self) -> None:
        self._connection.close()


class DirectClient:
    """Uses the server itself, and learns of the end of a prompt by a WebSocket of its own."""

    def __init__(self, url: str) -> None:
        self._http = _Http(url, {"Content-Type": "application/json"})
        self._id = uuid4().hex
        self._stack = ExitStack()
        address = f"ws{url.removeprefix('http')}/ws?clientId={self._id}"
        self._socket = self._stack.enter_context(connect(address, **SOCKET))

    def run(self, graph: Graph) -> int:
        body = {"prompt": graph, "client_id": self._id, "extra_data": {"preview_method": "none"}}
        prompt = json.loads(self._http.ask("POST", "/prompt", body))["prompt_id"]
        file: dict[str, str] = {}
        for frame in self._socket:
            if isinstance(frame, bytes) or prompt not in frame:
                continue
            message = json.loads(frame)
            kind, data = message["type"], message["data"]
            if kind == "executed" and data.get("output"):
                file = data["output"]["images"][0]
            elif kind == "execution_success":
                break
            elif kind in ("execution_error", "execution_interrupted"):
                raise RuntimeError(frame)
        return len(self._http.ask("GET", f"/view?{urlencode(file)}"))

    def close(self) -> None:
        self._stack.close()
        self._http.close()


class WaitingClient:
    """Submits to Imagemill by a request that waits for the job's end."""

    def __init__(self, url: str) -> None:
        self._http = _Http(url, HEADERS)

    def run(self, graph: Graph) -> int:
        body = {"$type": "comfy", "params": {"workflow": graph}}
        answer = json.loads(self._http.ask("POST", "/v1/consumer/jobs?wait=true", body))
        result = answer["result"]
        if isinstance(result, list):
            result = result[0]
        return len(self._http.ask("GET", _path_of(result["blobUrl"])))

    def close(self) -> None:
        self._http.close()


class StreamingClient:
    """Submits to Imagemill and follows the job's event stream."""

    def __init__(self, url: str) -> None:
        self._http = _Http(url, HEADERS)

    def run(self, graph: Graph) -> int:
        body = {"recipe": "comfy", "input": {"graph": graph}}
        job = json.loads(self._http.ask("POST", "/api/v1/jobs", body))["id"]
        for line in self._http.stream(f"/api/v1/jobs/{job}/events"):
            if line.startswith(b"event: ") and b"Failed" in line:
                raise RuntimeError("the job failed")
        found = json.loads(self._http.ask("GET", f"/api/v1/jobs/{job}"))
        return len(self._http.ask("GET", _path_of(found["artifacts"][0]["url"])))

    def close(self) -> None:
        self._http.close()


class ProxyClient:
    """Submits to comfy-api-proxy and polls, as its documentation advises."""

    def __init__(self, url: str) -> None:
        self._http = _Http(url, {"Content-Type": "application/json"})

    def run(self, graph: Graph) -> int:
        job = json.loads(self._http.ask("POST", "/api/v2/jobs", {"workflow": graph}))
        path = f"/api/v2/jobs/{job['id']}"
        while job["status"] != "succeeded":
            # For a moment between the queue and the history it calls a job expired.
            if job["status"] in ("failed", "canceled"):
                raise RuntimeError(f"the proxy's job ended as {job['status']}")
            time.sleep(PROXY_POLL_S)
            job = json.loads(self._http.ask("GET", path))
        return len(self._http.ask("GET", f"/api/v2/assets/{job['outputs'][0]['id']}/content"))

    def close(self) -> None:
        self._http.close()


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def measure(root: Path) -> list[Row]:
    """Rates through Imagemill as shares of the test node's own, and what a job takes more."""
    rows: list[Row] = []
    for work_ms, prompts in WORK:
        with (
            test_node("--work-ms", str(work_ms)) as node,
            imagemill(root / str(work_ms), COMFYUI__URLS=node, LIMIT__STREAMS="2000") as server,
        ):
            await_node(server.url)
            source = graphs()
            for clients in (1, 8):
                direct = closed_loop(lambda: DirectClient(node), source, clients=clients, prompts=prompts)
                for name, kind in (("wait", WaitingClient), ("SSE", StreamingClient)):
                    ours = closed_loop(
                        lambda kind=kind: kind(server.url),
                        source,
                        clients=clients,
                        prompts=prompts,
                        process=server.process,
                    )
                    found = (
                        f"{ours.per_s / direct.per_s:.2f}  {ours.p50_ms - direct.p50_ms:+.1f} ms"
                        f"  {ours.cpu_ms:.1f} ms CPU"
                    )
                    aim = "1.00, CPU 5 ms" if work_ms >= 1000 else "0.95, below +5 ms, CPU 2 ms"
                    rows.append((f"prompts of {work_ms} ms, {clients} clients, {name}: ratio", found, aim))
    return rows


# What runs.


def graphs(sleep_class: str = "", sleep_s: float = 0.0) -> Iterator[Graph]:
    """Return graphs that all differ, so that no cache of the server answers them.

    ``sleep_class``: a node class with inputs ``image`` and ``seconds``, for prompts that take ``sleep_s``.
    """
    first = int(time.time() * 1000) % 2**24
    for number in range(2**24):
        color = (first + number) % 2**24
        blank = {"width": 64, "height": 64, "batch_size": 1, "color": color}
        graph: Graph = {"1": {"class_type": "EmptyImage", "inputs": blank}}
        source: list[Any] = ["1", 0]
        if sleep_class:
            slept = {"image": source, "seconds": sleep_s}
            graph["3"] = {"class_type": sleep_class, "inputs": slept}
            source = ["3", 0]
        saved = {"images": source, "filename_prefix": "bench"}
        yield graph | {"2": {"class_type": "SaveImage", "inputs": saved}}


@contextmanager
def test_node(*arguments: str) -> Iterator[str]:
    """The tests' own ComfyUI in a process of its own."""
    command = [sys.executable, "-m", "tests.comfyui.node", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def proxy(command: str, node: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """comfy-api-proxy before a server, keeping its state in ``folder``. ``command``: its program."""
    port = free_port()
    arguments = ["--comfyui", node, "--port", str(port), "--state-dir", str(folder)]
    with subprocess.Popen(
        [command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            await_answer(port, "/api/v2/health")
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()


def await_answer(port: int, path: str) -> None:
    """Wait until a server of this machine answers."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            _Http(f"http://127.0.0.1:{port}", {}).ask("GET", path)
        except (OSError, RuntimeError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing answers at port {port}")


def await_node(url: str) -> None:
    """Wait until Imagemill has taken its node."""
    client = _Http(url, {})
    end = time.monotonic() + 30
    while time.monotonic() < end:
        nodes = json.loads(client.ask("GET", "/health"))["nodes"]
        if any(node["healthy"] and node["backend"] == "comfyui" for node in nodes):
            return client.close()
        time.sleep(0.05)
    raise RuntimeError("the node was not taken")


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    make: Callable[[], Client]
    process: psutil.Process | None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comfyui_clients")
    parser.add_argument("--node", help="address of a ComfyUI server; without it the test node is started")
    parser.add_argument("--work-ms", type=float, default=0.0, help="how long a prompt takes on the test node")
    parser.add_argument("--sleep-class", default="", help="a node class that takes an image and seconds")
    parser.add_argument("--sleep-s", type=float, default=0.0)
    parser.add_argument("--proxy", default="", help="the program of comfy-api-proxy")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", default="2")
    given = parser.parse_args(arguments)
    started = nullcontext(given.node) if given.node else test_node("--work-ms", str(given.work_ms))
    with tempfile.TemporaryDirectory() as folder, started as node:
        root = Path(folder)
        behind = proxy(given.proxy, node, root / "proxy") if given.proxy else nullcontext(None)
        with (
            imagemill(root / "ours", COMFYUI__URLS=node, COMFYUI__SLOTS=given.slots) as server,
            behind as proxied,
        ):
            await_node(server.url)
            candidates = [
                _Candidate("direct", lambda: DirectClient(node), None),
                _Candidate("ours, wait", lambda: WaitingClient(server.url), server.process),
                _Candidate("ours, SSE", lambda: StreamingClient(server.url), server.process),
            ]
            if proxied is not None:
                url, process = proxied
                candidates.append(_Candidate("comfy-api-proxy", lambda: ProxyClient(url), process))
            for clients in given.clients:
                _measure(candidates, given, clients)
    return 0


def _measure(candidates: list[_Candidate], given: argparse.Namespace, clients: int) -> None:
    """Print the medians of the rounds, and the medians of the ratios within a round."""
    source = graphs(given.sleep_class, given.sleep_s)
    found: dict[str, list[Rate]] = {each.name: [] for each in candidates}
    for _ in range(given.rounds):
        for each in candidates:
            rate = closed_loop(
                each.make, source, clients=clients, prompts=given.prompts, process=each.process
            )
            found[each.name].append(rate)
    direct = found["direct"]
    print(f"{clients} clients, {given.prompts} prompts, medians of {given.rounds} rounds")
    for name, rates in found.items():
        ratio = statistics.median(rate.per_s / node.per_s for rate, node in zip(rates, direct, strict=True))
        more = statistics.median(rate.p50_ms - node.p50_ms for rate, node in zip(rates, direct, strict=True))
        rate = [statistics.median(each) for each in zip(*map(_figures, rates), strict=True)]
        print(
            f"  {name:<16} {rate[0]:7.1f}/s  ratio {ratio:5.2f}  p50 {rate[1]:7.1f} ms ({more:+.1f})"
            f"  p95 {rate[2]:7.1f} ms  CPU {rate[3]:5.2f} ms"
        )


def _figures(rate: Rate) -> tuple[float, float, float, float]:
    return rate.per_s, rate.p50_ms, rate.p95_ms, rate.cpu_ms


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
