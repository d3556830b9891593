"""Operations on many jobs: on a snapshot, in chunks, once for each job however often a process is killed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Failed, Job, JobStatus, Succeeded
from imagemill.domain.operations import Ineligible, OperationAction, OperationState, Override
from imagemill.jobs.operations.service import Operations
from imagemill.jobs.operations.store import (
    MOST_OPEN,
    Operation,
    OperationChange,
    OperationStep,
    OperationStore,
)
from imagemill.jobs.operations.worker import OperationWorker
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.store.queries import Filter
from tests.service.build import MemoryBlobs, add
from tests.service.test_submit import submitter
from tests.store.build import ask

A, S = OperationAction, JobStatus
ANNS = Filter("ann")
PLAIN = OperationChange()


@pytest.fixture
def worker(store: Stores) -> OperationWorker:
    return made(store)


def made(
    store: Stores, blobs: MemoryBlobs | None = None, operations: OperationStore | None = None
) -> OperationWorker:
    parts = (operations or store.operations, store.jobs, store.pauses, blobs or MemoryBlobs())
    return OperationWorker(*parts, lambda: submitter(store), leads=lambda: True, chunk=3)


def start(
    store: Stores, action: OperationAction, wanted: Filter = ANNS, change: OperationChange = PLAIN
) -> Operation:
    """An operation that is due now."""
    operation = Operations(store.operations, store.jobs).start(action, wanted, change, "ann")
    return replace(operation, starts_at=operation.created_at)


def finish(store: Stores, worker: OperationWorker, operation: Operation) -> Operation:
    while operation.state.is_open:
        worker.step(operation)
        operation = store.operations.get(operation.id, "ann")
    return operation


def ended(store: Stores, count: int, failed: bool = True) -> list[Job]:
    jobs = [add(store) for _ in range(count)]
    for _ in jobs:
        claim = store.jobs.claim_next(ask(now_us()))
        assert claim is not None
        outcome = Failed(Failure(FailureCode.TIMEOUT, "too slow")) if failed else Succeeded(())
        store.jobs.finish(Finish(claim, outcome, now_us()))
    return jobs


def statuses(store: Stores, owner: str = "ann") -> list[JobStatus]:
    return [job.status for job in store.jobs.list_jobs(Filter(owner, limit=1000))]


def counts(operation: Operation) -> tuple[int, int, int, int]:
    progress = operation.progress
    return progress.total, progress.done, progress.skipped, progress.failed


def test_all_matching_jobs_are_cancelled_and_none_of_another_owner(store: Stores, worker: OperationWorker):
    for _ in range(7):
        add(store)
    add(store, owner="bob")
    done = finish(store, worker, start(store, A.CANCEL))
    assert (done.state, counts(done)) == (OperationState.DONE, (7, 7, 0, 0))
    assert statuses(store) == [S.CANCELED] * 7
    assert statuses(store, "bob") == [S.QUEUED]


def test_a_job_submitted_after_the_request_is_not_swept_in(store: Stores, worker: OperationWorker):
    add(store)
    operation = start(store, A.CANCEL)
    late = add(store)
    finish(store, worker, operation)
    assert store.jobs.job(late.id).status is S.QUEUED


def test_jobs_in_another_state_are_skipped(store: Stores, worker: OperationWorker):
    ended(store, 2)
    add(store)
    done = finish(store, worker, start(store, A.PRIORITY, change=OperationChange(priority=-7)))
    assert counts(done) == (3, 1, 2, 0)
    assert store.jobs.list_jobs(Filter("ann", frozenset({S.QUEUED})))[0].priority == -7


def test_each_failed_job_is_replayed_once_though_the_process_is_killed(
    store: Stores, worker: OperationWorker
):
    failed = ended(store, 5)
    operation = start(store, A.REPLAY)
    worker.step(operation)

    class Killed(BaseException):
        pass

    class KilledBeforeTheStep(OperationStore):
        def step(self, request: OperationStep) -> bool:
            del request
            raise Killed

    # The jobs of the first chunk are submitted, and the process ends before that is written.
    killed = made(store, operations=KilledBeforeTheStep(store.database))
    begun = store.operations.get(operation.id, "ann")
    with pytest.raises(Killed):
        killed.step(begun)
    done = finish(store, made(store), store.operations.get(operation.id, "ann"))
    assert counts(done) == (5, 5, 0, 0)
    assert sorted(statuses(store)) == [S.FAILED] * 5 + [S.QUEUED] * 5
    assert {store.jobs.job(job.id).replays for job in failed} == {1}


def test_a_failure_that_was_replayed_is_left_alone_the_next_time(store: Stores, worker: OperationWorker):
    ended(store, 4)
    wanted = Filter("ann", frozenset({S.FAILED}))
    finish(store, worker, start(store, A.REPLAY, wanted))
    counted = Operations(store.operations, store.jobs).dry_run(A.REPLAY, wanted)
    assert (counted.eligible, counted.ineligible) == (0, {Ineligible.REPLAYED: 4})
    assert counts(finish(store, worker, start(store, A.REPLAY, wanted))) == (4, 0, 4, 0)


def test_a_replay_with_another_value_and_one_that_is_refused(store: Stores, worker: OperationWorker):
    ended(store, 1)
    larger = OperationChange(override=Override(input={"side": 24}, labels=("fast",)))
    finish(store, worker, start(store, A.REPLAY, change=larger))
    (job,) = store.jobs.list_jobs(Filter("ann", frozenset({S.QUEUED})))
    assert (job.input["side"], store.jobs.lane(job.lane).labels) == (24, ("fast",))
    ended(store, 1, failed=False)
    wrong = OperationChange(override=Override(input={"side": "wide"}))
    done = finish(store, worker, start(store, A.REPLAY, Filter("ann", frozenset({S.SUCCEEDED})), wrong))
    assert counts(done)[1:] == (0, 0, 1)
    assert done.progress.samples[0].code == InvalidInput.code
    assert "override.input.side" in done.progress.samples[0].message


def test_deleted_jobs_and_their_files_are_gone_and_open_ones_stay(store: Stores):
    blobs = MemoryBlobs()
    gone = ended(store, 4)
    for job in gone:
        blobs.put(f"jobs/{job.id}/1/0.png", b"picture", "image/png")
    add(store)
    done = finish(store, made(store, blobs), start(store, A.DELETE))
    assert counts(done) == (5, 4, 1, 0)
    assert list(blobs.list("jobs/")) == []
    assert statuses(store) == [S.QUEUED]


def test_a_chunk_that_was_deleted_before_a_kill_counts_as_done(store: Stores, worker: OperationWorker):
    jobs = ended(store, 3)
    operation = start(store, A.DELETE)
    worker.step(operation)
    store.jobs.erase("ann", [job.id for job in jobs])
    assert counts(finish(store, worker, store.operations.get(operation.id, "ann"))) == (3, 3, 0, 0)


def test_an_operation_can_be_undone_before_it_begins(store: Stores, worker: OperationWorker):
    add(store)
    operations = Operations(store.operations, store.jobs)
    operation = operations.start(A.CANCEL, ANNS, PLAIN, "ann")
    assert operation.starts_at - operation.created_at == 5 * SECOND
    assert worker.work() > 0
    operations.stop(operation.id, "ann")
    assert worker.work() == 1
    assert statuses(store) == [S.QUEUED]
    with pytest.raises(Conflict, match="canceled already"):
        operations.stop(operation.id, "ann")


def test_a_cancelled_operation_stops_after_the_jobs_it_is_at(store: Stores, worker: OperationWorker):
    ended(store, 9)
    operation = start(store, A.REPLAY)
    worker.step(operation)
    read = store.operations.get(operation.id, "ann")
    stopped = Operations(store.operations, store.jobs).stop(operation.id, "ann")
    worker.step(read)
    after = store.operations.get(operation.id, "ann")
    assert (stopped.state, after.state, after.progress.done) == (*[OperationState.CANCELED] * 2, 3)
    assert worker.work() == 1
    assert statuses(store).count(S.QUEUED) == 3


def test_two_processes_that_take_themselves_for_the_leader_count_each_job_once(
    store: Stores, worker: OperationWorker
):
    ended(store, 6)
    operation = start(store, A.REPLAY)
    worker.step(operation)
    both = store.operations.get(operation.id, "ann")
    worker.step(both)
    made(store).step(both)
    assert counts(finish(store, worker, store.operations.get(operation.id, "ann"))) == (6, 6, 0, 0)
    assert statuses(store).count(S.QUEUED) == 6


def test_a_long_operation_holds_no_other(store: Stores, worker: OperationWorker):
    ended(store, 4)
    add(store, owner="bob")
    operations = Operations(store.operations, store.jobs)
    operations.start(A.REPLAY, ANNS, PLAIN, "ann")
    operations.start(A.PRIORITY, Filter("bob"), OperationChange(priority=3), "bob")
    worker.work()
    assert [each.state for each in operations.page("*", None, 10)] == [OperationState.DONE] * 2


def test_an_account_has_few_open_operations_and_sees_its_own_only(store: Stores):
    operations = Operations(store.operations, store.jobs)
    begin: Callable[[], Operation] = partial(operations.start, A.CANCEL, ANNS, PLAIN, "ann")
    first = begin()
    for _ in range(MOST_OPEN - 1):
        begin()
    with pytest.raises(Conflict, match="5 operations are open"):
        begin()
    assert operations.page("bob", None, 10) == []
    with pytest.raises(NotFound):
        operations.get(first.id, "bob")
    with pytest.raises(NotFound):
        operations.stop(first.id, "bob")
