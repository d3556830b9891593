"""The example of a plug-in: its tests pass, and the command line knows it."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.test_docs import ROOT

EXAMPLE = ROOT / "examples" / "plugin"


def _install(folder: Path, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write the metadata that an installation of the package leaves."""
    metadata = folder / "gradient-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gradient\nVersion: 1.0\n")
    lines = [
        line
        for group, names in entry_points.items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in names.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _run(folder: Path, *command: str, cwd: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMAGEMILL", "PYTEST"))}
    paths = os.pathsep.join([str(folder), str(EXAMPLE / "src")])
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={**kept, "PYTHONPATH": paths, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def declared() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]


def test_its_own_tests_pass(tmp_path: Path, declared: Mapping[str, Mapping[str, str]]) -> None:
    _install(tmp_path, declared)
    ran = _run(tmp_path, "pytest", "-p", "no:cacheprovider", str(EXAMPLE / "tests"), cwd=tmp_path)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def test_the_command_line_lists_it_and_its_settings(
    tmp_path: Path, declared: Mapping[str, Mapping[str, str]]
) -> None:
    _install(tmp_path, declared)
    listed = _run(tmp_path, "imagemill", "plugins", "list", cwd=tmp_path)
    explained = _run(
        tmp_path,
        "imagemill",
        "settings",
        "explain",
        "GRADIENT__SLOTS",
        cwd=tmp_path,
        IMAGEMILL_GRADIENT__SLOTS="5",
    )

    assert listed.returncode == 0, listed.stderr
    assert {line.split()[0] for line in listed.stdout.splitlines()[1:]} == {
        name.removeprefix("imagemill.") for name in declared
    }
    assert "gradient 1.0" in listed.stdout
    assert explained.returncode == 0, explained.stderr
    assert "5" in explained.stdout


def test_one_that_cannot_be_loaded_is_named_with_its_package(tmp_path: Path) -> None:
    _install(tmp_path, {"imagemill.recipes": {"broken": "gradient.nowhere:RECIPE"}})
    listed = _run(tmp_path, "imagemill", "plugins", "list", cwd=tmp_path)
    checked = _run(tmp_path, "imagemill", "doctor", "--only", "plugins", cwd=tmp_path)

    assert listed.returncode == 1
    assert "No module named 'gradient.nowhere'" in listed.stdout
    assert checked.returncode == 1
    assert "recipes broken of gradient 1.0" in checked.stdout
    assert "uninstall it" in checked.stdout


@pytest.mark.parametrize("kind", ["recipes", "backends", "dialects", "settings", "products"])
def test_one_that_cannot_be_loaded_stops_a_server_with_a_sentence(tmp_path: Path, kind: str) -> None:
    _install(tmp_path, {f"imagemill.{kind}": {"broken": "gradient.nowhere:BROKEN"}})
    ran = _run(tmp_path, "imagemill", "serve", "--port", "0", cwd=tmp_path)

    assert ran.returncode == 2
    assert "the plug-in broken of gradient 1.0" in ran.stderr
    assert "uninstall it" in ran.stderr
    assert "Traceback" not in ran.stderr
