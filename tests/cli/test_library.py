"""``imagemill models`` against a real server."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from imagemill.config import Settings
from tests.conftest import Server, running_server

GRID = "gender=female,style=casual,pose=side,age_range=20-30"
"""A grid of 4 cells."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    small = {"width": 64, "height": 96, "steps": 4}
    failing = {"fault": "rejected", "times": 1000, "prompt": "walking"}
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("models"),
        library=small,
        simulator={"faults": [failing]},
    )
    with running_server(settings) as server:
        yield server


def ask(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["library", *arguments, "--url", server.url])


def output_of(server: Server, *arguments: str) -> str:
    result = ask(server, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def answer(server: Server, *arguments: str) -> Any:
    return json.loads(output_of(server, *arguments, "--json").splitlines()[-1])


def test_a_test_without_saving_leaves_no_row(server: Server):
    assert "male-20-30-slim-front-standing-professional succeeded" in output_of(server, "test", "--no-save")
    assert output_of(server, "list", "--grid", "gender=male").strip() == "no such models"


def test_a_dry_run_shows_prompts_count_and_price_and_sends_nothing(server: Server):
    text = output_of(server, "batch", "--grid", "gender=female,style=professional,pose=sitting", "--dry-run")
    assert text.count("fashion model, female, ") == 12
    assert "12 to make, 0 already made" in text
    assert "price: " in text
    assert answer(server, "list", "--grid", "gender=female,style=professional")["items"] == []


def test_a_dry_run_with_a_count_prints_only_the_cells_within_it(server: Server):
    text = output_of(server, "batch", "--count", "5", "--grid", "gender=female,style=editorial", "--dry-run")
    assert [line[:9] for line in text.splitlines() if "fashion model, " in line] == ["to make  "] * 5
    assert "5 to make, 0 already made, 43 skipped by --count" in text


def test_a_batch_is_followed_to_its_end_and_then_there_is_nothing_to_do(server: Server):
    assert "4 to make, 0 already made" in output_of(server, "batch", "--grid", GRID)
    assert len(answer(server, "list", "--grid", GRID)["items"]) == 4
    assert "0 to make, 4 already made" in output_of(server, "batch", "--grid", GRID)


def test_a_batch_with_failures_says_which_and_ends_with_one(server: Server):
    result = ask(server, "batch", "--grid", GRID.replace("side", "walking"), "--count", "1")
    assert result.exit_code == 1
    assert "female-20-30-slim-walking-casual: " in result.stdout
    assert "refused" in result.stdout


def test_an_edit_makes_a_version_that_is_listed(server: Server):
    output_of(server, "batch", "--grid", GRID)
    first = answer(server, "list", "--grid", GRID, "-n", "1")["items"][0]["id"]
    output_of(server, "edit", first, "--prompt", "fashion model in the rain")
    output_of(server, "edit", first, "--set", "pose=sitting", "--seed", "7")
    listed = answer(server, "versions", first)["items"]
    assert [each["version"] for each in listed] == [3, 2, 1]
    assert [each["pose"] for each in listed] == ["sitting", "side", "side"]
    assert listed[0]["metadata"]["seed"] == 7
    shown = output_of(server, "show", listed[1]["id"])
    assert "fashion model in the rain" in shown
    assert "version 2" in shown


def test_sheets_show_the_newest_of_each_and_what_is_missing(server: Server, tmp_path: Path):
    output_of(server, "batch", "--grid", GRID)
    png, html = tmp_path / "sheet.png", tmp_path / "sheet.html"
    assert "4 cells" in output_of(server, "sheet", "--grid", "gender=female,pose=side", "-o", str(png))
    assert Image.open(io.BytesIO(png.read_bytes())).format == "PNG"
    output_of(server, "sheet", "--grid", "gender=female,pose=side,style=casual", "--missing", "-o", str(html))
    page = html.read_text(encoding="utf-8")
    assert page.count("<li>") == 12
    assert page.count("data:image/webp;base64,") == 4
    assert page.count("missing") == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("batch",), "--count"),
        (("batch", "--grid", "pose=flying"), "pose: should be one of front standing"),
        (("batch", "--grid", "shoes=red"), "shoes"),
        (("sheet", "-o", "sheet.gif"), ".png or .html"),
    ],
)
def test_what_makes_no_sense_ends_with_two_and_says_why(
    server: Server, arguments: tuple[str, ...], words: str
):
    result = ask(server, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
