"""The clock while the system's is set back, forward, or differs from the database's."""

import pytest

from imagemill.domain.clock import SECOND, SteadyClock

HOUR = 3600 * SECOND
START = 1_800_000_000 * SECOND


class Machine:
    """Its system's clock can be set; its monotonic one cannot."""

    def __init__(self) -> None:
        self.wall, self.monotonic = START, 0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.monotonic)

    def sleep(self, microseconds: int) -> int:
        self.wall += microseconds
        self.monotonic += microseconds
        return self.clock.now()


def test_the_clock_is_that_of_the_system():
    machine = Machine()
    assert [machine.sleep(SECOND) for _ in range(3)] == [START + n * SECOND for n in (1, 2, 3)]


@pytest.mark.parametrize("back", [SECOND, HOUR, 24 * HOUR])
def test_a_wait_takes_at_most_twice_its_length_after_the_clock_was_set_back(back: int):
    machine = Machine()
    due = machine.sleep(SECOND) + 60 * SECOND
    machine.wall -= back
    for _ in range(119):
        assert machine.clock.now() >= START + SECOND
        machine.sleep(SECOND)
    assert machine.sleep(SECOND) >= due


def test_the_system_s_clock_counts_again_once_it_has_caught_up():
    machine = Machine()
    machine.sleep(SECOND)
    machine.wall -= 10 * SECOND
    machine.clock.now()
    times = [machine.sleep(SECOND) for _ in range(30)]
    assert times == sorted(times)
    assert times[-1] == machine.wall
    assert machine.sleep(SECOND) == machine.wall


def test_a_clock_that_is_set_forward_is_followed_at_once():
    machine = Machine()
    machine.sleep(SECOND)
    machine.wall += HOUR
    assert machine.clock.now() == machine.wall


def test_a_correction_is_added():
    machine = Machine()
    machine.clock.correction = -3 * SECOND
    assert machine.sleep(SECOND) == START - 2 * SECOND
    machine.clock.correction = 3 * SECOND
    assert machine.sleep(SECOND) == START + 5 * SECOND
