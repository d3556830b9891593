"""No image without a version, each with a place for its digest, and the script that fills the places in."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy import compose
from tests.deploy.compose import FILE, FOLDER
from tests.deploy.test_compose import SECRETS

OURS = {"imagemill", "imagemill-comfyui", "imagemill-flower"}
VERSION = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+[\w.-]*")
DEFAULTS = dict(re.findall(r"\$\{([A-Z_]+_IMAGE):-([^}]*)\}", FILE.read_text(encoding="utf-8")))
DIGEST = f"sha256:{'5' * 64}"


@pytest.mark.parametrize("name", compose.raw()["services"])
def test_an_image_is_ours_or_can_be_overridden(name: str) -> None:
    image = compose.raw()["services"][name]["image"]
    assert image in OURS or re.fullmatch(r"\$\{[A-Z_]+_IMAGE:-[^}]+\}", image), image


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_image_has_a_version_and_takes_a_digest(name: str) -> None:
    assert VERSION.fullmatch(DEFAULTS[name]), DEFAULTS[name]
    pinned = f"{DEFAULTS[name]}@{DIGEST}"

    filled = compose.load({**SECRETS, name: pinned})

    used = [service.get("image") for service in filled.services.values()]
    used += [value for service in filled.services.values() for value in _arguments(service)]
    assert pinned in used


def _arguments(service: "dict[str, object]") -> list[str]:
    build = service.get("build")
    return list(build.get("args", {}).values()) if isinstance(build, dict) else []


def test_a_dockerfile_alone_builds_on_the_same_versions_as_compose() -> None:
    loaded = compose.load(SECRETS)
    for name in ("web", "comfyui", "flower"):
        build = loaded.services[name]["build"]
        text = (FOLDER / build["context"] / build.get("dockerfile", "Dockerfile")).read_text(encoding="utf-8")
        given = dict(re.findall(r"^ARG (\w+_(?:IMAGE|REF))=(\S+)$", text, re.MULTILINE))
        assert given == {key: value for key, value in build["args"].items() if key in given}
        assert set(given) == {key for key in build["args"] if key.endswith(("_IMAGE", "_REF"))}


def pin(folder: Path, env: Path, answer: str) -> "subprocess.CompletedProcess[str]":
    """With a docker that answers so."""
    docker = folder / "docker"
    docker.write_text(f'#!/bin/sh\necho "$*" >> "{folder}/calls"\n{answer}\n')
    docker.chmod(0o755)
    return subprocess.run(
        ["sh", str(FOLDER / "pin"), str(env)],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_the_script_writes_a_digest_of_every_image_and_keeps_the_rest(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("POSTGRES_PASSWORD=secret\nREDIS_IMAGE=redis:8.0.1@sha256:old\nNGINX_IMAGE=\n")

    done = pin(tmp_path, env, f"echo {DIGEST}")

    assert done.returncode == 0, done.stderr
    lines = env.read_text().splitlines()
    written = dict(line.split("=", 1) for line in lines)
    assert lines[0] == "POSTGRES_PASSWORD=secret"
    expected = {**DEFAULTS, "REDIS_IMAGE": "redis:8.0.1"}
    assert written == {
        "POSTGRES_PASSWORD": "secret",
        **{name: f"{image}@{DIGEST}" for name, image in expected.items()},
    }
    assert len(lines) == len(written)
    assert env.stat().st_mode & 0o777 == 0o600
    assert "buildx imagetools inspect" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize("answer", ["exit 1", "echo nonsense"])
def test_the_script_changes_nothing_when_a_digest_cannot_be_had(tmp_path: Path, answer: str) -> None:
    env = tmp_path / ".env"
    env.write_text("POSTGRES_PASSWORD=secret\n")

    done = pin(tmp_path, env, answer)

    assert done.returncode == 1
    assert "digest" in done.stderr
    assert env.read_text() == "POSTGRES_PASSWORD=secret\n"
    assert {path.name for path in tmp_path.iterdir()} <= {".env", "docker", "calls"}
