"""A failed job that was submitted again is no longer among the failures to be looked after."""

from imagemill.bootstrap.stores import Stores
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.counts import Dimension
from imagemill.jobs.store.queries import Filter
from tests.store.build import MINUTE, T0, draft, fail, running, submit

FAILED = Filter("ann", frozenset({JobStatus.FAILED}), replayed=False)


def test_a_replay_is_counted_at_the_job_that_it_repeats(store: Stores):
    first, second = running(store), running(store)
    for number, claim in enumerate((first, second)):
        fail(store, claim, T0 + number * MINUTE, FailureCode.TIMEOUT)
    submit(store, draft(replay_of=first.id))
    assert [store.jobs.job(each.id).replays for each in (first, second)] == [1, 0]
    assert [job.id for job in store.jobs.list_jobs(FAILED)] == [second.id]
    (group,) = store.jobs.count_groups(FAILED, Dimension.ERROR).groups
    at = T0 + MINUTE
    assert (group.key, group.count, group.first_at, group.last_at) == ("timeout", 1, at, at)
    assert group.last_job == second.id


def test_a_refused_key_counts_no_replay(store: Stores):
    failed = running(store)
    fail(store, failed)
    for _ in range(2):
        again = draft(replay_of=failed.id)
        submit(store, again, idempotency_key="operation:job", digest="same")
    assert store.jobs.job(failed.id).replays == 1
