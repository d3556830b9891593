"""Viewers and operators: the jobs of all owners, and nothing else of theirs."""

from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.config import Settings
from imagemill.domain.access import Role, Scope
from tests.access.support import ADMIN_KEY, QUICK, ask, key
from tests.conftest import Server, running_server

BODY = {"recipe": "textToImage", "input": {"prompt": "a fox", "width": 64, "height": 64, "steps": 1}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, auth = tmp_path_factory.mktemp("roles"), {"admin_key": ADMIN_KEY, **QUICK}
    with running_server(Settings(_env_file=None, data_dir=folder, auth=auth)) as started:
        yield started


@pytest.fixture(scope="module")
def waiting(server: Server) -> str:
    """A job of anna's that waits."""
    body = {**BODY, "properties": {"simulate": {"step_ms": 600_000}}}
    return ask(server, key(server, "anna"), "POST", "/api/v1/jobs", json=body).json()["id"]


def ids(server: Server, token: str, owner: str) -> list[str]:
    answer = ask(server, token, "GET", f"/api/v1/jobs?owner={owner}")
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["items"]]


def audited(server: Server) -> list[dict[str, Any]]:
    return ask(server, ADMIN_KEY, "GET", "/api/v1/audit").json()["items"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_they_read_the_jobs_of_one_owner_or_of_all(server: Server, waiting: str, role: Role):
    token = key(server, role.value, role)
    assert waiting in ids(server, token, "*")
    assert waiting in ids(server, token, "anna")
    assert ids(server, token, role.value) == []
    assert ask(server, token, "GET", f"/api/v1/jobs/{waiting}").status_code == 404, (
        "unless the owner is named"
    )
    assert ask(server, token, "GET", f"/api/v1/jobs/{waiting}?owner=anna").status_code == 200
    assert ask(server, token, "GET", "/api/v1/jobs?owner=nobody").status_code == 404


def test_users_and_keys_without_the_scope_name_no_owner(server: Server, waiting: str):
    former = key(server, "former", Role.OPERATOR, scopes=Role.OPERATOR.scopes - {Scope.JOBS_ALL})
    for token in (key(server, "ben"), former):
        answer = ask(server, token, "GET", "/api/v1/jobs?owner=anna")
        assert answer.status_code == 403
        assert "jobs:all" in answer.json()["detail"]
        assert waiting not in ask(server, token, "GET", "/api/v1/jobs").text


@pytest.mark.parametrize("path", ["webhooks", "workflows", "sessions"])
def test_what_is_no_job_stays_its_owners(server: Server, waiting: str, path: str):
    for role in (Role.VIEWER, Role.OPERATOR):
        answer = ask(server, key(server, role.value, role), "GET", f"/api/v1/{path}?owner=anna")
        assert answer.status_code == 403


def test_a_viewer_changes_nothing(server: Server, waiting: str):
    token = key(server, "viewer", Role.VIEWER)
    for method, path, body in (
        ("POST", f"/api/v1/jobs/{waiting}/cancel?owner=anna", None),
        ("POST", "/api/v1/jobs", BODY),
        ("POST", "/api/v1/keys", {}),
        ("DELETE", "/api/v1/nodes/attic", None),
    ):
        assert ask(server, token, method, path, json=body).status_code == 403, path


def test_an_operator_acts_for_another_owner_and_the_log_says_so(server: Server, waiting: str):
    token = key(server, "operator", Role.OPERATOR)
    assert ask(server, token, "POST", f"/api/v1/jobs/{waiting}/cancel?owner=anna").status_code == 200
    entry = audited(server)[0]
    assert (entry["actor"], entry["detail"]) == ("operator", "for anna")
    assert waiting in entry["target"]
    assert ask(server, token, "GET", "/api/v1/audit").status_code == 403
