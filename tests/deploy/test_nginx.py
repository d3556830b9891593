"""The nginx examples in a real nginx: before a real server, and before one that shows what it was sent."""

import gzip
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from tests.cli.programs import image_job, running
from tests.debian import environment, unpacked
from tests.deploy.by_hand import free_ports, until

FOLDER = Path(__file__).parents[2] / "deploy/nginx"
NAME = "mill.example"
SNI = {"sni_hostname": NAME}
KEY = "a-key-of-the-settings-for-tests-only"
TOKEN = {"Authorization": f"Bearer {KEY}"}
_MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Proxy:
    """A running nginx with the example's configuration; only addresses and paths of files are others."""

    def __init__(self, folder: Path, upstream: str, stack: ExitStack) -> None:
        self.http, self.https = free_ports(2)
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(folder / "ca.pem")
        issued = self._authority.issue_cert(NAME)
        issued.private_key_pem.write_to_path(folder / "key.pem")
        for number, pem in enumerate(issued.cert_chain_pems):
            pem.write_to_path(folder / "chain.pem", append=number > 0)
        here = {
            "/etc/ssl/mill.example/fullchain.pem": str(folder / "chain.pem"),
            "/etc/ssl/mill.example/privkey.pem": str(folder / "key.pem"),
            "127.0.0.1:8700": upstream,
        }
        text = (FOLDER / "imagemill.conf").read_text()
        for written, value in here.items():
            assert written in text
            text = text.replace(written, value)
        text = _listening(text, {"80": self.http, "443": self.https})
        run(folder, text, stack)
        self.client = stack.enter_context(
            httpx2.Client(
                base_url=f"https://127.0.0.1:{self.https}",
                headers={"Host": NAME},
                verify=self.trust(),
                timeout=20,
                trust_env=False,
            )
        )

    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.client.get(path, headers=headers, extensions=SNI)

    def ask(self, method: str, path: str, **given: Any) -> httpx2.Response:
        headers = {**TOKEN, **given.pop("headers", {})}
        return self.client.request(method, path, headers=headers, extensions=SNI, **given)


def _listening(text: str, ports: dict[str, int]) -> str:
    """On free ports of loopback; of IPv6 only where there is one."""

    def here(match: re.Match[str]) -> str:
        host = "[::1]" if match["six"] else "127.0.0.1"
        if match["six"] and not _has_ipv6():
            return ""
        return f"listen {host}:{ports[match['port']]}{match['more']};"

    return re.sub(r"listen (?P<six>\[::\]:)?(?P<port>\d+)(?P<more>[^;]*);", here, text)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def run(folder: Path, site: str, stack: ExitStack) -> None:
    """Checked by nginx itself, then started."""
    (folder / "site.conf").write_text(site)
    # Started by root its workers would else be nobody, who may not write into this folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    given = environment(unpacked("nginx-light"))
    command = ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], env=given, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr, checked.stderr
    process = subprocess.Popen(command, env=given)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    ports = [int(port) for port in re.findall(r"listen 127.0.0.1:(\d+)", site)]
    until(lambda: all(_answers(port) for port in ports), (folder / "error.log").read_text())


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Before a real server, which knows of nginx only what the example says it must."""
    folder = tmp_path_factory.mktemp("nginx")
    settings = {
        "IMAGEMILL_PORT": "0",
        "IMAGEMILL_ALLOWED_HOSTS": f"{NAME},127.0.0.1",
        "IMAGEMILL_PUBLIC_URL": f"https://{NAME}",
        "IMAGEMILL_TRUSTED_PROXIES": "127.0.0.1",
        "IMAGEMILL_AUTH__ADMIN_KEY": KEY,
    }
    with ExitStack() as stack:
        server = stack.enter_context(running("serve", cwd=folder, **settings))
        yield Proxy(folder, server.url.removeprefix("http://"), stack)


@contextmanager
def mirror() -> Iterator[str]:
    """Answers every request with the headers it came with, as a proxy's server sees them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def submitted(proxy: Proxy, **changes: Any) -> str:
    answer = proxy.ask("POST", "/v1/consumer/jobs", json=image_job(**changes))
    assert answer.status_code == 200, answer.content
    return answer.json()["jobs"][0]["jobId"]


def test_a_job_is_made_over_tls_and_its_picture_fetched_without_a_token(proxy: Proxy) -> None:
    job_id = submitted(proxy)
    until(lambda: proxy.ask("GET", f"/api/v1/jobs/{job_id}").json()["finishedAt"], "the job does not end")
    job = proxy.ask("GET", f"/api/v1/jobs/{job_id}").json()
    url = job["artifacts"][0]["url"]
    picture = proxy.get(url.removeprefix(f"https://{NAME}"))

    assert url.startswith(f"https://{NAME}/blobs/")
    assert picture.status_code == 200
    assert picture.content.startswith(b"\x89PNG")


def test_events_arrive_before_the_job_ends(proxy: Proxy) -> None:
    job_id = submitted(proxy, properties={"simulate": {"step_ms": 400}})
    url = f"/api/v1/jobs/{job_id}/events"
    with proxy.client.stream("GET", url, headers=TOKEN, extensions=SNI) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line == "event: Claimed":
                break
        status = proxy.ask("GET", f"/api/v1/jobs/{job_id}").json()["status"]

    assert status == "running"


def test_an_answer_may_be_waited_for(proxy: Proxy) -> None:
    began = time.monotonic()
    job = image_job(properties={"simulate": {"step_ms": 250}})
    answer = proxy.ask("POST", "/v1/consumer/jobs?wait=true", json=job)

    assert answer.status_code == 200
    assert answer.json()["jobs"][0]["result"], "it was answered before its end"
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("megabytes", [4.5, 12])
def test_a_body_that_is_too_large_is_told_so_in_words(proxy: Proxy, megabytes: float) -> None:
    answer = proxy.ask("POST", "/v1/consumer/jobs", content=b" " * round(megabytes * 2**20))

    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["status"] == 413
    assert "larger than" in answer.json()["detail"]


def test_a_body_that_is_allowed_passes(proxy: Proxy) -> None:
    answer = proxy.ask("POST", "/v1/consumer/jobs", content=b'{"x": "' + b"y" * (4 * 2**20 - 100) + b'"}')
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs/x/events", "/metrics", "/v2/resources"])
def test_without_a_token_nothing_is_shown(proxy: Proxy, path: str) -> None:
    answer = proxy.get(path, Authorization="Bearer another")

    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["title"] == "Unauthorized"


def test_that_the_server_lives_may_be_seen_by_all(proxy: Proxy) -> None:
    assert proxy.get("/health/live").status_code == 200


def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    url = f"http://127.0.0.1:{proxy.http}/v1/consumer/jobs?wait=true"
    answer = httpx2.post(url, headers={"Host": NAME}, trust_env=False)

    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{NAME}/v1/consumer/jobs?wait=true"


def test_clients_get_http_2_and_strict_transport(proxy: Proxy) -> None:
    context = proxy.trust()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", proxy.https), 5) as raw,
        context.wrap_socket(raw, server_hostname=NAME) as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
    assert "max-age" in proxy.ask("GET", "/health/live").headers["strict-transport-security"]


def test_the_server_learns_who_asked_and_how_and_believes_no_client(tmp_path: Path) -> None:
    with ExitStack() as stack:
        proxy = Proxy(tmp_path, stack.enter_context(mirror()), stack)
        forged = {"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "http"}
        for path in ("/api/v1/jobs", "/api/v1/jobs/x/events", "/blobs/x", "/health/live"):
            got = [tuple(pair) for pair in proxy.ask("GET", path, headers=forged).json()]

            assert [value for name, value in got if name == "x-forwarded-for"] == ["127.0.0.1"], path
            assert [value for name, value in got if name == "x-forwarded-proto"] == ["https"], path
            assert [value for name, value in got if name == "host"] == [NAME], path
            assert "connection" not in dict(got), "connections to the server are kept"


def test_a_websocket_passes_both_ways(tmp_path: Path) -> None:
    def echo(socket: ServerConnection) -> None:
        for message in socket:
            socket.send(message)

    with ExitStack() as stack:
        server = stack.enter_context(serve(echo, "127.0.0.1", 0))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        proxy = Proxy(tmp_path, f"127.0.0.1:{server.socket.getsockname()[1]}", stack)
        raw = socket.create_connection(("127.0.0.1", proxy.https), 5)
        client = stack.enter_context(
            connect(f"wss://{NAME}/ws", sock=raw, ssl=proxy.trust(), additional_headers=TOKEN, proxy=None)
        )
        client.send("there")

        assert client.recv(5) == "there"


def test_a_server_that_is_away_is_told_in_words(tmp_path: Path) -> None:
    with ExitStack() as stack:
        proxy = Proxy(tmp_path, f"127.0.0.1:{free_ports(1)[0]}", stack)
        answer = proxy.ask("GET", "/api/v1/jobs")

    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert "try again" in answer.json()["detail"]


def test_the_front_end_of_compose_passes_on_what_it_gets(tmp_path: Path) -> None:
    with ExitStack() as stack:
        upstream, (port,) = stack.enter_context(mirror()), free_ports(1)
        text = (FOLDER / "frontend.conf").read_text()
        assert text.count("listen 8080;") == text.count("127.0.0.1:8700") == 1
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8700", upstream)
        files = tmp_path / "files"
        (files / "assets").mkdir(parents=True)
        (files / "assets/main-1a2b.js").write_text("a script")
        (files / "assets/main-1a2b.js.gz").write_bytes(gzip.compress(b"a script"))
        assert "/usr/share/imagemill" in text
        text = text.replace("/usr/share/imagemill", str(files))
        run(tmp_path, text, stack)
        script = f"http://127.0.0.1:{port}/assets/main-1a2b.js"
        asset = httpx2.get(script, headers={"Accept-Encoding": "gzip"}, trust_env=False)
        page = httpx2.get(f"http://127.0.0.1:{port}/queue", trust_env=False)
        url, headers = f"http://127.0.0.1:{port}/api/v1/jobs", {"Host": "localhost:8700"}
        got = dict(httpx2.get(url, headers=headers, trust_env=False).json())

    assert got["host"] == "localhost:8700"
    assert "connection" not in got
    assert (asset.text, asset.headers["content-encoding"]) == ("a script", "gzip")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert asset.headers["content-type"] == "text/javascript"
    assert page.json(), "the API answers with the page"
