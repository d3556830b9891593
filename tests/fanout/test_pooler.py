"""News beside a pooler in transaction mode: heard past it, and never believed to be heard through it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.build import build_pubsub
from imagemill.config import Settings
from imagemill.jobs.leadership import ProcessLock
from imagemill.pubsub.base import ClusterEvent, EventHandlers
from imagemill.pubsub.postgres import PostgresPubSub
from imagemill.pubsub.threads import ListenerThread
from tests import pgbouncer
from tests.pgbouncer import PgBouncer
from tests.service.build import wait_until

DEAF_S = 20
"""A listener gives up after three seconds without hearing itself, and tries again."""


@pytest.fixture(scope="module")
def pooler(postgres_server: str) -> Iterator[PgBouncer]:
    with pgbouncer.running(postgres_server) as pooler:
        yield pooler


@pytest.fixture
def heard() -> list[ClusterEvent]:
    return []


@pytest.fixture
def listen(heard: list[ClusterEvent]) -> Iterator[Callable[[PostgresPubSub], None]]:
    listeners: list[tuple[ListenerThread, PostgresPubSub]] = []

    def listen(ear: PostgresPubSub) -> None:
        listening = ListenerThread(ear, EventHandlers(heard.append, lambda id_, progress: None, lambda: None))
        listeners.append((listening, ear))
        listening.start()

    yield listen
    for listening, ear in listeners:
        listening.close()
        ear.close()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[ProcessLock]:
    lock = ProcessLock(tmp_path)
    yield lock
    lock.close()


def test_news_are_heard_past_the_pooler(
    pooler: PgBouncer,
    postgres_url: str,
    listen: Callable[[PostgresPubSub], None],
    heard: list[ClusterEvent],
    lock: ProcessLock,
    tmp_path: Path,
):
    settings = Settings(
        _env_file=None,
        database_url=pooler.url(sa.make_url(postgres_url).database or ""),
        database_pooler=True,
        database_direct_url=postgres_url,
    )
    one = build_pubsub(settings, lock, alone=False, notices=True)
    other = ProcessLock(tmp_path / "other")
    two = build_pubsub(settings, other, alone=False, notices=True)
    assert isinstance(one, PostgresPubSub)
    assert isinstance(two, PostgresPubSub)
    listen(one)
    wait_until(lambda: one.is_connected)
    two.publish([ClusterEvent(queues_with_work=("gpu",))])
    wait_until(lambda: heard == [ClusterEvent(queues_with_work=("gpu",))])
    two.close()
    other.close()


def test_a_listener_through_the_pooler_knows_that_it_is_deaf(
    pooler: PgBouncer,
    postgres_url: str,
    listen: Callable[[PostgresPubSub], None],
    caplog: pytest.LogCaptureFixture,
):
    pooled = sa.make_url(pooler.url(sa.make_url(postgres_url).database or ""))
    ear = PostgresPubSub(pooled.set(drivername="postgresql").render_as_string(hide_password=False), "one")
    listen(ear)
    wait_until(lambda: "polled until they arrive again" in caplog.text or ear.is_connected, DEAF_S)
    assert not ear.is_connected
    pooler.forget(pooled.database or "")


def test_without_an_address_past_the_pooler_nobody_listens(pooler: PgBouncer, lock: ProcessLock):
    settings = Settings(_env_file=None, database_url=pooler.url("any"), database_pooler=True)
    assert build_pubsub(settings, lock, alone=False, notices=True) is None
