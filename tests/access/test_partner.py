"""Partner nodes of ComfyUI: only owners with the scope, never private jobs, and the key is shown nowhere."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from imagemill.domain.access import Role, Scope
from tests.access.support import ADMIN_KEY, ask, guarded, key
from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.http.support import problem, until

ACCOUNT_KEY = "comfyui-9d8c7b6a5f4e"
CLASS = "LabPartnerImage"
GRAPH = {
    "1": {"class_type": CLASS, "inputs": {"prompt": "a fox", "seed": 3}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "t"}},
}
WITH_SCOPE = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.PARTNER})


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(models={"checkpoints": ["sd1.safetensors"]}) as node:
        yield node


def served(make_server: Callable[..., Server], node: TestNode, **comfyui: Any) -> Server:
    server = guarded(make_server, comfyui=comfyui)
    added = server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url})
    assert added.status_code == 201, added.text
    until(lambda: server.client.get("/api/v1/models").json()["items"][0]["nodes"])
    return server


@pytest.fixture
def server(make_server: Callable[..., Server], node: TestNode) -> Server:
    return served(make_server, node, api_key=ACCOUNT_KEY, partner_prices={CLASS: 0.04})


def submit(server: Server, owner_key: str, query: str = "", **fields: Any) -> httpx2.Response:
    body = {"recipe": "comfy", "input": {"graph": GRAPH}, **fields}
    return ask(server, owner_key, "POST", f"/api/v1/jobs{query}", json=body)


def finished(server: Server, owner_key: str, answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    path = f"/api/v1/jobs/{answer.json()['id']}"
    return until(lambda: (job := ask(server, owner_key, "GET", path).json())["finishedAt"] and job)


def test_no_key_has_a_granted_scope_unless_it_is_named(server: Server):
    for role in Role:
        made = server.client.post("/api/v1/owners", json={"id": f"of-{role}", "role": role})
        assert made.status_code == 201, made.text
        own = ask(server, key(server, f"of-{role}"), "GET", "/api/v1/auth/me")
        assert not {"partner", "books:unlock"} & set(own.json()["scopes"])


def test_an_administrator_gives_the_scope_and_its_owner_does_not(server: Server):
    plain = key(server, "ann")
    body = {"scopes": ["jobs:read", "jobs:write", "partner"]}
    assert "partner" in problem(ask(server, plain, "POST", "/api/v1/keys", json=body), 403)["detail"]
    given = server.client.post("/api/v1/owners/ann/keys", json=body)
    assert given.status_code == 201, given.text
    assert submit(server, given.json()["key"]).status_code == 201


def test_a_graph_with_partner_nodes_needs_the_scope(server: Server, node: TestNode):
    body = problem(submit(server, key(server, "bob")), 400)
    (message,) = next(iter(body["errors"].values()))
    assert CLASS in message
    assert "the scope 'partner'" in message
    assert "imagemill keys create" in message
    assert not node.prompts


def test_it_runs_for_an_owner_with_the_scope_and_the_key_is_shown_nowhere(server: Server, node: TestNode):
    mine = key(server, "cat", scopes=WITH_SCOPE)
    priced = submit(server, mine, "?whatif=true")
    assert priced.json()["providerDollars"] == {"comfyui": 0.04}
    job = finished(server, mine, submit(server, mine))
    assert job["status"] == "succeeded", job
    assert node.partner_keys == [ACCOUNT_KEY]
    shown = ask(server, mine, "GET", f"/api/v1/jobs/{job['id']}").text
    events = ask(server, mine, "GET", f"/api/v1/jobs/{job['id']}/events").text
    picture = httpx2.get(job["artifacts"][0]["url"], verify=False).content
    assert ACCOUNT_KEY not in shown + events
    assert ACCOUNT_KEY.encode() not in picture
    assert ACCOUNT_KEY.encode() not in b"".join(
        path.read_bytes() for path in server.app.settings.data_dir.rglob("*") if path.is_file()
    )


def test_a_private_job_never_uses_them(server: Server, node: TestNode):
    body = problem(submit(server, key(server, "dan", scopes=WITH_SCOPE), private=True), 400)
    (message,) = body["errors"]["private"]
    assert CLASS in message
    assert not node.prompts


def test_a_replay_needs_the_scope_too(server: Server):
    mine = key(server, "eve", scopes=WITH_SCOPE)
    job = finished(server, mine, submit(server, mine))
    path = f"/api/v1/jobs/{job['id']}/replay"
    assert "partner" in problem(ask(server, key(server, "eve"), "POST", path), 403)["detail"]
    assert ask(server, mine, "POST", path).status_code == 201


def test_civitais_api_asks_for_the_scope_too(server: Server):
    body = {"$type": "comfy", "params": {"workflow": GRAPH}}
    refused = ask(server, key(server, "fay"), "POST", "/v1/consumer/jobs", json=body)
    assert refused.status_code == 400
    assert "the scope 'partner'" in refused.text
    mine = key(server, "fay", scopes=WITH_SCOPE)
    answer = ask(server, mine, "POST", "/v1/consumer/jobs", json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("comfyui", "words"),
    [
        ({"partner_prices": {CLASS: 0.04}}, "IMAGEMILL_COMFYUI__API_KEY"),
        ({"api_key": ACCOUNT_KEY}, "IMAGEMILL_COMFYUI__PARTNER_PRICES"),
    ],
)
def test_without_the_account_s_key_or_a_price_the_setting_is_named(
    make_server: Callable[..., Server], node: TestNode, comfyui: dict[str, Any], words: str
):
    server = served(make_server, node, **comfyui)
    body = problem(submit(server, ADMIN_KEY), 400)
    assert words in str(body["errors"])
    assert not node.prompts
