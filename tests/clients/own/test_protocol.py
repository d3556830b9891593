"""The client's protocol without a server: retries, the event stream, signatures, the token's reach."""

import datetime
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from imagemill_client import ArtifactBody, Imagemill
from imagemill_client.protocol import EventParser, RetryPolicy
from imagemill_client.webhooks import InvalidSignature, verify
from standardwebhooks import Webhook

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


def response(status: int, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_pauses_double_up_to_the_cap_and_end() -> None:
    policy = RetryPolicy(retries=3, first_s=1.0, cap_s=3.0)
    pauses = [policy.pause_s(attempt, None) for attempt in range(4)]
    assert pauses[3] is None
    assert [0.5 * cap <= (pause or 0) <= cap for pause, cap in zip(pauses, (1, 2, 3), strict=False)] == [
        True
    ] * 3


def test_only_answers_that_may_pass_are_retried() -> None:
    policy = RetryPolicy()
    assert [status for status in range(400, 600) if policy.pause_s(0, response(status)) is not None] == [
        429,
        502,
        503,
        504,
    ]


def test_retry_after_is_kept_and_a_long_one_ends_the_retries() -> None:
    policy = RetryPolicy()
    assert policy.pause_s(0, response(429, retry_after="7")) == 7
    assert policy.pause_s(0, response(429, retry_after="3600")) is None
    assert policy.pause_s(0, response(503, retry_after="soon")) is not None


EVENT = {"seq": 3, "type": "Succeeded", "at": "2026-01-31T12:00:00+00:00", "attempt": 1, "data": {}}
PROGRESS = {"type": "progress", "step": 1, "total": 4, "progress": 0.25, "note": ""}


def test_a_stream_is_read_in_pieces_and_resumes_after_its_last_event() -> None:
    parser = EventParser(after=2)
    lines = [": ping", "", f"data: {json.dumps(PROGRESS)}", "", "id: 3", f"data: {json.dumps(EVENT)}", ""]
    read = [message for line in lines for message in parser.feed(line)]

    assert [type(message).__name__ for message in read] == ["ProgressBody", "EventBody"]
    assert parser.after == 3
    assert list(parser.feed(f"data: {json.dumps(EVENT)}")) == []
    parser.restart()
    assert list(parser.feed("")) == []


def signed(body: bytes, at: float) -> dict[str, str]:
    moment = datetime.datetime.fromtimestamp(int(at), datetime.UTC)
    signature = Webhook(SECRET).sign("msg_1", moment, body.decode())
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(at)),
        "Webhook-Signature": f"v1,AAAA {signature}",
    }


def test_a_message_signed_by_the_standards_own_library_is_accepted() -> None:
    verify(SECRET, signed(b'{"a": 1}', 1000), b'{"a": 1}', now=1200)


@pytest.mark.parametrize(
    ("secret", "headers", "body", "now"),
    [
        (SECRET, signed(b"{}", 1000), b"{} ", 1000.0),
        (SECRET, signed(b"{}", 1000), b"{}", 1301.0),
        (SECRET, signed(b"{}", 1000), b"{}", 699.0),
        (SECRET, {}, b"{}", 1000.0),
        (SECRET, {**signed(b"{}", 1000), "Webhook-Timestamp": "1e3"}, b"{}", 1000.0),
        ("whsec_b3RoZXI=", signed(b"{}", 1000), b"{}", 1000.0),
        ("whsec_?", signed(b"{}", 1000), b"{}", 1000.0),
    ],
)
def test_any_other_message_is_refused(secret: str, headers: dict[str, str], body: bytes, now: float) -> None:
    with pytest.raises(InvalidSignature):
        verify(secret, headers, body, now=now)


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives these statuses in turn; the headers it has got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(dict(self.headers))
            self.send_response(statuses[min(len(got), len(statuses)) - 1])
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()


def artifact(url: str) -> ArtifactBody:
    values = {
        "id": "a",
        "mediaType": "image/png",
        "size": 2,
        "width": 1,
        "height": 1,
        "sha256": "",
        "seed": 1,
    }
    return ArtifactBody.model_validate({**values, "available": True, "url": url})


def test_a_file_is_fetched_without_the_token_and_again_after_a_503() -> None:
    with answering(503, 429, 200) as (url, got), Imagemill("http://127.0.0.1:1", "secret") as mill:
        assert mill.download(artifact(f"{url}/picture.png")) == b"{}"

    assert len(got) == 3
    assert not any("authorization" in {name.lower() for name in headers} for headers in got)


def test_the_synchronous_module_is_made_from_the_asynchronous_one() -> None:
    from tools.client_sync import FOLDER, synchronous

    made = synchronous((FOLDER / "aio.py").read_text(encoding="utf-8"))
    kept = (FOLDER / "client.py").read_text(encoding="utf-8")
    assert "".join(made.split()).replace(",)", ")") == "".join(kept.split()).replace(",)", ")")


def test_the_wheel_has_the_types_and_no_more_than_the_package(tmp_path: Path) -> None:
    from tools.build_clients import build_python

    with zipfile.ZipFile(build_python(tmp_path)) as wheel:
        names = wheel.namelist()
    modules = {name for name in names if not name.startswith("imagemill_client-")}
    assert {
        "imagemill_client/py.typed",
        "imagemill_client/client.py",
        "imagemill_client/models.py",
    } <= modules
    assert all(name.startswith("imagemill_client/") for name in modules)


def test_it_needs_none_of_the_servers_modules() -> None:
    folder = Path(__file__).parents[3] / "clients" / "python" / "src" / "imagemill_client"
    sources = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    assert len(sources) >= 7
    assert not [source for source in sources if "import imagemill\n" in source or "from imagemill." in source]
