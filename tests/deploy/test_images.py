"""The Dockerfiles by simple rules, what they install, and the scripts they run."""

import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "{calls}"
echo "$(basename "$0") ${{http_proxy:-}} ${{HTTPS_PROXY:-}} ${{PYTHONPATH:-}}" >> "{proxies}"
case "$0 $*" in
  *"apt-get install"*python3-socks*) mkdir -p "{root}/usr" && touch "{root}/usr/socks.py" ;;
  *"git init"*) mkdir -p "$3/.git" ;;
  *"python -m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/pip" ;;
esac
"""


@dataclass(frozen=True)
class Fetched:
    """The programs that fetch.sh called, with their arguments, and with the proxies they had."""

    code: int
    told: str
    calls: list[str]
    proxies: list[str]

    def packs(self) -> set[str]:
        return {
            call.rsplit("/", 1)[1] for call in self.calls if "git init" in call and "custom_nodes" in call
        }

    def installed(self) -> str:
        return next(call for call in self.calls if call.startswith("pip install"))


def fetch(folder: Path, **environment: str) -> Fetched:
    """Run fetch.sh with programs that only note how they are called."""
    script = (FOLDER / "comfyui" / "fetch.sh").read_text(encoding="utf-8")
    for place, here in (
        ("/opt/", "opt/"),
        ("/debs", "debs"),
        ("/build", "build"),
        ("/usr/lib/python3/dist-packages", "usr"),
    ):
        script = re.sub(rf"(?<![\w$}}]){place}", f"{folder}/{here}", script)
    calls, proxies = folder / "calls", folder / "proxies"
    (folder / "bin").mkdir()
    (folder / "build").mkdir()
    for name in ("apt-get", "git", "python"):
        (folder / "bin" / name).write_text(STUB.format(calls=calls, proxies=proxies, root=folder))
        (folder / "bin" / name).chmod(0o755)
    references = dict.fromkeys(re.findall(r'"\$(\w+_REF)"', script), "c0ffee")
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin", **references, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    lines = [path.read_text().splitlines() if path.exists() else [] for path in (calls, proxies)]
    return Fetched(done.returncode, done.stderr, *lines)


def test_the_image_of_comfyui_can_redraw_the_faces_of_covers(tmp_path: Path) -> None:
    done = fetch(tmp_path)
    assert done.code == 0, done.told
    assert done.packs() == {"ComfyUI-Impact-Pack", "ComfyUI-Impact-Subpack"}
    for pack in done.packs():
        assert f"{pack}/requirements.txt" in done.installed()


@pytest.mark.parametrize("given", ["", "false", "0"])
def test_models_for_research_only_are_left_out_unless_they_are_asked_for(tmp_path: Path, given: str) -> None:
    done = fetch(tmp_path, RESEARCH_PACKS=given)
    assert "IPAdapter" not in "".join(done.calls)
    assert "InstantID" not in "".join(done.calls)
    assert "insightface" not in done.installed()


def test_the_packs_with_research_models_are_an_option_of_the_build(tmp_path: Path) -> None:
    done = fetch(tmp_path, RESEARCH_PACKS="true")
    assert done.packs() >= {"ComfyUI_IPAdapter_plus", "ComfyUI_InstantID"}
    assert "insightface onnxruntime-gpu" in done.installed()
    text = (FOLDER / "comfyui" / "Dockerfile").read_text(encoding="utf-8")
    assert "ARG RESEARCH_PACKS=false" in text.split("\nFROM ")[1]
    assert "non-commercial research only" in " ".join(text.replace("\n# ", " ").split())


def test_an_option_that_cannot_be_meant_ends_the_build(tmp_path: Path) -> None:
    done = fetch(tmp_path, RESEARCH_PACKS="perhaps")
    assert (done.code, done.calls) == (2, [])
    assert "RESEARCH_PACKS should be true or false" in done.told


def test_everything_that_is_fetched_goes_by_the_proxy_of_the_build(tmp_path: Path) -> None:
    proxy = "http://proxy.example:3128"
    done = fetch(tmp_path, COMFY_BUILD_PROXY=proxy, http_proxy="http://other.example:1")
    assert {line.split(" ", 1)[1].strip() for line in done.proxies} == {f"{proxy} {proxy}"}
    assert {line.split(" ")[0] for line in done.proxies} == {"apt-get", "git", "python", "pip"}
    assert "python3-socks" not in "".join(done.calls)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_resolves_the_names_and_pip_can_use_it(tmp_path: Path, scheme: str) -> None:
    done = fetch(tmp_path, COMFY_BUILD_PROXY=f"{scheme}://proxy.example:1080")
    assert done.code == 0, done.told
    proxy = "socks5h://proxy.example:1080"
    assert done.proxies[-1] == f"pip {proxy} {proxy} {tmp_path}/build/socks"
    assert (tmp_path / "build/socks/socks.py").is_file()
    calls = [call for call in done.calls if "python3-socks" in call or call.startswith("pip")]
    assert [call.split(" ")[0] for call in calls] == ["apt-get", "pip"]


def test_only_the_stage_with_the_proxy_of_the_build_fetches_anything(tmp_path: Path) -> None:
    last = (FOLDER / "comfyui" / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[-1]
    assert "dpkg --install /debs/*.deb" in last
    assert not [word for word in ("apt-get", "pip ", "curl ", "git ") if word in last]
    calls = fetch(tmp_path).calls
    at = [place for place, call in enumerate(calls) if "--download-only" in call or " g++ git" in call]
    assert len(at) == 2
    assert "--download-only" in calls[at[0]], "while nothing is installed yet that they need"


@each_dockerfile()
def test_no_stage_sets_a_proxy_that_the_image_would_keep(path: Path) -> None:
    """Docker's predefined arguments reach each step of each stage, and stay out of the image."""
    for word, rest in instructions(path):
        if word in ("ARG", "ENV"):
            assert not re.search(r"(?i)https?_proxy", rest), rest


def test_the_image_has_what_books_need() -> None:
    required = metadata("imagemill").get_all("Requires-Dist") or ()
    wanted = {
        Requirement(text).name for text in required if re.search(r"extra == ['\"](books|faces)['\"]", text)
    } - {"imagemill"}
    assert {"typst", "pikepdf", "pypdfium2", "dlib-bin", "opencv-python-headless"} <= wanted
    assert wanted <= set(pins(FOLDER / "requirements.txt"))


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
