"""The tables of the core. The migrations in ``migrations/versions`` build the same ones; a test compares the
two.

Instants are microseconds since the epoch in BIGINT. Amounts of credits are whole thousandths of a credit, so
that sums are exact. JSON is text: it is stored and returned whole, never searched by the database, and text
is the same on both databases.
"""

import sqlalchemy as sa

from imagemill.db.account_tables import (
    api_keys,
    audit,
    browser_sessions,
    resets,
    sessions,
    tickets,
    users,
)
from imagemill.db.columns import INSTANT, OWNER, metadata, partial_index
from imagemill.db.columns import owned as _owned

__all__ = ["api_keys", "audit", "browser_sessions", "metadata", "resets", "sessions", "tickets", "users"]

REVISION = "0022"
"""The Alembic head of this code; compared at start without importing Alembic."""

CLAIMABLE = "status = 'queued' AND run_after IS NULL"
"""Condition of claimable jobs. It is a literal, as both databases match a partial index only by its literal
condition. So are those below."""
OPEN = "status IN ('waiting', 'queued', 'running')"
IDLE = "status IN ('waiting', 'queued')"
RUNNING = "status = 'running'"
FAILED = "status = 'failed'"
UNSUCCESSFUL = "status IN ('failed', 'canceled', 'expired')"

_instant = INSTANT
_status = sa.String(16)
_owner = OWNER


def _of_job(primary_key: bool = False, **options: bool) -> sa.Column[str]:
    return sa.Column(
        "job_id",
        sa.String(36),
        sa.ForeignKey("jobs.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
        **options,  # pyright: ignore[reportArgumentType] - only flags of Column reach this
    )


# Jobs and queues

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
    # Thousandths of a credit that are reserved for the job until it ends; null means none.
    sa.Column("held", sa.BigInteger),
    # The code in `error`. Null also for failures that older code writes, until they are counted.
    sa.Column("error_code", sa.String(32)),
    # How often it was submitted again.
    sa.Column("replays", sa.Integer, nullable=False, server_default="0"),
)

# Partial indexes contain open jobs only, so the cost of a claim does not depend on the number of finished
# jobs.
_INDEXES = (
    ("ix_jobs_claimable", ("lane", "tag", "id"), CLAIMABLE),
    ("ix_jobs_parked", ("run_after",), "run_after IS NOT NULL"),
    ("ix_jobs_running", ("node", "lease_until"), RUNNING),
    # The further columns are counted without reading the jobs themselves.
    ("ix_jobs_expiring", ("expires_at", "owner", "status", "recipe", "lane"), IDLE),
    ("ix_jobs_owner", ("owner", "id"), None),
    ("ix_jobs_batch", ("owner", "batch"), None),
    ("ix_jobs_finished", ("finished_at",), "finished_at IS NOT NULL"),
    ("ix_jobs_open", ("owner", "id"), OPEN),
    ("ix_jobs_failed", ("error_code", "id", "owner"), FAILED),
    ("ix_jobs_unsuccessful", ("status", "id", "owner"), UNSUCCESSFUL),
    ("ix_jobs_held", ("owner",), "held IS NOT NULL"),
)
for _name, _columns, _where in _INDEXES:
    partial_index(_name, *(jobs.c[column] for column in _columns), where=_where)


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
    # The time from which its retention counts, once it was renewed; null means the end of the job.
    sa.Column("kept_from", _instant),
    # The owner of its job. Null for one that older code writes, until the leader fills it in.
    sa.Column("owner", _owner),
    # 1 to 5, by its owner; null means none.
    sa.Column("rating", sa.SmallInteger),
    # The time at which its owner deleted it; null also where its retention has ended.
    sa.Column("deleted_at", _instant),
    sa.Index("ix_artifacts_owner", "owner", "created_at", "id"),
    partial_index("ix_artifacts_rating", "owner", "rating", "created_at", "id", where="rating IS NOT NULL"),
    # Those of all owners. Few are rated, so that both cost little.
    partial_index("ix_artifacts_rated", "rating", "created_at", "id", where="rating IS NOT NULL"),
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

# The record of jobs that were submitted together, in an API whose clients read and change them as a whole.
batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("dialect", sa.String(32), nullable=False),
    # As it was submitted, and never changed.
    sa.Column("document", sa.Text, nullable=False),
    # What its owner may change afterwards.
    sa.Column("notes", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("deleted_at", _instant),
    sa.Index("ix_batches_owner", "owner", "id"),
)

batch_tags = sa.Table(
    "batch_tags",
    metadata,
    sa.Column("batch", sa.String(36), sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("tag", sa.String(200), primary_key=True),
    sa.Index("ix_batch_tags_tag", "tag", "batch"),
)

# Callbacks that report the events of all jobs of a batch, in order. `cursor` is the number of the last event
# of each job that was delivered, `seen` their sum.
batch_callbacks = sa.Table(
    "batch_callbacks",
    metadata,
    sa.Column("batch", sa.String(36), sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("cursor", sa.Text, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    # Null once all events are delivered.
    sa.Column("due_at", _instant),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text),
    partial_index("ix_batch_callbacks_due", "due_at", where="due_at IS NOT NULL"),
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
    partial_index("ix_deliveries_due", "due_at", where="due_at IS NOT NULL"),
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

# A table of its own, as the nodes in the settings have no row in `nodes` and can be drained too.
drains = sa.Table(
    "drains",
    metadata,
    sa.Column("node", sa.String(64), primary_key=True),
    sa.Column("since", _instant, nullable=False),
)

workflows = sa.Table(
    "workflows",
    metadata,
    # The owner; an empty one means that the workflow is shared with everybody.
    sa.Column("owner", sa.String(64), primary_key=True, server_default=""),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("deleted_at", _instant),
)

# The holder of each leader role, and until when. A session's lock would not do, as poolers share sessions.
leaders = sa.Table(
    "leaders",
    metadata,
    sa.Column("office", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("until", _instant, nullable=False),
)

# Credits

balances = sa.Table(
    "balances",
    metadata,
    _owned(primary_key=True),
    sa.Column("available", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("is_exempt", sa.Boolean, nullable=False),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.CheckConstraint("available >= 0", name="ck_balances_available"),
    sa.CheckConstraint("held >= 0", name="ck_balances_held"),
)

# Append-only. An owner's entries are numbered without a gap, in the order in which they were booked.
# `available` and `held` are the changes; `balance` is the available amount afterwards. The amount reserved
# for a job is in `jobs.held` until the job ends.
ledger = sa.Table(
    "ledger",
    metadata,
    _owned(primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("available", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False),
    sa.Column("job_id", sa.String(36)),
    sa.Column("actor", _owner, nullable=False),
    sa.Column("key", sa.String(200)),
    sa.Column("note", sa.Text, nullable=False),
    # A job is held, settled and released at most once each.
    partial_index("ux_ledger_job", "job_id", "kind", unique=True, where="job_id IS NOT NULL"),
    # An administrator's action with an idempotency key is booked once.
    partial_index("ux_ledger_key", "actor", "key", "kind", unique=True, where="key IS NOT NULL"),
)

# Quotas

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("owner", _owner, primary_key=True),
    sa.Column("kind", sa.String(100), primary_key=True),
    sa.Column("span", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("amount", sa.Double, nullable=False),
    sa.Column("until", _instant, nullable=False, index=True),
)

limits = sa.Table(
    "limits",
    metadata,
    sa.Column("owner", _owner, primary_key=True),
    sa.Column("kind", sa.String(100), primary_key=True),
    sa.Column("amount", sa.Double, nullable=False),
)

# Webhooks

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    _owned(),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("description", sa.String(200), nullable=False),
    sa.Column("events", sa.Text, nullable=False),
    sa.Column("secrets", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("updated_at", _instant, nullable=False),
    sa.Column("failing_since", _instant),
    sa.Column("paused_at", _instant),
    sa.Column("pause_reason", sa.Text),
    sa.Index("ix_endpoints_owner", "owner"),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column(
        "endpoint_id", sa.String(36), sa.ForeignKey("endpoints.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("job_id", sa.String(36)),
    sa.Column("seq", sa.Integer),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("body", sa.Text),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("due_at", _instant),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("delivered_at", _instant),
    sa.Index("ix_messages_endpoint", "endpoint_id", "id"),
    sa.Index("ix_messages_order", "endpoint_id", "job_id", "seq"),
    partial_index("ix_messages_due", "endpoint_id", "due_at", where="due_at IS NOT NULL"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column(
        "message_id",
        sa.String(40),
        sa.ForeignKey("messages.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("took_ms", sa.Integer, nullable=False),
    sa.Column("request_body", sa.Text),  # NULL in the last attempt: the message has its body
    sa.Column("exchange", sa.Text),
    sa.Index("ix_attempts_at", "at"),
)

simulator_state = sa.Table(
    "simulator_state",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("hits", sa.BigInteger, nullable=False),
)

# A mark is replaced when data changes that processes cache; they compare it to know whether the cache is
# valid.
marks = sa.Table(
    "marks",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("mark", sa.String(36), nullable=False),
)

# Decisions of prompt checks and picture classifiers, with a digest, never the text.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    _owned(),
    sa.Column("at", _instant, nullable=False, index=True),
    sa.Column("job_id", sa.String(36)),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("category", sa.String(64), nullable=False),
    sa.Index("ix_decisions_owner", "owner", "id"),
    sa.Index("ix_decisions_job", "job_id"),
)

# Unique keys of jobs: while a job with the key is open or has succeeded, no other one is accepted.
reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("owner", _owner, primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Index("ix_reservations_job", "job_id"),
)

# Requests to paid providers. Each is written before it is sent; rate limits and cost ceilings count these
# rows.
provider_calls = sa.Table(
    "provider_calls",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("path", sa.String(200), nullable=False),
    # Null when unknown, as the process ended before the provider's response was written.
    sa.Column("request_id", sa.String(128)),
    # Expected cost in millionths of the provider's currency.
    sa.Column("cost", sa.BigInteger, nullable=False),
    sa.Column("sent_at", _instant, nullable=False),
    sa.Column("ended_at", _instant),
    sa.Column("outcome", sa.String(32)),
    sa.Index("ix_provider_calls_sent", "provider", "sent_at"),
    sa.Index("ix_provider_calls_job", "job_id"),
)

# The processes of the installation; each updates its own row every few seconds.
processes = sa.Table(
    "processes",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("roles", sa.String(64), nullable=False),
    sa.Column("queues", sa.Text),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("started_at", _instant, nullable=False),
    sa.Column("seen_at", _instant, nullable=False),
    sa.Column("nodes", sa.Text),  # a worker's own nodes as JSON; NULL if all of its nodes are shared
)

# What operators have paused. Queued jobs of a paused owner or recipe have a `run_after` far in the future.
pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("scope", sa.String(16), nullable=False),
    # An owner, recipe or node; empty for all.
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("actor", _owner, nullable=False),
    sa.Column("since", _instant, nullable=False),
    sa.Index("ux_pauses_name", "scope", "name", unique=True),
)

# Operations on many jobs. `position` is the last job that was looked at: those with smaller ids follow.
# `chunk` has the jobs that are worked on now: after a crash these are repeated.
operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", _owner, nullable=False),
    sa.Column("actor", _owner, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("filter", sa.Text, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("position", sa.String(36), nullable=False),
    sa.Column("chunk", sa.Text, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("skipped", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("samples", sa.Text, nullable=False),
    sa.Column("starts_at", _instant, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("finished_at", _instant),
    sa.Index("ix_operations_owner", "owner", "id"),
    sa.Index("ix_operations_actor", "actor", "id"),
    partial_index("ix_operations_open", "id", where="finished_at IS NULL"),
)
