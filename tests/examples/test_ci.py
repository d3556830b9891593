"""The example of a workflow for GitHub Actions: the step that starts the server does so."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2

from tests.deploy.by_hand import free_ports
from tests.docs.test_docs import ROOT

WORKFLOW = (ROOT / "examples" / "ci" / "github-workflow.yml").read_text(encoding="utf-8")


def test_the_step_that_starts_the_server_ends_when_it_answers(tmp_path: Path) -> None:
    (script,) = re.findall(r"run: \|\n((?: {10}.+\n)+)", WORKFLOW)
    (port,) = free_ports(1)
    command = textwrap.dedent(script).replace("8700", str(port))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    ran = subprocess.run(
        ["bash", "-eu", "-c", f"{command}echo $!"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    try:
        assert ran.returncode == 0, (tmp_path / "imagemill.log").read_text()
        assert httpx2.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        assert (tmp_path / "imagemill-ready.json").exists()
    finally:
        os.kill(int(ran.stdout), signal.SIGTERM)
