"""The tour of the documentation, run as it is written: every curl line, every command."""

import itertools
import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.programs import Program, run, running

PAGE = Path(__file__).parents[2] / "docs/characters.md"
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("tour")
    settings = {"IMAGEMILL_DATA_DIR": str(folder / "data"), "IMAGEMILL_SIMULATOR__STEP_MS": "0"}
    with running("serve", "--port", "0", cwd=folder, **settings) as program:
        yield program


def commands() -> list[list[str]]:
    tour = PAGE.read_text(encoding="utf-8").partition("## Five minutes")[2].partition("\n## ")[0]
    lines: list[list[str]] = []
    for block in FENCE.findall(tour):
        words = shlex.split(block)
        starts = [index for index, word in enumerate(words) if word in ("curl", "imagemill")]
        lines += [words[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return lines


def test_every_line_of_the_tour_does_what_it_says(program: Program, tmp_path: Path):
    known: dict[str, str] = {}
    done = 0
    for words in commands():
        if words[:2] == ["imagemill", "serve"]:
            continue
        if words[0] == "imagemill":
            ran = run(*words[1:], cwd=tmp_path, IMAGEMILL_URL=program.url)
            assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
            assert ("Nothing was submitted" in ran.stdout) == ("--dry-run" in words)
        else:
            called(program, words, known)
        done += 1
    assert done == 23
    with Image.open(tmp_path / "lia.webp") as avatar, Image.open(tmp_path / "lia.png") as sheet:
        assert avatar.size == (768, 768)
        assert sheet.width > 400


def called(program: Program, words: list[str], known: dict[str, str]) -> None:
    """A curl line; ``known``: what the shell's variables stand for."""
    options = dict(itertools.pairwise(words))
    url = next(word for word in words if word.startswith("http://127.0.0.1:8700"))
    for name, value in known.items():
        url = url.replace(f"${name}", value)
    body = options.get("-d")
    method = options.get("-X") or ("POST" if body else "GET")
    path = url.removeprefix("http://127.0.0.1:8700")
    with program.client() as client:
        answer = client.request(method, path, json=json.loads(body) if body else None)
        assert answer.status_code == {"DELETE": 204, "POST": 202}.get(method, 200), (words, answer.text)
        if method == "POST":
            told = answer.json()
            known["JOB"] = (told.get("jobIds") or [told["jobId"]])[0]
            ids = told.get("jobIds") or [told["jobId"]]
            known["IMAGE"] = [finished(client, id_)["result"]["imageId"] for id_ in ids][-1] or ""
        if path.endswith("/images"):
            known["IMAGE"] = answer.json()["items"][0]["id"]


def finished(client: Any, job_id: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        status = client.get(f"/api/v1/image-generation/status/{job_id}").json()
        if status["state"] == "completed":
            return status
        assert status["state"] != "failed", status
        time.sleep(0.05)
    raise AssertionError(status)


def test_commands_say_what_went_wrong(program: Program, tmp_path: Path):
    wrong = run("characters", "sticker", "lia", "smug", cwd=tmp_path, IMAGEMILL_URL=program.url)
    assert (wrong.returncode, "error: --action: is required for 'smug'" in wrong.stderr) == (1, True)
    unknown = run("characters", "avatar", "nobody", "--seed", "1", cwd=tmp_path, IMAGEMILL_URL=program.url)
    assert (unknown.returncode, "the sheet (--name, --physical, ...): is required" in unknown.stderr) == (
        1,
        True,
    )
    lora = ("--physical", "red hair", "--lora", "no air")
    odd_lora = run("characters", "avatar", "nobody", *lora, cwd=tmp_path, IMAGEMILL_URL=program.url)
    assert (odd_lora.returncode, "error: --lora: " in odd_lora.stderr) == (1, True)
    absent = run(
        "characters", "avatar", "lia", "--reference", "no.png", cwd=tmp_path, IMAGEMILL_URL=program.url
    )
    assert (absent.returncode, "--reference: no.png cannot be read" in absent.stderr) == (2, True)
    nobody = run("characters", "sheet", "nobody", cwd=tmp_path, IMAGEMILL_URL=program.url)
    assert (nobody.returncode, "there is no character nobody" in nobody.stderr) == (1, True)
    odd = run("characters", "sheet", "lia", "-o", "lia.pdf", cwd=tmp_path, IMAGEMILL_URL=program.url)
    assert (odd.returncode, ".png or .html" in odd.stderr) == (2, True)
