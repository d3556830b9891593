"""The tables of what belongs to owners: access, money, limits, webhooks. One schema with `store.schema`.

Amounts of money are whole thousandths of a credit: sums are exact.
"""

import sqlalchemy as sa

from imagemill.store.schema import metadata

_instant = sa.BigInteger
_owner = sa.String(64)


def _owned(primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "owner", _owner, sa.ForeignKey("owners.id"), primary_key=primary_key, nullable=False
    )  # fmt: skip


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    """A partial index: literal, as both databases match it only by its literal condition."""
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


# Access

users = sa.Table(
    "users",
    metadata,
    _owned(primary_key=True),
    sa.Column("email", sa.String(254), nullable=False, unique=True),
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("changed_at", _instant, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    _owned(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("is_service", sa.Boolean, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("expires_at", _instant),
    sa.Column("revoked_at", _instant),
    sa.Column("used_at", _instant),
    sa.Index("ix_api_keys_owner", "owner"),
)

# A session is a login. Its refresh token changes at each use; all of them share the family, so that a former
# one, shown again, tells of a theft.
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    _owned(),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("family", sa.String(64), nullable=False, index=True),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("expires_at", _instant, nullable=False, index=True),
    sa.Column("revoked_at", _instant),
    sa.Index("ix_sessions_owner", "owner"),
)

resets = sa.Table(
    "resets",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    _owned(),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("expires_at", _instant, nullable=False, index=True),
    sa.Column("used_at", _instant),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("at", _instant, nullable=False),
    sa.Column("actor", _owner, nullable=False),
    sa.Column("credential", sa.String(64), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("target", sa.String(200), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
)

# Money

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

# Only ever added to. An owner's entries are numbered without a gap, in the order in which they became true.
# `available` and `held` are the changes, `balance` is what was available afterwards. What is set aside for a
# job stands in `jobs.held` until it ends.
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
    # A job is held, settled and released once each, whatever happens.
    _partial("ux_ledger_job", "job_id", "kind", unique=True, where="job_id IS NOT NULL"),
    # What an administrator does under one key is done once.
    _partial("ux_ledger_key", "actor", "key", "kind", unique=True, where="key IS NOT NULL"),
)

# Limits

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
    _partial("ix_messages_due", "endpoint_id", "due_at", where="due_at IS NOT NULL"),
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
)

# Replaced when something changes that processes remember: they read the mark to know whether it did.
marks = sa.Table(
    "marks",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("mark", sa.String(36), nullable=False),
)

# What the checks of prompts and pictures decided: by digest, never the text.
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

# Work that is not done twice: while a job with this key is open or has succeeded, no other is accepted.
reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("owner", _owner, primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Index("ix_reservations_job", "job_id"),
)

# Every request a paying provider was sent, written before it is sent: what its limits and its bill count.
provider_calls = sa.Table(
    "provider_calls",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("path", sa.String(200), nullable=False),
    # Null: not known, as the process ended before the provider's answer was written.
    sa.Column("request_id", sa.String(128)),
    # Expected, in millionths of the provider's currency.
    sa.Column("cost", sa.BigInteger, nullable=False),
    sa.Column("sent_at", _instant, nullable=False),
    sa.Column("ended_at", _instant),
    sa.Column("outcome", sa.String(32)),
    sa.Index("ix_provider_calls_sent", "provider", "sent_at"),
    sa.Index("ix_provider_calls_job", "job_id"),
)
