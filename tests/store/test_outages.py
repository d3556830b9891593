"""Databases that hang, vanish or refuse to write: noticed within seconds, and no write waits forever."""

import errno
import os
import shutil
import socket
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate
from imagemill.db.engine import inspect_database, open_engines
from imagemill.db.group_commit import GroupCommit, OutcomeUnknown, Tx
from imagemill.domain.errors import StorageError
from imagemill.pubsub.base import ClusterEvent
from imagemill.pubsub.postgres import PostgresPubSub
from tests import databases
from tests.pgbouncer import PgBouncer
from tests.postgres import KillableServer
from tests.store.build import add, draft, submission

_LIMIT_MS = 10_000


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[KillableServer]:
    """A PostgreSQL that is reached over TCP."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # its user is not ours
        server = KillableServer(Path(folder) / "cluster")
        server.start()
        migrate.upgrade(server.url)
        yield server
        server.close()


# Lost packets


def limits(connection: "psycopg.Connection[Any]") -> tuple[int, int]:
    """The time in ms after which lost packets end the connection, and whether an idle one is checked."""
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as its:
        unacknowledged = its.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        return unacknowledged, its.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_every_connection_gives_up_when_its_packets_are_lost(tcp_server: KillableServer):
    engines = open_engines(tcp_server.url)
    unpooled = migrate.open_unpooled(tcp_server.url)
    pubsub = PostgresPubSub(tcp_server.url, "test")
    try:
        for engine in (engines.writer, engines.reader, unpooled):
            with engine.connect() as conn:
                assert limits(conn.connection.driver_connection) == (_LIMIT_MS, 1)
        pubsub._send(ClusterEvent(queues_with_work=("gpu",)), {})
        assert limits(pubsub._writer) == (_LIMIT_MS, 1)
    finally:
        pubsub.close()
        engines.close()
        unpooled.dispose()


def test_an_address_may_say_other_limits(tcp_server: KillableServer):
    engines = open_engines(f"{tcp_server.url}?tcp_user_timeout=3000&connect_timeout=9")
    with engines.writer.connect() as conn:
        connection: Any = conn.connection.driver_connection
        assert limits(connection) == (3000, 1)
        assert connection.info.get_parameters()["connect_timeout"] == "9"
    engines.close()


@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
def test_statements_and_locks_have_time_limits(tcp_server: KillableServer, name: str):
    engines = open_engines(tcp_server.url)
    with engines.writer.connect() as conn:
        shown = conn.execute(sa.text(f"SHOW {name}")).scalar_one()
    engines.close()
    assert shown in {"1min", "15s", "30s"}


class Ended:
    """Ends a session of the database at a point of a transaction."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, pid: int) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_connection_lost_before_the_commit_is_replaced(tcp_server: KillableServer):
    engines, end = open_engines(tcp_server.url), Ended(tcp_server.url)
    tries: list[int] = []

    def write(tx: Tx, payloads: Sequence[None]) -> list[None]:
        pid = tx.conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        tries.append(pid)
        if len(tries) == 1:
            end(pid)
        tx.conn.execute(sa.text("SELECT 1"))
        return [None] * len(payloads)

    commits = GroupCommit(engines.writer, lambda _: None)
    assert commits.begin(write, None).result(30) is None
    commits.close()
    engines.close()
    assert len(set(tries)) == 2


def test_a_write_whose_commit_is_cut_off_is_not_repeated(tcp_server: KillableServer):
    engines, end = open_engines(tcp_server.url), Ended(tcp_server.url)
    tries: list[None] = []

    def write(tx: Tx, payloads: Sequence[None]) -> list[None]:
        tries.append(None)
        end(tx.conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())
        return [None] * len(payloads)

    commits = GroupCommit(engines.writer, lambda _: None)
    with pytest.raises(OutcomeUnknown, match="Idempotency-Key"):
        commits.begin(write, None).result(30)
    commits.close()
    engines.close()
    assert len(tries) == 1


# The commit thread


def insert(tx: Tx, numbers: Sequence[int]) -> list[int]:
    for number in numbers:
        tx.conn.execute(sa.text("INSERT INTO notes VALUES (:id)"), {"id": number})
    return list(numbers)


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[sa.Engine]:
    engines = open_engines(f"sqlite:///{tmp_path / 'notes.db'}")
    with engines.writer.begin() as conn:
        conn.execute(sa.text("CREATE TABLE notes (id INTEGER PRIMARY KEY)"))
    yield engines.writer
    engines.close()


def test_a_commit_thread_that_fails_is_replaced(notes: sa.Engine, caplog: pytest.LogCaptureFixture):
    failures = iter([OSError(errno.EINVAL, "Invalid argument"), SystemExit()])

    def pause(_: float) -> None:
        if (error := next(failures, None)) is not None:
            raise error

    commits = GroupCommit(notes, lambda _: None, pause=pause)
    for start in (0, 10, 20, 30):
        entered, opened = threading.Event(), threading.Event()

        def hold(
            tx: Tx, payloads: Sequence[None], entered: Any = entered, opened: Any = opened
        ) -> list[None]:
            entered.set()
            assert opened.wait(10)
            return [None] * len(payloads)

        gate = commits.begin(hold, None)
        assert entered.wait(10)
        futures = [commits.begin(insert, start + number) for number in range(10)]
        opened.set()
        gate.result(10)
        assert [future.result(10) for future in futures] == list(range(start, start + 10))
    commits.close()
    assert next(failures, None) is None
    assert "the commit thread failed" in caplog.text


def test_a_callback_that_fails_after_the_commit_repeats_no_write(notes: sa.Engine):
    def write(tx: Tx, numbers: Sequence[int]) -> list[int]:
        def fail() -> None:
            raise ZeroDivisionError

        tx.on_commit.append(fail)
        return insert(tx, numbers)

    commits = GroupCommit(notes, lambda _: None)
    assert commits.begin(write, 1).result(10) == 1
    assert commits.begin(insert, 2).result(10) == 2
    commits.close()


def test_what_the_whole_database_refuses_is_tried_once_for_all(notes: sa.Engine):
    tries: list[int] = []

    def full(tx: Tx, payloads: Sequence[None]) -> list[None]:
        tries.append(len(payloads))
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    entered, opened = threading.Event(), threading.Event()

    def hold(tx: Tx, payloads: Sequence[None]) -> list[None]:
        entered.set()
        assert opened.wait(10)
        return [None] * len(payloads)

    commits = GroupCommit(notes, lambda _: None)
    commits.begin(hold, None)
    assert entered.wait(10)
    futures = [commits.begin(full, None) for _ in range(5)]
    opened.set()
    for future in futures:
        with pytest.raises(StorageError, match="disk is full"):
            future.result(10)
    commits.close()
    assert tries == [5]


# Readiness


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[tuple[Stores, Path]]:
    path = tmp_path / "data" / "imagemill.db"
    stores = build_stores(open_engines(databases.sqlite_database(path)))
    yield stores, path
    stores.close()


def forget_commits(stores: Stores) -> None:
    """As if the last commit were long ago, so that a check makes a write of its own."""
    stores.database._commits.committed_at = float("-inf")


def test_a_database_that_can_be_written_to_is_healthy(store: Stores):
    forget_commits(store)
    store.database.check()
    store.database.check()


def test_a_database_locked_by_another_program_is_not_ready_and_gets_one_write(
    lasting: tuple[Stores, Path], monkeypatch: pytest.MonkeyPatch
):
    stores, path = lasting
    monkeypatch.setattr("imagemill.db.database._PROBE_S", 0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    forget_commits(stores)
    for _ in range(3):
        with pytest.raises(StorageError, match="no write was committed"):
            stores.database.check()
    assert len(stores.database._commits._waiting) <= 1
    holder.execute("ROLLBACK")
    holder.close()
    assert stores.database._probe is not None
    stores.database._probe.result(30)
    stores.database.check()


def test_a_write_waits_for_that_of_another_program_up_to_its_limit(
    lasting: tuple[Stores, Path], monkeypatch: pytest.MonkeyPatch
):
    stores, path = lasting
    add(stores)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            holder.execute("ROLLBACK")

    monkeypatch.setattr("imagemill.db.engine.time", SimpleNamespace(sleep=pause))
    add(stores)
    assert len(pauses) == 20
    assert pauses == sorted(pauses)
    assert max(pauses) <= 0.002

    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="database is locked"):
        add(stores)
    assert sum(pauses[20:]) >= 15
    holder.close()


def test_a_read_only_database_is_not_ready(lasting: tuple[Stores, Path]):
    stores, _ = lasting
    with stores.database.engines.writer.connect() as conn:
        conn.exec_driver_sql("PRAGMA query_only=ON")
    forget_commits(stores)
    with pytest.raises(StorageError, match="readonly"):
        stores.database.check()


def test_a_deleted_folder_refuses_writes_and_leaves_no_empty_file(lasting: tuple[Stores, Path]):
    stores, path = lasting
    add(stores)
    shutil.rmtree(path.parent)
    with pytest.raises(StorageError, match="deleted or replaced"):
        add(stores)
    path.parent.mkdir()
    forget_commits(stores)
    with pytest.raises(StorageError, match="deleted or replaced"):
        stores.database.check()
    with pytest.raises(StorageError, match="deleted or replaced"):
        stores.jobs.submit(submission(draft()))
    assert list(path.parent.iterdir()) == []


def test_a_long_read_leaves_no_large_journal(lasting: tuple[Stores, Path]):
    stores, _ = lasting
    with stores.database.engines.writer.connect() as conn:
        assert conn.exec_driver_sql("PRAGMA journal_size_limit").scalar_one() == 64 * 2**20


# Files


@pytest.mark.parametrize("name", ["plain", "100%25 art", "a%20b", "what?", "é #&"])
def test_any_folder_name_holds_the_database_for_its_owner_alone(tmp_path: Path, name: str):
    from imagemill.config import Settings

    folder = tmp_path / name
    url = Settings(data_dir=folder).database
    migrate.upgrade(url)
    stores = build_stores(open_engines(url))
    add(stores)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    stores.close()
    assert found == {"imagemill.db": 0o600, "imagemill.db-wal": 0o600, "imagemill.db-shm": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# Other applications


def test_tables_of_another_application_are_one_sentence(empty_database_url: str):
    engine = sa.create_engine(migrate.normalise(empty_database_url))
    with engine.begin() as conn:
        conn.execute(sa.text("CREATE TABLE users (id INTEGER)"))
    engine.dispose()
    with pytest.raises(StorageError, match=r"names of ours \(users\)") as raised:
        migrate.upgrade(empty_database_url)
    assert "\n" not in str(raised.value)
    assert inspect_database(empty_database_url).foreign_tables == ("users",)


def test_a_schema_of_our_own_fits_beside_them(postgres_url: str):
    from imagemill.config import Settings

    engine = sa.create_engine(migrate.normalise(postgres_url))
    with engine.begin() as conn:
        conn.execute(sa.text("CREATE TABLE users (id INTEGER)"))
    given = postgres_url + ("&" if "?" in postgres_url else "?") + "schema=imagemill"
    url = Settings(database_url=given).database  # type: ignore[arg-type]
    migrate.upgrade(url)
    migrate.upgrade(url)
    stores = build_stores(open_engines(url))
    add(stores)
    stores.close()
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM imagemill.jobs")).scalar_one() == 1
        assert sa.inspect(conn).get_table_names() == ["users"]
    engine.dispose()


def test_a_schema_does_not_pass_a_pooler():
    from imagemill.config import Settings

    with pytest.raises(ValueError, match="ALTER ROLE"):
        Settings(database_url="postgresql://db/shop?schema=mill", database_pooler=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "Mill", "a;b", "a b"])
def test_a_schema_is_a_plain_name(name: str):
    from imagemill.config import Settings

    with pytest.raises(ValueError, match="schema=imagemill"):
        Settings(database_url=f"postgresql://db/shop?schema={name}")  # type: ignore[arg-type]


# Poolers


def test_an_unnamed_pooler_is_noticed_and_served(
    pooler: PgBouncer, pooled_url: str, caplog: pytest.LogCaptureFixture
):
    stores = build_stores(open_engines(pooled_url))
    for _ in range(20):
        add(stores)
    stores.close()
    assert "IMAGEMILL_DATABASE_POOLER=true" in caplog.text
    assert inspect_database(pooled_url).is_pooled


@pytest.mark.parametrize("state", ["42P05", "26000"])
def test_a_prepared_statement_that_changed_hands_names_the_setting(state: str):
    from imagemill.db.engine import explain

    error = psycopg.errors.lookup(state)('prepared statement "_pg3_0" already exists')
    assert "IMAGEMILL_DATABASE_POOLER=true" in explain(error)
