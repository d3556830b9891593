"""Administrators see and change what is other owners': ?owner=NAME, and ?owner=* for jobs."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from imagemill.config import Settings
from imagemill.domain.access import Role
from tests.access.support import ADMIN_KEY, ask, key
from tests.conftest import Server, image_job, running_server
from tests.http.support import problem

SLOW = image_job(properties={"simulate": {"step_ms": 60_000}})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("administrators"),
        shutdown_grace_s=0,
        auth={"admin_key": ADMIN_KEY, "password_memory_mb": 8},
    )
    with running_server(settings) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    roles = {"ann": Role.USER, "bob": Role.USER, "ops": Role.ADMIN, "operator": Role.OPERATOR}
    return {owner: key(server, owner, role) for owner, role in roles.items()}


@pytest.fixture(scope="module")
def jobs(server: Server, tokens: dict[str, str]) -> dict[str, str]:
    return {owner: submitted(server, tokens[owner]) for owner in ("ann", "bob")}


def submitted(server: Server, token: str, job: dict[str, Any] | None = None) -> str:
    answer = ask(server, token, "POST", "/v1/consumer/jobs", json=job or image_job(), params={"wait": "true"})
    return answer.json()["jobs"][0]["jobId"]


def listed(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {job["id"]: job["owner"] for job in answer.json()["items"]}


def test_an_administrator_lists_the_jobs_of_one_owner_and_of_all(
    server: Server, tokens: dict[str, str], jobs: dict[str, str]
) -> None:
    def of(query: str) -> dict[str, str]:
        return listed(ask(server, tokens["ops"], "GET", f"/api/v1/jobs{query}"))

    assert of("") == {}
    assert of("?owner=ops") == {}
    assert of("?owner=ann") == {jobs["ann"]: "ann"}
    everything = of("?owner=*")
    assert everything[jobs["ann"]] == "ann"
    assert everything[jobs["bob"]] == "bob"
    assert len(of("?owner=*&limit=1")) == 1
    assert of("?owner=&limit=1") == {}


def test_an_administrator_reads_follows_and_replays_a_job_of_another(
    server: Server, tokens: dict[str, str], jobs: dict[str, str]
) -> None:
    path = f"/api/v1/jobs/{jobs['ann']}"
    for owner in ("ann", "*"):
        assert ask(server, tokens["ops"], "GET", f"{path}?owner={owner}").json()["owner"] == "ann"
        events = ask(server, tokens["ops"], "GET", f"{path}/events?owner={owner}&stream=false")
        assert events.json()["items"]
    problem(ask(server, tokens["ops"], "GET", path), 404)
    problem(ask(server, tokens["ops"], "GET", f"{path}?owner=bob"), 404)

    again = ask(server, tokens["ops"], "POST", f"{path}/replay?owner=ann")

    assert (again.status_code, again.json()["owner"]) == (201, "ann")
    assert again.json()["id"] in listed(ask(server, tokens["ann"], "GET", "/api/v1/jobs"))


def test_an_administrator_cancels_a_job_of_another_and_it_is_in_the_audit_log(
    server: Server, tokens: dict[str, str]
) -> None:
    answer = ask(server, tokens["ann"], "POST", "/v1/consumer/jobs", json=SLOW)
    job_id = answer.json()["jobs"][0]["jobId"]

    canceled = ask(server, tokens["ops"], "POST", f"/api/v1/jobs/{job_id}/cancel?owner=*")

    assert canceled.json()["cancelRequested"] or canceled.json()["status"] == "canceled"
    entries = ask(server, tokens["ops"], "GET", "/api/v1/audit").json()["items"]
    entry = next(each for each in entries if each["target"] == f"/api/v1/jobs/{job_id}/cancel")
    assert (entry["actor"], entry["detail"]) == ("ops", "for *")


@pytest.mark.parametrize("owner", ["ann", "*", "nobody"])
@pytest.mark.parametrize(
    ("who", "method", "path", "needed"),
    [
        ("bob", "GET", "/api/v1/jobs", "the scope 'jobs:all'"),
        ("bob", "GET", "/api/v1/jobs/{}", "the scope 'jobs:all'"),
        ("bob", "POST", "/api/v1/jobs/{}/cancel", "the scope 'jobs:all'"),
        ("bob", "POST", "/api/v1/jobs/{}/replay", "the scope 'jobs:all'"),
        ("bob", "GET", "/api/v1/library", "the scope 'jobs:all'"),
        ("bob", "GET", "/api/v1/workflows", "an administrator"),
        ("bob", "GET", "/api/v1/webhooks", "an administrator"),
        ("operator", "GET", "/api/v1/workflows", "an administrator"),
        ("operator", "GET", "/api/v1/webhooks", "an administrator"),
    ],
)
def test_nobody_else_names_an_owner(
    server: Server,
    tokens: dict[str, str],
    jobs: dict[str, str],
    owner: str,
    who: str,
    method: str,
    path: str,
    needed: str,
) -> None:
    answer = ask(server, tokens[who], method, path.format(jobs["ann"]), params={"owner": owner})

    assert problem(answer, 403)["detail"] == f"owner: naming another owner needs {needed}"


def test_an_owner_may_name_itself(server: Server, tokens: dict[str, str], jobs: dict[str, str]) -> None:
    assert jobs["ann"] in listed(ask(server, tokens["ann"], "GET", "/api/v1/jobs?owner=ann"))


def test_webhooks_and_workflows_of_another_are_shown(server: Server, tokens: dict[str, str]) -> None:
    made = ask(server, tokens["ann"], "POST", "/api/v1/webhooks", json={"url": "https://example.com/hook"})
    assert made.status_code == 201, made.text

    def urls(query: str) -> list[str]:
        found = ask(server, tokens["ops"], "GET", f"/api/v1/webhooks{query}")
        return [each["url"] for each in found.json()["items"]]

    assert urls("") == []
    assert urls("?owner=ann") == ["https://example.com/hook"]
    paused = ask(server, tokens["ops"], "POST", f"/api/v1/webhooks/{made.json()['id']}/pause?owner=ann")
    assert paused.json()["state"] == "paused"


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("/api/v1/jobs?owner=nobody", 404, "no owner 'nobody'"),
        ("/api/v1/webhooks?owner=*", 400, "name one owner"),
        ("/api/v1/jobs?owner=ann&owner=bob", 400, "more than once"),
        ("/api/v1/nodes?owner=ann", 400, "is not a field of this query"),
    ],
)
def test_an_owner_that_cannot_be_named_is_an_error(
    server: Server, tokens: dict[str, str], query: str, status: int, said: str
) -> None:
    assert said in problem(ask(server, tokens["ops"], "GET", query), status)["detail"]


def test_nothing_is_submitted_for_another(server: Server, tokens: dict[str, str]) -> None:
    body = {"recipe": "textToImage", "input": {"model": SLOW["model"], "prompt": "a fox"}}

    answer = ask(server, tokens["ops"], "POST", "/api/v1/jobs?owner=ann", json=body)

    assert "owner" in problem(answer, 400)["errors"]


def test_the_document_names_it(make_server: Callable[..., Server]) -> None:
    paths = make_server().client.get("/openapi.json").json()["paths"]

    def has(method: str, path: str) -> bool:
        return "owner" in [each["name"] for each in paths[path][method].get("parameters", ())]

    assert has("get", "/api/v1/jobs")
    assert has("post", "/api/v1/jobs/{job_id}/cancel")
    assert not has("post", "/api/v1/jobs")
