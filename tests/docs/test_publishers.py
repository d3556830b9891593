"""The page for publishers: commands run, manifests are read, and messages are those of the checks."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from imagemill.products.books.book_catalogue import BookCatalogue, write_problem
from imagemill.products.books.book_checks import check_folder
from imagemill.products.books.book_manifest import Page, Typography
from tests.cli.programs import environment, search_path
from tests.docs.test_docs import FENCE, ROOT
from tests.tools.load import load

PAGE = (ROOT / "docs/publishers.md").read_text(encoding="utf-8")
BLOCKS = FENCE.findall(PAGE)
EXAMPLE = ROOT / "examples" / "books" / "kite"


def blocks(language: str) -> list[str]:
    return [body for found, body in BLOCKS if found == language]


def test_the_reference_of_the_manifest_is_that_of_the_model():
    """If it fails, run: python tools/book_manifest_page.py > docs/book-manifest.md"""
    written = (ROOT / "docs/book-manifest.md").read_text(encoding="utf-8")
    assert written == load("book_manifest_page").page()


def test_every_field_of_the_manifest_has_a_description():
    rows = [row for row in load("book_manifest_page").page().splitlines() if row.startswith("| `")]
    assert len(rows) > 70
    assert not [row for row in rows if row.rstrip(" |").count("|") < 2 or row.endswith("|  |")]


def test_the_example_is_a_book_without_problems_and_warnings():
    (check,) = check_folder(EXAMPLE)
    assert (check.problems, check.warnings) == ((), ())
    assert len(check.manifest.pages if check.manifest else ()) == 2
    book = BookCatalogue([EXAMPLE.parent], sample=False).get("kite")
    assert sum(each.size for each in book.files.values()) < 200_000


def test_the_commands_that_need_no_server(tmp_path: Path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    script = "set -eu\n" + "\n".join(block for block in blocks("sh") if "serve" not in block)
    assert script.count("imagemill books check") == 2
    ours = environment(PATH=search_path())
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=ours, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "books/kite: kite has 2 pages and no problems" in done.stdout


def test_the_messages_are_those_of_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(EXAMPLE, Path("books/kite"))
    manifest = (folder / "book.toml").read_text(encoding="utf-8")
    (folder / "book.toml").write_text(manifest.replace("|sie|das Kind}", "|sie}"), encoding="utf-8")
    Image.new("RGB", (1200, 1200)).save(folder / "away.webp")
    (check,) = check_folder(folder)
    found = {f"{folder}: {write_problem(each)}" for each in check.problems}
    (messages,) = (block for block in blocks("text") if "problem" not in block and "pages[" in block)
    assert set(messages.splitlines()) <= found


def test_the_page_of_the_example_is_printed_as_it_is():
    first, font = blocks("toml")
    assert first.strip() in (EXAMPLE / "book.toml").read_text(encoding="utf-8")
    fonts = Typography.model_validate(tomllib.loads(font)["typography"]).by_language["ar"]
    assert fonts.family == "Noto Naskh Arabic"


def test_the_page_in_json_is_read():
    (text,) = blocks("json")
    assert Page.model_validate(json.loads(text)).page_num == 2


def test_the_picture_of_the_sample_is_there():
    (name,) = re.findall(r"\((images/[\w-]+\.jpg)\)", PAGE)
    assert (ROOT / "docs" / name).is_file()
