"""Alembic's environment: always on the connection that `imagemill.store.migrate` hands over."""

from alembic import context

from imagemill.store.schema import metadata

connection = context.config.attributes["connection"]
if connection.dialect.name == "sqlite":
    # The lock comes first: two processes that start together migrate one after the other.
    connection.connection.driver_connection.isolation_level = None
    connection.exec_driver_sql("BEGIN IMMEDIATE")
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
if connection.in_transaction():
    connection.commit()
