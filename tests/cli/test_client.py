"""Client commands against a real server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from tests.cli.programs import Program, image_job, run


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def ask(served: Program, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", served.url])


def answer(served: Program, *arguments: str) -> Any:
    result = ask(served, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def submitted(served: Program, **body: Any) -> str:
    with served.client() as client:
        return client.post("/v1/consumer/jobs", json=image_job(**body)).json()["jobs"][0]["jobId"]


def test_health(served: Program) -> None:
    assert "✓ database  ok" in ask(served, "health").stdout
    assert answer(served, "health")["ok"] is True


@pytest.mark.parametrize(
    "command", [["health"], ["jobs", "list"], ["jobs", "watch", "x"], ["resources", "show", "urn:air:a:b"]]
)
def test_an_unreachable_server_is_one_line_that_says_how_to_start_one(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "imagemill serve" in result.stderr
    result = CliRunner().invoke(app, [*command, "--url", "http://127.0.0.1:1", "--json"])
    assert result.exit_code == 2
    assert "imagemill serve" in json.loads(result.stdout)["error"]


def test_the_port_of_the_settings_is_asked(tmp_path: Path, served: Program) -> None:
    port = served.url.rpartition(":")[2]
    assert run("health", cwd=tmp_path, PORT=port).returncode == 0
    assert run("health", cwd=tmp_path, IMAGEMILL_URL=served.url).returncode == 0


def test_an_invalid_address_is_refused() -> None:
    result = CliRunner().invoke(app, ["health", "--url", "localhost:8700"])
    assert result.exit_code == 2
    assert "one looks like http://127.0.0.1:8700" in result.stderr


def test_jobs_are_listed_shown_and_watched(served: Program) -> None:
    job = submitted(served, steps=5, properties={"simulate": {"step_ms": 20}}, name="a boat")
    watched = ask(served, "jobs", "watch", job)
    assert watched.exit_code == 0, watched.output
    for part in ("Initialized", "Claimed", "Succeeded", "BACKEND_RESULT", "total", "/blobs/"):
        assert part in watched.stdout
    assert job in ask(served, "jobs", "list", "--status", "succeeded").stdout
    shown = ask(served, "jobs", "show", job).stdout
    assert "a boat" in shown
    assert "STORED" in shown
    body = answer(served, "jobs", "show", job)
    assert body["status"] == "succeeded"
    assert [event["seq"] for event in body["events"]] == list(range(1, len(body["events"]) + 1))


def test_watch_in_json_is_an_event_a_line(served: Program) -> None:
    # Long enough for the watch to begin on a busy machine.
    job = submitted(served, steps=10, properties={"simulate": {"step_ms": 200}})
    events = [json.loads(line) for line in ask(served, "jobs", "watch", job, "--json").stdout.splitlines()]
    assert events[0]["event"] == "Initialized"
    assert events[-1]["event"] == "Succeeded"
    assert any(event["event"] == "progress" for event in events)


def test_a_failed_job_ends_the_watch_with_its_cause_and_can_be_replayed(served: Program) -> None:
    job = submitted(served, properties={"simulate": {"fault": "content"}})
    watched = ask(served, "jobs", "watch", job)
    assert watched.exit_code == 1
    assert "content_blocked" in watched.stdout
    again = answer(served, "jobs", "replay", job)
    assert again["id"] != job
    assert ask(served, "jobs", "watch", again["id"], "--json").exit_code == 1


def test_a_running_job_is_canceled(served: Program) -> None:
    job = submitted(served, properties={"simulate": {"fault": "hang"}})
    assert ask(served, "jobs", "cancel", job).exit_code == 0
    assert ask(served, "jobs", "watch", job).exit_code == 1
    assert answer(served, "jobs", "show", job)["status"] == "canceled"


def test_problems_are_shown_with_field_and_message(served: Program) -> None:
    result = ask(served, "jobs", "list", "--status", "sleeping")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: status: is 'sleeping'; one of waiting")
    result = ask(served, "jobs", "list", "--status", "sleeping", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["errors"]["status"]
    assert ask(served, "jobs", "show", "nothing").exit_code == 1
    assert ask(served, "jobs", "watch", "nothing").exit_code == 1


def test_pages_of_jobs_follow_each_other(served: Program) -> None:
    ids = [submitted(served) for _ in range(3)]
    first = answer(served, "jobs", "list", "--limit", "2")
    second = answer(served, "jobs", "list", "--limit", "2", "--cursor", first["next"])
    listed = [job["id"] for page in (first, second) for job in page["items"]]
    assert listed[:3] == ids[::-1]


def test_resources_are_added_found_shown_and_removed(served: Program) -> None:
    air = "urn:air:sdxl:lora:imagemill:test-lamp@3"
    added = answer(served, "resources", "add", air, "--name", "Lamp", "--tag", "light", "--word", "lamp")
    assert added["trainedWords"] == ["lamp"]
    again = ask(served, "resources", "add", air, "--name", "Another")
    assert again.exit_code == 1
    assert "is registered already" in again.stderr
    assert air in ask(served, "resources", "list", "test-lamp").stdout
    assert answer(served, "resources", "list", "light")["total"] == 1
    assert "Lamp" in ask(served, "resources", "show", air).stdout
    assert answer(served, "resources", "remove", air) == {"removed": air}
    assert ask(served, "resources", "show", air).exit_code == 1
    assert ask(served, "resources", "add", "not an air").exit_code == 1


@contextmanager
def breaking_server(bodies: list[bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve each request for events with the next body, then break off; collect each Last-Event-ID."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_stream = self.path.endswith("/events")
            if is_stream:
                seen.append(self.headers["Last-Event-ID"])
            body = (
                bodies[min(len(seen), len(bodies)) - 1] if is_stream else b'{"error": null, "artifacts": []}'
            )
            self.send_response(200)
            # More is promised than comes: the connection breaks in the middle.
            self.send_header("Content-Length", str(len(body) + (len(seen) < len(bodies)) * is_stream))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def frame(seq: int, name: str) -> bytes:
    event = {"seq": seq, "type": name, "at": "2026-01-01T00:00:00+00:00", "attempt": 1, "data": {}}
    return f"id: {seq}\nevent: {name}\ndata: {json.dumps(event)}\n\n".encode()


JOB = "01a2238c-4a37-7e4e-8fe9-c660c98ffd26"


def test_watch_goes_on_where_a_connection_broke() -> None:
    bodies = [
        b"retry: 2000\n\n"
        + frame(1, "Initialized")
        + frame(2, "Claimed")
        + b": keep-alive\n\nid: 3\nevent: Up",
        frame(3, "Rejected"),
        frame(4, "Claimed") + frame(5, "Succeeded"),
    ]
    with breaking_server(bodies) as (url, seen):
        result = CliRunner().invoke(app, ["jobs", "watch", JOB, "--url", url, "--json"])
    assert result.exit_code == 0, result.output
    assert seen == ["0", "2", "3"]
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == [1, 2, 3, 4, 5]
