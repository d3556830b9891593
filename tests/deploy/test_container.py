"""A container of the image: the steps that build it, and a server in it from its first start to its end."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from imagemill.config import Settings
from tests.cli.programs import Program, image_job
from tests.deploy import container
from tests.deploy.compose import FOLDER
from tests.deploy.container import DOCKERFILE, Image

pytestmark = pytest.mark.timeout(300)  # the image is built in it

KEY = "a-key-of-the-pipeline-that-is-long-enough"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    return container.build(tmp_path_factory.mktemp("image"))


def ask(program: Program, path: str, token: str = "", **headers: str) -> httpx2.Response:
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.get(_url(program) + path, headers=headers, trust_env=False)


def _url(program: Program) -> str:
    return program.url.replace("0.0.0.0", "127.0.0.1")


def test_the_image_says_how_it_is_run() -> None:
    said = dict(container.stages(DOCKERFILE)[-1])
    assert said["VOLUME"] == said["WORKDIR"] == "/data"
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert int(said["EXPOSE"]) == Settings.model_fields["port"].default


def test_the_image_answers_to_the_usual_names_and_to_that_of_its_service(image: Image) -> None:
    usual = Settings.model_fields["allowed_hosts"].default
    assert image.env["IMAGEMILL_ALLOWED_HOSTS"].split(",") == [*usual, "imagemill"]


def test_a_server_without_a_key_prints_one_that_a_restart_keeps(image: Image, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with image.running(data, IMAGEMILL_PROFILE="ci") as program:
        assert program.url.startswith("http://0.0.0.0:")
        printed = re.findall(r"key is ([0-9a-f]{64})$", program.log.read_text(), re.MULTILINE)
        assert len(printed) == 1
        assert ask(program, "/health/ready").status_code == 200
        assert ask(program, "/api/v1/jobs").status_code == 401
        assert ask(program, "/api/v1/jobs", "0" * 64).status_code == 401
        made = httpx2.post(
            f"{_url(program)}/v1/consumer/jobs",
            json=image_job(),
            headers={"Authorization": f"Bearer {printed[0]}"},
            trust_env=False,
        )
        assert made.status_code == 200, made.text
        port = program.url.rpartition(":")[2]
        assert image.check(data, program.process.pid, IMAGEMILL_PORT=port).returncode == 0
        program.signal()
        assert program.ended(30) == 0
    kept = data / "secrets" / "admin.key"
    assert kept.stat().st_mode & 0o777 == 0o600

    with image.running(data) as program:
        jobs = ask(program, "/api/v1/jobs", printed[0]).json()
        assert len(jobs["items"]) == 1
        assert printed[0] not in program.log.read_text()
        assert str(kept) in program.log.read_text()
        program.signal()
        assert program.ended(30) == 0


def test_a_given_key_is_the_only_one(image: Image, tmp_path: Path) -> None:
    with image.running(tmp_path / "data", IMAGEMILL_AUTH__ADMIN_KEY=KEY) as program:
        assert ask(program, "/api/v1/jobs", KEY).status_code == 200
        assert ask(program, "/api/v1/jobs", KEY, Host="imagemill:8700").status_code == 200
        assert ask(program, "/api/v1/jobs", KEY, Host="elsewhere.example").status_code == 421
    assert not (tmp_path / "data" / "secrets" / "admin.key").exists()


def test_a_mock_takes_any_token_only_when_it_is_told_so(image: Image, tmp_path: Path) -> None:
    settings = {"IMAGEMILL_PROFILE": "ci", "IMAGEMILL_AUTH__REQUIRED": "open"}
    with image.running(tmp_path / "data", **settings) as program:
        assert ask(program, "/api/v1/jobs").status_code == 200
        assert ask(program, "/v1/consumer/jobs/0", "any-token-of-the-application").status_code in (400, 404)
        assert program.line("no key is needed")["level"] == "warning"
        assert ask(program, "/api/v1/jobs", Origin="https://elsewhere.example").status_code == 403
    assert not (tmp_path / "data" / "secrets" / "admin.key").exists()


def test_an_open_server_does_not_start_where_it_could_spend_money(image: Image, tmp_path: Path) -> None:
    settings = {"IMAGEMILL_AUTH__REQUIRED": "open", "FAL_KEY": "id:secret"}
    done = image.run(tmp_path / "data", "serve", **settings)
    assert done.returncode == 2
    assert "FAL_KEY is set" in done.stderr


def test_once_a_key_exists_none_is_generated(image: Image, tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = image.run(data, "keys", "create", "--create", "--owner", "ops", "--role", "admin")
    assert made.returncode == 0, made.stderr
    with image.running(data) as program:
        assert ask(program, "/api/v1/jobs", made.stdout.split()[0]).status_code == 200
    assert not (data / "secrets" / "admin.key").exists()


def test_other_commands_run_as_in_a_shell(image: Image, tmp_path: Path) -> None:
    done = image.run(tmp_path / "data", "doctor", "--only", "folder")
    assert done.returncode == 0, done.stdout + done.stderr
    for command in (["imagemill", "--version"], ["--version"], ["sh", "-c", "imagemill --version"]):
        assert re.fullmatch(r"\S*imagemill\S* \S+\n", image.run(tmp_path / "data", *command).stdout)
    with image.running(tmp_path / "data", "worker") as program:
        program.line("worker started")
        assert image.check(tmp_path / "data", program.process.pid).returncode == 0
        program.signal()
        assert program.ended(30) == 0


def test_a_server_that_does_not_answer_is_not_healthy(image: Image, tmp_path: Path) -> None:
    with subprocess.Popen(["sh", "-c", "read line", "imagemill", "serve"], stdin=subprocess.PIPE) as process:
        checked = image.check(tmp_path, process.pid, IMAGEMILL_PORT="1")
    assert checked.returncode == 2
    assert "127.0.0.1:1" in checked.stderr


@pytest.mark.parametrize(
    ("works", "built"),
    [
        (("docker", "podman"), "docker build --tag mill --build-arg PYTHON_IMAGE=python:3.13 ."),
        (
            ("podman", "buildah"),
            "podman build --format docker --tag mill --build-arg PYTHON_IMAGE=python:3.13 .",
        ),
        (("buildah",), "buildah build --format docker --tag mill --build-arg PYTHON_IMAGE=python:3.13 ."),
        ((), ""),
    ],
)
def test_the_image_is_built_by_what_works_here(tmp_path: Path, works: tuple[str, ...], built: str) -> None:
    for name in ("docker", "podman", "buildah"):
        program = tmp_path / name
        says = f'echo "{name} $*"' if name in works else "exit 1"
        program.write_text(f"#!/bin/sh\n{says}\n")
        program.chmod(0o755)
    done = subprocess.run(
        ["sh", str(FOLDER / "image" / "build"), "mill"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHON_IMAGE": "python:3.13"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == built
    assert done.returncode == (0 if built else 1)
    assert bool(done.stderr) is not bool(built)
