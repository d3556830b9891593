"""The metadata of the tables of the core, and the types of their columns."""

import sqlalchemy as sa

metadata = sa.MetaData()

INSTANT = sa.BigInteger
OWNER = sa.String(64)


def owned(primary_key: bool = False) -> sa.Column[str]:
    """Return the column of the owner of a row."""
    return sa.Column(
        "owner", OWNER, sa.ForeignKey("owners.id"), primary_key=primary_key, nullable=False
    )  # fmt: skip
