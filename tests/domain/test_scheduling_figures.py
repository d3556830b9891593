"""The figures of ``docs/scheduling.md`` for one trace, through the real store on a virtual clock."""

from pathlib import Path

import pytest

from benchmarks.scheduling import Played, compare, play, play_fifo, play_ideal, trace

ARRIVALS = trace(3)


@pytest.fixture(scope="module")
def ideal(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play_ideal(tmp_path_factory.mktemp("ideal"), ARRIVALS)


def test_loads_cost_a_fifth_at_most_and_small_owners_wait_a_minute_longer_at_most(
    tmp_path: Path, ideal: Played
):
    figure = compare(play(tmp_path, ARRIVALS), ideal)
    assert figure.ratio <= 1.2
    assert figure.small_wait_s <= 60


def test_the_world_it_is_measured_in_is_as_hard_as_it_should_be(tmp_path: Path, ideal: Played):
    figure = compare(play_fifo(tmp_path, ARRIVALS), ideal)
    assert 2.95 < figure.ratio < 3.15
    assert 1600 < figure.loads < 1750
    assert 1300 < figure.small_wait_s < 1450
