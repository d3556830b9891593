"""Requests at the same time share a read."""

import asyncio
from collections.abc import Collection

import pytest

from imagemill.jobs.shared_reads import SharedReads


class Squares:
    """Finds the squares of even numbers."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.fails = False

    def read(self, keys: Collection[int]) -> dict[int, int]:
        self.asked.append([*keys])
        if self.fails:
            raise ZeroDivisionError
        return {key: key * key for key in keys if key % 2 == 0}


def test_requests_that_come_during_a_read_share_the_next() -> None:
    squares = Squares()

    async def ask() -> list[list[int]]:
        reads = SharedReads(squares.read)
        return await asyncio.gather(reads.load([2]), *[reads.load([4, 6]) for _ in range(5)], reads.load([2]))

    assert asyncio.run(ask()) == [[4], *[[16, 36]] * 5, [4]]
    assert sorted(key for keys in squares.asked for key in keys) in ([2, 4, 6], [2, 2, 4, 6])
    assert len(squares.asked) <= 2


def test_values_come_in_the_order_of_their_keys_without_those_that_are_not_found() -> None:
    assert asyncio.run(SharedReads(Squares().read).load([8, 3, 2, 8])) == [64, 4, 64]


def test_an_error_reaches_all_that_shared_the_read_and_the_next_is_made() -> None:
    squares = Squares()

    async def ask() -> list[int]:
        reads = SharedReads(squares.read)
        squares.fails = True
        failed = await asyncio.gather(reads.load([2]), reads.load([4]), return_exceptions=True)
        assert [type(each) for each in failed] == [ZeroDivisionError] * 2
        squares.fails = False
        return await reads.load([6])

    assert asyncio.run(ask()) == [36]


def test_one_that_has_gone_does_not_hold_up_the_others() -> None:
    squares = Squares()

    async def ask() -> list[int]:
        reads = SharedReads(squares.read)
        gone = asyncio.create_task(reads.load([2]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await reads.load([2, 4])

    assert asyncio.run(ask()) == [4, 16]
