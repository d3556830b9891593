"""Following a job over a WebSocket: the objects of the server-sent events, resumable, bounded both ways."""

import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.exceptions import HTTPException
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from imagemill.backends.base import Progress
from imagemill.bootstrap.application import Roles
from imagemill.config import Settings
from imagemill.domain.events import Notice
from imagemill.web import websockets
from imagemill.web.websockets import refusal
from tests.conftest import Server, running_server
from tests.http.support import faulty_job, first, slow_job, until
from tests.http.test_events import follow as follow_by_sse

Message = dict[str, Any] | bytes


def open_socket(
    server: Server, job_id: str, query: str = "", headers: dict[str, str] | None = None, **options: Any
) -> ClientConnection:
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/jobs/{job_id}/ws?{query}"
    return connect(url, additional_headers=headers or {}, compression=None, proxy=None, **options)


def read(messages: Iterator[Any]) -> list[Message]:
    return [each if isinstance(each, bytes) else json.loads(each) for each in messages]


def rest(connection: ClientConnection) -> tuple[list[Message], int, str]:
    """What is told until the server closes, then its code and reason."""
    told: list[Message] = []
    while True:
        try:
            told += read(iter([connection.recv(20)]))
        except ConnectionClosed as closed:
            frame = closed.rcvd
            return told, frame.code if frame else 1006, frame.reason if frame else ""


def follow(server: Server, job_id: str, query: str = "", **headers: str) -> tuple[list[Message], int]:
    """What was told, and the close code."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with open_socket(server, job_id, query, named) as connection:
        return rest(connection)[:2]


def closing(
    server: Server, job_id: str, query: str = "", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """How the server closes a socket that it does not serve."""
    with open_socket(server, job_id, query, headers) as connection:
        told, code, reason = rest(connection)
        assert told == []
        return code, reason


def durable(told: list[Message]) -> list[dict[str, Any]]:
    return [each for each in told if isinstance(each, dict) and "seq" in each]


def test_a_socket_tells_what_the_event_stream_tells(server: Server) -> None:
    job_id = first(server.submit(faulty_job("server_error", times=2), wait="true"))["jobId"]

    told, code = follow(server, job_id)

    assert code == 1000
    assert told == [frame.data for frame in follow_by_sse(server, job_id)]


def test_the_events_of_a_running_job_come_in_order_with_progress_in_between(server: Server) -> None:
    job_id = first(server.submit(slow_job(40, params={"steps": 12})))["jobId"]

    told, code = follow(server, job_id)

    assert code == 1000
    assert [event["seq"] for event in durable(told)] == list(range(1, len(durable(told)) + 1))
    names = [each["type"] for each in told if isinstance(each, dict)]
    assert names.index("Claimed") < names.index("progress") < names.index("Succeeded") == len(names) - 1
    steps = [each["step"] for each in told if isinstance(each, dict) and each["type"] == "progress"]
    assert len(steps) >= 6
    assert steps == sorted(steps)


@pytest.mark.parametrize("seen", [1, 3, 5])
def test_a_reader_that_comes_back_gets_the_rest_without_gap_or_repeat(server: Server, seen: int) -> None:
    job_id = first(server.submit(faulty_job("server_error", times=2)))["jobId"]
    before: list[Message] = []
    with open_socket(server, job_id) as connection:
        while len(durable(before)) < seen:
            before += read(iter([connection.recv(20)]))
    last = durable(before)[-1]["seq"]

    by_query, _ = follow(server, job_id, f"after={last}")
    by_header, _ = follow(server, job_id, Last_Event_ID=str(last))

    ids = [event["seq"] for event in [*durable(before), *durable(by_query)]]
    assert ids == list(range(1, len(ids) + 1))
    assert durable(by_header) == durable(by_query)
    assert durable(by_query)[-1]["type"] == "Succeeded"


def test_a_reader_that_has_seen_everything_is_let_go(server: Server) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]

    assert follow(server, job_id, "after=1000") == ([], 1000)


@contextmanager
def previews(server: Server, picture: bytes, query: str) -> Iterator[Iterator[Message]]:
    """The news of a job that is shown with this picture."""
    job_id = first(server.submit())["jobId"]
    with open_socket(server, job_id, query) as connection:
        assert json.loads(connection.recv(10))["type"] == "Initialized"
        server.app.hub.publish_progress(job_id, Progress(3, 10, "samples", picture))
        yield (read(iter([each]))[0] for each in connection)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose jobs stay queued."""
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("idle"))
    with running_server(settings, Roles(worker=False)) as server:
        yield server


PROGRESS = {"type": "progress", "step": 3, "total": 10, "progress": 0.3, "note": "samples"}
PICTURE = b"\xff\xd8 a picture"


def test_previews_are_data_urls_by_default(idle: Server) -> None:
    url = f"data:image/jpeg;base64,{base64.b64encode(PICTURE).decode()}"
    with previews(idle, PICTURE, "") as news:
        assert next(news) == {**PROGRESS, "preview": url}


def test_previews_are_messages_of_their_own_when_asked_for_as_bytes(idle: Server) -> None:
    with previews(idle, PICTURE, "previews=binary") as news:
        assert next(news) == {**PROGRESS, "previewType": "image/jpeg", "previewBytes": len(PICTURE)}
        assert next(news) == PICTURE


def test_previews_are_left_out_when_they_are_not_wanted(idle: Server) -> None:
    with previews(idle, PICTURE, "previews=none") as news:
        assert next(news) == PROGRESS


@pytest.mark.parametrize(
    ("query", "headers", "code", "reason"),
    [
        ("after=x", {}, 4400, "write the number of the last event seen"),
        ("previews=jpeg", {}, 4400, "write base64, binary or none"),
        ("", {"Last-Event-ID": "-1"}, 4400, "write the number of the last event seen"),
        ("", {"Origin": "https://elsewhere.example"}, 4403, "another site's page"),
        ("", {"Sec-Fetch-Site": "cross-site"}, 4403, "another site's page"),
    ],
)
def test_what_is_refused_is_told_by_the_close_code(
    idle: Server, query: str, headers: dict[str, str], code: int, reason: str
) -> None:
    job_id = first(idle.submit())["jobId"]

    told = closing(idle, job_id, query, headers)

    assert told[0] == code
    assert reason in told[1]


def test_a_page_of_our_own_may_follow(idle: Server) -> None:
    job_id = first(idle.submit())["jobId"]

    with open_socket(idle, job_id, headers={"Origin": idle.url}) as connection:
        assert json.loads(connection.recv(10))["seq"] == 1


@pytest.mark.parametrize("job_id", ["01890000-0000-7000-8000-000000000000", "nonsense"])
def test_an_unknown_job_is_a_4404(idle: Server, job_id: str) -> None:
    assert closing(idle, job_id)[0] == 4404


def test_a_job_of_somebody_else_is_as_unknown(idle: Server, make_server: Callable[..., Server]) -> None:
    job_id = first(idle.submit())["jobId"]
    other = make_server(data_dir=idle.app.settings.data_dir, owner="bob", roles=Roles(worker=False))

    assert closing(other, job_id)[0] == 4404


@pytest.mark.parametrize(("status", "code"), [(401, 4401), (403, 4403), (404, 4404)])
def test_a_close_code_is_the_status_the_route_would_answer(status: int, code: int) -> None:
    told = refusal(HTTPException(status, "ä" * 200))

    assert told.code == code
    assert len(told.reason.encode()) <= 123, "a close frame holds no more"


def test_a_host_that_is_not_served_is_refused_before_the_socket_opens(idle: Server) -> None:
    url = f"ws://evil.example:{urlsplit(idle.url).port}/api/v1/jobs/x/ws"
    raw = socket.create_connection(("127.0.0.1", urlsplit(idle.url).port or 0))

    with pytest.raises(InvalidStatus) as refused, connect(url, sock=raw, proxy=None):
        pass

    assert refused.value.response.status_code == 421
    assert b"IMAGEMILL_ALLOWED_HOSTS" in refused.value.response.body


def test_a_job_that_is_deleted_closes_its_socket(idle: Server) -> None:
    job_id = first(idle.submit())["jobId"]
    with open_socket(idle, job_id) as connection:
        connection.recv(10)
        idle.app.stores.jobs.delete_jobs([job_id])
        idle.app.hub.publish([Notice(job_id, 2, terminal=True)])
        assert rest(connection)[1:] == (4404, "the job was deleted")


def test_a_message_that_is_too_large_closes_the_socket(idle: Server) -> None:
    job_id = first(idle.submit())["jobId"]
    with open_socket(idle, job_id) as connection:
        connection.send("x" * (websockets.MESSAGE_BYTES + 1))
        assert rest(connection)[1] == 1009


def test_too_many_messages_close_the_socket(idle: Server) -> None:
    job_id = first(idle.submit())["jobId"]
    most = websockets.MESSAGES
    with open_socket(idle, job_id) as connection:
        for _ in range(most):
            connection.send("anybody there?")
        assert json.loads(connection.recv(10))["seq"] == 1
        connection.send("one more")
        _, code, reason = rest(connection)
    assert code == 1008
    assert f"more than {most} messages" in reason


def test_sockets_count_among_the_streams(make_server: Callable[..., Server]) -> None:
    server = make_server(limit={"streams": 1}, roles=Roles(worker=False))
    job_id = first(server.submit())["jobId"]
    with open_socket(server, job_id) as connection:
        connection.recv(10)
        assert closing(server, job_id)[0] == 1013

    def free() -> bool:
        with open_socket(server, job_id) as again:
            try:
                return json.loads(again.recv(10))["seq"] == 1
            except ConnectionClosed:
                return False

    until(free)


def test_a_client_that_answers_no_ping_is_let_go(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "PING_S", 0.1)
    monkeypatch.setattr(websockets, "PONG_S", 0.2)
    server = make_server(roles=Roles(worker=False))
    job_id = first(server.submit())["jobId"]
    with raw_socket(server, job_id):
        until(lambda: watchers(server) == 1)
        until(lambda: watchers(server) == 0)


def test_a_client_that_answers_pings_is_kept(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "PING_S", 0.05)
    monkeypatch.setattr(websockets, "PONG_S", 0.2)
    server = make_server(roles=Roles(worker=False))
    job_id = first(server.submit())["jobId"]
    pings = 0
    with open_socket(server, job_id, ping_interval=None) as connection:
        assert json.loads(connection.recv(10))["seq"] == 1
        process = connection.protocol.recv_frame

        def counted(frame: Any) -> None:
            nonlocal pings
            pings += frame.opcode == 9
            process(frame)

        connection.protocol.recv_frame = counted  # type: ignore[method-assign]
        until(lambda: pings >= 8)
        assert watchers(server) == 1


def watchers(server: Server) -> int:
    return server.app.hub._count  # pyright: ignore[reportPrivateUsage]


@contextmanager
def raw_socket(server: Server, job_id: str) -> Iterator[socket.socket]:
    """A client that shakes hands and then reads nothing."""
    address = urlsplit(server.url)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(10)
        raw.connect((address.hostname, address.port))
        lines = [
            f"GET /api/v1/jobs/{job_id}/ws HTTP/1.1",
            f"Host: {address.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(b'0123456789abcdef').decode()}",
        ]
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        assert raw.recv(12) == b"HTTP/1.1 101"
        yield raw


LARGE: dict[str, Any] = {"max_size": None, "close_timeout": 0.5}
"""A client of large messages, that leaves with some unread."""


def test_a_reader_that_takes_nothing_is_cut_and_holds_up_nobody(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "SLOW_S", 0.5)
    server = make_server(roles=Roles(worker=False))
    job_id = first(server.submit())["jobId"]
    with raw_socket(server, job_id) as raw, open_socket(server, job_id, **LARGE) as quick:
        until(lambda: watchers(server) == 2)
        stop = threading.Event()

        def show() -> None:
            step = 0
            while not stop.wait(0.005):
                step += 1
                server.app.hub.publish_progress(job_id, Progress(step, 10_000, "samples", bytes(400_000)))

        def take() -> bool:
            quick.recv(10)
            return watchers(server) == 1

        showing = threading.Thread(target=show)
        showing.start()
        try:
            until(take)
        finally:
            stop.set()
            showing.join()
        with pytest.raises(ConnectionResetError):
            drain(raw)


def drain(raw: socket.socket) -> None:
    while raw.recv(65536):
        pass
    raise ConnectionResetError("it ended in the middle")


def test_what_a_slow_reader_missed_is_not_kept_for_it(make_server: Callable[..., Server]) -> None:
    """The latest progress, not every one: that is what bounds its memory."""
    server = make_server(roles=Roles(worker=False))
    job_id = first(server.submit())["jobId"]
    with raw_socket(server, job_id) as raw:
        until(lambda: watchers(server) == 1)
        for step in range(1, 301):
            server.app.hub.publish_progress(job_id, Progress(step, 300, "samples", bytes(100_000)))
        received = bytearray()
        while b'"step":300,' not in received:
            received += raw.recv(65536)
            assert len(received) < 300 * 100_000 / 2, "all of it had been kept"


def test_a_server_that_stops_says_so_and_another_one_goes_on(make_server: Callable[..., Server]) -> None:
    other = make_server(roles=Roles(scheduler=False, worker=False))
    settings = Settings(_env_file=None, data_dir=other.app.settings.data_dir)
    with ExitStack() as stack:
        one = stack.enter_context(running_server(settings, Roles(scheduler=False, worker=False)))
        job_id = first(one.submit())["jobId"]
        with open_socket(one, job_id) as connection:
            before = read(iter([connection.recv(10)]))
            stopping = threading.Thread(target=stack.pop_all().close)
            stopping.start()
            assert rest(connection)[1] == 1012
            stopping.join()
    worker = threading.Timer(0.1, lambda: make_server(roles=Roles(api=False)))
    worker.start()

    after, code = follow(other, job_id, f"after={durable(before)[-1]['seq']}")
    worker.join()

    assert code == 1000
    ids = [event["seq"] for event in [*durable(before), *durable(after)]]
    assert ids == list(range(1, len(ids) + 1))


def test_a_close_frame_of_the_client_ends_it_at_once(idle: Server) -> None:
    job_id = first(idle.submit())["jobId"]
    before = watchers(idle)
    with raw_socket(idle, job_id) as raw:
        until(lambda: watchers(idle) == before + 1)
        raw.sendall(b"\x88\x82\0\0\0\0" + struct.pack("!H", 1000))
        until(lambda: watchers(idle) == before)
