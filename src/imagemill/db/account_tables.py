"""The tables of accounts: users, keys, sessions and the audit log; see `imagemill.db.tables`."""

import sqlalchemy as sa

from imagemill.db.columns import INSTANT, OWNER, metadata, owned

users = sa.Table(
    "users",
    metadata,
    owned(primary_key=True),
    sa.Column("email", sa.String(254), nullable=False, unique=True),
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False),
    sa.Column("changed_at", INSTANT, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    owned(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("is_service", sa.Boolean, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False),
    sa.Column("expires_at", INSTANT),
    sa.Column("revoked_at", INSTANT),
    sa.Column("used_at", INSTANT),
    sa.Index("ix_api_keys_owner", "owner"),
)

# A session is a login. Its refresh token changes at each use; all tokens of a session share the family, so
# the reuse of a former token reveals a theft.
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    owned(),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("family", sa.String(64), nullable=False, index=True),
    sa.Column("created_at", INSTANT, nullable=False),
    sa.Column("expires_at", INSTANT, nullable=False, index=True),
    sa.Column("revoked_at", INSTANT),
    sa.Index("ix_sessions_owner", "owner"),
)

# Sessions of the web application. A one-time sign-in link is one that has not begun.
browser_sessions = sa.Table(
    "browser_sessions",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    owned(),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("credential", sa.String(64), nullable=False),
    sa.Column("is_link", sa.Boolean, nullable=False),
    sa.Column("is_read_only", sa.Boolean, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("browser", sa.String(200), nullable=False),
    sa.Column("created_at", INSTANT, nullable=False),
    sa.Column("used_at", INSTANT, nullable=False),
    sa.Column("expires_at", INSTANT, nullable=False, index=True),
    sa.Column("ends_at", INSTANT, nullable=False),
    sa.Index("ix_browser_sessions_owner", "owner"),
    sa.Index("ix_browser_sessions_credential", "credential"),
)

resets = sa.Table(
    "resets",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    owned(),
    sa.Column("created_at", INSTANT, nullable=False),
    sa.Column("expires_at", INSTANT, nullable=False, index=True),
    sa.Column("used_at", INSTANT),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("at", INSTANT, nullable=False),
    sa.Column("actor", OWNER, nullable=False),
    sa.Column("credential", sa.String(64), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("target", sa.String(200), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
)

# Tickets of WebSockets: each opens one connection, and expires unused after seconds.
tickets = sa.Table(
    "tickets",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    owned(),
    sa.Column("account", OWNER, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("credential", sa.String(64), nullable=False),
    sa.Column("expires_at", INSTANT, nullable=False, index=True),
)
