"""Erasure of jobs in every state: nothing of them stays, of no other job anything goes."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores
from imagemill.db import tables
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.errors import StorageError
from imagemill.domain.jobs import Job
from imagemill.domain.jobs import JobStatus as S
from imagemill.jobs.erasure import erase_jobs
from imagemill.jobs.store.store import JobStore
from tests.service.build import Held, Mill, add, mill
from tests.store.build import draft, submission

_STAY = {"decisions", "provider_calls"}
"""They have no content of a job: digests of texts, and what a provider billed."""


@pytest.fixture
def make(store: Stores) -> Iterator[Any]:
    mills: list[Mill] = []

    def make(*arguments: Any, **changes: Any) -> Mill:
        mills.append(mill(store, *arguments, **changes))
        return mills[-1]

    yield make
    for each in mills:
        each.runner.close(0)


def rows_of(store: Stores, job: Job) -> dict[str, int]:
    """The number of rows of each table that name the job or its submission."""
    found: dict[str, int] = {}
    with store.database.engines.reader.connect() as conn:
        for table in tables.metadata.sorted_tables:
            names = {"job_id": job.id, "needs": job.id, "batch": job.batch}
            if table.name in ("jobs", "batches"):
                names = {"id": job.id if table.name == "jobs" else job.batch}
            same = [table.c[name] == value for name, value in names.items() if name in table.c]
            if same and table.name not in _STAY:
                count = conn.execute(sa.select(sa.func.count()).select_from(table).where(sa.or_(*same)))
                found[table.name] = count.scalar_one()
    return {name: count for name, count in found.items() if count}


def add_message(store: Stores, job: Job, owner: str) -> None:
    now, endpoint = now_us(), uuid7()
    store.jobs.ensure_owner(owner, now)
    values = {"url": "http://shop/", "description": "", "events": "[]", "secrets": "[]"}
    with store.database.engines.writer.begin() as conn:
        conn.execute(
            sa.insert(tables.endpoints).values(
                id=endpoint, owner=owner, created_at=now, updated_at=now, **values
            )
        )
        conn.execute(
            sa.insert(tables.messages).values(
                id=uuid7(), endpoint_id=endpoint, job_id=job.id, seq=1, type="job", body="{}", created_at=now,
                tries=0,
            )
        )  # fmt: skip


def test_nothing_stays_of_a_finished_job(store: Stores, make: Any) -> None:
    it = make()
    accepted = store.jobs.submit(
        submission(
            draft(recipe="square", unique_key="page/1"), owner="ann", idempotency_key="once", digest="d"
        )
    )
    (job,) = accepted.jobs
    assert it.run()
    add_message(store, job, "ann")
    assert store.jobs.job(job.id).status is S.SUCCEEDED
    assert {"jobs", "events", "artifacts", "messages", "submissions", "reservations"} <= set(
        rows_of(store, job)
    )
    assert it.blobs.files
    it.blobs.put("inputs/ann/photo.png", b"photo", "image/png")
    assert erase_jobs(store.jobs, it.blobs, "ann", [job.id], ["inputs/ann/photo.png"]) == 2
    assert rows_of(store, job) == {}
    assert it.blobs.files == {}
    # The unique key and the idempotency key are free again.
    again = submission(
        draft(recipe="square", unique_key="page/1"), owner="ann", idempotency_key="once", digest="d"
    )
    assert len(store.jobs.submit(again).jobs) == 1


def test_jobs_that_wait_are_erased_and_those_that_need_them_are_canceled(store: Stores, make: Any) -> None:
    it = make()
    first, second, third = (draft(recipe="square") for _ in range(3))
    second = draft(recipe="square", depends_on=(first.id,))
    third = draft(recipe="square", depends_on=(second.id,))
    store.jobs.submit(submission(first, second, third, owner="ann"))
    assert erase_jobs(store.jobs, it.blobs, "ann", [first.id, second.id]) == 0
    assert set(store.jobs.views_by_id([first.id, second.id, third.id])) == {third.id}
    assert store.jobs.job(third.id).status is S.CANCELED


def test_a_running_job_is_stopped(store: Stores, make: Any) -> None:
    held = Held()
    it, job = make(held, lease_s=30.0), add(store)
    thread = it.start()
    assert held.begun.wait(30)
    erase_jobs(store.jobs, it.blobs, "ann", [job.id])
    assert held.stopped.wait(30)
    thread.join(30)
    assert rows_of(store, job) == {}


def test_a_job_that_runs_in_this_process_is_stopped_at_once(store: Stores, make: Any) -> None:
    held = Held()
    it, job = make(held, heartbeat_s=60.0), add(store)
    store.database.listen(lambda committed: [it.runner.stop_job(id_) for id_ in committed.cancelled_jobs])
    thread = it.start()
    assert held.begun.wait(30)
    erase_jobs(store.jobs, it.blobs, "ann", [job.id])
    assert held.stopped.wait(30)
    thread.join(30)


def test_late_outputs_of_an_erased_job_are_not_kept(store: Stores, make: Any) -> None:
    held = Held()
    it, job = make(held, heartbeat_s=5.0), add(store)
    thread = it.start()
    assert held.begun.wait(30)
    erase_jobs(store.jobs, it.blobs, "ann", [job.id])
    held.go.set()
    thread.join(30)
    assert rows_of(store, job) == {}
    assert it.blobs.files == {}


def test_what_belongs_to_others_stays(store: Stores, make: Any) -> None:
    it, other, mine = make(), add(store, owner="bob"), add(store)
    kept = add(store)
    for _ in range(3):
        assert it.run()
    for owner, job in (("bob", other), ("ann", kept)):
        add_message(store, job, owner)
    before = [rows_of(store, job) for job in (other, kept)]
    assert erase_jobs(store.jobs, it.blobs, "ann", [other.id, mine.id, uuid7()]) == 1
    assert [rows_of(store, job) for job in (other, kept)] == before
    assert {key.split("/")[1] for key in it.blobs.files} == {other.id, kept.id}


class Interrupted(JobStore):
    """A store whose process is killed before or after it erases rows."""

    def __init__(self, store: JobStore, *, before: bool) -> None:
        self._store, self._before = store, before

    def erase(self, owner: str, job_ids: Any) -> list[str]:
        if not self._before:
            self._store.erase(owner, job_ids)
        raise StorageError("killed")

    def views_by_id(self, ids: Any) -> Any:
        return self._store.views_by_id(ids)

    def referenced_files(self, keys: Any) -> set[str]:
        return self._store.referenced_files(keys)


@pytest.mark.parametrize("before", [True, False])
def test_an_erasure_that_was_killed_is_repeated(store: Stores, make: Any, before: bool) -> None:
    it, job = make(), add(store)
    assert it.run()
    with pytest.raises(StorageError):
        erase_jobs(Interrupted(store.jobs, before=before), it.blobs, "ann", [job.id])
    it.blobs.put(f"jobs/{job.id}/1/7.png", b"late", "image/png")
    erase_jobs(store.jobs, it.blobs, "ann", [job.id])
    assert rows_of(store, job) == {}
    assert it.blobs.files == {}
    assert erase_jobs(store.jobs, it.blobs, "ann", [job.id]) == 0


def test_files_that_a_product_refers_to_stay(store: Stores, make: Any) -> None:
    it, job = make(), add(store)
    assert it.run()
    (key,) = it.blobs.files
    jobs = JobStore(store.database, file_references=[lambda conn, keys: {key} & set(keys)])
    assert erase_jobs(jobs, it.blobs, "ann", [job.id]) == 0
    assert list(it.blobs.files) == [key]
    assert rows_of(store, job) == {}


def test_two_erasures_at_once_do_no_harm(store: Stores, make: Any) -> None:
    it = make()
    ids = [add(store).id for _ in range(12)]
    threads = [
        threading.Thread(target=erase_jobs, args=(store.jobs, it.blobs, "ann", ids[i:] + ids[:i]))
        for i in (0, 5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert store.jobs.views_by_id(ids) == {}
