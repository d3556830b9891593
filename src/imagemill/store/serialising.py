"""One after the other: transactions that work on the same thing, by a name for it."""

from collections.abc import Iterable

import sqlalchemy as sa

from imagemill.store.commits import Tx
from imagemill.store.statements import Statement

_LOCK = Statement(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"))


def serialise(tx: Tx, names: Iterable[str]) -> None:
    """Until the transaction ends, others that name one of these wait. SQLite writes one at a time anyway."""
    if tx.conn.dialect.name == "sqlite":
        return
    # In one order, so that no two transactions wait for each other.
    for name in sorted(set(names)):
        _LOCK.run(tx.conn, {"name": name})
