"""Fleets are slow to start: all tests share them, and each makes sure of the workers it needs."""

from collections.abc import Iterator

import pytest

from tests.dispatch.fleet import Fleet, running_fleet
from tests.rabbit import RabbitServer
from tests.redis import RedisServer


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def celery_fleet(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("celery"), redis.url) as fleet:
        fleet.server.wait(fleet.submit())
        yield fleet


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbit_fleet(rabbit: RabbitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("quorum")
    with running_fleet(folder, rabbit.url, quorum_queues=True) as fleet:
        fleet.server.wait(fleet.submit())
        yield fleet


@pytest.fixture(scope="session")
def inline_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("inline"), None) as fleet:
        fleet.server.wait(fleet.submit())
        yield fleet
