"""A gateway where nobody listens is no healthy node."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from imagemill.backends.base import Node
from imagemill.backends.fal.backend import FalBackend
from imagemill.backends.fal.settings import FalSettings
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from tests.backends.fal.support import Book, settings
from tests.backends.fal.test_sending import order
from tests.conftest import Server
from tests.fal_server.server import KEY
from tests.service.build import wait_until
from tests.tuning import tuned

PROXIES = [f"{name}_proxy" for name in ("http", "https", "all")]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def subject(port: int) -> Iterator[FalBackend]:
    with closing(FalBackend(settings(host=f"127.0.0.1:{port}", check_s=0.01), Book())) as backend:
        yield backend


def node(backend: FalBackend) -> Node:
    return backend.nodes()[0]


def test_a_closed_port_makes_the_node_unhealthy_until_somebody_listens(subject: FalBackend, port: int):
    wait_until(lambda: not node(subject).healthy)
    assert f"127.0.0.1:{port} cannot be reached" in node(subject).problem
    assert "IMAGEMILL_FAL__HOST" in node(subject).problem
    with socket.create_server(("127.0.0.1", port)):
        wait_until(lambda: node(subject).healthy)


def test_the_address_is_checked_no_more_often_than_set():
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        backend = FalBackend(settings(host=host, check_s=3600.0), Book())
        for _ in range(50):
            assert node(backend).healthy
        server.settimeout(8)
        server.accept()[0].close()
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_nothing_is_checked_behind_a_proxy(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    backend = FalBackend(settings(host=f"127.0.0.1:{port}", check_s=0.0), Book())
    assert {node(backend).healthy for _ in range(20)} == {True}
    assert not any("gateway" in each.name for each in threading.enumerate())


def test_a_refused_call_makes_the_node_unhealthy_for_a_while(port: int):
    with closing(FalBackend(settings(host=f"127.0.0.1:{port}", check_s=3600.0), Book())) as backend:
        with pytest.raises(BackendError) as caught:
            backend.send(order())
        assert caught.value.failure is FailureCode.BACKEND_UNAVAILABLE
        assert "fal cannot be reached" in node(backend).problem


def test_health_is_degraded_and_names_the_gateway(make_server: Callable[..., Server], port: int):
    own = tuned(FalSettings, key=KEY, host=f"127.0.0.1:{port}", check_s=0.05)
    server = make_server(simulator={"enabled": "never"}, fal=own)
    health = lambda: server.client.get("/health").json()  # noqa: E731
    wait_until(lambda: health()["status"] == "degraded")
    assert f"127.0.0.1:{port}" in str(health()["problems"])
