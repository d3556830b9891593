"""The metadata of the tables of the core, and the types of their columns."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()

INSTANT = sa.BigInteger
OWNER = sa.String(64)


def owned(primary_key: bool = False) -> sa.Column[str]:
    """Return the column of the owner of a row."""
    return sa.Column(
        "owner", OWNER, sa.ForeignKey("owners.id"), primary_key=primary_key, nullable=False
    )  # fmt: skip


def partial_index(
    name: str, *columns: str | sa.Column[Any], where: str | None, unique: bool = False
) -> sa.Index:
    """Return an index of the rows that fulfil a literal condition, of all rows without one.

    It holds on PostgreSQL, too, where migrations make it; naming it for that here would import its dialect.
    """
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where) if where else None)
