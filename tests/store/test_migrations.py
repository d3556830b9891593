"""Every database gets to the schema of this code, from wherever it is."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from imagemill.bootstrap.stores import build_stores
from imagemill.db import migrate, tables
from imagemill.db.engine import open_engines, open_unpooled
from imagemill.domain.errors import StorageError
from tests.store.build import T0, add, claim, draft, opened, submit, succeed


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Empty, and without the pooler: see `test_pgbouncer`."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'store.db'}"


MIGRATIONS = Path(migrate.__file__).parent / "migrations"


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


def test_the_code_names_the_newest_revision():
    assert scripts().get_heads() == [tables.REVISION]


def test_an_empty_database_is_filled(database_url: str):
    assert migrate.current(database_url) is None
    assert migrate.upgrade(database_url) is None
    assert migrate.current(database_url) == tables.REVISION


def test_migrations_build_the_tables_the_code_knows(database_url: str):
    migrate.upgrade(database_url)
    engine = open_unpooled(database_url)
    with engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_a_database_that_is_up_to_date_is_left_alone(database_url: str):
    migrate.upgrade(database_url)
    store = build_stores(opened(database_url))
    job = add(store)
    assert migrate.upgrade(database_url) == tables.REVISION
    assert store.jobs.job(job.id) == job
    store.close()


def copy_rows(source: str, target: str) -> None:
    """What the older tables of ``target`` have of the rows of ``source``."""
    first, second = open_unpooled(source), open_unpooled(target)
    old = sa.MetaData()
    old.reflect(second)
    with first.connect() as reading, second.begin() as writing:
        for table in tables.metadata.sorted_tables:
            if table.name not in old.tables:
                continue
            names = [column.name for column in old.tables[table.name].columns]
            rows = reading.execute(sa.select(*(table.c[name] for name in names))).mappings().all()
            if rows:
                writing.execute(sa.insert(old.tables[table.name]), [dict(row) for row in rows])
    first.dispose()
    second.dispose()


def test_the_first_revision_is_upgraded_with_all_its_rows(database_url: str, tmp_path: Path):
    newest = f"sqlite:///{tmp_path / 'newest.db'}"
    migrate.upgrade(newest)
    with closing(build_stores(open_engines(newest))) as store:
        first = draft(properties={"a": 1})
        jobs = submit(store, first, draft(depends_on=(first.id,))).jobs
        succeed(store, claim(store))
        before = [(store.jobs.view(job.id), store.jobs.events_after(job.id, 0)) for job in jobs]
    migrate.upgrade(database_url, "0001")
    assert migrate.current(database_url) == "0001"
    copy_rows(newest, database_url)
    assert migrate.upgrade(database_url) == "0001"
    assert migrate.current(database_url) == tables.REVISION
    with closing(build_stores(opened(database_url))) as store:
        assert [(store.jobs.view(job.id), store.jobs.events_after(job.id, 0)) for job in jobs] == before
        add(store, callback_url="https://example.com/")
        assert len(store.callbacks.due(T0, 10)) == 1


def test_the_revision_before_nodes_and_workflows_is_upgraded_with_all_its_rows(
    database_url: str, tmp_path: Path
):
    newest = f"sqlite:///{tmp_path / 'newest.db'}"
    migrate.upgrade(newest)
    with closing(build_stores(open_engines(newest))) as store:
        job = add(store, callback_url="https://example.com/")
        before = store.jobs.view(job.id)
    migrate.upgrade(database_url, "0002")
    copy_rows(newest, database_url)
    assert migrate.upgrade(database_url) == "0002"
    with closing(build_stores(opened(database_url))) as store:
        assert store.jobs.view(job.id) == before
        assert len(store.callbacks.due(T0, 10)) == 1
        assert store.nodes.all() == ([], {})
        assert store.workflows.heads() == []


def test_resources_that_become_one_are_united(database_url: str):
    migrate.upgrade(database_url, "0012")
    rows = [
        ("urn:air:flux1:unet:civitai:5@6+7", "6", '{"modelName":"older","size":9}', 1),
        ("urn:air:flux1:checkpoint:civitai:5@6.safetensors", "6", '{"modelName":"newer"}', 2),
        ("urn:air:sdxl:lora:civitai:8@9+10", "9", '{"modelName":"LoRA"}', 3),
        ("urn:air:sdxl:checkpoint:file:a.safetensors", None, '{"fileName":"a.safetensors"}', 4),
    ]
    engine = open_unpooled(database_url)
    with engine.begin() as conn:
        for key, short, body, at in rows:
            conn.execute(
                sa.text("INSERT INTO resources VALUES (:key, :key, 'x', :short, '', :body, :at, :at)"),
                {"key": key, "short": short, "body": body, "at": at},
            )
    engine.dispose()
    migrate.upgrade(database_url)
    with closing(build_stores(opened(database_url))) as store:
        total, found = store.resources.page("", 0, 10)
        assert total == 3
        assert [each.air.key for each in found] == [
            "urn:air:flux1:checkpoint:civitai:5@6",
            "urn:air:sdxl:checkpoint:file:a.safetensors",
            "urn:air:sdxl:lora:civitai:8@9",
        ]
        assert found[0].body == {"modelName": "newer", "size": 9}
        assert str(found[2].air) == rows[2][0]


def test_processes_that_start_together_upgrade_one_database(database_url: str):
    code = "import sys; from imagemill.db import migrate; migrate.upgrade(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, database_url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert migrate.current(database_url) == tables.REVISION


def test_the_folder_of_a_new_file_is_made(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'a' / 'b' / 'store.db'}"
    migrate.upgrade(url)
    assert migrate.current(url) == tables.REVISION


def test_a_database_nobody_can_reach_is_a_storage_error():
    with pytest.raises(StorageError):
        migrate.current("postgresql://nobody@127.0.0.1:9/none")


@pytest.mark.parametrize("url", ["mysql://u@h/d", "not a url://", "oracle://x", "store.db"])
def test_another_kind_of_database_is_refused_with_a_sentence(url: str):
    with pytest.raises(StorageError):
        open_engines(url)


def test_a_claim_on_sqlite_reads_the_index_of_open_jobs_in_its_order(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate.upgrade(url)
    engine = open_unpooled(url)
    with engine.connect() as conn:
        query = f"SELECT id FROM jobs WHERE {tables.CLAIMABLE} AND lane = 1 ORDER BY tag, id LIMIT 1"
        plan = conn.execute(sa.text(f"EXPLAIN QUERY PLAN {query}")).all()
    engine.dispose()
    assert any("ix_jobs_claimable" in str(row) for row in plan)
    assert not any("TEMP B-TREE" in str(row) for row in plan)
