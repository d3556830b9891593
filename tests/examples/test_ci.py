"""The example of a workflow for GitHub Actions: the step that starts the server does so."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import httpx2

from imagemill.config import Settings, setting_names
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
        timeout=200,
        check=False,
    )
    try:
        assert ran.returncode == 0, (tmp_path / "imagemill.log").read_text()
        assert httpx2.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        assert (tmp_path / "imagemill-ready.json").exists()
    finally:
        os.kill(int(ran.stdout), signal.SIGTERM)


def test_the_container_is_started_with_settings_that_there_are(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "ci" / "github-container.yml").read_text(encoding="utf-8")
    (script,) = re.findall(r"run: \|\n((?: {10}.+\n)+)", text)
    for name in ("docker", "curl"):
        (tmp_path / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/{name}-arguments"\n')
        (tmp_path / name).chmod(0o755)
    subprocess.run(
        ["bash", "-eu", "-c", textwrap.dedent(script)],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        timeout=200,
        check=True,
    )
    given = (tmp_path / "docker-arguments").read_text().splitlines()
    assert (given[0], given[-1]) == ("run", "imagemill")
    settings = [value.split("=") for option, value in pairwise(given) if option == "--env"]
    assert {name for name, _ in settings} <= {name for name, _ in setting_names()}
    assert ["IMAGEMILL_AUTH__REQUIRED", "open"] in settings
    _, ours = given[given.index("--publish") + 1].rsplit(":", 1)
    assert int(ours) == Settings.model_fields["port"].default
    assert f"http://127.0.0.1:{ours}/health/ready" in (tmp_path / "curl-arguments").read_text()
