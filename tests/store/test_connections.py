"""A connection the server ended is replaced before anybody notices."""

import sqlalchemy as sa

from imagemill.store import migrate
from imagemill.store.engine import open_database
from imagemill.store.store import Store
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


def test_each_kind_of_write_survives_the_loss_of_idle_connections(postgres_url: str):
    migrate.upgrade(postgres_url)
    store = Store(open_database(postgres_url))
    held = running(store)
    cut(postgres_url)
    job = add(store)
    cut(postgres_url)
    assert succeed(store, held).value == "succeeded"
    cut(postgres_url)
    assert claim(store).id == job.id
    cut(postgres_url)
    assert store.job(job.id).status.value == "running"
    store.close()
