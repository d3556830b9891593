"""Alembic's environment: always on the connection that `imagemill.db.migrate` hands over."""

import sqlalchemy as sa
from alembic import context

from imagemill.db.tables import metadata

LOCK = 0x1_4A6E_0001
"""An arbitrary number: all our processes take the same advisory lock on PostgreSQL."""

connection = context.config.attributes["connection"]
if connection.dialect.name == "sqlite":
    # The lock comes first: two processes that start together migrate one after the other.
    connection.connection.driver_connection.isolation_level = None
    connection.exec_driver_sql("BEGIN IMMEDIATE")
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    version_table=context.config.attributes["version_table"],
)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":
        # A transaction's lock; a session's lock would stay with a pooler's connection for good.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    context.run_migrations()
if connection.in_transaction():
    connection.commit()
