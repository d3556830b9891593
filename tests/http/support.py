"""What the HTTP tests share: jobs of a known speed, formats of answers, a receiver of callbacks."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import Server, image_job

GOLDEN = Path(__file__).parent / "golden"

_FORMATS = {
    "<uuid>": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "<instant>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z",
    "<span>": r"(\d+\.)?\d\d:\d\d:\d\d\.\d{7}",
    "<blob key>": r"[0-9A-F]{64}",
    "<blob url>": r"http://127\.0\.0\.1:\d+/blobs/[0-9A-F]{64}\.png\?exp=\d+&sig=[0-9a-f]+",
    "<trace>": r"00-[0-9a-f]{32}-[0-9a-f]{16}-00",
    "<node>": r"sim-\d+\.\w+",
    "<worker>": r"\w+-\d+-\w+",
    "<milliseconds>": r"\d+",
    "<json>": r"\{.*\}",
    "<reason>": r"next by fair share(; \S+ is loaded)?|loads \S+: .*|.*; \S+ is loaded",
}


def formats(value: Any) -> Any:
    """A JSON value with every text that differs from run to run replaced by the name of its format."""
    if isinstance(value, dict):
        return {key: formats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [formats(item) for item in value]
    if isinstance(value, str):
        return next((name for name, form in _FORMATS.items() if re.fullmatch(form, value, re.DOTALL)), value)
    return value


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def slow_job(step_ms: float, **changes: Any) -> dict[str, Any]:
    """An image job of four steps that take so long each."""
    properties = {"simulate": {"step_ms": step_ms}, **changes.pop("properties", {})}
    return image_job(properties=properties, **changes)


def faulty_job(fault: str, times: int = 1, **changes: Any) -> dict[str, Any]:
    return image_job(properties={"simulate": {"fault": fault, "times": times}}, **changes)


def first(answer: httpx2.Response) -> dict[str, Any]:
    """The first job of a collection."""
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["jobs"][0]


def job_ids(answer: httpx2.Response) -> list[str]:
    assert answer.status_code in (200, 202), answer.text
    return [job["jobId"] for job in answer.json()["jobs"]]


def status_of(server: Server, job_id: str, **query: str) -> dict[str, Any]:
    answer = server.client.get(f"/v1/consumer/jobs/{job_id}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events_of(server: Server, job_id: str, **query: str) -> list[dict[str, Any]]:
    answer = server.client.get(f"/v1/producer/jobs/{job_id}/events", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def until(condition: Callable[[], Any], seconds: float = 40) -> Any:
    """What ``condition`` answers once it is true."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
    return result


def count_jobs(server: Server) -> int:
    """All jobs there are, straight from the server's store."""
    from imagemill.jobs.store.queries import Filter

    wanted = Filter(owner=server.app.settings.owner, limit=1_000_000)
    return len(server.app.stores.jobs.list_jobs(wanted))


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The body of an error, after checking what every error must have."""
    assert answer.status_code == status, answer.text[:2000]
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "traceId"}
    assert body["status"] == status
    assert formats(body["traceId"]) == "<trace>"
    assert body["detail"].strip()
    assert len(body["detail"]) <= 1500
    assert "\n" not in body["detail"]
    assert "Traceback" not in answer.text
    if "errors" in body:
        assert isinstance(body["errors"], dict)
        assert all(isinstance(messages, list) and messages for messages in body["errors"].values())
    return body


class Receiver:
    """A server that is called back: it keeps every call and answers by a script, then always 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: list[int] = []
        self.calls: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any], headers: dict[str, str]) -> int:
        with self._lock:
            status = self.script.pop(0) if self.script else 200
            self.calls.append((status, body, headers))
            return status

    def accepted(self, job_id: str) -> list[dict[str, Any]]:
        """The events of a job that were answered with success."""
        return [body for status, body, _ in self.calls if status == 200 and body.get("jobId") == job_id]


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status = receiver.answer(body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("Location", receiver.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quietly."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{httpd.server_address[1]}/hook")
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield receiver
    httpd.shutdown()
    httpd.server_close()
    thread.join()
