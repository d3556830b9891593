"""Documents about models, registered at once: checked first, and the same when repeated."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.conftest import SD1, Server
from tests.http.support import problem

LAMP = "urn:air:sdxl:lora:civitai:21@22"
FOG = "urn:air:flux1:lora:civitai:23@24"
NAMELESS = {"modelName": "has no AIR"}


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()


def send(server: Server, *rows: dict[str, Any], **options: bool) -> httpx2.Response:
    return server.client.post("/api/v1/resources/import", json={"rows": list(rows), **options})


def states(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["state"] for item in answer.json()["items"]]


def stored(server: Server, air: str) -> dict[str, Any] | None:
    answer = server.client.get(f"/v2/resources/{quote(air, safe='')}")
    return answer.json() if answer.status_code == 200 else None


def test_rows_are_created_then_unchanged_then_changed(server: Server):
    rows = [{"air": LAMP, "modelName": "Lamp", "tags": ["light"]}, {"air": FOG, "modelName": "Fog"}]
    assert states(send(server, *rows)) == ["created", "created"]
    assert states(send(server, *rows)) == ["unchanged", "unchanged"]
    assert states(send(server, {"air": LAMP, "modelName": "Lantern"}, rows[1])) == ["changed", "unchanged"]
    found = stored(server, LAMP)
    assert found
    assert (found["modelName"], found["tags"]) == ("Lantern", ["light"])


def test_a_dry_run_writes_nothing(server: Server):
    answer = send(server, {"air": LAMP}, {"air": SD1, "nsfw": True}, {"air": LAMP}, dryRun=True)
    assert states(answer) == ["created", "changed", "unchanged"]
    assert answer.json()["dryRun"] is True
    assert stored(server, LAMP) is None


def test_a_refused_row_leaves_everything_as_it_was(server: Server):
    told = problem(send(server, {"air": LAMP}, NAMELESS, {"air": FOG, "size": -1}), 400)
    assert set(told["errors"]) == {"rows[1].air", "rows[2].size"}
    assert stored(server, LAMP) is None


def test_refused_rows_can_be_skipped(server: Server):
    answer = send(server, {"air": LAMP}, NAMELESS, {"air": "nonsense"}, skipRefused=True)
    assert states(answer) == ["created", "refused", "refused"]
    body = answer.json()
    assert (body["created"], body["refused"]) == (1, 2)
    assert body["items"][1]["errors"] == ["air is required"]
    assert body["items"][2]["errors"][0].startswith("air 'nonsense' is not an AIR")
    assert stored(server, LAMP)


def test_a_job_is_answered_with_a_sentence(server: Server):
    answer = send(server, {"_id": {"$oid": "a"}, "jobId": "b", "lastEvent": {}}, skipRefused=True)
    (item,) = answer.json()["items"]
    assert item["errors"] == ["is a job, or an event of one; only models are imported, jobs are not"]


def test_fields_of_another_system_are_named_and_not_kept(server: Server):
    document = {
        "_id": {"$oid": "a"},
        "air": LAMP,
        "likes": 3,
        "createdAt": {"$date": "2025-01-01T00:00:00Z"},
        "availability": {"status": "available", "workers": 1},
        "size": {"$numberLong": "12345678901"},
    }
    (item,) = send(server, document).json()["items"]
    assert (item["state"], item["ignored"]) == ("created", ["likes"])
    found = stored(server, LAMP)
    assert found
    assert found["size"] == 12345678901


def test_the_file_of_an_operator_is_kept_and_that_of_a_site_fills_a_gap(server: Server):
    version = {
        "id": 24,
        "modelId": 23,
        "baseModel": "Flux.1 D",
        "model": {"name": "Fog", "type": "LORA"},
        "files": [{"name": "fog_v1.safetensors", "primary": True}],
    }
    assert states(send(server, version)) == ["created"]
    found = stored(server, FOG)
    assert found
    assert (found["fileName"], found["baseModel"]) == ("fog_v1.safetensors", "Flux.1 D")
    path = f"/v2/resources/{quote(FOG, safe='')}"
    server.client.patch(path, json={"fileName": "mine/fog.safetensors"})
    assert states(send(server, version)) == ["unchanged"]
    found = stored(server, FOG)
    assert found
    assert found["fileName"] == "mine/fog.safetensors"


def test_another_spelling_of_a_registered_air_changes_that_resource(server: Server):
    answer = send(server, {"air": f"{SD1}+77.safetensors", "nsfw": True})
    assert states(answer) == ["changed"]
    assert answer.json()["items"][0]["air"] == SD1


def test_a_file_of_a_site_with_a_path_is_refused(server: Server):
    version = {"id": 24, "modelId": 23, "baseModel": "Flux.1 D", "model": {"type": "LORA"}}
    answer = send(server, {**version, "files": [{"name": "../../x.safetensors"}]}, skipRefused=True)
    (item,) = answer.json()["items"]
    assert item["state"] == "refused"
    assert "relative to the model folder" in item["errors"][0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rows"),
        ({"rows": []}, "rows"),
        ({"rows": [5]}, "rows[0]"),
        ({"rows": [{}] * 501}, "rows"),
        ({"rows": [{"air": LAMP}], "dry": True}, "dry"),
    ],
)
def test_a_wrong_body_is_refused(server: Server, body: dict[str, Any], field: str):
    answer = server.client.post("/api/v1/resources/import", json=body)
    assert list(problem(answer, 400)["errors"]) == [field]
