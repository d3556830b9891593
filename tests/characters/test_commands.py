"""The commands of ``imagemill characters``, on a running server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.programs import Program, run, running


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("commands")
    settings = {"IMAGEMILL_DATA_DIR": str(folder / "data"), "IMAGEMILL_SIMULATOR__STEP_MS": "0"}
    with running("serve", "--port", "0", cwd=folder, **settings) as program:
        yield program


def characters(program: Program, folder: Path, *words: str) -> str:
    done = run("characters", *words, cwd=folder, IMAGEMILL_URL=program.url)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def answer(program: Program, folder: Path, *words: str) -> dict[str, Any]:
    return json.loads(characters(program, folder, *words, "--json"))


def test_a_stored_sheet_is_used_by_every_picture(program: Program, tmp_path: Path):
    ask = (program, tmp_path)
    sheet = ("--name", "Iara", "--gender", "mulher", "--physical", "cabelo azul", "--attire", "capa preta")
    stored = characters(*ask, "store", "iara", *sheet, "--description", "olhos verdes")
    assert stored == "the sheet of iara is stored\n"
    assert answer(*ask, "show", "iara")["character"]["description"] == "olhos verdes"
    assert re.search(r"iara +Iara +cabelo azul", characters(*ask, "list"))
    small = ("--width", "512", "--height", "512")
    found = [
        answer(*ask, "avatar", "iara"),
        answer(*ask, "sticker", "iara", "feliz", "--instructions", "espada"),
        answer(*ask, "cover", "--character", "iara"),
        answer(*ask, "scene", "Na praia.", "--with", "iara", "--chat", "c1", *small),
    ]
    assert [each["state"] for each in found] == ["completed"] * 4
    assert [each["data"]["type"] for each in found] == ["avatar", "sticker", "cover", "scene"]
    listed = characters(*ask, "images", "iara")
    assert [line.split()[2] for line in listed.splitlines()] == ["cover", "sticker", "avatar"]
    assert characters(*ask, "images", "c1", "--of", "chat").split()[2] == "scene"
    characters(*ask, "store", "new", *sheet)
    assert characters(*ask, "images", "new") == "there is no picture of the character new\n"
    characters(*ask, "remove", "new")
    characters(*ask, "remove", "iara", "--pictures")
    gone = run("characters", "images", "iara", cwd=tmp_path, IMAGEMILL_URL=program.url)
    assert (gone.returncode, "there is no character iara" in gone.stderr) == (1, True)
    assert characters(*ask, "list") == "no sheet is stored\n"


def test_stickers_are_saved_in_a_folder_and_untranslated_words_are_shown(program: Program, tmp_path: Path):
    said = characters(
        program, tmp_path, "stickers", "leo", "--physical", "cabelo preto, zzyzx", "--emotion", "triste",
        "--emotion", "smug=smug grin", "--seed", "7", "--output", "leo",
    )  # fmt: skip
    assert "not translated: zzyzx" in said
    assert sorted(file.name for file in (tmp_path / "leo").iterdir()) == ["sad.webp", "smug.webp"]
    seeds = {each["seed"] for each in answer(program, tmp_path, "images", "leo")["items"]}
    assert seeds == {7}


def test_a_picture_is_started_from_a_file_activated_and_deleted(program: Program, tmp_path: Path):
    ask = (program, tmp_path)
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "face.png")
    first = answer(*ask, "avatar", "ref", "--reference", "face.png")
    assert first["result"]["dominantColour"] == "#c81e1e"
    second = answer(*ask, "avatar", "ref", "--physical", "red hair")
    ids = [each["result"]["imageId"] for each in (first, second)]
    assert characters(*ask, "activate", "ref", ids[0]) == f"{ids[0]} is the active avatar of ref\n"
    assert characters(*ask, "status", first["jobId"]).startswith("completed 768x768, ")
    characters(*ask, "delete", "ref", ids[0])
    assert [each["id"] for each in answer(*ask, "images", "ref")["items"]] == ids[1:]
    ended = run("characters", "cancel", first["jobId"], cwd=tmp_path, IMAGEMILL_URL=program.url)
    assert (ended.returncode, "succeeded" in ended.stderr) == (1, True)
