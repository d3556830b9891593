"""Calls in threads of a pool, and futures of other threads, are awaited on the event loop."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from threading import Event, Thread, current_thread
from typing import TypeVar

import pytest

from imagemill.net import pools


def _in_thread(future: Future[int], end: int | Exception) -> None:
    def finish() -> None:
        if isinstance(end, Exception):
            future.set_exception(end)
        else:
            future.set_result(end)

    Thread(target=finish).start()


async def _awaited(end: int | Exception) -> int:
    future: Future[int] = Future()
    _in_thread(future, end)
    return await pools.result_of(future)


def test_a_result_and_an_error_of_another_thread_arrive():
    assert asyncio.run(_awaited(7)) == 7
    with pytest.raises(KeyError, match="gone"):
        asyncio.run(_awaited(KeyError("gone")))


def test_a_result_that_is_there_already_arrives():
    async def ready() -> int:
        future: Future[int] = Future()
        future.set_result(3)
        return await pools.result_of(future)

    assert asyncio.run(ready()) == 3


def test_a_cancelled_caller_leaves_the_work_to_finish():
    future: Future[int] = Future()

    async def cancelled() -> None:
        task = asyncio.create_task(pools.result_of(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    future.set_result(1)  # its loop is closed by now
    assert not future.cancelled()


# Pools for quick calls

_R = TypeVar("_R")


def in_pool(work: Callable[[pools.QuickPool], Awaitable[_R]], threads: int = 4) -> _R:
    async def run() -> _R:
        return await work(pools.QuickPool("test", threads))

    return asyncio.run(run())


def test_quick_calls_at_the_same_time_share_a_thread():
    names: list[str] = []

    async def call_many(pool: pools.QuickPool) -> list[int]:
        def call(number: int) -> int:
            names.append(current_thread().name)
            return number

        return await asyncio.gather(*[pool(call, number) for number in range(50)])

    assert in_pool(call_many) == [*range(50)]
    assert len(set(names)) == 1


def test_a_call_that_hangs_does_not_hold_up_the_others():
    release = Event()

    async def call_many(pool: pools.QuickPool) -> list[int]:
        hung = [asyncio.create_task(pool(release.wait, 30)) for _ in range(3)]
        await asyncio.sleep(0)
        done = await asyncio.wait_for(asyncio.gather(*[pool(int, "7") for _ in range(20)]), 10)
        release.set()
        await asyncio.gather(*hung)
        return done

    assert in_pool(call_many) == [7] * 20


def test_no_more_calls_than_the_pool_has_threads_are_made_at_once():
    release, running = Event(), list[int]()

    def hang() -> None:
        running.append(1)
        release.wait(30)
        running.pop()

    async def call_many(pool: pools.QuickPool) -> int:
        hung = [asyncio.create_task(pool(hang)) for _ in range(6)]
        await asyncio.sleep(0.2)
        most = len(running)
        release.set()
        await asyncio.gather(*hung)
        return most

    assert in_pool(call_many, threads=3) == 3
    assert running == []


def test_an_error_is_raised_where_the_call_was_made_and_the_next_is_served():
    async def fail_first(pool: pools.QuickPool) -> int:
        with pytest.raises(ValueError, match="invalid literal"):
            await pool(int, "x")
        return await pool(int, "8")

    assert in_pool(fail_first) == 8


def test_a_call_has_the_context_of_its_caller():
    name = contextvars.ContextVar("name", default="none")

    async def call(pool: pools.QuickPool) -> str:
        name.set("caller")
        return await pool(name.get)

    assert in_pool(call) == "caller"


def test_a_call_whose_caller_has_gone_before_its_turn_is_not_made():
    release, made = Event(), list[str]()

    async def cancel_second(pool: pools.QuickPool) -> None:
        first = asyncio.create_task(pool(release.wait, 30))
        await asyncio.sleep(0)
        second = asyncio.create_task(pool(made.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        release.set()
        await first
        await pool(made.append, "third")

    in_pool(cancel_second, threads=1)
    assert made == ["third"]


def test_a_pool_serves_one_event_loop_after_the_other():
    pool, release = pools.QuickPool("test", 4), Event()

    async def leave_hanging() -> None:
        hung = [asyncio.create_task(pool(release.wait, 30)) for _ in range(2)]
        await asyncio.sleep(0)
        for each in hung:
            each.cancel()

    async def call() -> int:
        return await asyncio.wait_for(pool(int, "9"), 10)

    asyncio.run(leave_hanging())
    assert asyncio.run(call()) == 9
    release.set()
    assert asyncio.run(call()) == 9


def test_where_no_thread_can_be_started_the_next_call_tries_again(monkeypatch: pytest.MonkeyPatch):
    async def call(pool: pools.QuickPool) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await pool(int, "1")
        return await asyncio.wait_for(pool(int, "2"), 10)

    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert in_pool(call) == 2
