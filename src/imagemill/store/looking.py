"""A look at a database from outside, for who wants to know whether it could be used; nothing is changed."""

import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from imagemill.domain.errors import StorageError
from imagemill.store import schema
from imagemill.store.engine import normalise

_CONNECT_S = 5
"""A server that takes longer to connect is away; the driver itself would wait for minutes."""


@dataclass(frozen=True, slots=True)
class Look:
    kind: str
    """``sqlite`` or ``postgresql``."""
    revision: str | None
    """None: empty, or not there yet."""
    wanted: str
    """The revision of this code."""
    ahead_s: float
    """How far this machine's clock is ahead of the database's; 0 where both are one."""
    took_s: float
    """A round trip."""


def look(url: str) -> Look:
    """Raises `StorageError` when it cannot be reached or its driver is missing."""
    try:
        parsed = sa.make_url(normalise(url))
        kind = parsed.get_backend_name()
        if kind == "sqlite" and not Path(parsed.database or "").exists():
            return Look(kind, None, schema.REVISION, 0.0, 0.0)
        options = {} if kind == "sqlite" else {"connect_timeout": _CONNECT_S}
        engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool, connect_args=options)
    except exc.ArgumentError as error:
        raise StorageError(f"its address cannot be read: {error}") from error
    except ImportError as error:
        raise StorageError("it needs the extra: pip install 'imagemill[postgres]'") from error
    try:
        with engine.connect() as conn:
            return _seen(conn, kind)
    except exc.DBAPIError as error:
        raise StorageError(str(error.orig).strip()) from error
    finally:
        engine.dispose()


def _seen(conn: sa.Connection, kind: str) -> Look:
    revision = None
    if sa.inspect(conn).has_table("alembic_version"):
        revision = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if kind == "sqlite":
        return Look(kind, revision, schema.REVISION, 0.0, 0.0)
    before, started = time.time(), time.perf_counter()
    theirs = float(conn.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    took_s = time.perf_counter() - started
    # Its clock was read somewhere in the round trip; the middle is the best guess.
    return Look(kind, revision, schema.REVISION, before + took_s / 2 - theirs, took_s)
