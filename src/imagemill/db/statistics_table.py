"""The table of statistics. No job needs it: the leader computes its rows from ended jobs."""

import sqlalchemy as sa

from imagemill.db.tables import metadata

# Counters and durations of a minute or an hour; `imagemill.domain.time_series` says what the JSON has.
statistics = sa.Table(
    "statistics",
    metadata,
    # The seconds it counts, a minute or an hour.
    sa.Column("span", sa.Integer, primary_key=True, autoincrement=False),
    # The owner of the jobs; * means all.
    sa.Column("owner", sa.String(64), primary_key=True),
    # recipe, model, node or error; empty for the total of the owner.
    sa.Column("dimension", sa.String(16), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("data", sa.Text, nullable=False),
    sa.Index("ix_statistics_at", "span", "at"),
)
