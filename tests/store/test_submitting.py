"""Accepting jobs: what is written, once, in which order."""

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.submit import Accepted
from tests.store.build import (
    LIFE,
    T0,
    add,
    claim_all,
    draft,
    event_types,
    fresh_id,
    in_threads,
    status,
    submission,
    submit,
)


def test_a_submitted_job_is_read_back_as_it_was_sent(store: Stores):
    wanted = draft(
        name="first",
        dialect="civitai_v1",
        input={"prompt": "a \u2603 \U0001f600 and \\u0000", "seed": 2**32 - 1},
        client={"a": [1, None, True, {"b": 1.5}]},
        properties={"user": "u1"},
        callback_url="https://example.com/x",
        cost=0.96,
        priority=-3,
        max_failures=2,
        timeout_s=12.5,
        estimate_s=2.25,
    )
    accepted = submit(store, wanted)
    job = store.jobs.job(wanted.id)
    assert accepted.jobs == (job,)
    assert (job.name, job.dialect, job.input, job.client) == (
        "first",
        "civitai_v1",
        wanted.input,
        wanted.client,
    )
    assert (job.properties, job.callback_url, job.cost, job.priority) == (
        {"user": "u1"},
        wanted.callback_url,
        0.96,
        -3,
    )
    assert (job.max_failures, job.timeout_s, job.estimate_s, job.trace) == (2, 12.5, 2.25, wanted.trace)
    assert (job.created_at, job.expires_at, job.attempt, job.failures) == (T0, T0 + LIFE, 0, 0)
    assert store.jobs.lane(job.lane) == wanted.lane


def test_a_new_job_is_queued_and_has_one_event(store: Stores):
    job = add(store)
    assert job.status is JobStatus.QUEUED
    (event,) = store.jobs.events_after(job.id, 0)
    assert (event.seq, event.type.value, event.at, event.attempt) == (1, "Initialized", T0, 0)
    assert job.last_seq == 1


def test_a_job_with_needs_waits(store: Stores):
    first = draft()
    second = draft(depends_on=(first.id,))
    submit(store, first, second)
    assert (status(store, first), status(store, second)) == (JobStatus.QUEUED, JobStatus.WAITING)


def test_jobs_keep_the_order_they_were_asked_for(store: Stores):
    drafts = [draft() for _ in range(5)]
    accepted = submit(store, *drafts)
    assert [job.id for job in accepted.jobs] == [each.id for each in drafts]
    assert [job.id for job in store.jobs.batch("ann", accepted.batch)] == [each.id for each in drafts]


def test_the_jobs_of_one_owner_are_served_in_their_order(store: Stores):
    ids = [add(store).id for _ in range(4)]
    assert [claim.id for claim in claim_all(store)] == ids


def test_a_batch_is_accepted_whole_or_not_at_all(store: Stores):
    taken = add(store)
    new = draft()
    with pytest.raises(Exception, match="refused a write"):
        submit(store, new, draft(id=taken.id))
    with pytest.raises(NotFound):
        store.jobs.job(new.id)


def test_the_same_key_and_body_gives_the_same_jobs(store: Stores):
    first = submit(store, draft(), draft(), idempotency_key="k", digest="d")
    again = submit(store, draft(), draft(), idempotency_key="k", digest="d")
    assert (first.repeated, again.repeated) == (False, True)
    assert again.batch == first.batch
    assert [job.id for job in again.jobs] == [job.id for job in first.jobs]


def test_a_repeated_submission_shows_the_jobs_as_they_are_now(store: Stores):
    submit(store, draft(), idempotency_key="k", digest="d")
    claim_all(store)
    (job,) = submit(store, draft(), idempotency_key="k", digest="d").jobs
    assert job.status is JobStatus.RUNNING


def test_the_same_key_with_another_body_is_a_conflict(store: Stores):
    submit(store, draft(), idempotency_key="k", digest="d")
    other = draft()
    with pytest.raises(Conflict):
        submit(store, other, idempotency_key="k", digest="e")
    with pytest.raises(NotFound):
        store.jobs.job(other.id)


def test_keys_of_two_owners_have_nothing_to_do_with_each_other(store: Stores):
    submit(store, draft(), idempotency_key="k", digest="d")
    assert not submit(store, draft(), owner="bob", idempotency_key="k", digest="e").repeated


def test_a_key_of_a_refused_submission_is_free(store: Stores):
    taken = add(store)
    with pytest.raises(Exception, match="refused a write"):
        submit(store, draft(id=taken.id), idempotency_key="k", digest="d")
    assert not submit(store, draft(), idempotency_key="k", digest="e").repeated


def test_one_key_sent_by_many_at_once_makes_one_batch_and_tells_all_of_it(store: Stores):
    answers = in_threads(
        [lambda: submit(store, draft(), draft(), idempotency_key="k", digest="d") for _ in range(16)]
    )
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len(accepted) == 16
    assert sum(not each.repeated for each in accepted) == 1
    (fresh,) = [each for each in accepted if not each.repeated]
    assert {tuple(job.id for job in each.jobs) for each in accepted} == {tuple(job.id for job in fresh.jobs)}
    assert len(store.jobs.batch("ann", fresh.batch)) == 2


def test_one_key_with_two_bodies_at_once_is_accepted_for_one_of_them(store: Stores):
    answers = in_threads(
        [
            lambda body=body: submit(store, draft(), idempotency_key="k", digest=body)
            for body in ("d", "e") * 4
        ]
    )
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert len(refused) == 4
    assert len(store.jobs.batches("ann", None, 50)) == 1


def test_a_key_is_free_once_its_jobs_are_deleted(store: Stores):
    first = submit(store, draft(), idempotency_key="k", digest="d")
    store.jobs.delete_jobs([job.id for job in first.jobs])
    assert len(submit(store, draft(), idempotency_key="k", digest="d").jobs) == 1


def test_batches_are_listed_newest_first_and_page_by_page(store: Stores):
    made = [submit(store, draft(), draft()).batch for _ in range(5)]
    submit(store, draft(), owner="bob")
    assert store.jobs.batches("ann", None, 2) == [made[4], made[3]]
    assert store.jobs.batches("ann", made[3], 10) == [made[2], made[1], made[0]]
    assert store.jobs.batch("bob", made[0]) == []


def test_five_hundred_jobs_are_accepted_at_once(store: Stores):
    accepted = submit(store, *(draft() for _ in range(500)))
    assert store.jobs.depths() == {"waiting": 0, "queued": 500, "running": 0}
    assert len({job.tag for job in accepted.jobs}) == 500


def test_every_event_log_begins_with_initialized(store: Stores):
    accepted = submit(store, *(draft() for _ in range(3)))
    assert [event_types(store, job) for job in accepted.jobs] == [["Initialized"]] * 3


def test_futures_of_one_moment_are_answered_each_with_its_own(store: Stores):
    futures = [store.jobs.begin_submit(submission(draft(name=str(n)), owner=f"o{n % 7}")) for n in range(50)]
    names = [future.result(20).jobs[0].name for future in futures]
    assert names == [str(n) for n in range(50)]


def test_a_need_that_nobody_knows_leaves_the_job_waiting(store: Stores):
    job = add(store, depends_on=(fresh_id(),))
    assert claim_all(store) == []
    assert status(store, job) is JobStatus.WAITING


def test_one_key_sent_twice_in_one_breath_tells_all_jobs_both_times(store: Stores):
    futures = [
        store.jobs.begin_submit(submission(draft(), draft(), idempotency_key="k", digest="d"))
        for _ in range(60)
    ]
    answers = [tuple(job.id for job in future.result(20).jobs) for future in futures]
    assert len(answers[0]) == 2
    assert set(answers) == {answers[0]}
