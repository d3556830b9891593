"""Work that is not done twice."""

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import CreditsInsufficient
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Canceled, Failed, JobStatus, Outcome, Succeeded
from imagemill.jobs.store.finish import Cancel, Finish
from imagemill.jobs.store.submit import Accepted
from tests.store.build import T0, claim, draft, in_threads, submission, submit

ENDS: list[tuple[Outcome, bool]] = [
    (Succeeded(()), True),
    (Failed(Failure(FailureCode.BUG, "broken")), False),
    (Canceled(), False),
]


def test_a_draft_whose_work_is_under_way_is_left_out_and_its_job_named(store: Stores):
    first = submit(store, draft(unique_key="cell/1"), draft(unique_key="cell/2"), draft())
    again = submit(store, draft(unique_key="cell/1"), draft(unique_key="cell/3"), draft())
    assert first.duplicates == {}
    assert again.duplicates == {"cell/1": first.jobs[0].id}
    assert len(again.jobs) == 2


@pytest.mark.parametrize(("outcome", "is_held"), ENDS)
def test_work_that_succeeded_is_not_done_again_and_work_that_was_lost_is(
    store: Stores, outcome: Outcome, is_held: bool
):
    job = submit(store, draft(unique_key="cell/1")).jobs[0]
    store.jobs.finish(Finish(claim(store), outcome, T0 + 1))
    again = submit(store, draft(unique_key="cell/1"))
    assert again.duplicates == ({"cell/1": job.id} if is_held else {})
    assert submit(store, draft(unique_key="cell/1")).duplicates == {
        "cell/1": (job if is_held else again.jobs[0]).id
    }


def test_a_canceled_draft_makes_room_at_once(store: Stores):
    job = submit(store, draft(unique_key="cell/1")).jobs[0]
    store.jobs.cancel(Cancel(job.id, "ann", T0))
    assert submit(store, draft(unique_key="cell/1")).duplicates == {}


def test_owners_do_not_hold_each_others_work(store: Stores):
    submit(store, draft(unique_key="cell/1"), owner="ann")
    assert submit(store, draft(unique_key="cell/1"), owner="bob").duplicates == {}


def test_of_one_submission_the_first_with_a_name_stays(store: Stores):
    one, two = draft(unique_key="cell/1"), draft(unique_key="cell/1")
    accepted = submit(store, one, two)
    assert [job.id for job in accepted.jobs] == [one.id]
    assert accepted.duplicates == {"cell/1": one.id}


def test_a_job_that_was_deleted_holds_nothing(store: Stores):
    job = submit(store, draft(unique_key="cell/1")).jobs[0]
    store.jobs.cancel(Cancel(job.id, "ann", T0))
    store.jobs.delete_jobs([job.id])
    assert len(submit(store, draft(unique_key="cell/1")).jobs) == 1


def test_many_who_want_the_same_work_at_once_get_it_done_once(store: Stores):
    answers = in_threads([lambda: submit(store, draft(unique_key="cell/1"), draft(unique_key="cell/2"))] * 12)
    accepted = [each for each in answers if isinstance(each, Accepted)]
    assert len(accepted) == 12
    made = [job.id for each in accepted for job in each.jobs]
    assert len(made) == 2
    assert {job_id for each in accepted for job_id in each.duplicates.values()} == set(made)
    assert all(store.jobs.job(job_id).status is JobStatus.QUEUED for job_id in made)


def test_what_cannot_be_paid_reserves_nothing(store: Stores):
    store.jobs.ensure_owner("ann", T0)
    with pytest.raises(CreditsInsufficient):
        store.jobs.submit(submission(draft(unique_key="cell/1", cost=5.0), is_charged=True))
    assert submit(store, draft(unique_key="cell/1")).duplicates == {}
