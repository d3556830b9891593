"""HTTP itself: the size of heads, HEAD, HTTP/1.0, slashes, bodies that nobody reads or that end too early."""

import io
import json
import logging
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from imagemill.web.connections import MOST_HEAD_BYTES, MOST_HEADERS
from tests.conftest import Server, image_job
from tests.http.support import count_jobs, first, until
from tests.media.files import picture


def sent(server: Server, data: bytes) -> bytes:
    """The whole answer to raw bytes, until the server closes the connection."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as sock:
        sock.sendall(data)
        received = b""
        while part := sock.recv(65536):
            received += part
        return received


def head(*lines: bytes) -> bytes:
    return b"\r\n".join(
        [b"GET /health/live HTTP/1.1", b"Host: localhost", b"Connection: close", *lines, b"", b""]
    )


LINE = b"X: " + b"a" * 1000


@pytest.mark.parametrize(
    "data",
    [
        head(b"X: " + b"a" * MOST_HEAD_BYTES),
        head(*[LINE] * (MOST_HEAD_BYTES // 1000 + 1)),
        head(*[b"X: y"] * MOST_HEADERS),
        head().replace(b"/live", b"/live?" + b"a" * MOST_HEAD_BYTES),
    ],
    ids=["a long line", "many lines", "many headers", "a long query"],
)
def test_a_head_is_bounded(server: Server, data: bytes) -> None:
    answer = sent(server, data)

    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert str(MOST_HEAD_BYTES).encode() in answer


@pytest.mark.parametrize("count", [MOST_HEADERS - 10, 40])
def test_a_head_within_the_bounds_is_read(server: Server, count: int) -> None:
    line = b"X: " + b"a" * (MOST_HEAD_BYTES // count - 20)

    assert sent(server, head(*[line] * count)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("piece", [b"a" * 8192, b"a: b\r\n" * 2048], ids=["one line", "many"])
def test_a_head_without_an_end_is_cut_off(server: Server, piece: bytes) -> None:
    """The bytes that the parser keeps of an unfinished line are counted, too."""
    address, total = urlsplit(server.url), 0
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as sock:
        try:
            sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ")
            while total < 64 * 2**20:
                sock.sendall(piece)
                total += len(piece)
        except OSError:  # reset while it still sends
            pass
    assert total < 16 * 2**20


def test_trailers_are_bounded(server: Server) -> None:
    start = (
        b"POST /health/live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    )
    address, total = urlsplit(server.url), 0
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as sock:
        try:
            sock.sendall(start + b"1\r\nx\r\n0\r\n")
            while total < 64 * 2**20:
                sock.sendall(b"X: y\r\n" * 1000)
                total += 6000
        except OSError:
            pass
    assert total < 16 * 2**20


def test_http_1_0_needs_no_host(server: Server) -> None:
    answer = sent(server, b"GET /health/live HTTP/1.0\r\n\r\n")
    made = sent(server, b"GET /api/v1/jobs?limit=1 HTTP/1.0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert made.startswith(b"HTTP/1.1 200 ")
    assert sent(server, b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 400 "
    )


def test_an_address_without_a_host_is_the_servers(server: Server) -> None:
    body = picture("PNG")
    sent_head = (
        f"POST /api/v1/uploads HTTP/1.0\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = sent(server, sent_head.encode() + body)

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["url"].startswith(f"{server.url}/blobs/inputs/")


@pytest.fixture(scope="module")
def job_id(server: Server) -> str:
    return first(server.submit(wait="true"))["jobId"]


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health/live",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/api/v1/jobs",
        "/api/v1/jobs/{}",
        "/api/v1/jobs/{}/events",
        "/v1/consumer/jobs/{}",
        "/v2/resources",
        "/api/v1/characters/absent/images",
        "/nothing",
    ],
)
def test_head_has_the_head_of_get(server: Server, job_id: str, path: str) -> None:
    got = server.client.get(path.format(job_id))
    headed = server.client.head(path.format(job_id))

    assert headed.status_code == got.status_code
    assert headed.headers.get("content-type") == got.headers.get("content-type")
    assert headed.content == b""


def test_head_of_a_stream_does_not_wait_for_its_end(server: Server) -> None:
    running = first(server.submit(image_job(properties={"simulate": {"step_ms": 60_000}})))["jobId"]

    headed = server.client.head(f"/api/v1/jobs/{running}/events")
    server.client.delete(f"/v1/consumer/jobs/{running}")

    assert headed.status_code == 200
    assert headed.headers["content-type"].startswith("text/event-stream")
    until(lambda: server.app.hub._count == 0)  # pyright: ignore[reportPrivateUsage]


def test_head_changes_nothing(server: Server) -> None:
    before = count_jobs(server)

    assert server.client.head("/api/v1/jobs/x/cancel").status_code == 405
    assert count_jobs(server) == before


@pytest.mark.parametrize("public_url", [None, "https://mill.example", "https://mill.example/base"])
@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/api/v1/jobs/?limit=1", "/api/v1/jobs?limit=1"),
        ("/api/v1/recipes/", "/api/v1/recipes"),
        ("/health/live/", "/health/live"),
    ],
)
def test_a_slash_too_many_is_redirected_to_the_public_address(
    make_server: Callable[..., Server], public_url: str | None, path: str, to: str
) -> None:
    server = make_server(public_url=public_url)

    answer = server.client.get(path, headers={"X-Forwarded-Proto": "gopher"})

    assert (answer.status_code, answer.headers["location"]) == (307, f"{public_url or ''}{to}")


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example/api/v1/jobs/", "/\\evil.example/", "/nothing/"]
)
def test_a_slash_leads_to_no_other_host(server: Server, path: str) -> None:
    answer = sent(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert b"\r\nlocation:" not in answer.lower()
    assert answer.startswith(b"HTTP/1.1 404 ")


def post(url: str, body: bytes, media_type: str = "application/json") -> tuple[int, dict[str, Any]]:
    """Send a body with the standard library, which sends all of it before it reads the answer."""
    request = urllib.request.Request(url, body, {"Content-Type": media_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("mb", [5, 40])
def test_a_body_that_is_too_large_gets_its_answer(server: Server, mb: int) -> None:
    status, told = post(f"{server.url}/api/v1/jobs", b" " * mb * 2**20)

    assert status == 413
    assert "larger than" in told["detail"]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/nothing", "/v1/consumer/jobs", "/fal/fal-ai/flux/dev"])
def test_a_body_that_is_not_wanted_gets_its_answer(keyed: Server, path: str) -> None:
    status, _ = post(f"{keyed.url}{path}", b" " * 3 * 2**20)

    assert status == 401


def test_a_chunked_body_that_is_too_large_gets_its_answer(server: Server) -> None:
    chunk = b"%x\r\n" % 2**20 + b" " * 2**20 + b"\r\n"
    head_ = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

    answer = sent(server, head_ + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 12 + b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_waits_for_continue_sends_nothing(server: Server) -> None:
    answer = sent(
        server,
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\n"
        b"Content-Length: 99999999\r\n\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/jobs", "application/json"),
        ("/v1/consumer/jobs", "application/json"),
        ("/fal-run/fal-ai/flux/dev", "application/json"),
        ("/api/v1/uploads", "image/png"),
        ("/api/v1/uploads", "multipart/form-data; boundary=x"),
        ("/api/v1/auth/login", "application/json"),
    ],
)
def test_a_client_that_leaves_in_mid_body_is_no_bug(
    server: Server, caplog: pytest.LogCaptureFixture, path: str, kind: str
) -> None:
    address = urlsplit(server.url)
    with (
        caplog.at_level(logging.INFO),
        socket.create_connection((address.hostname or "", address.port or 0)) as sock,
    ):
        sock.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            "Content-Length: 1000\r\n\r\n--x\r\n".encode()
        )
        until(lambda: server.client.get("/health/live").status_code == 200)
    with caplog.at_level(logging.INFO):
        counted = f'route="{path}"' if "fal" not in path else "fal-run"
        until(
            lambda: any(
                counted in line and 'status="499"' in line
                for line in server.client.get("/metrics").text.splitlines()
            )
        )

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture(scope="module")
def uploaded(server: Server) -> tuple[str, bytes]:
    url = server.client.post(
        "/api/v1/uploads", content=picture("PNG"), headers={"Content-Type": "image/png"}
    ).json()["url"]
    return url, httpx2.get(url, verify=False).content


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=2-4", 206, slice(2, 5)),
        ("bytes=-3", 206, slice(-3, None)),
        ("bytes=5-4", 200, slice(None)),
        ("bytes=x", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        ("bytes=99999999-", 416, None),
    ],
)
def test_an_uploaded_picture_has_ranges(
    uploaded: tuple[str, bytes], asked: str, status: int, part: slice | None
) -> None:
    url, data = uploaded

    answer = httpx2.get(url, headers={"Range": asked}, verify=False)

    assert answer.status_code == status
    if part is not None:
        assert answer.content == data[part]


def test_an_uploaded_picture_answers_head(uploaded: tuple[str, bytes]) -> None:
    url, data = uploaded

    answer = httpx2.head(url, verify=False)

    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(data)))
    assert answer.headers["content-type"] == "image/png"
    assert io.BytesIO(answer.content).read() == b""
