"""``imagemill jobs watch`` without a job: every change as a line, until it is ended."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import Server
from tests.http.support import first, until


def test_every_change_is_a_line(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imagemill", "jobs", "watch", "--all", "--json", "--url", server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        assert process.stdout is not None
        until(lambda: server.app.feed._readers)
        job_id = first(server.submit())["jobId"]
        found: list[tuple[str, str]] = []
        while (job_id, "succeeded") not in found:
            event = json.loads(process.stdout.readline())
            found += [(each["id"], each["status"]) for each in event.get("jobs", ())]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
