"""PostgreSQL's connections: lost ones are replaced, and a pooler's are not counted on to last."""

import sqlalchemy as sa

from imagemill.bootstrap.stores import build_stores
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
