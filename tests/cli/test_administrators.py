"""What the commands show administrators: the things of other owners, and the processes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from imagemill.config import Settings
from imagemill.domain.access import Role
from tests.access.support import ADMIN_KEY, bearer, key
from tests.conftest import Server, image_job, running_server

HOOK = "https://app.example/hooks"
SLOW = image_job(properties={"simulate": {"step_ms": 60_000}})
GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 256, "height": 256, "batch_size": 1}},
    "4": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0],
            "positive": ["2", 0],
            "negative": ["2", 0],
            "latent_image": ["3", 0],
            "seed": 1,
            "steps": 4,
            "cfg": 7,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
        },
    },
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "fox"}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("administrators"),
        shutdown_grace_s=0,
        auth={"admin_key": ADMIN_KEY, "password_memory_mb": 8},
    )
    with running_server(settings) as server:
        yield server


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    roles = {"ann": Role.OPERATOR, "bob": Role.USER, "ops": Role.ADMIN}
    return {owner: key(server, owner, role) for owner, role in roles.items()}


@pytest.fixture(scope="module")
def jobs(server: Server, tokens: dict[str, str]) -> dict[str, str]:
    """The id of a finished job of each user."""
    found = {}
    for owner in ("ann", "bob"):
        body = post(server, tokens[owner], "/v1/consumer/jobs?wait=true", image_job())
        found[owner] = body["jobs"][0]["jobId"]
    return found


def post(server: Server, token: str, path: str, body: dict[str, Any]) -> Any:
    answer = server.client.post(path, json=body, headers=bearer(token))
    assert answer.is_success, answer.text
    return answer.json()


def ask(server: Server, token: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url, "--token", token])


def output_of(server: Server, token: str, *arguments: str) -> str:
    result = ask(server, token, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def answer(server: Server, token: str, *arguments: str) -> Any:
    return json.loads(output_of(server, token, *arguments, "--json"))


def listed(server: Server, token: str, *arguments: str, field: str = "id") -> list[str]:
    return [item[field] for item in answer(server, token, *arguments)["items"]]


def test_jobs_of_one_owner_and_of_all_are_listed(
    server: Server, tokens: dict[str, str], jobs: dict[str, str]
) -> None:
    ops = tokens["ops"]
    assert listed(server, ops, "jobs", "list") == []
    assert listed(server, ops, "jobs", "list", "--owner", "ann") == [jobs["ann"]]
    assert {jobs["ann"], jobs["bob"]} <= {*listed(server, ops, "jobs", "list", "--all")}
    lines = output_of(server, ops, "jobs", "list", "--all").splitlines()
    assert lines[0].rstrip().endswith("OWNER")
    assert {line.split()[0]: line.split()[-1] for line in lines[1:]}[jobs["bob"]] == "bob"


def test_a_job_of_another_is_shown_and_replayed(
    server: Server, tokens: dict[str, str], jobs: dict[str, str]
) -> None:
    ops = tokens["ops"]
    for option in (["--owner", "bob"], ["--all"]):
        shown = answer(server, ops, "jobs", "show", jobs["bob"], *option)
        assert (shown["id"], shown["owner"]) == (jobs["bob"], "bob")
        assert shown["events"][-1]["type"] == "Succeeded"
    assert answer(server, ops, "jobs", "show", jobs["bob"][-12:], "--all")["id"] == jobs["bob"]
    for option in ([], ["--owner", "ann"]):
        refused = ask(server, ops, "jobs", "show", jobs["bob"], *option)
        assert (refused.exit_code, "there is no job" in refused.stderr) == (1, True), refused.stderr
    again = answer(server, ops, "jobs", "replay", jobs["bob"], "--owner", "bob")
    assert (again["owner"], again["id"] != jobs["bob"]) == ("bob", True)


def test_a_job_of_another_is_canceled(server: Server, tokens: dict[str, str]) -> None:
    for option in (["--owner", "bob"], ["--all"]):
        stuck = post(server, tokens["bob"], "/v1/consumer/jobs", SLOW)["jobs"][0]["jobId"]
        assert ask(server, tokens["ops"], "jobs", "cancel", stuck).exit_code == 1
        assert answer(server, tokens["ops"], "jobs", "cancel", stuck, *option)["owner"] == "bob"
        watched = ask(server, tokens["bob"], "jobs", "watch", stuck)
        assert (watched.exit_code, "canceled" in watched.stdout) == (1, True), watched.output


def test_workflows_of_another_are_listed(server: Server, tokens: dict[str, str]) -> None:
    post(server, tokens["ann"], "/api/v1/workflows", {"name": "anns-fox", "graph": GRAPH})
    command = ("workflows", "list")
    assert "anns-fox" not in listed(server, tokens["ops"], *command, field="name")
    assert "anns-fox" in listed(server, tokens["ops"], *command, "--owner", "ann", field="name")
    assert "anns-fox" in output_of(server, tokens["ops"], *command, "--owner", "ann")


def test_webhooks_of_another_are_listed(server: Server, tokens: dict[str, str]) -> None:
    post(server, tokens["ann"], "/api/v1/webhooks", {"url": HOOK})
    assert listed(server, tokens["ops"], "webhooks", "list", "--owner", "ann", field="url") == [HOOK]
    assert listed(server, tokens["ops"], "webhooks", "list") == []
    assert output_of(server, tokens["ops"], "webhooks", "list", "--owner", "bob") == "bob has no endpoints\n"


def test_the_model_library_of_another_is_listed(server: Server, tokens: dict[str, str]) -> None:
    output_of(server, tokens["ann"], "library", "batch", "--count", "1")
    (model,) = listed(server, tokens["ann"], "library", "list")
    assert listed(server, tokens["ops"], "library", "list", "--owner", "ann") == [model]
    assert listed(server, tokens["ops"], "library", "list") == []
    assert "no such models" in output_of(server, tokens["ops"], "library", "list", "--owner", "bob")


def test_pictures_of_anothers_character_are_listed(server: Server, tokens: dict[str, str]) -> None:
    output_of(server, tokens["ann"], "characters", "avatar", "lia", "--physical", "olhos verdes")
    command = ("characters", "images", "lia")
    (image,) = listed(server, tokens["ann"], *command)
    assert listed(server, tokens["ops"], *command, "--owner", "ann") == [image]
    assert listed(server, tokens["ops"], *command, "--owner", "ann", "--type", "sticker") == []
    assert "there is no character lia" in ask(server, tokens["ops"], *command).stderr


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "list"],
        ["workflows", "list"],
        ["webhooks", "list"],
        ["library", "list"],
        ["characters", "images", "lia"],
    ],
    ids=" ".join,
)
def test_only_administrators_name_another_owner_and_only_one_that_exists(
    server: Server, tokens: dict[str, str], command: list[str]
) -> None:
    refused = ask(server, tokens["bob"], *command, "--owner", "ann")
    assert refused.exit_code == 1
    assert "owner: naming another owner needs" in refused.stderr
    unknown = ask(server, tokens["ops"], *command, "--owner", "nobody")
    assert (unknown.exit_code, "there is no owner 'nobody'" in unknown.stderr) == (1, True), unknown.stderr
    mine = ask(server, tokens["bob"], *command, "--owner", "bob")
    assert "naming another owner" not in mine.output


@pytest.mark.parametrize("command", ["list", "show", "cancel", "replay"])
def test_one_owner_and_all_at_once_are_refused(server: Server, tokens: dict[str, str], command: str) -> None:
    job = [] if command == "list" else ["01a205a7-c8bf-7eef-a819-7ae3543a758c"]
    refused = ask(server, tokens["ops"], "jobs", command, *job, "--all", "--owner", "ann")
    assert (refused.exit_code, "give either --owner or --all" in refused.stderr) == (2, True), refused.stderr


def test_the_processes_are_listed(server: Server, tokens: dict[str, str]) -> None:
    (worker,) = answer(server, tokens["ops"], "workers", "list")["items"]
    assert (worker["healthy"], worker["leader"]) == (True, True)
    head, line = output_of(server, tokens["ops"], "workers", "list").splitlines()
    columns = [name.strip() for name in re.split(" {2,}", head)]
    assert columns == ["PROCESS", "ROLES", "HOST", "VERSION", "SINCE", "LAST SEEN", "STATE", "JOBS"]
    assert line.split()[0] == worker["name"]
    for part in (", ".join(worker["roles"]), worker["host"], worker["version"], "healthy, leader"):
        assert part in line
    refused = ask(server, tokens["bob"], "workers", "list")
    assert (refused.exit_code, "scope" in refused.stderr) == (1, True), refused.stderr
