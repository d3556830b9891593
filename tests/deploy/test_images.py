"""The Dockerfiles by simple rules, what they install, and the scripts they run."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose import FOLDER, ROOT
from tests.deploy.container import instructions

DOCKERFILES = [ROOT / "Dockerfile", *sorted(FOLDER.rglob("Dockerfile"))]
PINNED = re.compile(r"[a-z0-9./-]+:\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?")
SECRET = re.compile(r"(?i)password|secret|token|_key\b")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def each_dockerfile() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


@each_dockerfile()
def test_every_base_is_pinned_to_a_version(path: Path) -> None:
    given = dict(
        rest.split("=", 1) for word, rest in instructions(path) if word == "ARG" and "_IMAGE=" in rest
    )
    named = [rest.split(" ")[0] for word, rest in instructions(path) if word == "FROM"]
    bases = [given[base[2:-1]] if base.startswith("${") else base for base in named]
    assert bases
    assert [base for base in bases if not PINNED.fullmatch(base)] == []


@each_dockerfile()
def test_the_image_runs_as_a_user_that_is_not_root(path: Path) -> None:
    last_stage = instructions(path)
    last_stage = last_stage[max(at for at, (word, _) in enumerate(last_stage) if word == "FROM") :]
    users = [rest for word, rest in last_stage if word == "USER"]
    assert len(users) == 1
    assert int(users[0].split(":")[0]) >= 1000
    after = [word for word, _ in last_stage[[word for word, _ in last_stage].index("USER") :]]
    assert "RUN" not in after, "what is installed belongs to root"


@each_dockerfile()
def test_no_secret_goes_into_an_image(path: Path) -> None:
    for word, rest in instructions(path):
        if word in ("ARG", "ENV", "LABEL"):
            assert not SECRET.search(rest), rest
        assert word != "ADD", "COPY does no more than it says"
    kept = instructions(path)
    kept = kept[max(at for at, (word, _) in enumerate(kept) if word == "FROM") :]
    assert not any("COMFY_BUILD_PROXY" in rest for _, rest in kept)


@each_dockerfile()
def test_a_command_is_a_list_so_that_signals_reach_it(path: Path) -> None:
    commands = [rest for word, rest in instructions(path) if word in ("CMD", "ENTRYPOINT")]
    assert commands
    assert all(command.startswith("[") for command in commands)


@pytest.mark.parametrize("name", ["requirements.txt", "flower/requirements.txt"])
def test_what_is_installed_is_pinned_by_hashes_from_no_named_place(name: str) -> None:
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if not re.match(r"[\w.-]+(\[[\w,]+\])?==\S+( ; .+)? \\", line):
            assert HASH.fullmatch(line), line


def test_an_image_has_the_versions_that_are_tested() -> None:
    tested = pins(ROOT / "requirements" / "dev.txt")
    image = pins(FOLDER / "requirements.txt")
    assert image == {name: tested[name] for name in image}
    assert {"celery", "psycopg", "obstore", "uvicorn"} <= set(image)
    assert set(pins(ROOT / "requirements" / "base.txt")) <= set(image)


def test_node_packs_are_fetched_at_one_commit() -> None:
    given = dict(
        rest.split("=", 1)
        for word, rest in instructions(FOLDER / "comfyui" / "Dockerfile")
        if word == "ARG" and "_REF=" in rest
    )
    assert re.fullmatch(r"v\d+\.\d+\.\d+", given.pop("COMFYUI_REF"))
    assert given
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in given.values())
    script = (FOLDER / "comfyui" / "fetch.sh").read_text(encoding="utf-8")
    assert set(re.findall(r'"\$(\w+_REF)"', script)) == {*given, "COMFYUI_REF"}


def test_the_image_of_comfyui_can_redraw_the_faces_of_covers() -> None:
    script = (FOLDER / "comfyui" / "fetch.sh").read_text(encoding="utf-8")
    for pack in ("ComfyUI-Impact-Pack", "ComfyUI-Impact-Subpack"):
        assert f"/opt/comfyui/custom_nodes/{pack} " in script
        assert f"/opt/comfyui/custom_nodes/{pack}/requirements.txt" in script


def test_only_the_stage_with_the_proxy_of_the_build_fetches_anything() -> None:
    last = (FOLDER / "comfyui" / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[-1]
    assert "dpkg --install /debs/*.deb" in last
    assert not [word for word in ("apt-get", "pip ", "curl ", "git ") if word in last]
    script = (FOLDER / "comfyui" / "fetch.sh").read_text(encoding="utf-8")
    assert script.index("https_proxy=") < script.index("--download-only") < script.index(" g++ git")


def entered(**environment: str) -> "subprocess.CompletedProcess[str]":
    script = FOLDER / "comfyui" / "entrypoint.sh"
    return subprocess.run(
        ["sh", str(script), "env"],
        env={"PATH": "/usr/bin:/bin", "https_proxy": "http://left.over:1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )


def test_the_proxy_is_used_when_it_is_enabled() -> None:
    done = entered(
        COMFY_PROXY_ENABLED="true", COMFY_PROXY="http://proxy.example:3128", COMFY_NO_PROXY="postgres"
    )
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert seen["https_proxy"] == seen["HTTP_PROXY"] == "http://proxy.example:3128"
    assert seen["no_proxy"] == "postgres"
    assert "COMFY_PROXY" not in seen


@pytest.mark.parametrize("enabled", ["", "false", "0"])
def test_without_it_there_is_no_proxy_at_all(enabled: str) -> None:
    done = entered(COMFY_PROXY_ENABLED=enabled, COMFY_PROXY="http://proxy.example:3128")
    assert done.returncode == 0
    assert "example" not in done.stdout
    assert "left.over" not in done.stdout


@pytest.mark.parametrize("environment", [{"COMFY_PROXY_ENABLED": "true"}, {"COMFY_PROXY_ENABLED": "perhaps"}])
def test_a_proxy_that_cannot_be_meant_ends_the_start(environment: dict[str, str]) -> None:
    done = entered(**environment)
    assert done.returncode == 2
    assert "COMFY_PROXY_ENABLED" in done.stderr
