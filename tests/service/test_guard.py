"""Which addresses a callback may reach."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from threading import Thread

import httpx2
import pytest

from imagemill.domain.errors import InvalidInput
from imagemill.net.guarded_client import GuardedTransport
from imagemill.net.url_guard import MAX_URL, AddressBlocked, UrlGuard

PRIVATE = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "169.254.0.1",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "240.0.0.1",
    "224.0.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2001:0:7f00:1::",
    "2001:db8::1",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700:4700::1111",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "::ffff:8.8.8.8",
]


def url_of(address: str) -> str:
    return f"http://[{address}]/hook" if ":" in address else f"http://{address}/hook"


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused_at_submit(address: str):
    with pytest.raises(InvalidInput) as refused:
        UrlGuard().check_url("callbackUrl", url_of(address))
    assert refused.value.errors[0].path == "callbackUrl"
    assert "IMAGEMILL_ALLOW_NETWORKS" in refused.value.errors[0].message


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused_at_delivery(address: str):
    with pytest.raises(AddressBlocked):
        UrlGuard().resolve(address, 80)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_called(address: str):
    assert UrlGuard().check_url("callbackUrl", url_of(address))
    assert list(UrlGuard().resolve(address, 80)) == [address]


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001", "127.0.1", "0"])
def test_an_odd_spelling_of_loopback_is_refused_at_delivery(host: str):
    with pytest.raises(AddressBlocked):
        UrlGuard().resolve(host, 80)


@pytest.mark.parametrize("url", ["http://localhost/", "http://LOCALHOST:8700/x", "https://localhost/"])
def test_localhost_is_refused_at_submit(url: str):
    with pytest.raises(InvalidInput):
        UrlGuard().check_url("callbackUrl", url)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST"])
def test_localhost_is_refused_at_delivery(host: str):
    with pytest.raises(AddressBlocked):
        UrlGuard().resolve(host, 80)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "/hook",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "http://",
        "http:///hook",
        "http://user:secret@example.com/",
        "http://user@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\x00",
        "http://[::1",
        "http://example.com:port/",
        "http://example.com/" + "x" * MAX_URL,
    ],
)
def test_what_is_no_plain_http_url_is_refused_at_submit(url: str):
    with pytest.raises(InvalidInput):
        UrlGuard().check_url("callbackUrl", url)


@pytest.mark.parametrize("url", ["http://example.com:99999/", "http://example.com:65536/"])
def test_a_port_that_does_not_exist_is_refused_at_submit(url: str):
    with pytest.raises(InvalidInput):
        UrlGuard().check_url("callbackUrl", url)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://example.com:8443/x?y=z", "HTTP://EXAMPLE.COM"]
)
def test_a_plain_http_url_is_taken_as_it_is(url: str):
    assert UrlGuard().check_url("callbackUrl", url) == url


@pytest.mark.parametrize("host", ["", "a" * 300, "a..b", "\x00", "does-not-exist.invalid"])
def test_a_name_without_an_address_is_refused(host: str):
    with pytest.raises(AddressBlocked):
        UrlGuard().resolve(host, 80) if host else UrlGuard().resolve("does-not-exist.invalid", 80)


def test_a_refusal_does_not_reveal_which_names_exist_inside():
    def resolver(host: str, port: int) -> list[str]:
        if host == "inside.test":
            return ["10.0.0.7"]
        if host == "empty.test":
            return []
        if host == "mixed.test":
            return ["93.184.216.34", "10.0.0.7"]
        raise OSError("Name or service not known")

    told = set[str]()
    for host in ("inside.test", "empty.test", "mixed.test", "absent.test"):
        with pytest.raises(AddressBlocked) as refused:
            UrlGuard(resolver=resolver).resolve(host, 80)
        told.add(str(refused.value).replace(host, "HOST"))

    assert len(told) == 1
    assert "IMAGEMILL_ALLOW_NETWORKS" in told.pop()


LOCAL = UrlGuard([ip_network("127.0.0.0/8")])


def test_an_allowed_network_is_called():
    assert LOCAL.check_url("callbackUrl", "http://127.0.0.1:9/")
    assert LOCAL.check_url("callbackUrl", "http://localhost/")
    assert list(LOCAL.resolve("127.0.0.1", 80)) == ["127.0.0.1"]


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::1", "64:ff9b::a00:1"])
def test_an_allowed_network_allows_nothing_else(address: str):
    with pytest.raises(AddressBlocked):
        LOCAL.resolve(address, 80)


class Receiver:
    """A server that notes what it was asked and answers with a redirect to itself."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.hosts: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.paths.append(self.path)
                receiver.hosts.append(self.headers["Host"])
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Rebinding(UrlGuard):
    """A guard whose resolver answers as a name server of an attacker's would: something else each time."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__([ip_network("127.0.0.0/8")], resolver=lambda host, port: [answers.pop(0)])
        self.answers = answers


def test_the_checked_address_is_the_one_that_is_called_and_the_name_is_kept():
    receiver = Receiver()
    guard = Rebinding(["127.0.0.1"])
    with httpx2.Client(transport=GuardedTransport(guard)) as client:
        response = client.get(f"http://rebinds.invalid:{receiver.port}/hook")
    receiver.close()
    assert response.status_code == 302
    assert receiver.hosts == [f"rebinds.invalid:{receiver.port}"]
    assert guard.answers == []


def test_a_name_that_changes_its_address_is_checked_again_for_the_next_call():
    receiver = Receiver()
    guard = Rebinding(["127.0.0.1", "10.0.0.1"])
    with httpx2.Client(transport=GuardedTransport(guard)) as client:
        client.get(f"http://rebinds.invalid:{receiver.port}/hook")
        with pytest.raises(AddressBlocked):
            client.get(f"http://rebinds.invalid:{receiver.port}/hook")
    receiver.close()
    assert receiver.paths == ["/hook"]


def test_a_refused_address_is_not_connected_to():
    receiver = Receiver()
    with httpx2.Client(transport=GuardedTransport(UrlGuard())) as client, pytest.raises(AddressBlocked):
        client.get(f"http://127.0.0.1:{receiver.port}/hook")
    receiver.close()
    assert receiver.paths == []
