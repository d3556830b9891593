"""The group commit: together when it can, alone when it must, and never silent."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import Engines, open_engines
from imagemill.db.group_commit import CommitSummary, GroupCommit, Tx
from imagemill.domain.errors import StorageError
from imagemill.domain.events import Notice
from tests.store.build import (
    add,
    cancel,
    claim,
    claim_all,
    draft,
    in_threads,
    opened,
    running,
    submission,
    submit,
    succeed,
)


@pytest.fixture
def database(database_url: str) -> Iterator[Engines]:
    database = opened(database_url)
    with database.writer.begin() as conn:
        conn.execute(sa.text("CREATE TABLE notes (id INTEGER PRIMARY KEY)"))
    yield database
    database.close()


@pytest.fixture
def told() -> list[CommitSummary]:
    return []


@pytest.fixture
def commits(database: Engines, told: list[CommitSummary]) -> Iterator[GroupCommit]:
    commits = GroupCommit(database.writer, told.append)
    yield commits
    commits.close()


def insert(tx: Tx, numbers: Sequence[int]) -> list[int]:
    for number in numbers:
        tx.conn.execute(sa.text("INSERT INTO notes VALUES (:id)"), {"id": number})
        tx.events.append(Notice(str(number), 1, False))
    return list(numbers)


def notes(database: Engines) -> list[int]:
    with database.reader.connect() as conn:
        return list(conn.execute(sa.text("SELECT id FROM notes ORDER BY id")).scalars())


class Gate:
    """A write that holds up the committing thread, so that others gather behind it."""

    def __init__(self, commits: GroupCommit) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()
        self.answer = commits.begin(self._write, None)
        assert self._entered.wait(10)

    def _write(self, tx: Tx, payloads: Sequence[Any]) -> list[str]:
        self._entered.set()
        assert self._open.wait(10)
        return ["open"] * len(payloads)

    def open(self) -> None:
        self._open.set()
        assert self.answer.result(30) == "open"


def test_a_write_is_answered_once_it_is_there_for_all(commits: GroupCommit, database: Engines):
    assert commits.begin(insert, 1).result(30) == 1
    assert notes(database) == [1]


def test_writes_that_wait_together_share_a_transaction(commits: GroupCommit, told: list[CommitSummary]):
    gate = Gate(commits)
    futures = [commits.begin(insert, number) for number in range(20)]
    gate.open()
    assert [future.result(30) for future in futures] == list(range(20))
    commits.close()
    assert [len(each.events) for each in told] == [20]


def test_writes_that_need_not_gather_are_committed_with_those_that_wait(
    commits: GroupCommit, told: list[CommitSummary]
):
    gate = Gate(commits)
    waiting = [commits.begin(insert, number) for number in range(3)]
    threading.Timer(0.05, gate.open).start()
    results = commits.run((insert, 8), (insert, 9), gathers=False)
    assert [result.is_done for result in results] == [True, True]
    assert [result.result() for result in results] == [8, 9]
    assert [future.result(30) for future in waiting] == [0, 1, 2]
    commits.close()
    assert sum(len(each.events) for each in told) == 5


def nothing(tx: Tx, numbers: Sequence[int]) -> list[None]:
    """As claims that find no job."""
    return [None for _ in numbers]


@pytest.mark.parametrize(("write", "pauses"), [(insert, 1), (nothing, 0)])
def test_a_write_waits_for_more_only_after_several_that_did_something(
    database: Engines, write: Any, pauses: int
):
    paused: list[float] = []
    commits = GroupCommit(database.writer, lambda _: None, pause=paused.append)
    commits.run(*((write, number) for number in range(8)), gathers=False)
    assert commits.begin(insert, 100).result(30) == 100
    commits.close()
    assert len(paused) == pauses


def test_a_write_that_fails_fails_alone(commits: GroupCommit, database: Engines):
    commits.begin(insert, 7).result(30)
    gate = Gate(commits)
    futures = [commits.begin(insert, number) for number in (5, 6, 7, 8)]
    gate.open()
    assert [future.result(30) for future in futures if future is not futures[2]] == [5, 6, 8]
    with pytest.raises(StorageError):
        futures[2].result(30)
    assert notes(database) == [5, 6, 7, 8]


def test_an_answer_that_is_an_error_is_raised_for_its_own_request(commits: GroupCommit, database: Engines):
    def picky(tx: Tx, numbers: Sequence[int]) -> list[int | LookupError]:
        insert(tx, [number for number in numbers if number > 0])
        return [number if number > 0 else LookupError("not positive") for number in numbers]

    gate = Gate(commits)
    good, bad = commits.begin(picky, 1), commits.begin(picky, -1)
    gate.open()
    assert good.result(30) == 1
    with pytest.raises(LookupError):
        bad.result(30)
    assert notes(database) == [1]


def test_a_bug_in_a_write_undoes_it_and_reaches_who_asked(commits: GroupCommit, database: Engines):
    def broken(tx: Tx, numbers: Sequence[int]) -> list[int]:
        insert(tx, numbers)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        commits.begin(broken, 1).result(30)
    assert notes(database) == []
    assert commits.begin(insert, 2).result(30) == 2


def test_nobody_is_told_of_what_was_undone(commits: GroupCommit, told: list[CommitSummary]):
    commits.begin(insert, 1).result(30)
    with pytest.raises(StorageError):
        commits.begin(insert, 1).result(30)
    commits.close()
    assert [notice.job_id for each in told for notice in each.events] == ["1"]


def test_a_request_that_was_given_up_harms_nobody_else(commits: GroupCommit, database: Engines):
    gate = Gate(commits)
    first, given_up, last = (commits.begin(insert, number) for number in (1, 2, 3))
    assert given_up.cancel()
    gate.open()
    assert (first.result(30), last.result(30)) == (1, 3)
    assert commits.begin(insert, 4).result(30) == 4
    assert set(notes(database)) >= {1, 3, 4}


def test_a_request_given_up_alone_leaves_the_store_at_work(commits: GroupCommit):
    gate = Gate(commits)
    assert commits.begin(insert, 1).cancel()
    gate.open()
    assert commits.begin(insert, 2).result(30) == 2


def flushes(tx: Tx, payloads: Sequence[None]) -> list[bool]:
    """Whether the transaction is flushed when it is committed."""
    raw = tx.conn.connection.driver_connection
    assert raw is not None
    return [raw.execute("PRAGMA synchronous").fetchone()[0] == 2 for _ in payloads]


def loses(tx: Tx, payloads: Sequence[None]) -> list[bool]:
    return flushes(tx, payloads)


def test_what_may_be_lost_is_flushed_with_others_only(tmp_path: Path):
    database = open_engines(f"sqlite:///{tmp_path / 'flushed.db'}", fsync=True)
    commits = GroupCommit(database.writer, lambda _: None, unflushed=(loses,))
    try:
        for _ in range(2):
            assert [each.result() for each in commits.run((loses, None))] == [False]
            assert [each.result() for each in commits.run((flushes, None))] == [True]
        assert [each.result() for each in commits.run((loses, None), (flushes, None))] == [True, True]
    finally:
        commits.close()
        database.close()


def test_without_flushes_nothing_is_flushed(tmp_path: Path):
    database = open_engines(f"sqlite:///{tmp_path / 'notes.db'}", fsync=False)
    commits = GroupCommit(database.writer, lambda _: None, unflushed=(loses,))
    try:
        for write in (loses, flushes, loses):
            assert [each.result() for each in commits.run((write, None))] == [False]
    finally:
        commits.close()
        database.close()


def test_closing_finishes_what_waits(commits: GroupCommit, database: Engines):
    gate = Gate(commits)
    futures = [commits.begin(insert, number) for number in range(300)]
    gate.open()
    commits.close()
    assert [future.result(0) for future in futures] == list(range(300))
    assert len(notes(database)) == 300


def test_after_closing_every_write_is_refused(commits: GroupCommit):
    commits.close()
    commits.close()
    with pytest.raises(StorageError):
        commits.begin(insert, 1).result(0)


def test_writes_that_meet_the_closing_are_all_answered(tmp_path: Path):
    database = open_engines(f"sqlite:///{tmp_path / 'notes.db'}")
    with database.writer.begin() as conn:
        conn.execute(sa.text("CREATE TABLE notes (id INTEGER PRIMARY KEY)"))

    def nothing(tx: Tx, payloads: Sequence[Any]) -> list[None]:
        return [None] * len(payloads)

    for _ in range(30):
        commits = GroupCommit(database.writer, lambda committed: None)
        futures: list[Future[Any]] = []

        def write(commits: GroupCommit = commits, futures: list[Future[Any]] = futures) -> None:
            for _ in range(40):
                futures.append(commits.begin(nothing, None))

        in_threads([write, write, write, commits.close])
        for future in futures:
            error = future.exception(5)
            assert error is None or isinstance(error, StorageError)
    database.close()


# As the store uses it


def test_a_notice_comes_after_the_commit(store: Stores, database_url: str):
    seen: list[tuple[str, int]] = []

    def look(committed: CommitSummary) -> None:
        for notice in committed.events:
            seen.append((notice.job_id, store.jobs.job(notice.job_id).last_seq - notice.seq))

    store.database.listen(look)
    taken = running(store)
    succeed(store, taken)
    store.close()
    assert seen == [(taken.id, 0)] * 3


def test_a_listener_that_fails_undoes_nothing(store: Stores):
    def fail(committed: CommitSummary) -> None:
        raise RuntimeError("a bug of a listener")

    store.database.listen(fail)
    job = add(store)
    assert store.jobs.job(job.id) == job
    add(store)


def test_commits_tell_what_they_made_true(store: Stores):
    told: list[CommitSummary] = []
    store.database.listen(told.append)
    first = draft(callback_url="https://example.com/")
    submit(store, first, draft(queue="render", depends_on=(first.id,)))
    taken = running(store, priority=-50)
    cancel(store, taken)
    succeed(store, taken)
    store.close()
    assert told[0].queues_with_work == {"gpu"}
    assert told[0].has_deliveries
    assert [notice.seq for notice in told[0].events] == [1, 1]
    assert [job for each in told for job in each.cancelled_jobs] == [taken.id]
    assert [notice.terminal for notice in told[-1].events] == [True]


def test_a_released_job_wakes_its_queue(store: Stores):
    told: list[CommitSummary] = []
    first = draft()
    submit(store, first, draft(queue="render", depends_on=(first.id,)))
    taken = claim(store)
    store.database.listen(told.append)
    succeed(store, taken)
    store.close()
    assert "render" in told[-1].queues_with_work


def test_a_closed_store_answers_all_that_was_asked(database_url: str):
    store = build_stores(opened(database_url))
    futures = [store.jobs.begin_submit(submission(draft())) for _ in range(40)]
    store.close()
    assert all(len(future.result(0).jobs) == 1 for future in futures)
    with pytest.raises(StorageError):
        add(store)


def test_a_client_that_hangs_up_while_its_jobs_are_written_stops_nobody(store: Stores):
    futures = [store.jobs.begin_submit(submission(draft())) for _ in range(40)]
    for future in futures[::2]:
        future.cancel()
    assert all(len(future.result(30).jobs) == 1 for future in futures[1::2])
    assert add(store)


def test_a_submit_shares_a_transaction_with_the_end_of_another_job(database_url: str):
    store = build_stores(opened(database_url))
    shared: list[bool] = []

    def listen(committed: CommitSummary) -> None:
        terminal = {notice.terminal for notice in committed.events}
        shared.append(committed.writes > 1 and terminal == {True, False})

    store.database.listen(listen)
    try:
        for _ in range(20):
            claims = [running(store) for _ in range(4)]
            shared.clear()
            ends = [lambda taken=taken: succeed(store, taken) for taken in claims]
            in_threads([*ends, *[lambda: submit(store, draft()) for _ in range(4)]])
            for taken in claim_all(store):
                succeed(store, taken)
            if any(shared):
                break
        assert any(shared)
    finally:
        store.close()
