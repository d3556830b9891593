"""The admin API of nodes."""

from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.http.support import problem
from tests.nodes import STATIC, with_nodes

SECRET = "s3cret-value"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("nodes"))
    with running_server(settings, prepare=lambda app: with_nodes(app, STATIC) and None) as server:
        yield server


@pytest.fixture
def nodes(shared: Server) -> Server:
    """With the node of the settings only."""
    for node in shared.client.get("/api/v1/nodes").json()["items"]:
        if node["source"] == "added":
            shared.client.delete(f"/api/v1/nodes/{node['name']}")
    return shared


def add(server: Server, **changes: Any) -> Any:
    return server.client.post("/api/v1/nodes", json={"name": "attic", "url": "http://attic:8188", **changes})


def test_an_added_node_is_listed_with_how_it_is(nodes: Server) -> None:
    answer = add(nodes, labels=["big"], slots=3, memoryMb=8000)

    assert answer.status_code == 201
    listed = nodes.client.get("/api/v1/nodes").json()["items"]
    assert [node["name"] for node in listed] == ["fixed", "attic"]
    assert listed[1] == answer.json() == nodes.client.get("/api/v1/nodes/attic").json()
    assert listed[1].items() >= {
        "url": "http://attic:8188",
        "source": "added",
        "state": "healthy",
        "labels": ["big"],
        "queues": ["gpu"],
        "slots": 3,
        "memoryMb": 8000,
        "verifyTls": True,
        "caFile": None,
        "draining": False,
    }.items()  # fmt: skip
    assert listed[1]["seen"]["version"] == "0.33.0"
    assert listed[1]["seen"]["resident"] == ["sdxl/base.safetensors"]


def test_secrets_are_never_shown(nodes: Server) -> None:
    answers = [
        add(nodes, token=SECRET, headers={"CF-Access-Client-Secret": SECRET}),
        nodes.client.patch("/api/v1/nodes/attic", json={"headers": {"X-Other": SECRET}, "token": SECRET}),
        nodes.client.patch("/api/v1/nodes/attic", json={"headers": {"Bad Name": SECRET}}),
        nodes.client.patch("/api/v1/nodes/attic", json={"headers": {"X": SECRET * 1000}}),
        nodes.client.patch("/api/v1/nodes/attic", json={"token": SECRET * 1000}),
        nodes.client.patch("/api/v1/nodes/attic", json={"token": [SECRET]}),
        nodes.client.get("/api/v1/nodes"),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 400, 400, 400, 400, 200]
    assert answers[0].json()["headers"] == ["Authorization", "CF-Access-Client-Secret"]
    assert answers[1].json()["headers"] == ["Authorization", "X-Other"]
    assert all("s3cret" not in answer.text for answer in answers)


def test_a_token_replaces_the_former_one_and_leaves_other_headers(nodes: Server) -> None:
    add(nodes, headers={"X-Key": "a", "authorization": "Basic b"})

    def headers() -> dict[str, str]:
        return dict(nodes.app.nodes.get("attic").config.headers)

    nodes.client.patch("/api/v1/nodes/attic", json={"token": "t"})
    assert headers() == {"X-Key": "a", "Authorization": "Bearer t"}
    nodes.client.patch("/api/v1/nodes/attic", json={"token": None})
    assert headers() == {"X-Key": "a"}


def test_a_token_and_its_header_at_once_are_refused(nodes: Server) -> None:
    told = problem(add(nodes, token="a", headers={"Authorization": "Bearer b"}), 400)

    assert list(told["errors"]) == ["token"]


def test_a_patch_changes_what_it_names_and_null_is_the_default(nodes: Server) -> None:
    add(nodes, slots=4, labels=["big"])

    changed = nodes.client.patch("/api/v1/nodes/attic", json={"slots": None, "url": "https://attic/"}).json()

    assert (changed["slots"], changed["labels"], changed["url"]) == (2, ["big"], "https://attic")


@pytest.mark.parametrize("name", ["attic", "fixed"])
def test_a_node_is_drained_and_taken_back(nodes: Server, name: str) -> None:
    add(nodes)
    one = f"/api/v1/nodes/{name}"

    assert nodes.client.post(f"{one}/drain").json()["state"] == "draining"
    assert nodes.client.get(one).json()["draining"] is True
    assert nodes.client.delete(f"{one}/drain").json()["state"] == "healthy"
    assert nodes.client.patch(one, json={"draining": True}).json()["draining"] is True
    assert nodes.client.patch(one, json={"draining": False}).json()["draining"] is False


def test_a_removed_node_is_gone(nodes: Server) -> None:
    add(nodes)

    assert nodes.client.delete("/api/v1/nodes/attic").status_code == 204
    problem(nodes.client.get("/api/v1/nodes/attic"), 404)
    problem(nodes.client.delete("/api/v1/nodes/attic"), 404)


def test_what_is_in_the_settings_is_changed_there(nodes: Server) -> None:
    assert "settings" in problem(nodes.client.delete("/api/v1/nodes/fixed"), 409)["detail"]
    assert "settings" in problem(nodes.client.patch("/api/v1/nodes/fixed", json={"slots": 1}), 409)["detail"]


def test_a_sick_node_tells_its_trouble(nodes: Server) -> None:
    body = add(nodes, name="sick").json()

    assert (body["state"], body["trouble"]) == ("troubled", "nobody answers at its address")


def test_the_doctor_tells_what_was_found(nodes: Server) -> None:
    add(nodes, name="sick")

    sick = nodes.client.post("/api/v1/nodes/sick/doctor").json()
    fixed = nodes.client.post("/api/v1/nodes/fixed/doctor").json()

    assert (sick["ok"], fixed["ok"]) == (False, True)
    assert [finding["level"] for finding in sick["findings"]] == ["ok", "error"]
    assert sick["findings"][1] == {
        "level": "error",
        "subject": "socket",
        "message": "is refused; let the proxy pass WebSockets",
    }


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "a b"}),
        ("name", {"name": 5}),
        ("url", {"url": "attic:8188"}),
        ("url", {"url": "http://me:pw@attic"}),
        ("url", {"url": ""}),
        ("slots", {"slots": 17}),
        ("slots", {"slots": True}),
        ("labels[0]", {"labels": ["two words"]}),
        ("memoryMb", {"memoryMb": -1}),
        ("memoryMb", {"memoryMb": 10**12}),
        ("headers.Host", {"headers": {"Host": "x"}}),
        ("caFile", {"caFile": "here.pem"}),
        ("lables", {"lables": []}),
    ],
)
def test_a_wrong_field_is_named(nodes: Server, field: str, changes: dict[str, Any]) -> None:
    told = problem(add(nodes, **changes), 400)

    assert list(told["errors"]) == [field]
    assert [node["name"] for node in nodes.client.get("/api/v1/nodes").json()["items"]] == ["fixed"]


def test_a_server_is_added_once(nodes: Server) -> None:
    add(nodes)

    assert "node attic already" in problem(add(nodes, name="again"), 409)["detail"]
    assert "choose another name" in problem(add(nodes, url="http://other"), 409)["detail"]


def test_a_name_cannot_be_changed(nodes: Server) -> None:
    add(nodes)

    told = problem(nodes.client.patch("/api/v1/nodes/attic", json={"name": "cellar"}), 400)

    assert list(told["errors"]) == ["name"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/drain"),
        ("DELETE", "/drain"),
        ("POST", "/doctor"),
    ],
)
def test_an_unknown_node_is_a_404(nodes: Server, method: str, path: str) -> None:
    answer = nodes.client.request(method, f"/api/v1/nodes/nobody{path}", json={"slots": 1})

    assert "nobody" in problem(answer, 404)["detail"]


def test_it_needs_no_header_before_there_is_a_key(nodes: Server) -> None:
    assert nodes.client.get("/api/v1/nodes", headers={"Authorization": ""}).status_code == 200


def test_another_sites_page_can_neither_read_nor_change_nodes(nodes: Server) -> None:
    foreign = {"Origin": "https://evil.example"}

    problem(nodes.client.get("/api/v1/nodes", headers=foreign), 403)
    problem(nodes.client.post("/api/v1/nodes/fixed/drain", headers=foreign), 403)
    assert nodes.client.get("/api/v1/nodes/fixed").json()["draining"] is False
