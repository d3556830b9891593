"""Fixtures of the HTTP tests."""

from collections.abc import Iterator

import pytest

from imagemill.bootstrap.application import Roles
from imagemill.config import Settings
from tests.access.support import ADMIN_KEY
from tests.conftest import Server, running_server
from tests.http.support import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real server on this machine that callbacks can be sent to."""
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that needs a key; its client sends an administrator's."""
    folder = tmp_path_factory.mktemp("keyed")
    settings = Settings(_env_file=None, data_dir=folder, sweep_s=0.05, auth={"admin_key": ADMIN_KEY})
    with running_server(settings) as server:
        server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def accepting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that only accepts jobs, once on each database: they differ in what a text may hold.

    Workers would draw random numbers while hypothesis watches who does.
    """
    chosen = {"data_dir": tmp_path_factory.mktemp("accepting")}
    if request.param == "postgres":
        chosen["database_url"] = request.getfixturevalue("postgres_server")
    with running_server(Settings(_env_file=None, **chosen), Roles(scheduler=False, worker=False)) as server:
        yield server
