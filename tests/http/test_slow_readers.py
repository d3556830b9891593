"""Clients that read an answer slowly, or not at all, hold no connection and no memory for long."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest
import uvicorn
from fastapi import FastAPI

from imagemill.domain.jobs import Artifact
from imagemill.domain.signing import UrlSigner
from imagemill.web import blobs
from tests.cli.programs import Program, running
from tests.http.support import until

ANSWER_S = 0.8
ASKED = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
TIMES = 200
"""So many answers are more than what the kernel takes for a client."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    constants = {"imagemill.settings:LimitSettings.answer_s": ANSWER_S}
    with running("serve", "--port", "0", cwd=tmp_path_factory.mktemp("slow"), constants=constants) as program:
        yield program


def connected(url: str) -> socket.socket:
    """That takes 4 KiB at a time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(20)
    sock.connect((urlsplit(url).hostname or "", urlsplit(url).port or 0))
    return sock


def held(program: Program, sock: socket.socket) -> bool:
    """Whether the server still has its end of the connection."""
    port = sock.getsockname()[1]
    found = psutil.Process(program.process.pid).net_connections()
    return any(each.raddr and each.raddr.port == port for each in found)


def read_nothing(sock: socket.socket) -> None:
    time.sleep(0.02)


def read_a_byte(sock: socket.socket) -> None:
    time.sleep(0.02)
    with suppress(ConnectionError):
        sock.recv(1)


@pytest.mark.parametrize("read", [read_nothing, read_a_byte])
def test_a_reader_that_does_not_get_on_is_cut(
    program: Program, read: Callable[[socket.socket], None]
) -> None:
    with connected(program.url) as sock:
        sock.sendall(ASKED * TIMES)
        until(lambda: held(program, sock))
        end = time.monotonic() + 20
        while held(program, sock):
            read(sock)
            assert time.monotonic() < end
    assert httpx2.get(f"{program.url}/health/live", trust_env=False).status_code == 200


def test_one_that_gets_on_and_then_stops_is_cut(program: Program) -> None:
    """The reader is checked again and again, not once."""
    with connected(program.url) as sock:
        sock.sendall(ASKED * TIMES)
        start = time.monotonic()
        while time.monotonic() - start < 2 * ANSWER_S:
            assert sock.recv(65536)
            time.sleep(0.005)
        until(lambda: not held(program, sock))


def test_one_that_asked_and_closes_only_its_own_end_is_cut_too(program: Program) -> None:
    with connected(program.url) as sock:
        sock.sendall(ASKED * TIMES)
        sock.shutdown(socket.SHUT_WR)
        until(lambda: not held(program, sock))


def test_one_that_is_slow_and_gets_on_has_all_of_it(program: Program) -> None:
    whole = len(httpx2.get(f"{program.url}/openapi.json", trust_env=False).content)
    with connected(program.url) as sock:
        sock.sendall(ASKED * 16)
        received, start = 0, time.monotonic()
        while received < 16 * whole:
            part = sock.recv(65536)
            assert part
            received += len(part)
            time.sleep(0.001 * len(part) / 4096)
        assert time.monotonic() - start > 2 * ANSWER_S


def test_a_connection_that_rests_between_answers_is_kept(program: Program) -> None:
    with httpx2.Client(base_url=program.url, trust_env=False) as client:
        client.get("/health/live")
        before = [each.laddr for each in psutil.Process(program.process.pid).net_connections()]
        time.sleep(2 * ANSWER_S)
        client.get("/health/live")
        assert [each.laddr for each in psutil.Process(program.process.pid).net_connections()] == before


class Bucket:
    """Remembers how much was asked of it; its file is 64 MiB of nothing."""

    size = 64 * 2**20

    def __init__(self) -> None:
        self.asked: list[int] = []

    def location(self, key: str) -> None:
        return None

    def read(self, key: str, start: int, stop: int) -> bytes:
        self.asked.append(stop - start)
        return bytes(stop - start)


@contextmanager
def serving(bucket: Bucket) -> Iterator[str]:
    """The URL of its file."""
    signer = UrlSigner(b"k" * 32, life_s=600)
    found = Artifact("a" * 32, "j", 0, 1, "k", "image/png", bucket.size, 1, 1, "0" * 64, None, 0)
    app = FastAPI()
    files = blobs.ArtifactFiles(bucket)  # type: ignore[arg-type]
    app.include_router(blobs.router(signer, lambda _: (found, "ann"), files))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}{blobs.PATH}/{found.id}.png?{signer.sign(found.id).query}"
    server.should_exit = True
    thread.join(20)


def test_the_more_clients_there_are_the_less_of_a_file_is_held_for_each() -> None:
    bucket = Bucket()
    with serving(bucket) as url, ExitStack() as open_:
        path = url.partition("/blobs")[1:]
        for number in range(100):
            sock = open_.enter_context(connected(url))
            sock.sendall(f"GET {''.join(path)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            until(lambda number=number: len(bucket.asked) > number)
        assert max(bucket.asked) == bucket.asked[0] == 4 * 2**20
        assert min(bucket.asked) < 2 * 2**20
        # Without, it is 4 MiB for each of the hundred, and again for what their sockets hold.
        assert sum(bucket.asked) < 350 * 2**20
