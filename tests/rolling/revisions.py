"""The code of the last revision of the schema, out of the project's own history."""

import io
import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from imagemill.db import migrate

ROOT = Path(__file__).parents[2]
VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"


def newest() -> Path:
    """The file of the newest migration; their names begin with their numbers."""
    return sorted(VERSIONS.glob("[0-9]*.py"))[-1]


def last_code() -> str:
    """The newest commit without the newest migration."""
    if _git("rev-parse", "--is-inside-work-tree").returncode != 0:
        _skip("this is no checkout of git")
    path = str(newest().relative_to(ROOT))
    added = _git("log", "--follow", "--diff-filter=A", "--format=%H", "--", path).stdout.split()
    commit = f"{added[-1]}^" if added else "HEAD"  # not committed yet
    found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found.returncode != 0:
        _skip("the history is cut short; fetch it whole (git fetch --unshallow)")
    return found.stdout.strip()


def last_code_with(path: str) -> str:
    """The newest commit that has the file ``path``, which is gone by now."""
    if _git("rev-parse", "--is-inside-work-tree").returncode != 0:
        _skip("this is no checkout of git")
    removed = _git("log", "--diff-filter=D", "--format=%H", "-1", "--", path).stdout.split()
    found = _git("rev-parse", "--verify", "--quiet", f"{removed[0]}^^{{commit}}") if removed else None
    if found is None or found.returncode != 0:
        _skip("the history is cut short; fetch it whole (git fetch --unshallow)")
        raise AssertionError
    return found.stdout.strip()


def extract(commit: str, folder: Path) -> Path:
    """Write that code into ``folder``; what PYTHONPATH has to say to run it instead of ours.

    It gets metadata of its own: the installed ones name the recipes, backends and dialects of today.
    """
    archive = subprocess.run(
        ["git", "archive", commit, "src", "pyproject.toml"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    metadata = folder / "src" / "imagemill-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: imagemill\nVersion: 0\n")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder / "src"


def revision(source: Path) -> str:
    """The revision of the schema that code works on."""
    code = (
        "import imagemill, importlib, importlib.util as find; new = 'imagemill.db';"
        "tables = 'imagemill.db.tables' if find.find_spec(new) else 'imagemill.store.schema';"
        "print(importlib.import_module(tables).REVISION, imagemill.__file__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(source)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=source
    )
    number, file = ran.stdout.split(maxsplit=1)
    assert Path(file.strip()).is_relative_to(source), f"{file} is not the code of the last revision"
    return number


def _skip(reason: str) -> None:
    assert not os.environ.get("CI"), f"CI skips nothing: {reason}"
    pytest.skip(reason)


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )
