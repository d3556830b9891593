"""Filling a database with the rows of millions of finished and queued jobs, in the database itself.

A thousand kinds of jobs are repeated by ``INSERT .. SELECT``; indexes are built afterwards. A finished job
has three events, one that succeeded an artifact, every tenth an idempotency key.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.bootstrap.stores import build_stores
from imagemill.db import tables
from imagemill.db.engine import open_engines, open_unpooled
from imagemill.db.statements import dump
from imagemill.db.statistics_table import statistics
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus, LaneKey
from imagemill.domain.scheduling import priority_offset_s
from imagemill.domain.time_series import ALL_OWNERS, FINISHED, HOUR_S, MINUTE_S, RUNNING, TOTAL, Bucket
from imagemill.jobs.store import counts
from imagemill.jobs.store.lanes import lane_to

KINDS = 997
"""A prime number, so that kinds and owners do not repeat together."""
OWNERS = 200
CHECKPOINT = "urn:air:sd1:checkpoint:civitai:4384@128713"
LARGE_OWNER = "owner-0"
"""Has half of the jobs."""
MODELS = 12
PARKED_IN = 100
"""One queued job in so many waits for a retry."""
_DAYS = 10
_CHUNK = 200_000
_COUNTED_AT_ONCE = 500_000
_WORDS = ("fox", "owl", "lake", "tram", "fern", "moon", "boat", "tower", "night", "rain", "snow", "ink")
_BULKY = (tables.jobs, tables.events, tables.artifacts, tables.submissions, tables.properties)
_STAGES = ("prepare", "queue", "load", "sample", "decode", "download", "store")


@dataclass(frozen=True, slots=True)
class Size:
    finished: int
    queued: int

    @property
    def jobs(self) -> int:
        return self.finished + self.queued


def fill(url: str, size: Size) -> None:
    """Fill an empty, migrated database with jobs of the last ten days; the newest are two minutes old."""
    engine = open_unpooled(url)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as conn:
        _prepare(conn, is_sqlite)
        _insert_kinds(conn)
        conn.commit()
        with _without_indexes(conn):
            for start in range(0, size.jobs, _CHUNK):
                _insert_jobs(conn, size, start, min(_CHUNK, size.jobs - start))
                conn.commit()
        _insert_statistics(conn, size)
        conn.execute(sa.text("DROP TABLE kinds"))
        conn.commit()
    with engine.connect() as conn:
        conn.execution_options(isolation_level="AUTOCOMMIT")
        if is_sqlite:
            conn.exec_driver_sql("PRAGMA journal_mode=WAL")
        else:
            _vacuum(conn)
    engine.dispose()
    _count(url)


def _prepare(conn: sa.Connection, is_sqlite: bool) -> None:
    """Nothing of the load has to outlive a crash: a database that is half filled is of no use."""
    if is_sqlite:
        driver: Any = conn.connection.driver_connection
        driver.create_function("artifact_id", 1, _artifact_id, deterministic=True)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1500000", "foreign_keys=OFF"):
            conn.exec_driver_sql(f"PRAGMA {pragma}")
        return
    for setting in (
        "synchronous_commit = off",
        "session_replication_role = replica",
        "maintenance_work_mem = '512MB'",
    ):
        conn.exec_driver_sql(f"SET {setting}")
    conn.exec_driver_sql(
        "CREATE FUNCTION pg_temp.artifact_id(id text) RETURNS text LANGUAGE sql IMMUTABLE AS "
        "$$ SELECT upper(encode(sha256(convert_to(id || '/0', 'UTF8')), 'hex')) $$"
    )
    conn.commit()


def _vacuum(conn: sa.Connection) -> None:
    """Leave the tables of PostgreSQL as autovacuum leaves those that grew with their jobs.

    The load fills each page until the next row no longer fits. PostgreSQL would put smaller rows into what
    is left, each on another page from all over the table, which is read and logged as a whole. A table that
    grew should have used that up, page by page. So new rows go only where a quarter of a page is free.
    """
    conn.exec_driver_sql("VACUUM (ANALYZE)")
    for table in _BULKY:
        conn.exec_driver_sql(f"ALTER TABLE {table.name} SET (fillfactor = 75)")


def _artifact_id(job_id: str) -> str:
    return hashlib.sha256(f"{job_id}/0".encode()).hexdigest().upper()


@contextmanager
def _without_indexes(conn: sa.Connection) -> Iterator[None]:
    definitions = _definitions(conn)
    for name in definitions:
        conn.exec_driver_sql(f"DROP INDEX {name}")
    conn.commit()
    yield
    for definition in definitions.values():
        conn.exec_driver_sql(definition)
        conn.commit()


def _definitions(conn: sa.Connection) -> dict[str, str]:
    """Return the statements that make the indexes, by name, as the migrations have made them.

    In their order on SQLite: of two indexes that are as good for a statement it takes the last one.
    """
    known = {str(index.name) for table in _BULKY for index in table.indexes}
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY rowid"
        if conn.dialect.name == "sqlite"
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    )
    return {name: text for name, text in conn.execute(sa.text(query)) if name in known}


# Kinds of jobs


def _insert_kinds(conn: sa.Connection) -> None:
    draw = random.Random(7)
    lanes = [
        {"id": number + 1, "key": lane_to(LaneKey("gpu", f"model-{number}"))} for number in range(MODELS)
    ]
    conn.execute(sa.insert(tables.lanes), lanes)
    now = now_us()
    owners = [f"owner-{number}" for number in range(OWNERS)]
    conn.execute(
        sa.insert(tables.owners), [{"id": owner, "weight": 1.0, "created_at": now} for owner in owners]
    )
    conn.execute(sa.insert(tables.queues), [{"name": "gpu", "virtual_time": 0.0}])
    conn.execute(
        sa.insert(tables.shares), [{"queue": "gpu", "owner": owner, "finish": 0.0} for owner in owners]
    )
    rows = [_kind(draw, number) for number in range(KINDS)]
    columns = [
        sa.Column(name, {int: sa.Integer, float: sa.Double}.get(type(value), sa.Text))
        for name, value in rows[0].items()
    ]
    kinds = sa.Table("kinds", sa.MetaData(), *columns)
    kinds.create(conn)
    sa.Index("ix_kinds", kinds.c.k, unique=True).create(conn)
    conn.execute(sa.insert(kinds), rows)


def _kind(draw: random.Random, number: int) -> dict[str, Any]:
    model, node = draw.randrange(MODELS), f"node-{draw.randrange(16)}"
    status = (
        JobStatus.FAILED
        if number % 19 == 0
        else JobStatus.CANCELED
        if number % 50 == 1
        else JobStatus.SUCCEEDED
    )
    code = draw.choice(tuple(FailureCode)).value if status is JobStatus.FAILED else ""
    priority = draw.choice((0, 0, 0, 0, 1, -1))
    stages = [{"stage": stage, "ms": draw.randrange(10, 4000)} for stage in _STAGES]
    claimed = {
        "worker": "host-5f1c2a.7",
        "node": node,
        "backend": "comfyui",
        "reason": f"model-{model} is loaded",
    }
    ended = {"stages": stages} if not code else {"error": {"code": code, "message": "it broke"}}
    return {
        "k": number,
        "owner": LARGE_OWNER if number % 2 else f"owner-{draw.randrange(1, OWNERS)}",
        "recipe": "comfy" if draw.random() < 0.02 else "textToImage",
        "lane": 1 + model,
        "status": status.value,
        "priority": priority,
        "offset_s": priority_offset_s(priority) + 0.0,
        "input": dump(
            {
                "prompt": " ".join(draw.choices(_WORDS, k=40)),
                "negativePrompt": "blurred, low quality",
                "model": CHECKPOINT,
                "width": 1024,
                "height": 1024,
                "steps": 30,
                "cfgScale": 6.5,
                "sampler": "dpmpp_2m",
                "scheduler": "karras",
                "seed": draw.randrange(2**31),
            }
        ),
        "node": node,
        "error": dump({"code": code, "message": "it broke"}) if code else "",
        "error_code": code,
        "claimed": dump(claimed),
        "ended": dump(ended),
        "ended_type": {JobStatus.FAILED: "Failed", JobStatus.CANCELED: "Canceled"}.get(status, "Succeeded"),
    }


# Rows


def _hexadecimal(dialect: str, number: str, width: int) -> str:
    return (
        f"printf('%0{width}x', {number})" if dialect == "sqlite" else f"lpad(to_hex({number}), {width}, '0')"
    )


def _uuid(dialect: str) -> str:
    """Return SQL for the UUID of version 7 of the job number ``n``, created at ``at``."""
    parts = (
        ("(at / 1000) / 65536", 8, "-"),
        ("(at / 1000) % 65536", 4, "-7"),
        ("n % 4096", 3, "-"),
        ("32768 + n % 16384", 4, "-"),
        ("(n * 2654435761) % 281474976710656", 12, ""),
    )
    return " || ".join(f"{_hexadecimal(dialect, what, width)} || '{end}'" for what, width, end in parts)


def _numbered(conn: sa.Connection, size: Size, start: int, count: int) -> str:
    """Return a query of new jobs: number ``n``, instant ``at``, the id, and the columns of their kind."""
    step_us = _DAYS * 86_400 * SECOND // size.jobs
    first = now_us() - 120 * SECOND - size.jobs * step_us
    if conn.dialect.name == "sqlite":
        numbers = (
            f"WITH RECURSIVE numbers(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM numbers "
            f"WHERE n + 1 < {start + count}) "
        )
        source = "numbers"
    else:
        numbers, source = "", f"generate_series({start}::bigint, {start + count - 1}) AS numbers(n)"
    return (
        f"{numbers}SELECT n, at, {_uuid(conn.dialect.name)} AS new_id, kinds.* "
        f"FROM (SELECT n, {first} + n * {step_us} AS at FROM {source}) AS timed "
        f"CROSS JOIN kinds WHERE kinds.k = n % {KINDS}"
    )


def _insert_jobs(conn: sa.Connection, size: Size, start: int, count: int) -> None:
    conn.execute(sa.text("CREATE TEMP TABLE fresh AS " + _numbered(conn, size, start, count)))
    ended = f"n < {size.finished}"
    artifact = "artifact_id" if conn.dialect.name == "sqlite" else "pg_temp.artifact_id"
    _insert(conn, tables.jobs, _job_values(ended))
    for seq, type_, at, data, of_queued in (
        (1, "'Initialized'", "at", "'{}'", True),
        (2, "'Claimed'", "at + 1000000", "claimed", False),
        (3, "ended_type", "at + 6000000", "ended", False),
    ):
        values = {"job_id": "new_id", "seq": str(seq), "type": type_, "at": at, "data": data}
        values["attempt"] = "0" if of_queued else "1"
        _insert(conn, tables.events, values, "" if of_queued else ended)
    made = {
        "job_id": "new_id",
        "position": "0",
        "id": f"{artifact}(new_id)",
        "attempt": "1",
        "blob_key": "'jobs/' || new_id || '/1/0.png'",
        "media_type": "'image/png'",
        "size": "1000000 + n % 1000",
        "width": "1024",
        "height": "1024",
        "sha256": f"lower({artifact}(new_id))",
        "seed": "n",
        "created_at": "at + 6000000",
        "owner": "owner",
        "rating": "CASE WHEN n % 53 = 0 THEN 1 + n % 5 END",
    }
    _insert(conn, tables.artifacts, made, f"{ended} AND status = 'succeeded'")
    key = {"owner": "owner", "key": "new_id", "digest": "'0'", "batch": "new_id", "created_at": "at"}
    _insert(conn, tables.submissions, key, "n % 10 = 0")
    _insert(
        conn,
        tables.properties,
        {"job_id": "new_id", "key": "'project'", "value": "'p' || (n % 500)"},
        "n % 20 = 0",
    )
    conn.execute(sa.text("DROP TABLE fresh"))


def _job_values(ended: str) -> Mapping[str, str]:
    """Return the SQL of each column of a job; ``ended``: the condition that it has ended."""

    def if_ended(value: str) -> str:
        return f"CASE WHEN {ended} THEN {value} END"

    return {
        "id": "new_id",
        "batch": "new_id",
        "owner": "owner",
        "recipe": "recipe",
        "queue": "'gpu'",
        "lane": "lane",
        "status": f"CASE WHEN {ended} THEN status ELSE 'queued' END",
        "priority": "priority",
        "tag": "n + offset_s",
        "estimate_s": "4.0",
        "cost": "1.0",
        "attempt": f"CASE WHEN {ended} THEN 1 ELSE 0 END",
        "failures": "0",
        "max_failures": "5",
        "dialect": "'native'",
        "input": "input",
        "client": "'{}'",
        "properties": "CASE WHEN n % 20 = 0 THEN '{\"project\":\"p' || (n % 500) || '\"}' ELSE '{}' END",
        "trace": "'00-' || replace(new_id, '-', '') || '-00f067aa0ba902b7-00'",
        "node": if_ended("node"),
        "backend": if_ended("'comfyui'"),
        "reason": if_ended("'model-' || (lane - 1) || ' is loaded'"),
        "error": if_ended("NULLIF(error, '')"),
        "error_code": if_ended("NULLIF(error_code, '')"),
        "run_after": f"CASE WHEN NOT ({ended}) AND n % {PARKED_IN} = 0 THEN at + 864000000000 END",
        "created_at": "at",
        "started_at": if_ended("at + 1000000"),
        "finished_at": if_ended("at + 6000000"),
        "expires_at": f"at + {2 * _DAYS * 86_400 * SECOND}",
        "last_seq": f"CASE WHEN {ended} THEN 3 ELSE 1 END",
        "replays": "0",
    }


def _insert(conn: sa.Connection, table: sa.Table, values: Mapping[str, str], where: str = "") -> None:
    condition = f" WHERE {where}" if where else ""
    conn.execute(
        sa.text(
            f"INSERT INTO {table.name} ({', '.join(values)}) "
            f"SELECT {', '.join(values.values())} FROM fresh{condition}"
        )
    )


def _insert_statistics(conn: sa.Connection, size: Size) -> None:
    """The total of each minute of a week and each hour of 90 days, of all owners and by model and node.

    There are less of fewer jobs, one a second."""
    bucket = Bucket()
    for number in range(60):
        bucket.count(FINISHED)
        bucket.observe(RUNNING, 3000 + 40 * number)
    data, now = dump(bucket.to_data()), now_us()
    keys = [
        (ALL_OWNERS, TOTAL, ""),
        *((ALL_OWNERS, "model", f"model-{number}") for number in range(MODELS)),
        *((ALL_OWNERS, "node", f"node-{number}") for number in range(16)),
        *((f"owner-{number}", TOTAL, "") for number in range(20)),
    ]
    for span_s, kept_s in ((MINUTE_S, 7 * 86_400), (HOUR_S, 90 * 86_400)):
        last = now // (span_s * SECOND) - 2
        for back in range(min(kept_s, size.finished) // span_s):
            at = (last - back) * span_s * SECOND
            conn.execute(
                sa.insert(statistics),
                [
                    {"span": span_s, "owner": owner, "dimension": by, "key": key, "at": at, "data": data}
                    for owner, by, key in keys
                ],
            )


def _count(url: str) -> None:
    """Count the ended jobs as the leader would, but more at once."""
    stores = build_stores(open_engines(url))
    while stores.database.write(counts.count_ended, counts.CountEnded(now_us(), _COUNTED_AT_ONCE)):
        pass
    stores.close()
