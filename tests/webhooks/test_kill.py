"""A delivering process that is killed: what it was at is delivered after the restart, under its id."""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx2

from tests import forking
from tests.conftest import TOKEN, image_job
from tests.service.build import wait_until
from tests.webhooks.receivers import receiving


def start(data_dir: Path, database_url: str, port: int) -> forking.Process:
    environment = {
        **os.environ,
        "IMAGEMILL_DATA_DIR": str(data_dir),
        "IMAGEMILL_DATABASE_URL": database_url,
        "IMAGEMILL_ALLOW_NETWORKS": "127.0.0.0/8",
        "IMAGEMILL_LEADER_LEASE_S": "1",
        "IMAGEMILL_LOG_LEVEL": "warning",
    }
    with (data_dir / "log").open("ab") as log:
        process = forking.start(
            "serve", "--port", str(port), cwd=data_dir, environment=environment, stdout=log, stderr=log
        )

    def answers() -> bool:
        with suppress(httpx2.HTTPError):
            return (
                httpx2.get(f"http://127.0.0.1:{port}/health/live", timeout=1, verify=False).status_code == 200
            )
        return False

    wait_until(answers, 30)
    return process


def test_a_message_of_a_killed_process_arrives_after_the_restart_under_the_same_id(
    tmp_path: Path, database_url: str
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(tmp_path, database_url, port)
    try:
        with receiving(delay_s=5) as receiver:
            client = httpx2.Client(
                base_url=f"http://127.0.0.1:{port}", headers=TOKEN, timeout=100, verify=False
            )
            with client:
                client.post("/api/v1/webhooks", json={"url": receiver.url}).raise_for_status()
                client.post("/v1/consumer/jobs", json=image_job()).raise_for_status()
                wait_until(lambda: len(receiver.got) == 1, 20)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            receiver.delay_s = 0
            begin = time.monotonic()
            process = start(tmp_path, database_url, port)
            wait_until(lambda: len(receiver.got) == 2, 20)
        assert time.monotonic() - begin < 30
        assert receiver.got[0].id == receiver.got[1].id
        assert receiver.got[0].job == receiver.got[1].job
    finally:
        process.kill()
        process.wait(10)
