"""Records of batches, on both databases."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import NotFound
from imagemill.jobs.store.batches import BatchCallback, BatchChange, BatchFilter, BatchRecord
from imagemill.jobs.store.finish import Cancel
from imagemill.webhooks.batch_callbacks import BatchOutbox
from tests.store.build import T0, claim, draft, submission, succeed

DIALECT = "test"


def add(store: Stores, *, owner: str = "ann", at: int = T0, key: str | None = None, **changes: Any) -> str:
    """The id of a new batch of two jobs, of which the second needs the first."""
    first, second = draft(), draft()
    sent = submission(first, replace(second, depends_on=(first.id,)), owner=owner, at=at)
    record = BatchRecord(
        sent.batch, owner, DIALECT, at, **{"document": {"steps": 2}, "notes": {"metadata": {}}, **changes}
    )
    if key is not None:
        sent = replace(sent, idempotency_key=key, digest="same")
    return store.jobs.submit(replace(sent, record=record)).batch


def ids(store: Stores, **wanted: Any) -> list[str]:
    return [each.id for each in store.batches.list(BatchFilter("ann", DIALECT, **wanted))]


def test_a_record_is_stored_with_its_jobs_and_read_by_its_owner_only(store: Stores):
    id_ = add(store, document={"a": [1]}, notes={"metadata": {"b": "c"}}, tags=("x", "y"))

    found = store.batches.record(id_, "ann", DIALECT)
    assert (found.document, found.notes, found.tags) == ({"a": [1]}, {"metadata": {"b": "c"}}, ("x", "y"))
    assert len(store.jobs.batch("ann", id_)) == 2
    for owner, dialect in (("bob", DIALECT), ("ann", "other")):
        with pytest.raises(NotFound):
            store.batches.record(id_, owner, dialect)


def test_a_repeated_request_writes_no_second_record(store: Stores):
    first = add(store, key="k", tags=("once",))

    assert add(store, key="k", tags=("twice",)) == first
    assert ids(store) == [first]
    assert store.batches.record(first, "ann", DIALECT).tags == ("once",)


def test_a_deleted_record_is_gone_and_its_key_is_free(store: Stores):
    first = add(store, key="k")
    store.batches.delete(first, "ann", DIALECT, T0)

    with pytest.raises(NotFound):
        store.batches.record(first, "ann", DIALECT)
    with pytest.raises(NotFound):
        store.batches.delete(first, "ann", DIALECT, T0)
    assert ids(store) == []
    assert add(store, key="k") != first


def test_records_are_found_by_tags_text_and_time(store: Stores):
    red = add(store, tags=("all", "red"), notes={"metadata": {"title": 'a "quoted" 100%'}})
    blue = add(store, tags=("all", "blue"), at=T0 + 10)
    add(store, owner="bob", tags=("all", "red"))

    assert ids(store, tags=("all",)) == [blue, red]
    assert ids(store, tags=("all",), ascending=True) == [red, blue]
    assert ids(store, tags=("all", "red")) == [red]
    assert ids(store, tags=("red", "blue")) == []
    assert ids(store, text='"QUOTED"') == [red]
    assert ids(store, text="100%") == [red]
    assert ids(store, text="1_0") == []
    assert ids(store, created_from=T0 + 5) == [blue]
    assert ids(store, created_to=T0 + 5) == [red]
    assert ids(store, limit=1) == [blue]
    assert ids(store, after=blue) == [red]
    assert ids(store, after=red, ascending=True) == [blue]


def test_records_with_an_unsuccessful_job_can_be_left_out(store: Stores):
    good, bad = add(store), add(store)
    store.jobs.cancel(Cancel(store.jobs.batch("ann", bad)[0].id, "ann", T0))

    assert ids(store, successful=True) == [good]


def test_a_change_is_made_to_what_is_there_now(store: Stores):
    id_ = add(store, tags=("a",))

    def more(record: BatchRecord) -> BatchRecord:
        count = record.notes.get("count", 0) + 1
        return replace(record, notes={"count": count}, tags=(*record.tags, f"t{count}"))

    for _ in range(3):
        store.batches.change(BatchChange(id_, "ann", DIALECT, more))
    found = store.batches.record(id_, "ann", DIALECT)
    assert found.notes == {"count": 3}
    assert found.tags == ("a", "t1", "t2", "t3")
    with pytest.raises(NotFound):
        store.batches.change(BatchChange(id_, "bob", DIALECT, more))


def test_a_change_that_is_refused_changes_nothing(store: Stores):
    id_ = add(store, tags=("a",))

    def refuse(record: BatchRecord) -> BatchRecord:
        raise NotFound("no such step")

    with pytest.raises(NotFound, match="no such step"):
        store.batches.change(BatchChange(id_, "ann", DIALECT, refuse))
    assert store.batches.record(id_, "ann", DIALECT).tags == ("a",)


def test_a_record_goes_with_its_last_job(store: Stores):
    id_ = add(store, tags=("a",), callbacks=(BatchCallback("https://a.example", {}),))
    jobs = [job.id for job in store.jobs.batch("ann", id_)]

    store.jobs.delete_jobs(jobs[:1])
    assert ids(store) == [id_]
    store.jobs.delete_jobs(jobs[1:])
    assert ids(store) == []
    assert not BatchOutbox(store.database).has_open()


def test_a_callback_is_due_while_its_batch_has_events_it_did_not_get(store: Stores):
    outbox = BatchOutbox(store.database)
    id_ = add(store, callbacks=(BatchCallback("https://a.example", {"type": ["x"]}),))
    jobs = [job.id for job in store.jobs.batch("ann", id_)]

    (due,) = outbox.due(T0, 10)
    assert (due.batch, due.owner, due.dialect, due.callback.options) == (id_, "ann", DIALECT, {"type": ["x"]})
    before, after = outbox.events(jobs, {})
    assert before == {}
    assert [event.seq for event in after] == [1, 1]
    cursor = {event.job_id: event.seq for event in after}
    assert outbox.events(jobs, cursor) == ({event.job_id: event for event in after}, [])
    outbox.save(due.after(cursor, due_at=T0))
    assert outbox.due(T0, 10) == []
    assert outbox.has_open()
    succeed(store, claim(store))
    (again,) = outbox.due(T0, 10)
    assert again.cursor == cursor
    assert [event.type.value for event in outbox.events(jobs, cursor)[1]] == ["Claimed", "Succeeded"]


def test_the_events_of_a_job_follow_the_end_of_those_it_needs(store: Stores):
    """A worker asked for the second job before the first ended, by the clock of the events."""
    id_ = add(store)
    first, second = (job.id for job in store.jobs.batch("ann", id_))
    succeed(store, claim(store, at=T0 + 1), at=T0 + 100)
    succeed(store, claim(store, at=T0 + 50), at=T0 + 200)

    events = BatchOutbox(store.database).events([first, second], {first: 1, second: 1})[1]
    assert [event.job_id for event in events] == [first, first, second, second]
