"""Endpoints that come while events are written: what happens after the answer is told, once and in order."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate
from imagemill.db.engine import open_engines
from imagemill.domain.clock import now_us
from imagemill.domain.signing import CHOICES
from imagemill.webhooks.store import MessagePage
from tests.service.build import add
from tests.store.build import cancel
from tests.webhooks.conftest import ANN, Post
from tests.webhooks.receivers import receiving

ENDPOINTS = 6
WRITERS = 4
JOBS = 15
"""Of each writer."""
EVENTS = ["job.created", "job.canceled"]


@pytest.fixture
def stores(store: Stores, database_url: str) -> Iterator[list[Stores]]:
    """Of several processes: group commits and audiences of their own."""
    migrate.upgrade(database_url)
    others = [build_stores(open_engines(database_url, fsync=False)) for _ in range(WRITERS - 1)]
    yield [store, *others]
    for other in others:
        other.close()


class Writer:
    """Submits a job and cancels it, again and again; notes the instant before each write."""

    def __init__(self, store: Stores) -> None:
        self.began: dict[tuple[str, str], int] = {}
        self._store = store
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        for _ in range(JOBS):
            begin = now_us()
            job = add(self._store, owner=ANN)
            self.began[job.id, "job.created"] = begin
            self.began[job.id, "job.canceled"] = now_us()
            cancel(self._store, job, now_us())


def test_an_endpoint_is_told_of_each_event_after_its_answer_once_and_in_order(
    make_post: Callable[..., Post], stores: list[Stores]
) -> None:
    post = make_post(starts=False, timeout_s=10)  # a delivery that is late is sent again
    writers = [Writer(store) for store in stores]
    with receiving() as receiver:
        added: dict[str, int] = {}
        for number in range(ENDPOINTS):
            endpoint = post.endpoint(f"{receiver.url}/{number}", types=CHOICES)
            added[endpoint.id] = now_us()
        for writer in writers:
            writer.join()
        at_once = max(added.values()) < max(begin for writer in writers for begin in writer.began.values())
        assert at_once, "endpoints came while events were written"
        events = {event: begin for writer in writers for event, begin in writer.began.items()}
        assert len(events) == 2 * JOBS * WRITERS
        for id_, at in added.items():
            page = post.webhooks.messages(ANN, MessagePage(id_, limit=10_000))
            told = [(message.job_id, message.type) for message, _ in page]
            assert len(told) == len(set(told)), "none is told twice"
            missed = {event for event, begin in events.items() if begin >= at} - set(told)
            assert not missed
        post.dispatcher.start()
        post.settle(*post.webhooks.list(ANN), seconds=60)
    by_job: dict[tuple[str, str], list[str]] = defaultdict(list)
    for got in receiver.got:
        by_job[got.path, got.job].append(got.body["type"])
    assert all(types == EVENTS[-len(types) :] for types in by_job.values())
