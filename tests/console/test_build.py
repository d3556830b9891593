"""The web application as it is delivered: built from these sources, typed by this API, from no other host."""

import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB, BUILT = ROOT / "web", ROOT / "src/imagemill/web/console_files"
NODE = (sys.executable, str(ROOT / "tools/node.py"))
FIRST_LOAD, LAZY = 120 * 1024, 60 * 1024
"""Bytes with gzip."""
HOSTS = re.compile(r"https?://(?!localhost|127\.0\.0\.1)[\w.-]+\.[a-z]{2,}")


def run(*command: str) -> None:
    done = subprocess.run(
        [*NODE, *command], cwd=WEB, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """What the lock file names, in `web/node_modules`; later runs find it there."""
    if not (WEB / "node_modules/typescript/bin/tsc").exists():
        run("npm", "ci", "--no-audit", "--no-fund")


def digest() -> str:
    """As `web/tools/finish.mjs` makes it."""
    names = (WEB / "tools/finish.mjs").read_text()
    listed = json.loads(re.search(r"const sources = (\[.*?\]);", names)[1])  # type: ignore[index]
    paths = [path for name in listed for path in [WEB / name, *(WEB / name).rglob("*")] if path.is_file()]
    whole = hashlib.sha256()
    for name, path in sorted((path.relative_to(WEB).as_posix(), path) for path in paths):
        whole.update(f"{name}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def test_the_build_is_of_these_sources() -> None:
    assert (BUILT / "source.sha256").read_text().strip() == digest(), "the build is stale: run `make web`"


def test_the_types_are_those_of_the_api(tmp_path: Path) -> None:
    target = tmp_path / "schema.d.ts"
    run(sys.executable, str(ROOT / "tools/console_types.py"), str(target))
    assert target.read_text() == (WEB / "src/api/schema.d.ts").read_text(), "run `make web-types`"


def test_the_compiler_has_nothing_to_say() -> None:
    run("node", "node_modules/typescript/bin/tsc", "--noEmit")


def test_it_is_small_and_compressed() -> None:
    page = (BUILT / "index.html").read_text()
    first = [
        BUILT / "index.html",
        *(BUILT / path for path in re.findall(r'(?:src|href)="/(assets/[^"]+)"', page)),
    ]
    assert len(first) > 3
    assert sum(packed(path) for path in first) < FIRST_LOAD
    lazy = {path.name: packed(path) for path in (BUILT / "assets").glob("*.js") if path not in first}
    assert {name: size for name, size in lazy.items() if size > LAZY} == {}


def packed(path: Path) -> int:
    """The size of its compressed copy, which must be the same file."""
    copy = path.with_name(f"{path.name}.gz")
    assert gzip.decompress(copy.read_bytes()) == path.read_bytes()
    return copy.stat().st_size


def test_its_pages_have_no_inline_script_and_name_no_host() -> None:
    for name in ("index.html", "studio.html"):
        page = (BUILT / name).read_text()
        assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
        assert re.findall(r"<style|\son\w+=|\sstyle=", page) == []
        assert HOSTS.findall(page) == []


def test_no_file_says_where_packages_come_from() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
