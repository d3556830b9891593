"""The site that `make docs` builds."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import PAGES, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def html_of(site: Path, page: Path) -> Path:
    name = page.relative_to(ROOT)
    return site / (name.with_name("index.html") if name.name == "README.md" else name.with_suffix(".html"))


def test_every_page_is_in_it_and_in_its_menu(site: Path):
    menu = set(re.findall(r'<a href="([^"#]+)"', (site / "index.html").read_text(encoding="utf-8")))
    for page in PAGES:
        file = html_of(site, page)
        assert file.exists()
        assert file == site / "index.html" or str(file.relative_to(site)) in menu


def test_it_loads_nothing_from_elsewhere(site: Path):
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]+)\"|<link[^>]*\shref=\"([^\"]+)\"", text
        )
        assert not [address for pair in loaded for address in pair if re.match(r"(?:https?:)?//", address)]


def test_its_pictures_and_links_are_there(site: Path):
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        if file.name == "404.html":
            continue
        for address in re.findall(r'<(?:img|a)[^>]*\s(?:src|href)="([^"#?]+)', text):
            if not re.match(r"[a-z]+:", address):
                assert (file.parent / address).exists(), f"{file.name}: {address}"


def test_its_search_knows_every_page(site: Path):
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    for page in PAGES:
        file = html_of(site, page)
        assert str(file.relative_to(site)) in places or file == site / "index.html"
