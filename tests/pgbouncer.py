"""A real PgBouncer in transaction mode before a PostgreSQL server, from Debian's package.

It refuses to run as root and then becomes who owns the server's socket, or `nobody`.
"""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa

from imagemill.db.engine import normalise
from tests.debian import environment, unpacked

_USER, _PASSWORD = "imagemill", "behind-the-pooler"
_START_S = 10
_SESSIONS = 4
"""Of the server, for each database: fewer than a process has connections, so they change hands always."""


@dataclass
class PgBouncer:
    """``server``: the URL of PostgreSQL, whose databases are all reached through this one."""

    server: str
    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str) -> str:
        """Of a database of the server, through this pooler."""
        address = sa.URL.create(
            "postgresql+psycopg", _USER, _PASSWORD, "127.0.0.1", self.port, database, {"sslmode": "disable"}
        )
        return address.render_as_string(hide_password=False)

    def start(self) -> None:
        program = unpacked("pgbouncer")
        self.folder.chmod(0o755)
        (self.folder / "users.txt").write_text(f'"{_USER}" "{_PASSWORD}"\n')
        (self.folder / "pgbouncer.ini").write_text(self._configuration())
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program / "usr/sbin/pgbouncer", self.folder / "pgbouncer.ini"],
                env=environment(program),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        end = time.monotonic() + _START_S
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "PgBouncer does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, with all its connections."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def kill_connections(self, database: str) -> None:
        """Of clients and to the server, whatever they are at; new ones are taken again."""
        self._command(f'KILL "{database}"')
        self._command(f'RESUME "{database}"')

    def forget(self, database: str) -> None:
        """Close its connections for good: it is about to be copied or dropped."""
        self._command(f'KILL "{database}"')

    def statistics(self, database: str) -> dict[str, int]:
        """Since the start: ``total_xact_count`` and others of SHOW STATS."""
        with self._console() as console:
            rows = console.execute("SHOW STATS")
            names = [column.name for column in rows.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in rows]
        return next((row for row in found if row["database"] == database), {})

    def _answers(self) -> bool:
        try:
            self._command("SHOW VERSION")
        except psycopg.OperationalError:
            return False
        return True

    def _command(self, command: str) -> None:
        with self._console() as console:
            console.execute(command.encode())

    @contextmanager
    def _console(self) -> Iterator["psycopg.ClientCursor[tuple[object, ...]]"]:
        """It speaks the simple protocol only."""
        url = sa.make_url(self.url("pgbouncer")).set(drivername="postgresql")
        with psycopg.connect(
            url.render_as_string(hide_password=False), autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as connection:
            yield connection.cursor()

    def _configuration(self) -> str:
        server = sa.make_url(normalise(self.server))
        host = server.host or server.query.get("host") or "127.0.0.1"
        target = {"host": host, "port": server.port or 5432, "user": server.username}
        if server.password:
            target["password"] = server.password
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": self.folder / "users.txt",
            "admin_users": _USER,
            "pool_mode": "transaction",
            "default_pool_size": _SESSIONS,
            "max_client_conn": 500,
            "server_login_retry": 1,
            **({"user": _user(host)} if os.geteuid() == 0 else {}),
        }
        lines = [
            "[databases]",
            "* = " + " ".join(f"{name}={value}" for name, value in target.items()),
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in options.items()),
        ]
        return "\n".join(lines) + "\n"


def _user(host: object) -> str:
    """A server for tests lets only its own user into the folder of its socket."""
    folder = Path(str(host))
    owner = folder.owner() if folder.is_absolute() else "root"
    return owner if owner != "root" else "nobody"


@contextmanager
def running(server: str) -> Iterator[PgBouncer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pooler = PgBouncer(server, Path(folder), port)
        pooler.start()
        try:
            yield pooler
        finally:
            pooler.stop()
