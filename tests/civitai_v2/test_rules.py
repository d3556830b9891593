"""The rules that decide whether a v2 client works, each as one request without a client."""

import re
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.civitai_v2.http_support import WORKFLOWS, picture, run, send
from tests.conftest import SD1, Server
from tests.http.support import problem
from tests.media.files import picture as png

BLOBS = "/v2/consumer/blobs"
PICTURE = {"prompt": "a lighthouse", "width": 64, "height": 64, "steps": 2}


@pytest.fixture(scope="module")
def workflow(server: Server) -> dict[str, Any]:
    return run(server, {**picture(), "timeout": "00:10:45"}, tags=["rules"])


def test_success_is_json(server: Server, workflow: dict[str, Any]):
    one, client = f"{WORKFLOWS}/{workflow['id']}", server.client
    answers = [
        send(server, picture()),
        client.get(WORKFLOWS),
        client.get(one),
        client.get(f"{one}/steps/$0"),
        client.post("/v2/consumer/recipes/textToImage", json=PICTURE),
        client.post("/v2/consumer/recipes/textToImage", json=PICTURE, params={"whatif": "true"}),
        client.get(f"{BLOBS}/upload"),
        client.post(BLOBS, content=png()),
        client.get(f"/v2/resources/{SD1}"),
        client.get("/v2/resources", params={"view": "queue"}),
    ]
    assert [answer.status_code for answer in answers] == [202, *[200] * 6, 201, 200, 200]
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"steps": [{"$type": "textToImage", "input": {**PICTURE, "width": 1}}]}, "steps[0].input.width"),
        ({"steps": [{"$type": "textToImage", "input": {**PICTURE, "colour": 1}}]}, "steps[0].input.colour"),
        ({"steps": [{"$type": "other"}]}, "steps[0].$type"),
        ({"steps": []}, "steps"),
        ({}, "steps"),
        ({"steps": [picture()], "colour": "red"}, "colour"),
        ({"steps": [picture()], "externalId": "a b"}, "externalId"),
        ([], "body"),
        ("x", "body"),
    ],
)
def test_the_errors_of_a_400_are_an_object_and_its_detail_a_sentence(server: Server, body: Any, field: str):
    told = problem(server.client.post(WORKFLOWS, json=body), 400)
    assert field in told["errors"]


def test_every_error_has_a_reason_phrase(server: Server):
    missing = server.client.get(f"{WORKFLOWS}/{'0' * 30}")
    assert (missing.status_code, missing.reason_phrase) == (404, "Not Found")
    assert problem(missing, 404)["detail"]


def test_changes_are_answered_without_a_body(server: Server, workflow: dict[str, Any]):
    one, client = f"{WORKFLOWS}/{workflow['id']}", server.client
    answers = [
        client.put(one, json={"metadata": {"a": 1}}),
        client.patch(one, json=[{"op": "add", "path": "/metadata/b", "value": 2}]),
        client.put(f"{one}/steps/$0", json={"metadata": {}}),
        client.patch(f"{one}/steps/$0", json=[{"op": "add", "path": "/metadata/b", "value": 2}]),
        client.post(f"{one}/tags", json="fav"),
        client.delete(f"{one}/tags/fav"),
        client.delete(f"{one}/tags"),
    ]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * len(answers)


@pytest.mark.parametrize("encode", [str, lambda air: quote(air, safe="")], ids=["plain", "encoded"])
def test_an_air_in_a_path_may_be_percent_encoded(server: Server, encode: Any):
    air = "urn:air:flux1:checkpoint:huggingface:org/name@main/file.safetensors"
    server.client.post("/v2/resources", json={"air": air, "modelName": "mine"})
    assert server.client.get(f"/v2/resources/{encode(air)}").json()["air"] == air


def test_a_step_name_in_a_path_may_be_percent_encoded(server: Server, workflow: dict[str, Any]):
    assert server.client.get(f"{WORKFLOWS}/{workflow['id']}/steps/%240").json()["name"] == "$0"


def test_durations_have_a_fraction(workflow: dict[str, Any]):
    assert workflow["steps"][0]["timeout"] == "00:10:45.0000000"


def test_instants_have_seven_decimals(workflow: dict[str, Any]):
    for name in ("createdAt", "startedAt", "completedAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", workflow[name]), name


def test_enumerations_are_read_in_any_case(server: Server):
    input_ = {**PICTURE, "scheduler": "EULERA", "outputFormat": "JPEG"}
    step = {"$type": "TEXTTOIMAGE", "input": input_, "priority": "HIGH"}
    ended = run(server, step, nsfwLevel="XXX", upgradeMode="Automatic", currencies=["Yellow"])
    (step,) = ended["steps"]
    assert (step["$type"], step["priority"]) == ("textToImage", "high")
    assert (step["input"]["scheduler"], step["input"]["outputFormat"]) == ("eulerA", "jpeg")
    assert (ended["nsfwLevel"], ended["upgradeMode"], ended["currencies"]) == ("xxx", "automatic", ["yellow"])
    assert step["output"]["images"][0]["id"].endswith(".jpeg")


def test_nothing_but_the_prompt_is_needed(server: Server):
    ended = run(server, {"$type": "textToImage", "input": {"prompt": "a lighthouse"}})
    assert isinstance(ended["steps"][0]["input"]["seed"], int)


@pytest.mark.parametrize(
    "path", [WORKFLOWS, f"{WORKFLOWS}/1", "/v2/consumer/recipes/echo", BLOBS, f"{BLOBS}/x"]
)
def test_pages_of_every_site_may_ask(server: Server, path: str):
    asked = {
        "Origin": "https://docs.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = httpx2.options(f"{server.url}{path}", headers=asked, verify=False)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/plain"])
def test_any_accept_and_unknown_parameters_are_tolerated(server: Server, accept: str):
    answer = server.client.post(
        WORKFLOWS, json={"steps": [picture()]}, params={"new": "x"}, headers={"Accept": accept}
    )
    assert answer.status_code in (200, 202)
    assert server.client.get(WORKFLOWS, params={"new": "x"}).status_code == 200


@pytest.mark.parametrize("wait", ["true", "0", "false", "20", ""])
def test_a_wait_is_seconds_or_as_older_clients_write_it(server: Server, wait: str):
    answer = server.client.post(WORKFLOWS, json={"steps": [picture()]}, params={"wait": wait})
    assert answer.status_code in (200, 202)
    got = server.client.get(f"{WORKFLOWS}/{answer.json()['id']}", params={"wait": "true"})
    assert got.status_code == 200
