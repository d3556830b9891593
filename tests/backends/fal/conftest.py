from collections.abc import Iterator

import pytest

from tests.backends.fal.support import close_all
from tests.fal_server import FalServer
from tests.fal_server.server import running


@pytest.fixture(scope="session")
def _server() -> Iterator[FalServer]:
    """Authorities take a while to make: one server for all tests."""
    with running() as server:
        yield server


@pytest.fixture
def fal(_server: FalServer) -> Iterator[FalServer]:
    """As new."""
    _server.behave()
    _server.replies.clear()
    _server.calls.clear()
    _server.requests.clear()
    yield _server
    close_all()
