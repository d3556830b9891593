"""Futures of other threads are awaited on the event loop."""

import asyncio
from concurrent.futures import Future
from threading import Thread

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
