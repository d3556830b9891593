"""The outermost layer: headers, other sites, proxies, clients that drip."""

import asyncio
import socket
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from imagemill.settings import LimitSettings
from imagemill.web.middleware import behind_proxies, client_address
from tests.access.support import ADMIN_KEY, ask, guarded
from tests.cli.programs import running
from tests.conftest import Server
from tests.http.support import problem
from tests.tuning import tuned

APP = "https://app.example"


def test_every_answer_says_what_a_browser_may_do_with_it(server: Server) -> None:
    for path in ("/health", "/nothing", "/docs", "/v2/resources", "/api/v1/jobs"):
        headers = server.client.get(path).headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert len(headers.get_list("cache-control")) <= 1
        assert headers.get("cache-control", "") == ("no-store" if path.startswith(("/api", "/v2")) else "")
    assert "script-src" not in server.client.get("/health").headers["content-security-policy"]
    docs = server.client.get("/docs").headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-inline'" in docs


def test_pages_that_the_settings_list_may_call_and_others_not(make_server: Callable[..., Server]) -> None:
    server = make_server(cors={"origins": (APP,), "contract_origins": (APP,)})
    for path in ("/api/v1/jobs", "/v1/consumer/jobs"):
        for origin, allowed in ((APP, APP), ("https://evil.example", None)):
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            asked = ask(server, "t", "OPTIONS", path, headers=headers)
            answer = ask(server, "t", "POST", path, json={}, headers=headers)
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert asked.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in answer.headers
            assert "origin" in answer.headers["vary"].lower()
            if path.startswith("/api"):
                assert answer.status_code == (400 if allowed else 403)
            if allowed:
                assert asked.status_code == 204
                assert "X-Imagemill-User" in asked.headers["access-control-allow-headers"]


def test_pages_of_other_sites_cannot_log_in_or_sign_up(server: Server) -> None:
    for path in ("login", "sign-up", "forgot-password"):
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        answer = ask(server, None, "POST", f"/api/v1/auth/{path}", json={}, headers=headers)
        assert "another site" in problem(answer, 403)["detail"]


LOCAL = ["127.0.0.1/32"]
FORWARDED = [
    ([], "127.0.0.1", "6.6.6.6", "https", "127.0.0.1", "http"),
    (LOCAL, "127.0.0.1", "6.6.6.6", "https", "6.6.6.6", "https"),
    (LOCAL, "127.0.0.1", "6.6.6.6:443", "https", "6.6.6.6", "https"),
    (LOCAL, "127.0.0.1", "6.6.6.6, 7.7.7.7", "http", "7.7.7.7", "http"),
    (["127.0.0.1/32", "7.7.7.0/24"], "127.0.0.1", "6.6.6.6, 7.7.7.7", None, "6.6.6.6", "http"),
    (["127.0.0.1/32", "7.7.7.0/24"], "127.0.0.1", "6.6.6.6, ::ffff:7.7.7.7", None, "6.6.6.6", "http"),
    (["127.0.0.1/32", "7.7.7.0/24"], "127.0.0.1", "7.7.7.6, 7.7.7.7", None, "7.7.7.6", "http"),
    (LOCAL, "8.8.8.8", "6.6.6.6", "https", "8.8.8.8", "http"),
    (LOCAL, "127.0.0.2", "6.6.6.6", "https", "127.0.0.2", "http"),
    (LOCAL, "::ffff:127.0.0.1", "[2001:db8::1]:443", "https", "2001:db8::1", "https"),
    (LOCAL, "::ffff:8.8.8.8", "6.6.6.6", "https", "::ffff:8.8.8.8", "http"),
    (["2001:db8::/32"], "2001:db8::7", "[2001:db9::1]", "https", "2001:db9::1", "https"),
    (["2001:db8::/32"], "::ffff:127.0.0.1", "6.6.6.6", "https", "::ffff:127.0.0.1", "http"),
    (LOCAL, "127.0.0.1", None, None, "127.0.0.1", "http"),
    (LOCAL, "127.0.0.1", "6.6.6.6, ", None, "127.0.0.1", "http"),  # no address: the proxy's own is kept
    (LOCAL, "127.0.0.1", "6.6.6.6", "gopher", "6.6.6.6", "http"),
    (LOCAL, "127.0.0.1", "x" * 5000, None, "x" * 64, "http"),
]


@pytest.mark.parametrize(("trusted", "peer", "forwarded", "proto", "client", "scheme"), FORWARDED)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_only_trusted_proxies_say_whom_a_request_is_from(
    trusted: list[str],
    peer: str,
    forwarded: str | None,
    proto: str | None,
    client: str,
    scheme: str,
    kind: str,
) -> None:
    headers = [(b"x-forwarded-for", (forwarded or "").encode())] if forwarded else []
    headers += [(b"x-forwarded-proto", (proto or "").encode())] if proto else []
    plain = "http" if kind == "http" else "ws"
    scope: Scope = {"type": kind, "client": (peer, 1), "scheme": plain, "headers": headers}
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    asyncio.run(behind_proxies(app, [ip_network(each) for each in trusted])(scope, Mock(), Mock()))
    assert (client_address(seen[0]), seen[0]["scheme"]) == (client, scheme.replace("http", plain))


def test_the_address_behind_a_proxy_is_written_down(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server, trusted_proxies=("127.0.0.1",))
    told = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9"}
    server.client.post("/api/v1/owners", json={"id": "ann"}, headers=told)
    assert server.client.get("/api/v1/audit").json()["items"][0]["address"] == "203.0.113.9"


def test_the_public_address_is_answered_without_being_listed(make_server: Callable[..., Server]) -> None:
    server = make_server(public_url="https://mill.example/base", allowed_hosts=("localhost",))
    statuses = [
        httpx2.get(f"{server.url}/health/live", headers={"Host": host}, verify=False).status_code
        for host in ("mill.example", "127.0.0.1", "localhost", "evil.example", "0.0.0.0")
    ]
    assert statuses == [200, 200, 200, 421, 421]


def connected(url: str) -> socket.socket:
    return socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), 10)


def until_closed(sock: socket.socket, drip: bytes, seconds: float = 40) -> bytes:
    """What came back before the server hung up on a client that sends a byte now and then."""
    sock.settimeout(0.05)
    received, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            sock.sendall(drip)
            if not (part := sock.recv(65536)):
                return received
            received += part
        except TimeoutError:
            continue
        except OSError:
            return received
    raise AssertionError(f"the server still listens after {seconds} s: {received!r}")


def test_a_body_that_drips_is_given_up(make_server: Callable[..., Server]) -> None:
    server = make_server(limit=tuned(LimitSettings, body_s=0.3))
    head = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
    with connected(server.url) as sock:
        sock.sendall(head.encode())
        answer = until_closed(sock, b" ")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"0.3 s" in answer
    assert server.client.get("/health/live").status_code == 200


def test_heads_and_answered_bodies_that_drip_are_given_up(tmp_path: Path) -> None:
    settings = {"IMAGEMILL_AUTH__ADMIN_KEY": ADMIN_KEY}
    constants = {"imagemill.settings:LimitSettings.head_s": 0.3}
    with running("serve", "--port", "0", cwd=tmp_path, constants=constants, **settings) as program:
        with connected(program.url) as sock:
            assert until_closed(sock, b"") == b""
        with connected(program.url) as sock:
            sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n")
            assert until_closed(sock, b"X") == b""
        with connected(program.url) as sock:
            sock.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n")
            assert b" 401 " in until_closed(sock, b" ")
        with connected(program.url) as sock, sock.makefile("rb") as lines:
            for _ in range(3):  # a connection that gets on is kept, longer than a head may take
                sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while (line := lines.readline()) != b"\r\n":
                    assert line
                assert lines.read(11) == b'{"ok":true}'
                time.sleep(0.2)
