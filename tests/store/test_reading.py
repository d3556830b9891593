"""Reads, notes, the outbox and the registry's table."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import NotFound, StorageError
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store import queries
from imagemill.jobs.store.queries import Annotate, Consumption, Filter
from tests.store.build import (
    MINUTE,
    T0,
    add,
    artifact,
    cancel,
    claim,
    draft,
    fresh_id,
    in_threads,
    opened,
    retry,
    running,
    submit,
    succeed,
)


def listed(store: Stores, **wanted: Any) -> list[str]:
    return [job.id for job in store.jobs.list_jobs(Filter(**{"owner": "ann", **wanted}))]


def test_jobs_are_listed_newest_first_for_their_owner_only(store: Stores):
    ids = [add(store).id for _ in range(3)]
    add(store, owner="bob")
    assert listed(store) == ids[::-1]


def test_a_cursor_leads_through_all_pages(store: Stores):
    ids = [add(store).id for _ in range(5)]
    first = listed(store, limit=2)
    second = listed(store, limit=2, before=first[-1])
    third = listed(store, limit=2, before=second[-1])
    assert first + second + third == ids[::-1]
    assert listed(store, before=third[-1]) == []


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        ({"statuses": frozenset({JobStatus.RUNNING})}, [0]),
        ({"statuses": frozenset({JobStatus.QUEUED, JobStatus.CANCELED})}, [2, 1]),
        ({"recipes": ("comfy",)}, [1]),
        ({"created_from": T0 + 1}, [2, 1]),
        ({"created_to": T0 + 1}, [1, 0]),
        ({"created_from": T0 + 1, "created_to": T0 + 1}, [1]),
        ({"recipes": ("comfy",), "statuses": frozenset({JobStatus.RUNNING})}, []),
    ],
)
def test_a_filter_leaves_what_matches(store: Stores, wanted: dict[str, Any], positions: list[int]):
    jobs = [
        add(store),
        add(store, at=T0 + 1, recipe="comfy", queue="other"),
        add(store, at=T0 + 2, queue="other"),
    ]
    claim(store)
    cancel(store, jobs[2])
    assert listed(store, **wanted) == [jobs[position].id for position in positions]


def test_a_batch_can_be_listed(store: Stores):
    accepted = submit(store, draft(), draft())
    add(store)
    assert listed(store, batches=(accepted.batch,)) == [job.id for job in accepted.jobs][::-1]


VALUES = ["text", "", 1, 1.5, True, None, [1, "a"], {"b": 1, "a": [2]}, "x" * 5000, "ünï \u2603"]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_job_is_found_by_a_property_of_any_kind(store: Stores, value: Any):
    job = add(store, properties={"key": value, "other": 1})
    add(store, properties={"key": "something else", "other": 1})
    assert listed(store, properties=(("key", value),)) == [job.id]


def test_properties_tell_values_apart_that_only_look_alike(store: Stores):
    add(store, properties={"key": 1})
    assert listed(store, properties=(("key", "1"),)) == []
    assert listed(store, properties=(("key", True),)) == []


def test_the_order_of_an_object_s_keys_does_not_matter(store: Stores):
    job = add(store, properties={"key": {"a": 1, "b": {"c": 2, "d": 3}}})
    assert listed(store, properties=(("key", {"b": {"d": 3, "c": 2}, "a": 1}),)) == [job.id]


def test_all_given_properties_must_match(store: Stores):
    both = add(store, properties={"a": 1, "b": 2})
    add(store, properties={"a": 1})
    assert listed(store, properties=(("a", 1), ("b", 2))) == [both.id]
    assert listed(store, properties=(("a", 1), ("b", 3))) == []


def test_the_job_of_another_is_not_found(store: Stores):
    job = add(store)
    assert store.jobs.job(job.id, "ann") == job
    for read in (store.jobs.job, store.jobs.view):
        with pytest.raises(NotFound):
            read(job.id, "bob")


def test_an_unknown_job_is_not_found(store: Stores):
    with pytest.raises(NotFound):
        store.jobs.job(fresh_id())


def test_views_come_in_the_order_asked_for_and_with_pictures_in_theirs(store: Stores):
    first, second = running(store), running(store)
    succeed(store, first, pictures=3)
    views = store.jobs.views([store.jobs.job(second.id), store.jobs.job(first.id)])
    assert [view.job.id for view in views] == [second.id, first.id]
    assert [len(view.artifacts) for view in views] == [0, 3]
    assert [each.position for each in views[1].artifacts] == [0, 1, 2]
    assert store.jobs.views([]) == []


def test_views_by_id_leave_out_what_is_gone(store: Stores):
    job = add(store)
    assert set(store.jobs.views_by_id([job.id, fresh_id()])) == {job.id}


def test_an_artifact_is_found_with_its_owner(store: Stores):
    taken = running(store)
    succeed(store, taken)
    found = artifact(taken)
    assert store.jobs.artifact(found.id) == (found, "ann")
    assert store.jobs.artifact("0" * 64) is None


def test_consumption_counts_what_succeeded_in_the_time(store: Stores):
    submit(store, *(draft(cost=0.5) for _ in range(3)))
    for at, pictures in ((T0, 1), (T0 + 1, 2), (T0 + 2, 4)):
        succeed(store, claim(store), at, pictures)
    add(store, cost=100.0)
    assert store.jobs.consumption("ann", T0, T0 + 2) == Consumption(3, 1.0)
    assert store.jobs.consumption("ann", T0, T0 + 3) == Consumption(7, 1.5)
    assert store.jobs.consumption("bob", T0, T0 + 3) == Consumption(0, 0.0)


def test_depths_count_open_jobs(store: Stores):
    assert store.jobs.depths() == {"waiting": 0, "queued": 0, "running": 0}
    first = draft()
    submit(store, first, draft(), draft(depends_on=(first.id,)))
    claim(store)
    assert store.jobs.depths() == {"waiting": 1, "queued": 1, "running": 1}


def test_depths_are_those_of_one_instant(store: Stores, database_url: str):
    submit(store, draft(), draft(), draft())
    database = opened(database_url)
    with database.reader.connect() as conn:
        sa.event.listen(conn, "after_cursor_execute", lambda *_: claim(store))
        counts = queries.depths(conn)
    database.close()
    assert sum(counts.values()) == 3


def test_the_place_in_the_lane_counts_who_is_ahead(store: Stores):
    jobs = submit(store, *(draft() for _ in range(4))).jobs
    add(store, model="another lane")
    assert store.jobs.preceding([(job.lane, job.tag) for job in jobs]) == {
        (job.lane, job.tag): number for number, job in enumerate(jobs)
    }
    claim(store)
    assert [*store.jobs.preceding([(jobs[3].lane, jobs[3].tag)]).values()] == [2]


def test_places_of_several_lanes_are_counted_together(store: Stores):
    jobs = submit(store, *(draft() for _ in range(4))).jobs
    others = [add(store, model="another lane") for _ in range(2)]
    places = [(job.lane, job.tag) for job in (*others, jobs[3], jobs[1], jobs[3])]
    assert list(map(store.jobs.preceding(places).__getitem__, places)) == [0, 1, 3, 1, 3]
    assert store.jobs.preceding([]) == {}


def test_the_place_is_counted_no_further_than_a_bound(store: Stores):
    for _ in range(3):
        jobs = submit(store, *(draft() for _ in range(400))).jobs
    last, before = ((job.lane, job.tag) for job in (jobs[-1], jobs[-2]))
    assert store.jobs.preceding([last]) == {last: 1000}
    assert store.jobs.preceding([before, last]) == {before: 1000, last: 1000}


def test_the_attempts_whose_files_are_needed_are_the_delivered_and_the_running(store: Stores):
    delivered = running(store)
    succeed(store, delivered)
    again = running(store)
    retry(store, again)
    again = claim(store)
    ended = running(store)
    cancel(store, ended)
    retry(store, ended)
    pairs = [(each.id, attempt) for each in (delivered, again, ended) for attempt in (1, 2)]
    assert store.jobs.referenced_attempts(pairs) == {(delivered.id, 1), (again.id, 2)}


def test_finished_jobs_are_found_by_their_age(store: Stores):
    claims = [running(store) for _ in range(3)]
    for second, each in enumerate(claims):
        succeed(store, each, T0 + second * SECOND)
    add(store)
    assert set(store.jobs.finished_before(T0 + 2 * SECOND, 10)) == {claims[0].id, claims[1].id}
    assert len(store.jobs.finished_before(T0 + MINUTE, 2)) == 2


def test_deleting_a_job_deletes_all_that_belongs_to_it(store: Stores):
    taken = running(store, properties={"a": 1}, callback_url="https://example.com/")
    succeed(store, taken)
    kept = add(store, properties={"a": 1}, callback_url="https://example.com/")
    store.jobs.delete_jobs([taken.id])
    with pytest.raises(NotFound):
        store.jobs.job(taken.id)
    assert store.jobs.events_after(taken.id, 0) == []
    assert store.jobs.artifact(artifact(taken).id) is None
    assert listed(store, properties=(("a", 1),)) == [kept.id]
    assert [each.job.id for each in store.callbacks.due(T0, 10)] == [kept.id]


def test_deleting_nothing_is_fine(store: Stores):
    job = add(store)
    store.jobs.delete_jobs([])
    store.jobs.delete_jobs([fresh_id()])
    assert store.jobs.job(job.id) == job


def test_a_database_without_tables_is_a_storage_error(empty_database_url: str):
    empty = build_stores(opened(empty_database_url))
    try:
        for read in (
            lambda: empty.jobs.job("a"),
            lambda: empty.jobs.views_by_id(["a"]),
            lambda: empty.jobs.list_jobs(Filter("ann")),
            lambda: add(empty),
            lambda: claim(empty),
        ):
            with pytest.raises(StorageError):
                read()
        empty.database.ping()
    finally:
        empty.close()


# Notes


def test_a_note_is_merged(store: Stores):
    job = add(store, client={"a": 1, "b": 1}, properties={"p": 1, "q": 1})
    store.jobs.annotate(Annotate(job.id, "ann", client={"b": 2}, properties={"q": 2, "r": 3}))
    after = store.jobs.job(job.id)
    assert (after.client, after.properties) == ({"a": 1, "b": 2}, {"p": 1, "q": 2, "r": 3})
    assert listed(store, properties=(("q", 2), ("r", 3))) == [job.id]
    assert listed(store, properties=(("q", 1),)) == []


def test_a_note_changes_no_status_and_writes_no_event(store: Stores):
    taken = running(store)
    store.jobs.annotate(Annotate(taken.id, "ann", client={"tainted": True}))
    assert store.jobs.job(taken.id) == replace(taken.job, client={"tainted": True})


def test_nobody_writes_on_the_job_of_another(store: Stores):
    job = add(store)
    for id_, owner in ((job.id, "bob"), (fresh_id(), "ann")):
        with pytest.raises(NotFound):
            store.jobs.annotate(Annotate(id_, owner, client={"a": 1}))
    assert store.jobs.job(job.id).client == {}


def test_notes_at_once_are_all_kept(store: Stores):
    job = add(store)
    in_threads(
        [lambda n=n: store.jobs.annotate(Annotate(job.id, "ann", client={str(n): n})) for n in range(8)]
    )
    assert store.jobs.job(job.id).client == {str(n): n for n in range(8)}
