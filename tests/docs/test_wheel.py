"""The wheel, built from the checkout and used outside of it."""

import email
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.programs import environment
from tests.docs.test_docs import ROOT

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    subprocess.run([*PIP, *build], check=True, capture_output=True)
    (built,) = folder.glob("imagemill-*.whl")
    return built


def test_its_description_has_no_relative_links_or_pictures(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    description = str(metadata.get_payload())
    assert "pipx install imagemill" in description
    assert "](" not in description
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_installed_command_says_what_to_do_next(wheel: Path, tmp_path: Path):
    site = tmp_path / "site"
    subprocess.run(
        [*PIP, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True
    )
    program = site / "bin" / "imagemill"
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(site)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "imagemill demo" in done.stdout


def test_the_sample_book_is_in_it(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {each.partition("/sample/")[2] for each in archive.namelist() if "/books/sample/" in each}
    folder = ROOT / "src/imagemill/products/books/sample"
    assert names == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert "little-star/book.toml" in names


def test_the_built_console_is_in_it(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {
            each.partition("/console_files/")[2] for each in archive.namelist() if "/console_files/" in each
        }
    folder = ROOT / "src/imagemill/web/console_files"
    assert names == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"index.html", "studio.html", "source.sha256"} <= names
    served = {name for name in names if name.endswith((".html", ".js", ".css", ".svg"))}
    assert {f"{name}.gz" for name in served} <= names
    pages = [(folder / page).read_text() for page in ("index.html", "studio.html")]
    assert {path for page in pages for path in re.findall(r'(?:src|href)="/(assets/[^"]+)"', page)} <= names
