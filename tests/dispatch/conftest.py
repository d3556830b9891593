"""Fleets are slow to start: all tests share them, and each makes sure of the workers it needs."""

from collections.abc import Iterator

import pytest

from tests.dispatch.fleet import Fleet, running_fleet
from tests.redis import RedisServer


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def celery_fleet(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("celery"), redis) as fleet:
        fleet.server.wait(fleet.submit())
        yield fleet


@pytest.fixture(scope="session")
def inline_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("inline"), None) as fleet:
        fleet.server.wait(fleet.submit())
        yield fleet
