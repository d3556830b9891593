"""The tables. Migrations in ``migrations/versions`` build the same ones; a test compares the two.

Instants are microseconds since the epoch in BIGINT. JSON is text: it is stored and handed back whole, never
searched by the database, and text is the same on both.
"""

import sqlalchemy as sa

REVISION = "0009"
"""The Alembic head this code works on; compared at start without importing Alembic."""

metadata = sa.MetaData()

_instant = sa.BigInteger
_status = sa.String(16)

CLAIMABLE = "status = 'queued' AND run_after IS NULL"
"""Literal, as both databases match a partial index only by its literal condition."""

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("batch", sa.String(36), nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("recipe", sa.String(64), nullable=False),
    sa.Column("queue", sa.String(64), nullable=False),
    sa.Column("lane", sa.Integer, nullable=False),
    sa.Column("status", _status, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("tag", sa.Double, nullable=False),
    sa.Column("estimate_s", sa.Double, nullable=False),
    sa.Column("cost", sa.Double, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("max_failures", sa.Integer, nullable=False),
    sa.Column("timeout_s", sa.Double),
    sa.Column("name", sa.String(200)),
    sa.Column("dialect", sa.String(32), nullable=False),
    sa.Column("input", sa.Text, nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("properties", sa.Text, nullable=False),
    sa.Column("callback_url", sa.Text),
    sa.Column("trace", sa.String(64), nullable=False),
    sa.Column("worker", sa.String(128)),
    sa.Column("node", sa.String(128)),
    sa.Column("backend", sa.String(64)),
    sa.Column("backend_ref", sa.String(128)),
    sa.Column("reason", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("lease_until", _instant),
    sa.Column("run_after", _instant),
    sa.Column("cancel_requested_at", _instant),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("started_at", _instant),
    sa.Column("finished_at", _instant),
    sa.Column("expires_at", _instant, nullable=False),
    sa.Column("last_seq", sa.Integer, nullable=False),
    sa.Column("avoid_node", sa.String(128)),
    sa.Column("avoid_until", _instant),
    # Thousandths of a credit set aside for it, until it ends; null: none.
    sa.Column("held", sa.BigInteger),
)

# Partial indexes hold open jobs only, so a claim costs the same whatever the number of finished jobs.
_INDEXES = (
    ("ix_jobs_claimable", ("lane", "tag", "id"), CLAIMABLE),
    ("ix_jobs_parked", ("run_after",), "run_after IS NOT NULL"),
    ("ix_jobs_running", ("node", "lease_until"), "status = 'running'"),
    ("ix_jobs_expiring", ("expires_at",), "status IN ('waiting', 'queued')"),
    ("ix_jobs_owner", ("owner", "id"), None),
    ("ix_jobs_batch", ("owner", "batch"), None),
    ("ix_jobs_finished", ("finished_at",), "finished_at IS NOT NULL"),
    ("ix_jobs_open", ("owner",), "status IN ('waiting', 'queued', 'running')"),
    ("ix_jobs_held", ("owner",), "held IS NOT NULL"),
)
for _name, _columns, _where in _INDEXES:
    sa.Index(
        _name,
        *(jobs.c[column] for column in _columns),
        sqlite_where=sa.text(_where) if _where else None,
        postgresql_where=sa.text(_where) if _where else None,
    )


def _of_job(primary_key: bool = False, **options: bool) -> sa.Column[str]:
    return sa.Column(
        "job_id",
        sa.String(36),
        sa.ForeignKey("jobs.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
        **options,  # pyright: ignore[reportArgumentType] - only flags of Column reach this
    )


events = sa.Table(
    "events",
    metadata,
    _of_job(primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

artifacts = sa.Table(
    "artifacts",
    metadata,
    _of_job(primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("blob_key", sa.String(255), nullable=False),
    sa.Column("media_type", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("seed", sa.BigInteger),
    sa.Column("created_at", _instant, nullable=False),
)

dependencies = sa.Table(
    "dependencies",
    metadata,
    _of_job(primary_key=True),
    sa.Column("needs", sa.String(36), primary_key=True, index=True),
)

properties = sa.Table(
    "properties",
    metadata,
    _of_job(primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
    sa.Index("ix_properties_value", "key", "value"),
)

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
)

queues = sa.Table(
    "queues",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("virtual_time", sa.Double, nullable=False),
)

owners = sa.Table(
    "owners",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("role", sa.String(16), nullable=False, server_default="user"),
    sa.Column("parent", sa.String(64)),
    sa.Column("name", sa.String(200)),
    sa.Column("disabled_at", _instant),
    sa.Index("ix_owners_parent", "parent"),
)

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("queue", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("finish", sa.Double, nullable=False),
)

submissions = sa.Table(
    "submissions",
    metadata,
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("batch", sa.String(36), nullable=False),
    sa.Column("created_at", _instant, nullable=False, index=True),
)

resources = sa.Table(
    "resources",
    metadata,
    sa.Column("key", sa.String(512), primary_key=True),
    sa.Column("air", sa.String(512), nullable=False),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("short_version", sa.String(32), index=True),
    sa.Column("search", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("updated_at", _instant, nullable=False),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    _of_job(primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("due_at", _instant),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("delivered_at", _instant),
    sa.Column("last_error", sa.Text),
    sa.Index(
        "ix_deliveries_due",
        "due_at",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
)

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("labels", sa.Text, nullable=False),
    sa.Column("queues", sa.Text, nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("memory_mb", sa.Integer),
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("verify_tls", sa.Boolean, nullable=False),
    sa.Column("ca_file", sa.Text),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("updated_at", _instant, nullable=False),
)

# Apart from `nodes`: the nodes of the settings have no row there and can be drained too.
drains = sa.Table(
    "drains",
    metadata,
    sa.Column("node", sa.String(64), primary_key=True),
    sa.Column("since", _instant, nullable=False),
)

workflows = sa.Table(
    "workflows",
    metadata,
    # Whose it is; empty: everybody's.
    sa.Column("owner", sa.String(64), primary_key=True, server_default=""),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("deleted_at", _instant),
)

# Who does what only one process may do, and until when. No lock of a session, which poolers share.
leaders = sa.Table(
    "leaders",
    metadata,
    sa.Column("office", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("until", _instant, nullable=False),
)
