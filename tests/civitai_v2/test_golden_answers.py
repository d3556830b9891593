"""Golden answers of Civitai v2: field set, casing, formats of dates and durations."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.bootstrap.application import Roles
from tests.civitai_v2.http_support import get, picture, ref, run, send
from tests.conftest import LORA, SD1, Server
from tests.http.support import Receiver, formats, running_receiver, until
from tests.media.files import picture as png

GOLDEN = Path(__file__).parent / "golden"
WHOLE = {
    "metadata": {"album": 5},
    "tags": ["civitai", "x"],
    "arguments": {"prompt": "a lighthouse"},
    "currencies": ["blue"],
    "nsfwLevel": "PG13",
    "tips": {"civitai": 0.5, "creators": 0},
    "allowMatureContent": True,
    "experimental": False,
    "upgradeMode": "automatic",
}
STEPS = (
    {
        **picture({"$ref": "$arguments", "path": "prompt"}, seed=7, scheduler="EulerA", outputFormat="webP"),
        "name": "first",
        "priority": "high",
        "timeout": "00:10:00",
        "retries": 2,
        "metadata": {"params": {"a": 1}},
    },
    picture("closer", sourceImage=ref("first", "output.images[0].url"), seed=8),
)
_FORMATS = {
    "<blob id>": r"[0-9A-HJKMNP-TV-Z]{26}\.\w+",
    "<upload id>": r"[0-9a-f]{64}\.\w+",
    "<blob url>": r"http://127\.0\.0\.1:\d+/v2/consumer/blobs/[0-9A-Z]{26}\.\w+\?exp=\d+&sig=[0-9a-f]+",
    "<upload url>": r"http://127\.0\.0\.1:\d+/v2/consumer/blobs/[0-9a-f]{64}\.\w+\?exp=\d+&sig=[0-9a-f-]+",
    "<own time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00",
    "<receiver>": r"http://127\.0\.0\.1:\d+/hook",
}
_NODE = re.compile(r"\bsim-\d+\.\w+")


def shaped(value: Any) -> Any:
    """A JSON value with every text that differs from run to run replaced by the name of its format."""
    if isinstance(value, dict):
        return {key: shaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shaped(item) for item in value]
    if isinstance(value, str):
        found = next((name for name, form in _FORMATS.items() if re.fullmatch(form, value)), formats(value))
        return _NODE.sub("<node>", value) if found in (value, "<milliseconds>") else found
    return value


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def nulls(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in nulls(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for item in value for found in nulls(item, f"{path}[]")]
    return [path] if value is None else []


@pytest.fixture
def accepting(make_server: Callable[..., Server]) -> Server:
    """A server that only accepts: what waits there stays as it is."""
    return make_server(roles=Roles(scheduler=False, worker=False))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def test_a_finished_workflow_has_the_recorded_shape(server: Server):
    ended = run(server, *STEPS, **WHOLE, externalId="golden")
    assert shaped(ended) == golden("finished_workflow")
    assert nulls(ended) == []


def test_an_accepted_workflow_has_the_recorded_shape(accepting: Server):
    answer = send(accepting, *STEPS, arguments=WHOLE["arguments"])
    assert answer.status_code == 202
    assert shaped(answer.json()) == golden("accepted_workflow")


def test_a_price_has_the_recorded_shape(server: Server):
    body = {"steps": list(STEPS), **WHOLE}
    answer = server.client.post("/v2/consumer/workflows", json=body, params={"whatif": "true"})
    assert answer.status_code == 200
    assert shaped(answer.json()) == golden("priced_workflow")


def test_a_failed_workflow_has_the_recorded_shape(server: Server):
    ended = run(server, *STEPS, metadata={"simulate": {"fault": "content"}}, arguments=WHOLE["arguments"])
    for step in ended["steps"]:
        for job in step["jobs"]:
            job.pop("startedAt", None)
    assert shaped(ended) == golden("failed_workflow")


def test_a_step_has_the_recorded_shape(server: Server):
    ended = run(server, *STEPS, **WHOLE)
    step = server.client.get(f"/v2/consumer/workflows/{ended['id']}/steps/first").json()
    assert shaped(step) == golden("finished_workflow")["steps"][0]


def test_a_page_has_the_recorded_shape(server: Server):
    run(server, *STEPS, **{**WHOLE, "tags": ["page"]}, externalId="golden-page")
    page = server.client.get("/v2/consumer/workflows", params={"tags": "page", "take": "1"}).json()
    expected = {**golden("finished_workflow"), "tags": ["page"], "externalId": "golden-page"}
    assert shaped(page) == {"next": None, "items": [expected]}


def test_blobs_have_the_recorded_shape(server: Server):
    headers = {"Content-Type": "image/png"}
    uploaded = server.client.post("/v2/consumer/blobs", content=png(), headers=headers)
    assert uploaded.status_code == 201
    blob = run(server, picture())["steps"][0]["output"]["images"][0]
    refreshed = server.client.post(f"/v2/consumer/blobs/{blob['id']}/refresh")
    assert refreshed.status_code == 200
    found = {"uploaded": uploaded.json(), "made": blob, "refreshed": refreshed.json()}
    assert shaped(found) == golden("blobs")


def test_a_resource_has_the_recorded_shape(server: Server):
    found = {air: server.client.get(f"/v2/resources/{air}").json() for air in (SD1, LORA)}
    assert shaped(found) == golden("resources")


def test_problems_have_the_recorded_shape(server: Server):
    asked = {
        "invalid": send(server, picture(width=1, colour="red")),
        "unknown type": send(server, {"$type": "textToSong", "input": {}}),
        "unknown workflow": server.client.get("/v2/consumer/workflows/1-20260101000000000"),
        "unknown blob": server.client.get("/v2/consumer/blobs/01JBST8000E00800000000007Z.png"),
        "not JSON": server.client.post("/v2/consumer/workflows", content=b"{"),
    }
    assert {name: answer.headers["content-type"] for name, answer in asked.items()} == dict.fromkeys(
        asked, "application/problem+json"
    )
    found = {name: answer.json() for name, answer in asked.items()}
    assert shaped(found) == golden("problems")


def test_callbacks_have_the_recorded_shape(make_server: Callable[..., Server], receiver: Receiver):
    server = make_server(
        webhook={"retry_base_s": 0.01}, allow_networks=["127.0.0.0/8"], simulator={"nodes": 1, "slots": 1}
    )
    callbacks = [
        {"url": receiver.url, "type": ["workflow:*", "step:*", "job:*"]},
        {"url": receiver.url, "type": ["workflow:succeeded", "step:succeeded"], "detailed": True},
    ]
    ended = run(server, *STEPS, **WHOLE, callbacks=callbacks)

    def bodies() -> list[dict[str, Any]]:
        return [body for _, body, _ in receiver.calls]

    until(
        lambda: sum(body["$type"] == "workflow" and body["status"] == "succeeded" for body in bodies()) == 2
    )
    assert {body["workflowId"] for body in bodies()} == {ended["id"]}
    # On a busy machine even an instant render may be seen in progress, and a model is loaded once.
    plain = [body for body in bodies() if "details" not in body and "progress" not in body]
    found = {
        "plain": [body for body in plain if "preparation" not in body],
        "detailed": [body for body in bodies() if "details" in body],
    }
    assert shaped(found) == golden("callbacks")
    assert get(server, ended["id"])["callbacks"] == callbacks
