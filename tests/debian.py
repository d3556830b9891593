"""Servers that no wheel holds, from Debian's packages: fetched and unpacked for tests, never installed.

Works for any user of a Debian machine and leaves it as it was. Elsewhere tests that ask for one are skipped,
but never in CI.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_FETCH_S = 300
"""RabbitMQ with Erlang is 40 MB."""
_LIBRARIES = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/pulseaudio")
"""The second holds a part of PulseAudio's library that it looks for where an installed machine has it."""


def unpacked(*packages: str) -> Path:
    """A folder laid out as `/`, with the packages and what they depend on beyond what the machine has."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        assert not os.environ.get("CI"), "CI runs on Debian, and skips nothing"
        pytest.skip(f"{', '.join(packages)}: only from Debian's packages")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagemill-tests" / "debian"
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / "+".join(sorted(packages))
    if not kept.exists():
        made = Path(tempfile.mkdtemp(dir=cache, prefix="making-"))
        _fetch(packages, made)
        try:
            made.rename(kept)
        except OSError:  # another process of the same run was faster
            shutil.rmtree(made)
    return kept


def environment(root: Path) -> dict[str, str]:
    """What a program of `root` needs to find its libraries and the programs it calls."""
    libraries = [str(folder) for place in _LIBRARIES for folder in root.glob(place)]
    programs = [str(root / "usr/sbin"), str(root / "usr/bin")]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PATH": os.pathsep.join([*programs, os.environ["PATH"]]),
    }


def _fetch(packages: tuple[str, ...], root: Path) -> None:
    """Uses lists and archives of its own, so that it needs no rights and takes no lock of the machine's."""
    state = root / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    apt = [
        "apt-get",
        "-qq",
        f"-oDir::State={state}",
        f"-oDir::State::Lists={state / 'lists'}",
        "-oDir::State::status=/var/lib/dpkg/status",
        f"-oDir::Cache={state}",
        f"-oDir::Cache::archives={state / 'archives'}",
        "-oDebug::NoLocking=1",
        "-oAPT::Sandbox::User=",
    ]
    for step in (
        ["update"],
        ["install", "--download-only", "--reinstall", "--no-install-recommends", *packages],
    ):
        ran = subprocess.run([*apt, *step], capture_output=True, text=True, timeout=_FETCH_S, check=False)
        assert ran.returncode == 0, f"apt-get {step[0]}: {ran.stderr}"
    for archive in sorted((state / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True, timeout=_FETCH_S)
    shutil.rmtree(state)
