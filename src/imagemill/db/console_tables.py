"""The tables that the core keeps for the console only: no job needs them."""

import sqlalchemy as sa

from imagemill.db.tables import metadata

# The number of jobs that ended until the time in the mark `ended_jobs`, without deleted ones. The leader adds
# to it, so that a job itself costs nothing. Empty texts stand for null.
ended_jobs = sa.Table(
    "ended_jobs",
    metadata,
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("status", sa.String(16), primary_key=True),
    sa.Column("recipe", sa.String(64), primary_key=True),
    sa.Column("lane", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("node", sa.String(128), primary_key=True),
    sa.Column("error_code", sa.String(32), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    # When the first and the last of them ended, and the id of the last.
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("last_job", sa.String(36), nullable=False),
)
