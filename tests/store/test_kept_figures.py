"""Figures of a long queue are read seldom, those of a short one each time."""

from imagemill.jobs.store.kept_figures import READ_EACH_TIME, KeptFigures
from tests.store.build import in_threads


class Counter:
    """A figure that counts how often it was read."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.reads = 0

    def read(self) -> tuple[int, int]:
        self.reads += 1
        return self.reads, self.rows


def test_a_short_queue_is_counted_each_time() -> None:
    figures, counter = KeptFigures(lambda: 0.0), Counter(READ_EACH_TIME)
    assert [figures.get("depth", counter.read) for _ in range(3)] == [1, 2, 3]


def test_a_million_jobs_are_counted_every_twenty_seconds() -> None:
    now = 100.0
    figures, counter = KeptFigures(lambda: now), Counter(1_000_000)
    assert figures.get("depth", counter.read) == 1
    now = 119.9
    assert figures.get("depth", counter.read) == 1
    assert figures.get("other", counter.read) == 2
    now = 120.1
    assert figures.get("depth", counter.read) == 3


def test_others_wait_for_the_figure_that_is_read() -> None:
    figures, counter = KeptFigures(lambda: 0.0), Counter(1_000_000)
    assert in_threads([lambda: figures.get("depth", counter.read)] * 8) == [1] * 8
    assert counter.reads == 1
