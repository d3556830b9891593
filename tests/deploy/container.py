"""The image of the Dockerfile in a folder of this machine: its steps, its environment, its scripts.

Each step runs as it is written, on this Python, with the packages that are installed for the tests; only the
root of its paths is another one. Users and owners of files are those of the test.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.programs import Program, environment
from tests.deploy.by_hand import free_ports
from tests.deploy.compose import ROOT

DOCKERFILE = ROOT / "Dockerfile"
_ROOTS = re.compile(r"(?<![\w.$/])/(?=opt/|wheels|usr/local/bin|src\b|data\b)")


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile without comments, continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line]


def stages(path: Path) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions(path):
        if word == "FROM":
            found.append([])
        elif found:
            found[-1].append((word, rest))
    return found


@dataclass(frozen=True)
class Image:
    root: Path
    env: dict[str, str]
    entrypoint: list[str]
    command: list[str]
    healthcheck: list[str]

    def environment(self, data: Path, **settings: str) -> dict[str, str]:
        return environment(**{**self.env, "IMAGEMILL_DATA_DIR": str(data), **settings})

    def run(self, data: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in a container until it ends."""
        data.mkdir(mode=0o700, exist_ok=True)
        return self._done([*self.entrypoint, *arguments], data, settings)

    def check(self, data: Path, process: int, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run the health check of a container whose first process is ``process``."""
        return self._done([*self.healthcheck, f"/proc/{process}/cmdline"], data, settings)

    def _done(
        self, command: list[str], data: Path, settings: dict[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._program(command[0]), *command[1:]],
            cwd=data,
            env=self.environment(data, **settings),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    @contextmanager
    def running(self, data: Path, *arguments: str, **settings: str) -> Iterator[Program]:
        """Start a container, and kill it at the end if it still runs."""
        data.mkdir(mode=0o700, exist_ok=True)
        log = data.with_suffix(".log")
        settings = {"IMAGEMILL_PORT": str(free_ports(1)[0]), "IMAGEMILL_LOG_FORMAT": "json", **settings}
        entrypoint, *before = self.entrypoint
        with log.open("wb") as file:
            process = subprocess.Popen(
                [self._program(entrypoint), *before, *(arguments or self.command)],
                cwd=data,
                env=self.environment(data, **settings),
                stdout=file,
                stderr=file,
            )
        try:
            yield Program(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _program(self, name: str) -> str:
        return str(self.root / "usr/local/bin" / name)


def build(root: Path) -> Image:
    """Run the steps of the Dockerfile that make files below ``root``."""
    first, last = stages(DOCKERFILE)
    tools = _tools(root)
    folder = root
    for word, rest in first:
        if word == "WORKDIR":
            folder = root / rest.lstrip("/")
            folder.mkdir()
        elif word == "COPY":
            _copy(root, folder, rest)
        elif word == "RUN":
            env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PIP_NO_INDEX": "1"}
            done = subprocess.run(
                ["sh", "-c", _ROOTS.sub(f"{root}/", rest)],
                cwd=folder,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    env: dict[str, str] = {}
    for word, rest in last:
        if word == "COPY" and not rest.startswith("--from"):
            _copy(root, root, rest)
        elif word == "ENV":
            env |= dict(each.split("=", 1) for each in shlex.split(rest))
    path = env["PATH"].replace("$PATH", f"{root}/usr/local/bin:/usr/bin:/bin")
    env["PATH"] = _ROOTS.sub(f"{root}/", path)
    said = dict(last)
    return Image(
        root,
        env,
        json.loads(said["ENTRYPOINT"]),
        json.loads(said["CMD"]),
        json.loads(said["HEALTHCHECK"].partition(" CMD ")[2]),
    )


def _copy(root: Path, folder: Path, rest: str) -> None:
    *sources, target = [part for part in rest.split() if not part.startswith("--")]
    place = root / target.lstrip("/") if target.startswith("/") else folder / target
    for source in sources:
        here = ROOT / source
        if here.is_dir():
            shutil.copytree(here, place, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info"))
            continue
        into = place / here.name if target.endswith("/") else place
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here, into)
        if "--chmod=0755" in rest:
            into.chmod(0o755)


def _tools(root: Path) -> Path:
    """Make a ``python`` whose virtual environments find the installed packages and pip, not Imagemill."""
    packages, tools = root / "packages", root / "tools"
    packages.mkdir()
    tools.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "imagemill" not in path.name and not path.name.endswith(".pth"):
            (packages / path.name).symlink_to(path)
    python = tools / "python"
    python.write_text(
        f'#!/bin/sh\nset -e\n{sys.executable} "$@" --without-pip\n'
        f'for site in "$3"/lib/python*/site-packages; do echo {packages} > "$site/packages.pth"; done\n'
        f'printf \'#!/bin/sh\\nexec %s/bin/python -m pip "$@"\\n\' "$3" > "$3/bin/pip"\n'
        'chmod 755 "$3/bin/pip"\n'
    )
    python.chmod(0o755)
    return tools
