"""Models by the names of their files: the list, jobs, defaults and the import, on a real fake node."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.comfyui.node import TestNode
from tests.conftest import SD1, Server
from tests.http.support import problem, until
from tests.library.support import CELL

DREAM, JUGGERNAUT, MIX = "dreamshaper_8.safetensors", "XL/juggernaut v9.safetensors", "mymix.safetensors"
DETAILS = "more_details.safetensors"


@pytest.fixture
def node() -> Iterator[TestNode]:
    models = {"checkpoints": [DREAM, JUGGERNAUT, MIX], "loras": [DETAILS], "vae": ["kl-f8.safetensors"]}
    with TestNode(models=models, sizes={MIX: 6_938_078_334}) as node:
        yield node


@pytest.fixture
def server(node: TestNode, make_server: Callable[..., Server]) -> Server:
    server = make_server()
    added = server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url})
    assert added.status_code == 201, added.text
    until(lambda: listed(server, type="vae"))
    return server


def listed(server: Server, **query: str) -> dict[str, dict[str, Any]]:
    body = server.client.get("/api/v1/models", params=query).json()
    return {item["name"]: item for item in body["items"] if item["nodes"]}


def submit(server: Server, **fields: Any) -> httpx2.Response:
    body = {"recipe": "textToImage", "input": {"prompt": "a fox", "steps": 2, **fields}}
    return server.client.post("/api/v1/jobs", json=body)


def finished(server: Server, answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    path = f"/api/v1/jobs/{answer.json()['id']}"
    return until(lambda: (job := server.client.get(path).json())["finishedAt"] and job)


def test_the_files_of_a_node_are_listed_with_their_families(server: Server):
    found = listed(server)
    assert {name: (item["type"], item["family"], item["familySource"]) for name, item in found.items()} == {
        DREAM: ("checkpoint", "sd1", "name"),
        JUGGERNAUT: ("checkpoint", "sdxl", "name"),
        MIX: ("checkpoint", "sdxl", "size"),
        DETAILS: ("lora", "", "unknown"),
        "kl-f8.safetensors": ("vae", "", "unknown"),
    }
    assert all(item["nodes"] == ["attic"] and not item["registered"] for item in found.values())
    assert set(listed(server, q="JUGGER")) == {JUGGERNAUT}
    assert set(listed(server, node="attic", type="lora")) == {DETAILS}
    problem(server.client.get("/api/v1/models", params={"node": "cellar"}), 400)


def test_registered_models_that_no_node_has_are_listed_without_nodes(server: Server):
    items = server.client.get("/api/v1/models").json()["items"]
    absent = {item["air"]: item for item in items if not item["nodes"]}
    assert absent[SD1]["title"] == "DreamShaper 8"
    assert absent[SD1]["registered"]


@pytest.mark.parametrize(
    ("model", "file", "side"),
    [
        (DREAM, DREAM, 512),
        ("DreamShaper_8", DREAM, 512),
        ("juggernaut v9.safetensors", JUGGERNAUT, 1024),
        (f"file:{DREAM}", DREAM, 512),
        (f"urn:air:sdxl:checkpoint:file:{DREAM}", DREAM, 1024),
    ],
)
def test_a_job_names_its_model_by_the_file(server: Server, model: str, file: str, side: int):
    job = finished(server, submit(server, model=model, networks=[{"air": DETAILS}]))
    assert job["status"] == "succeeded", job
    assert job["input"]["model_path"] == file
    assert job["input"]["networks"][0]["path"] == DETAILS
    assert (job["artifacts"][0]["width"], job["artifacts"][0]["height"]) == (side, side)
    assert job["node"] == "attic"


def test_civitais_api_takes_a_file_name_too(server: Server):
    body = {
        "$type": "textToImage",
        "model": DREAM,
        "params": {"prompt": "a fox", "steps": 2, "width": 256, "height": 256},
        "additionalNetworks": {DETAILS: {"type": "Lora", "strength": 0.5}},
    }
    answer = server.client.post("/v1/consumer/jobs", json=body, params={"wait": "true"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["jobs"][0]["result"]["available"]


def test_a_model_that_no_node_has_is_refused_with_those_that_are_there(server: Server):
    body = problem(submit(server, model="dreamshaper_7.safetensors"), 400)
    (message,) = body["errors"]["input.model"]
    assert DREAM in message
    assert "imagemill models list" in message


def test_a_registered_model_without_its_file_is_refused_with_the_file_and_the_command(server: Server):
    body = problem(submit(server, model=SD1), 400)
    (message,) = body["errors"]["input.model"]
    assert "is missing on attic" in message
    assert f"imagemill resources set {SD1} --file {DREAM}" in message


def test_a_job_without_a_model_gets_one_that_is_there(server: Server):
    default = server.client.get("/api/v1/models").json()["default"]
    job = finished(server, submit(server))
    assert (job["status"], job["input"]["model"]) == ("succeeded", default)
    assert job["input"]["model_path"] in (JUGGERNAUT, MIX)


def test_the_tag_default_chooses_the_default(server: Server):
    air = f"urn:air:sd1:checkpoint:file:{DREAM}"
    server.client.post("/v2/resources", json={"air": air, "fileName": DREAM, "tags": ["default"]})
    assert server.client.get("/api/v1/models").json()["default"] == air
    assert finished(server, submit(server))["input"]["model_path"] == DREAM


def test_a_workflow_without_a_model_gets_one_and_its_size(server: Server):
    answer = server.client.post("/api/v1/workflows/sd-text", json={"prompt": "a fox", "steps": 2})
    job = finished(server, answer)
    assert job["status"] == "succeeded", job
    assert (job["artifacts"][0]["width"], job["artifacts"][0]["height"]) == (1024, 1024)
    small = server.client.post(
        "/api/v1/workflows/sd-text", json={"prompt": "a fox", "steps": 2, "model": DREAM}
    )
    assert finished(server, small)["artifacts"][0]["width"] == 512


def test_an_avatar_is_drawn_by_a_model_that_is_there(server: Server):
    body = {"characterId": "lia", "character": {"name": "Lia", "physical": "red hair"}}
    answer = server.client.post("/api/v1/image-generation/avatar", json=body)
    assert answer.is_success, answer.text


def test_an_import_registers_the_files_and_links_published_ones(server: Server):
    order = {"node": "attic", "types": ["checkpoint", "lora"]}
    planned = server.client.post("/api/v1/models/import", json={**order, "dryRun": True}).json()
    assert {item["name"]: item["state"] for item in planned["items"]} == {
        DREAM: "linked",
        DETAILS: "linked",
        JUGGERNAUT: "added",
        MIX: "added",
    }
    assert not listed(server)[MIX]["registered"]
    done = server.client.post("/api/v1/models/import", json=order).json()
    assert [item["state"] for item in done["items"]] == [item["state"] for item in planned["items"]]
    assert listed(server)[DREAM]["air"] == SD1
    assert finished(server, submit(server, model=SD1))["status"] == "succeeded"
    assert finished(server, submit(server, model=listed(server)[JUGGERNAUT]["air"]))["status"] == "succeeded"
    again = server.client.post("/api/v1/models/import", json=order).json()
    assert {item["state"] for item in again["items"]} == {"present"}


def test_the_family_of_an_import_can_be_given(server: Server):
    order = {"node": "attic", "names": [MIX], "family": "sd1"}
    (item,) = server.client.post("/api/v1/models/import", json=order).json()["items"]
    assert (item["family"], item["state"]) == ("sd1", "added")
    assert finished(server, submit(server, model=MIX))["artifacts"][0]["width"] == 512


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"node": "cellar"}, 400),
        ({"node": "attic", "names": ["absent.safetensors"]}, 400),
        ({"node": "attic", "types": ["checkpiont"]}, 400),
        ({"node": "attic", "family": "Not A Family"}, 400),
    ],
)
def test_an_import_that_makes_no_sense_is_refused(server: Server, order: dict[str, Any], status: int):
    problem(server.client.post("/api/v1/models/import", json=order), status)


def test_the_doctor_counts_the_registered_models_of_a_node(server: Server):
    def finding() -> dict[str, str]:
        findings = server.client.post("/api/v1/nodes/attic/doctor").json()["findings"]
        return next(each for each in findings if each["subject"] == "registry")

    assert finding()["level"] == "warning"
    assert "0 of 5 registered models are on this node" in finding()["message"]
    server.client.post("/api/v1/models/import", json={"node": "attic"})
    assert finding()["level"] == "ok"


def test_without_nodes_a_file_name_is_drawn_by_the_simulator(make_server: Callable[..., Server]):
    server = make_server()
    job = finished(server, submit(server, model="myXL.safetensors", width=64, height=64))
    assert (job["status"], job["input"]["model"]) == (
        "succeeded",
        "urn:air:sdxl:checkpoint:file:myXL.safetensors",
    )
    problem(submit(server, model="../myXL.safetensors"), 400)
    problem(submit(server, model="myXL"), 400)
    assert finished(server, submit(server))["input"]["model"].startswith("urn:air:sdxl:checkpoint:civitai:")


def test_the_librarys_former_address_serves_all_but_its_list(make_server: Callable[..., Server]):
    server = make_server()
    quote = {"params": {"whatif": "true"}, "json": CELL}
    former, present = (server.client.post(path, **quote) for path in ("/api/v1/models", "/api/v1/library"))
    assert (former.status_code, former.json()) == (200, present.json())
    assert "default" in server.client.get("/api/v1/models").json()
    assert "/api/v1/models/{model_id}" not in server.client.get("/openapi.json").json()["paths"]


def test_a_family_has_one_default_which_jobs_without_a_model_use(server: Server) -> None:
    for name in (DREAM, MIX):
        order = {"node": "attic", "names": [name], "family": "sd1"}
        server.client.post("/api/v1/models/import", json=order).raise_for_status()

    for name in (DREAM, MIX):
        chosen = server.client.put("/api/v1/models/default", json={"air": name}).json()
        body = server.client.get("/api/v1/models").json()
        assert body["defaults"] == {"sd1": chosen["air"]}
        assert body["default"] == chosen["air"] == listed(server)[name]["air"]
    refused = server.client.put(
        "/api/v1/models/default", json={"air": "urn:air:sd1:lora:civitai:82098@87153"}
    )
    assert "only a checkpoint" in str(problem(refused, 400))
    assert (
        "air" in problem(server.client.put("/api/v1/models/default", json={"air": "nothing"}), 400)["errors"]
    )
