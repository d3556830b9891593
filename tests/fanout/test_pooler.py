"""News beside a pooler in transaction mode: heard past it, and never believed to be heard through it."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.build import fanout
from imagemill.config import Settings
from imagemill.pubsub.base import Ears, News
from imagemill.pubsub.postgres import PostgresFanout
from imagemill.pubsub.threads import Listening
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
def heard() -> list[News]:
    return []


@pytest.fixture
def listen(heard: list[News]) -> Iterator[Callable[[PostgresFanout], None]]:
    listeners: list[tuple[Listening, PostgresFanout]] = []

    def listen(ear: PostgresFanout) -> None:
        listening = Listening(ear, Ears(heard.append, lambda id_, progress: None, lambda: None))
        listeners.append((listening, ear))
        listening.start()

    yield listen
    for listening, ear in listeners:
        listening.close()
        ear.close()


def test_news_are_heard_past_the_pooler(
    pooler: PgBouncer, postgres_url: str, listen: Callable[[PostgresFanout], None], heard: list[News]
):
    settings = Settings(
        _env_file=None,
        database_url=pooler.url(sa.make_url(postgres_url).database or ""),
        database_pooler=True,
        database_direct_url=postgres_url,
    )
    one, two = (fanout(settings, name, alone=False, notices=True) for name in ("one", "two"))
    assert isinstance(one, PostgresFanout)
    assert isinstance(two, PostgresFanout)
    listen(one)
    wait_until(lambda: one.hears)
    two.tell([News(woken=("gpu",))])
    wait_until(lambda: heard == [News(woken=("gpu",))])
    two.close()


def test_a_listener_through_the_pooler_knows_that_it_is_deaf(
    pooler: PgBouncer,
    postgres_url: str,
    listen: Callable[[PostgresFanout], None],
    caplog: pytest.LogCaptureFixture,
):
    pooled = sa.make_url(pooler.url(sa.make_url(postgres_url).database or ""))
    ear = PostgresFanout(pooled.set(drivername="postgresql").render_as_string(hide_password=False), "one")
    listen(ear)
    wait_until(lambda: "looked up until they are heard" in caplog.text or ear.hears, DEAF_S)
    assert not ear.hears
    pooler.forget(pooled.database or "")


def test_without_an_address_past_the_pooler_nobody_listens(pooler: PgBouncer):
    settings = Settings(_env_file=None, database_url=pooler.url("any"), database_pooler=True)
    assert fanout(settings, "one", alone=False, notices=True) is None
