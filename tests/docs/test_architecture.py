"""The architecture page names files that exist, and its pictures show the code as it is."""

import re
from pathlib import Path

import pytest

from tests.docs.test_docs import CODE, PAGES, ROOT, prose
from tools.draw_architecture import main as draw

TABLE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("| I want to change ... |")[2]
EXAMPLE = "postcards/"
"""The folder of the example package in docs/products.md."""
ROWS = [line for line in TABLE.partition("\n\n")[0].splitlines()[2:] if line.startswith("|")]


def exists(path: str) -> bool:
    folders = (ROOT, ROOT / "src/imagemill")
    return any((folder / path).exists() for folder in folders)


def test_the_table_has_at_least_twenty_rows():
    assert len(ROWS) >= 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip().replace(" ", "_"))
def test_a_row_names_files_that_exist(row: str):
    paths = re.findall(r"`([\w./-]+)`", row.split("|")[2])
    assert paths
    assert not [path for path in paths if not exists(path)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_source_files_that_a_page_names_exist(page: Path):
    named = {code.strip("`").partition("::")[0] for code in CODE.findall(prose(page))}
    paths = {
        name for name in named if re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|toml|yaml|service|conf)", name)
    }
    assert not sorted(
        path for path in paths if "NNNN" not in path and not path.startswith(EXAMPLE) and not exists(path)
    )


def test_the_pictures_are_those_of_the_code(tmp_path: Path):
    """If it fails, run: python tools/draw_architecture.py"""
    draw(tmp_path)
    drawn = {picture.name: picture.read_text(encoding="utf-8") for picture in tmp_path.iterdir()}
    assert len(drawn) == 4
    for name, text in drawn.items():
        assert (ROOT / "docs/images" / name).read_text(encoding="utf-8") == text, name
