"""How many jobs a process begins in a minute."""

from typing import Any

from imagemill.bootstrap.stores import Stores
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.attempt import StartRateLimit
from tests.service.build import add, offer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_process_begins_no_more_than_its_pace_and_goes_on_when_the_minute_has_passed(
    store: Stores, make: Any
):
    clock = Clock()
    it = make(start_rate=StartRateLimit(2, clock))
    jobs = [add(store) for _ in range(5)]

    def done() -> int:
        return sum(store.jobs.job(job.id).status is JobStatus.SUCCEEDED for job in jobs)

    it.runner.run_all(lambda: offer("node-1"))
    assert done() == 2
    clock.now += 59
    assert it.runner.run_all(lambda: offer("node-1")) is False
    clock.now += 1
    it.runner.run_all(lambda: offer("node-1"))
    assert done() == 4


def test_looking_for_a_job_that_is_not_there_uses_nothing_up(store: Stores, make: Any):
    it = make(start_rate=StartRateLimit(1))
    for _ in range(5):
        assert it.runner.run_all(lambda: offer("node-1")) is False
    job = add(store)
    it.run()
    assert store.jobs.job(job.id).status is JobStatus.SUCCEEDED
