"""``imagemill make`` and ``imagemill jobs`` against a real server, and without one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from imagemill.cli.app import app
from imagemill.config import Settings
from tests.conftest import Server, running_server

SMALL = ("--size", "64x96", "--steps", "2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("make")
    with running_server(Settings(_env_file=None, data_dir=folder)) as server:
        yield server


def run(server: Server, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url], input=stdin)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_picture_is_made_saved_and_its_path_told(server: Server, tmp_path: Path):
    result = run(server, "make", "a fox in the snow", *SMALL, "--seed", "7", "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    path = tmp_path / "a-fox-in-the-snow-7.png"
    assert str(path) in result.output
    assert size_of(path) == (64, 96)
    again = run(server, "make", "a fox in the snow", *SMALL, "--seed", "7", "-o", str(tmp_path), "--json")
    (saved,) = json.loads(again.stdout)["files"]
    assert saved == str(tmp_path / "a-fox-in-the-snow-7-2.png")


def test_a_picture_without_a_prompt_has_a_name(server: Server, tmp_path: Path):
    result = run(server, "make", "", *SMALL, "--seed", "7", "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "picture-7.png").is_file()


def test_a_file_can_be_named(server: Server, tmp_path: Path):
    path = tmp_path / "fox.png"
    assert run(server, "make", "a", "fox", *SMALL, "-o", str(path)).exit_code == 0
    assert size_of(path) == (64, 96)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--size", "big"), 2, "768x512"),
        (("--model", "nothing"), 1, "is not an AIR"),
        (("--model", "urn:air:sd1:checkpoint:civitai:1@2"), 1, "is not registered"),
    ],
)
def test_what_cannot_be_made_is_said(server: Server, arguments: tuple[str, ...], status: int, words: str):
    result = run(server, "make", "a fox", *arguments)
    assert result.exit_code == status
    assert words in result.output


def test_without_a_server_one_is_started_for_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IMAGEMILL_PORT", "1")
    monkeypatch.setenv("IMAGEMILL_DATA_DIR", str(tmp_path / "data"))
    result = CliRunner().invoke(app, ["make", "a fox", *SMALL, "-o", str(tmp_path / "fox.png")])
    assert result.exit_code == 0, result.output
    assert "no server runs" in result.output
    assert size_of(tmp_path / "fox.png") == (64, 96)


def test_a_server_that_is_named_is_not_replaced():
    result = CliRunner().invoke(app, ["make", "a fox", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 2
    assert "no server answers" in result.output


def test_the_command_alone_says_what_to_do_next():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    for command in ("imagemill demo", "imagemill make", "imagemill serve", "imagemill nodes add"):
        assert command in result.output


BODIES = {
    "native": {"recipe": "textToImage", "input": {"prompt": "an owl", "width": 64, "height": 64, "steps": 2}},
    "civitai": {
        "$type": "textToImage",
        "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
        "params": {"prompt": "an owl", "width": 64, "height": 64, "steps": 2},
    },
}


@pytest.mark.parametrize("form", BODIES)
def test_a_job_in_a_file_is_submitted(server: Server, tmp_path: Path, form: str):
    file = tmp_path / "job.json"
    file.write_text(json.dumps(BODIES[form]))
    result = run(server, "jobs", "submit", str(file), "--save", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    (picture,) = (tmp_path / "out").iterdir()
    assert size_of(picture) == (64, 64)


def test_a_job_on_standard_input_is_submitted(server: Server):
    result = run(server, "jobs", "submit", "-", "--json", stdin=json.dumps(BODIES["native"]))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["items"][0]["input"]["prompt"] == "an owl"


@pytest.mark.parametrize(("text", "words"), [("{", "is not JSON"), ("[]", "holds no JSON object")])
def test_what_is_no_job_is_not_submitted(server: Server, text: str, words: str):
    result = run(server, "jobs", "submit", "-", stdin=text)
    assert result.exit_code == 2
    assert words in result.output


def submitted(server: Server, prompt: str) -> str:
    body = BODIES["native"] | {"input": {**BODIES["native"]["input"], "prompt": prompt}}
    result = run(server, "jobs", "submit", "-", "--wait", "--json", stdin=json.dumps(body))
    return json.loads(result.stdout.splitlines()[-1])["items"][0]["id"]


def test_a_list_shows_prompts_dates_with_their_zone_and_plain_names(server: Server):
    submitted(server, "a heron\n at dawn")
    text = run(server, "jobs", "list").output
    assert "a heron at dawn" in text
    assert "CREATED (" in text
    assert " sim-1 " in text


def test_a_job_is_shown_with_what_was_asked(server: Server):
    text = run(server, "jobs", "show", submitted(server, "a heron")).output
    for words in ("a heron", "64 x 64", "steps   2", "seed "):
        assert words in text


def test_an_id_can_be_shortened_to_its_beginning_or_end(server: Server):
    first, _ = submitted(server, "one"), submitted(server, "two")
    assert json.loads(run(server, "jobs", "show", first[-6:], "--json").stdout)["id"] == first
    both = run(server, "jobs", "show", first[:4])
    assert both.exit_code == 1
    assert "shortens the ids of" in both.output
    assert run(server, "jobs", "show", "zzzz").exit_code == 1


def test_a_finished_job_cannot_be_canceled(server: Server):
    result = run(server, "jobs", "cancel", submitted(server, "done"))
    assert result.exit_code == 1
    assert "succeeded already" in result.output
