"""What one process tells the others, over a real Redis, a real PostgreSQL and sockets in a folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from imagemill.backends.base import Progress
from imagemill.domain.clock import uuid7
from imagemill.domain.events import Notice
from imagemill.pubsub.base import ClusterEvent, EventHandlers, PubSub
from imagemill.pubsub.postgres import PostgresPubSub
from imagemill.pubsub.redis import RedisPubSub
from imagemill.pubsub.sockets import SocketPubSub, Wishes
from imagemill.pubsub.threads import ListenerThread
from tests.redis import RedisServer
from tests.service.build import wait_until

NEWS = ClusterEvent(
    (Notice("job-1", 3, True),),
    cancelled_jobs=("job-2",),
    queues_with_work=("gpu",),
    has_deliveries=True,
    advances=True,
)


@dataclass
class Listener:
    """A process that listens."""

    pubsub: PubSub
    heard: list[ClusterEvent] = field(default_factory=list)
    seen: list[tuple[str, Progress]] = field(default_factory=list)
    begun: int = 0

    def __post_init__(self) -> None:
        handlers = EventHandlers(
            self.heard.append, lambda id_, progress: self.seen.append((id_, progress)), self._begin
        )
        self.listening = ListenerThread(self.pubsub, handlers)

    def _begin(self) -> None:
        self.begun += 1

    def close(self) -> None:
        self.listening.close()
        self.pubsub.close()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def over_redis(redis: RedisServer) -> Callable[[], PubSub]:
    return lambda: RedisPubSub(redis.url, uuid7())


@pytest.fixture
def over_postgres(postgres_url: str) -> Callable[[], PubSub]:
    url = sa.make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    return lambda: PostgresPubSub(url, uuid7())


@pytest.fixture
def over_sockets(tmp_path: Path) -> Callable[[], PubSub]:
    return lambda: SocketPubSub(tmp_path, uuid7(), lambda _: False)


@pytest.fixture(params=["redis", "postgres", "sockets"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Listener]]:
    made: list[Listener] = []
    build = request.getfixturevalue(f"over_{request.param}")

    def make() -> Listener:
        listener = Listener(build())
        made.append(listener)
        listener.listening.start()
        wait_until(lambda: listener.pubsub.is_connected)
        return listener

    yield make
    for listener in made:
        listener.close()


def test_all_others_hear_what_one_tells_and_it_does_not_hear_itself(make: Callable[[], Listener]):
    one, two, three = make(), make(), make()
    one.pubsub.publish([NEWS])
    wait_until(lambda: two.heard and three.heard)
    assert two.heard == three.heard == [NEWS]
    two.pubsub.publish([ClusterEvent(has_deliveries=True)])
    wait_until(lambda: one.heard)
    assert one.heard == [ClusterEvent(has_deliveries=True)]


def test_a_great_many_notices_arrive_all_and_in_order(make: Callable[[], Listener]):
    one, two = make(), make()
    notices = [Notice(uuid7(), number, False) for number in range(1000)]
    one.pubsub.publish([ClusterEvent((notice,)) for notice in notices])
    wait_until(lambda: sum(len(news.events) for news in two.heard) == 1000)
    assert [notice for news in two.heard for notice in news.events] == notices


MakeOne = Callable[[str, bool], PubSub]
"""Makes a channel of a process, by its name and whether it receives events of jobs."""


@pytest.fixture(params=["redis", "sockets"])
def make_one(request: pytest.FixtureRequest, tmp_path: Path) -> MakeOne:
    if request.param == "sockets":
        return lambda name, events: SocketPubSub(tmp_path, name, lambda _: False, wishes=Wishes(events))
    redis: RedisServer = request.getfixturevalue("redis")
    return lambda name, events: RedisPubSub(redis.url, name, job_events=events)


def test_where_nobody_waits_for_jobs_only_calls_to_act_are_heard(make_one: MakeOne):
    api = Listener(make_one("api", True))
    worker = Listener(make_one("worker", False))
    for each in (api, worker):
        each.listening.start()
        wait_until(lambda each=each: each.pubsub.is_connected)
    api.pubsub.publish([ClusterEvent((Notice("job-1", 1, False),))])
    api.pubsub.publish([NEWS])
    worker.pubsub.publish([NEWS])
    wait_until(lambda: worker.heard and api.heard)
    assert {news.events for news in worker.heard} == {()}
    assert worker.heard[-1].cancelled_jobs == ("job-2",)
    assert api.heard == [NEWS]
    for each in (api, worker):
        each.close()


@dataclass
class Watched:
    sender: Listener
    watcher: Listener


@pytest.fixture
def watched(make_one: MakeOne) -> Iterator[Watched]:
    both = [Listener(make_one(name, True)) for name in ("one", "two")]
    for each in both:
        each.listening.start()
        wait_until(lambda each=each: each.pubsub.is_connected)
    yield Watched(*both)
    for each in both:
        each.close()


def test_progress_goes_to_those_who_follow_and_the_preview_once_somebody_does(watched: Watched):
    picture = b"\xff\xd8 a line\nanother"
    watched.watcher.listening.call(lambda: watched.watcher.pubsub.subscribe(["job-1"]))
    step = 0

    def tell() -> bool:
        nonlocal step
        step += 1
        watched.sender.pubsub.publish_progress("job-1", Progress(step, 100, "samples", picture))
        watched.sender.pubsub.publish_progress("job-2", Progress(step, 100, "samples", picture))
        return any(progress.preview for _, progress in watched.watcher.seen)

    wait_until(tell)
    job_id, last = watched.watcher.seen[-1]
    assert job_id == "job-1"
    assert (last.total, last.note, last.preview) == (100, "samples", picture)
    assert {job_id for job_id, _ in watched.watcher.seen} == {"job-1"}


def test_news_are_heard_again_after_redis_was_away(tmp_path: Path):
    server = RedisServer(tmp_path)
    server.start()
    one, two = (Listener(RedisPubSub(server.url, name)) for name in ("one", "two"))
    for each in (one, two):
        each.listening.start()
        wait_until(lambda each=each: each.pubsub.is_connected)
    server.stop()
    wait_until(lambda: not two.pubsub.is_connected)
    server.start()
    wait_until(lambda: two.pubsub.is_connected)
    assert two.begun == 2

    def told() -> bool:
        one.pubsub.publish([NEWS])
        return NEWS in two.heard

    wait_until(told)
    for each in (one, two):
        each.close()
    server.stop()
