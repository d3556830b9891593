"""Waiting for news without a thread for each who waits."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from imagemill.backends.base import Progress
from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import StorageError
from imagemill.domain.events import Notice
from imagemill.jobs.hub import Hub, TooManyOwnStreams, TooManyStreams
from tests.service.build import add, hub, mill


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def quiet(ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
    return {}


def a_hub(**changes: Any) -> Hub:
    return Hub(**{"read": quiet, "poll_s": 0.01, "most": 1000, **changes})


def from_a_thread(call: Any, *args: Any) -> None:
    threading.Thread(target=call, args=args).start()


def test_a_notice_wakes_who_waits():
    async def story() -> None:
        hub_ = a_hub()
        with hub_.watch(["a"], "ann") as watcher:
            from_a_thread(hub_.publish, [Notice("a", 2, False)])
            assert await watcher.wait(30)
            assert (watcher.seen, watcher.finished) == ({"a": 2}, set())

    run(story())


def test_a_notice_before_the_wait_is_not_missed():
    async def story() -> None:
        hub_ = a_hub()
        with hub_.watch(["a"], "ann") as watcher:
            hub_.publish([Notice("a", 2, True)])
            await asyncio.sleep(0)
            assert await watcher.wait(30)
            assert await watcher.wait_finished(0)

    run(story())


def test_news_of_others_wake_nobody():
    async def story() -> None:
        hub_ = a_hub()
        with hub_.watch(["a"], "ann") as watcher:
            hub_.publish([Notice("b", 2, True)])
            assert not await watcher.wait(0.05)

    run(story())


def test_waiting_for_several_ends_with_the_last():
    async def story() -> None:
        hub_ = a_hub()
        with hub_.watch(["a", "b"], "ann") as watcher:
            hub_.publish([Notice("a", 3, True)])
            assert not await watcher.wait_finished(0.05)
            from_a_thread(hub_.publish, [Notice("b", 3, True)])
            assert await watcher.wait_finished(30)

    run(story())


def test_an_older_notice_does_not_take_back_a_newer():
    async def story() -> None:
        hub_ = a_hub()
        with hub_.watch(["a"], "ann") as watcher:
            hub_.publish([Notice("a", 5, False), Notice("a", 4, False)])
            await watcher.wait(30)
            assert watcher.seen == {"a": 5}

    run(story())


def test_what_another_process_wrote_is_found_by_looking(store: Stores):
    async def story() -> None:
        hub_ = hub(store)
        job = add(store)
        poll = asyncio.create_task(hub_.poll())
        with hub_.watch([job.id], "ann") as watcher:
            await asyncio.to_thread(mill(store).run)
            assert await watcher.wait_finished(30)
            assert watcher.seen[job.id] == store.jobs.job(job.id).last_seq
        poll.cancel()

    run(story())


def test_looking_goes_on_after_the_database_was_away():
    calls: list[int] = []

    def read(ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
        calls.append(1)
        if len(calls) == 1:
            raise StorageError("away")
        return {"a": (2, True)}

    async def story() -> None:
        hub_ = a_hub(read=read)
        poll = asyncio.create_task(hub_.poll())
        with hub_.watch(["a"], "ann") as watcher:
            assert await watcher.wait_finished(1)
        poll.cancel()

    run(story())


def test_looking_tells_nothing_twice():
    async def story() -> None:
        hub_ = a_hub(read=lambda ids: {"a": (2, False)})
        poll = asyncio.create_task(hub_.poll())
        with hub_.watch(["a"], "ann") as watcher:
            assert await watcher.wait(30)
            assert not await watcher.wait(0.1)
        poll.cancel()

    run(story())


def test_more_streams_than_allowed_are_refused_until_one_leaves():
    async def story() -> None:
        hub_ = a_hub(most=2)
        with hub_.watch(["a"], "ann"):
            with hub_.watch(["a"], "ann"), pytest.raises(TooManyStreams):
                hub_.watch(["a"], "ann")
            with hub_.watch(["a"], "ann"):
                pass

    run(story())


def test_an_owner_has_a_share_of_the_streams_and_leaves_the_others_theirs():
    async def story() -> None:
        hub_ = a_hub(most=5, most_of_owner=2, free_owner="local")
        with hub_.watch(["a"], "ann"), hub_.watch(["b"], "ann"):
            with pytest.raises(TooManyOwnStreams, match="2 open"):
                hub_.watch(["a"], "ann")
            with hub_.watch(["a"], "bob"), hub_.watch(["a"], "bob"):
                pass
        with hub_.watch(["a"], "ann"), ExitStack() as several:
            for _ in range(4):
                several.enter_context(hub_.watch(["a"], "local"))
            with pytest.raises(TooManyStreams):
                hub_.watch(["a"], "bob")

    run(story())


def test_only_the_latest_progress_is_shown():
    async def story() -> None:
        hub_ = a_hub()
        with hub_.watch(["a"], "ann") as watcher:
            for step in range(1, 4):
                hub_.publish_progress("a", Progress(step, 20))
            assert await watcher.wait(30)
            await asyncio.sleep(0)
            assert watcher.take_live() == {"a": Progress(3, 20)}
            assert watcher.take_live() == {}

    run(story())


def test_who_comes_late_sees_the_progress_at_once():
    async def story() -> None:
        hub_ = a_hub()
        hub_.publish_progress("a", Progress(5, 20))
        with hub_.watch(["a"], "ann") as watcher:
            assert await watcher.wait(30)
            assert watcher.take_live() == {"a": Progress(5, 20)}

    run(story())


def test_the_progress_of_a_finished_job_is_forgotten():
    async def story() -> None:
        hub_ = a_hub()
        hub_.publish_progress("a", Progress(5, 20))
        hub_.publish_progress("b", Progress(5, 20))
        hub_.publish([Notice("a", 9, True)])
        hub_.forget("b")
        assert (hub_.progress("a"), hub_.progress("b")) == (None, None)

    run(story())


def test_hundreds_of_watchers_hold_no_threads():
    async def story() -> None:
        hub_ = a_hub()
        before = threading.active_count()
        watchers = [hub_.watch([f"job-{number % 50}"], "ann") for number in range(600)]
        waits = [asyncio.create_task(watcher.wait_finished(30)) for watcher in watchers]
        await asyncio.sleep(0)
        assert threading.active_count() == before
        hub_.publish([Notice(f"job-{number}", 3, True) for number in range(50)])
        assert all(await asyncio.gather(*waits))
        for watcher in watchers:
            watcher.__exit__()

    run(story())


def test_telling_a_loop_that_is_gone_harms_nobody():
    hub_ = a_hub()

    async def leave_without_a_word() -> None:
        hub_.watch(["a"], "ann")

    run(leave_without_a_word())
    hub_.publish([Notice("a", 2, True)])
    hub_.publish_progress("a", Progress(1, 2))


def test_no_event_between_watching_and_reading_is_missed(store: Stores):
    store_hub = hub(store, poll_s=60.0)
    store.database.listen(lambda committed: store_hub.publish(committed.events))

    async def follow(job_id: str) -> list[int]:
        seen: list[int] = []
        with store_hub.watch([job_id], "ann") as watcher:
            while True:
                events = await asyncio.to_thread(store.jobs.events_after, job_id, len(seen))
                seen += [event.seq for event in events]
                if events and events[-1].type.is_terminal:
                    return seen
                assert await watcher.wait(30)

    async def story() -> None:
        runner = mill(store)
        jobs = [add(store) for _ in range(10)]
        follows = [asyncio.create_task(follow(job.id)) for job in jobs]
        for _ in jobs:
            await asyncio.to_thread(runner.run)
        assert await asyncio.gather(*follows) == [[1, 2, 3]] * 10

    run(story())


def test_closing_lets_all_who_wait_go():
    async def story() -> None:
        hub_ = a_hub()
        with hub_.watch(["a"], "ann") as first, hub_.watch(["b"], "ann") as second:
            waits = [asyncio.create_task(first.wait_finished(30)), asyncio.create_task(second.wait(30))]
            await asyncio.sleep(0)
            from_a_thread(hub_.close)
            assert await asyncio.gather(*waits) == [False, True]
            assert first.closed
            assert second.closed

    run(story())


class Asked:
    """A relay that notes the jobs whose progress is wanted."""

    is_connected = True

    def __init__(self) -> None:
        self.wanted: set[str] = set()

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        return

    def subscribe(self, ids: Iterable[str]) -> None:
        self.wanted |= set(ids)

    def unsubscribe(self, ids: Iterable[str]) -> None:
        self.wanted -= set(ids)


def test_who_waits_for_the_end_alone_has_no_progress_sent():
    async def story() -> None:
        relay = Asked()
        hub_ = a_hub(relay=relay)
        with hub_.watch(["a"], "ann", ends_only=True) as waiting:
            assert relay.wanted == set()
            with hub_.watch(["a", "b"], "ann") as stream:
                assert relay.wanted == {"a", "b"}
                hub_.publish_progress("a", Progress(1, 4))
                await asyncio.sleep(0)
                assert (stream.take_live().keys(), waiting.take_live()) == ({"a"}, {})
            assert relay.wanted == set()
            hub_.publish([Notice("a", 5, True)])
            assert await waiting.wait_finished(30)

    run(story())


def test_jobs_that_are_followed_stay_so_while_streams_come_and_go():
    async def story() -> None:
        relay = Asked()
        hub_ = a_hub(relay=relay)
        with hub_.watch(["a"], "ann", ends_only=True):
            hub_.follow(["a"])
            assert relay.wanted == {"a"}
            with hub_.watch(["a"], "ann"):
                hub_.unfollow(["a"])
                assert relay.wanted == {"a"}
            assert relay.wanted == set()

    run(story())
