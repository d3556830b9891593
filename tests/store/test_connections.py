"""PostgreSQL's connections: lost ones are replaced, and a pooler's are not counted on to last."""

import time

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import build_stores
from imagemill.db import engine as engines
from imagemill.db.engine import open_engines
from tests.store.build import add, claim, running, succeed


def cut(url: str) -> None:
    """As when the server restarts, or an operator ends its sessions."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()


def test_each_kind_of_write_survives_the_loss_of_idle_connections(kept_postgres_url: str):
    store = build_stores(open_engines(kept_postgres_url))
    held = running(store)
    cut(kept_postgres_url)
    job = add(store)
    cut(kept_postgres_url)
    assert succeed(store, held).value == "succeeded"
    cut(kept_postgres_url)
    assert claim(store).id == job.id
    cut(kept_postgres_url)
    assert store.jobs.job(job.id).status.value == "running"
    store.close()


def test_a_read_is_made_once_more_where_its_connection_was_lost(kept_postgres_url: str):
    store = build_stores(open_engines(kept_postgres_url))
    job = add(store)
    for _ in range(3):
        assert store.jobs.job(job.id).id == job.id
        cut(kept_postgres_url)
    assert store.jobs.job(job.id).id == job.id
    store.close()


def test_a_connection_is_asked_whether_it_answers_only_after_a_pause(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    database = open_engines(postgres_url)
    pings: list[object] = []
    ping = database.writer.dialect.do_ping

    def count(connection: object) -> bool:
        pings.append(connection)
        return ping(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(database.writer.dialect, "do_ping", count)

    def read() -> None:
        with database.reader.connect() as conn:
            conn.execute(sa.text("SELECT 1"))

    try:
        for _ in range(5):
            read()
        assert pings == []
        monkeypatch.setattr(engines, "_UNUSED_S", 0.0)
        time.sleep(0.001)
        read()
        assert len(pings) == 1
        cut(postgres_url)
        read()
    finally:
        database.close()


def test_behind_a_pooler_no_statement_is_prepared_for_a_session(postgres_url: str):
    assert prepared(postgres_url, pooler=True) == 0
    assert prepared(postgres_url, pooler=False) > 0


def prepared(url: str, *, pooler: bool) -> int:
    """Statements the session knows after the same one was sent often."""
    database = open_engines(url, pooler=pooler)
    try:
        with database.reader.connect() as conn:
            for _ in range(10):
                conn.execute(sa.text("SELECT 1"))
            return conn.execute(sa.text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
    finally:
        database.close()
