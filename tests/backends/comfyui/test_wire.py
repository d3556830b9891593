"""What the client makes of answers, against a server that says what it is told to."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import pytest

from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.errors import (
    ComfyError,
    ComfyStatusError,
    ComfyUnreachable,
    NotComfy,
    TruncatedFile,
    failure,
)
from imagemill.domain.failures import FailureCode
from imagemill.domain.nodes import NodeConfig
from tests.comfyui.node import TestNode

STATS = b'{"system": {"comfyui_version": "0.33.0"}, "devices": []}'


class Canned:
    """Answers each request on each connection with the next of its answers, or the last one again."""

    def __init__(self, *answers: bytes, stay: bool = True) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self._stay = stay
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self._open.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            while request := self._read(peer):
                self.requests.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                try:
                    peer.sendall(answer)
                except OSError:
                    return
                if not self._stay:
                    return

    @property
    def connections(self) -> int:
        return len(self._open)

    @staticmethod
    def _read(peer: socket.socket) -> bytes:
        data = b""
        try:
            while b"\r\n\r\n" not in data and (more := peer.recv(65536)):
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            lengths = [
                line.split(b":")[1]
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ]
            while lengths and len(body) < int(lengths[0]) and (more := peer.recv(65536)):
                body += more
        except OSError:
            return b""
        return head + b"\r\n\r\n" + body if head else b""

    def close(self) -> None:
        self._server.close()
        for peer in self._open:
            peer.close()


def answer(body: bytes, status: str = "200 OK", *, length: int | None = None, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n{more}\r\n"
    return head.encode() + body


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Canned, NodeClient]]]:
    made: list[Canned | NodeClient] = []

    def make(
        *answers: bytes,
        stay: bool = True,
        prefix: str = "",
        read_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Canned, NodeClient]:
        server = Canned(*answers, stay=stay)
        config = NodeConfig("gpu-1", server.url + prefix, headers=headers or {"Authorization": "Bearer t"})
        client = NodeClient(config, connect_s=1.0, read_s=read_s)
        made.extend((client, server))
        return server, client

    yield make
    for one in made:
        one.close()


Serve = Callable[..., tuple[Canned, NodeClient]]


def test_requests_carry_the_headers_and_the_prefix(serve: Serve) -> None:
    server, client = serve(answer(STATS), prefix="/comfy")
    assert client.system_stats()["system"] == {"comfyui_version": "0.33.0"}
    assert server.requests[0].startswith(b"GET /comfy/system_stats HTTP/1.1")
    assert b"Authorization: Bearer t" in server.requests[0]


def test_the_operator_s_headers_come_before_our_own(serve: Serve) -> None:
    server, client = serve(answer(STATS), headers={"user-agent": "mine", "Host": "comfy.lan"})
    client.system_stats()
    head = server.requests[0].lower()
    assert head.count(b"user-agent:") == head.count(b"host:") == 1
    assert b"user-agent: mine" in head
    assert b"host: comfy.lan" in head


@pytest.mark.parametrize("more", ["", "a", "a" * 10_000])
def test_a_chunked_answer_is_read_whole(serve: Serve, more: str) -> None:
    chunk = STATS[:-1] + b', "x": "%b"}' % more.encode()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    _, client = serve(head + b"".join(b"1\r\n%c\r\n" % byte for byte in chunk) + b"0\r\n\r\n")
    assert client.system_stats()["x"] == more
    assert client.system_stats()["x"] == more


def test_an_answer_without_a_stated_length_ends_with_the_connection(serve: Serve) -> None:
    _, client = serve(b"HTTP/1.1 200 OK\r\n\r\n" + STATS, stay=False)
    assert client.system_stats()["devices"] == []


def test_an_interim_answer_is_passed_over(serve: Serve) -> None:
    _, client = serve(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(STATS))
    assert client.system_stats()["devices"] == []


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"garbage"])
def test_what_nobody_asked_for_is_no_answer_to_the_next_request(serve: Serve, more: bytes) -> None:
    server, client = serve(answer(STATS) + more, answer(STATS))
    assert client.system_stats()["devices"] == []
    assert client.system_stats()["devices"] == []
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "first", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"]
)
def test_what_is_not_http_is_a_broken_connection(serve: Serve, first: bytes) -> None:
    _, client = serve(first, stay=False)
    with pytest.raises(ComfyUnreachable, match="broke the connection off at /queue"):
        client.queue()


def test_a_large_upload_is_sent_whole(serve: Serve) -> None:
    server, client = serve(answer(b'{"name": "a.png", "subfolder": "", "type": "input"}'))
    client.upload_image(b"x" * 2_000_000, "a.png", "")
    assert server.requests[0].count(b"x") >= 2_000_000


def test_a_certificate_that_is_not_trusted_is_out_of_reach_without_doubt() -> None:
    with TestNode(tls=True) as node:
        client = NodeClient(NodeConfig("gpu-1", node.url), connect_s=5.0, read_s=5.0)
        with closing(client), pytest.raises(ComfyUnreachable, match=r"TLS fails .*CERTIFICATE") as caught:
            client.post_prompt({})
    assert not caught.value.maybe_received


def test_a_host_that_has_no_address_is_out_of_reach_without_doubt() -> None:
    client = NodeClient(NodeConfig("gpu-1", f"http://{'x' * 70}.example"), connect_s=1.0, read_s=1.0)
    with closing(client), pytest.raises(ComfyUnreachable, match="connecting fails") as caught:
        client.queue()
    assert not caught.value.maybe_received


def test_a_login_page_is_named_as_such(serve: Serve) -> None:
    _, client = serve(answer(b"<!doctype html><title>Sign in</title>"))
    with pytest.raises(NotComfy, match="HTML page titled 'Sign in': a login"):
        client.system_stats()


@pytest.mark.parametrize("body", [b"hello", b"{", b"[]", b"null", b'{"other": 1}'])
def test_what_is_not_comfyuis_json_is_told(serve: Serve, body: bytes) -> None:
    _, client = serve(answer(body))
    with pytest.raises(NotComfy, match="is it a ComfyUI server"):
        client.system_stats()


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("401 Unauthorized", "check the node's token"),
        ("403 Forbidden", "check the node's token"),
        ("302 Found", "redirects /system_stats"),
        ("404 Not Found", "a path prefix included"),
        ("413 Too Large", "--max-upload-size"),
        ("500 Oops", "answers /system_stats with 500"),
    ],
)
def test_a_status_that_is_no_success_comes_with_a_remedy(serve: Serve, status: str, remedy: str) -> None:
    _, client = serve(answer(b"", status, more="Location: http://127.0.0.1:1/login\r\n"))
    with pytest.raises(ComfyStatusError, match=remedy):
        client.system_stats()


def test_a_node_that_is_not_there_is_out_of_reach_without_doubt() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    client = NodeClient(NodeConfig("gpu-1", f"http://127.0.0.1:{port}"), connect_s=1.0, read_s=1.0)
    with pytest.raises(ComfyUnreachable) as caught:
        client.post_prompt({})
    assert not caught.value.maybe_received
    client.close()


def test_a_lost_answer_to_a_prompt_is_doubtful_and_not_sent_twice(serve: Serve) -> None:
    server, client = serve(b"", stay=False)
    with pytest.raises(ComfyUnreachable) as caught:
        client.post_prompt({"prompt": {}})
    assert caught.value.maybe_received
    assert len(server.requests) == 1


def test_a_node_that_hangs_is_given_up_in_time(serve: Serve) -> None:
    _, client = serve(b"", read_s=0.2)
    with pytest.raises(ComfyUnreachable, match="does not answer /queue in time"):
        client.queue()


def test_requests_share_a_connection_that_the_server_keeps_open(serve: Serve) -> None:
    server, client = serve(answer(STATS))
    for _ in range(3):
        client.system_stats()
    assert server.connections == 1


def test_a_connection_that_the_server_announces_to_close_is_not_used_again(serve: Serve) -> None:
    server, client = serve(answer(STATS, more="Connection: close\r\n"))
    for _ in range(3):
        client.system_stats()
    assert server.connections == 3


def test_a_question_is_asked_again_when_a_kept_connection_was_closed(serve: Serve) -> None:
    server, client = serve(answer(STATS), answer(STATS), stay=False)
    client.system_stats()
    client.system_stats()
    assert len(server.requests) == 2


def test_a_file_that_breaks_off_is_damaged(serve: Serve) -> None:
    _, client = serve(answer(b"half", length=100), stay=False)
    with pytest.raises(TruncatedFile, match="broke off"):
        client.view("a.png", "", "output", most=1000)


def test_a_file_beyond_the_limit_is_not_taken(serve: Serve) -> None:
    _, client = serve(answer(b"x" * 101))
    with pytest.raises(TruncatedFile, match="more than 100 bytes"):
        client.view("a.png", "", "output", most=100)


def test_a_file_comes_with_its_type_and_its_name_is_escaped(serve: Serve) -> None:
    server, client = serve(answer(b"data", more="Content-Type: video/mp4; x=1\r\n"))
    assert client.view("a b&c.mp4", "x/y", "output", most=100) == (b"data", "video/mp4")
    assert b"filename=a+b%26c.mp4&subfolder=x%2Fy&type=output" in server.requests[0]


def test_an_upload_gives_the_name_the_node_chose(serve: Serve) -> None:
    _, client = serve(answer(b'{"name": "a (1).png", "subfolder": "imagemill", "type": "input"}'))
    assert client.upload_image(b"png", "a.png", "imagemill").path == "imagemill/a (1).png"


def test_an_interrupt_without_a_prompt_is_never_sent(serve: Serve) -> None:
    server, client = serve(answer(b""))
    with pytest.raises(ValueError, match="any running prompt"):
        client.interrupt("")
    assert not server.requests


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ComfyUnreachable("x", maybe_received=True), FailureCode.NODE_LOST),
        (TruncatedFile("x"), FailureCode.BAD_OUTPUT),
        (ComfyStatusError(413, "x"), FailureCode.BACKEND_REJECTED),
        (ComfyStatusError(500, "x"), FailureCode.BACKEND_UNAVAILABLE),
        (NotComfy("x"), FailureCode.BACKEND_UNAVAILABLE),
    ],
)
def test_every_wire_error_has_a_typed_cause(error: ComfyError, code: FailureCode) -> None:
    assert failure("gpu-1", error).failure is code
