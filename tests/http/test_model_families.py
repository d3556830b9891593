"""The family of a model on a real fake node: what the list tells, and what a job is refused for."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.http.support import problem, until

MYSTERY, TOLD, SPLIT = "mystery.safetensors", "told.safetensors", "z_image_turbo_bf16.safetensors"
LORA = "fox.safetensors"
HEADERS = {
    f"checkpoints/{TOLD}": {
        "modelspec.architecture": "stable-diffusion-xl-v1-base",
        "modelspec.title": "Told 1",
    },
    f"loras/{LORA}": {"ss_base_model_version": "sdxl_base_v1-0", "modelspec.trigger_phrase": "foxy vale"},
}


@pytest.fixture
def node() -> Iterator[TestNode]:
    models = {"checkpoints": [MYSTERY, TOLD], "diffusion_models": [SPLIT], "loras": [LORA]}
    with TestNode(models=models, headers=HEADERS) as node:
        yield node


@pytest.fixture
def server(node: TestNode, make_server: Callable[..., Server]) -> Server:
    server = make_server()
    added = server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url})
    assert added.status_code == 201, added.text
    until(lambda: LORA in (found := listed(server)) and found[LORA]["architecture"])
    return server


def listed(server: Server) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in server.client.get("/api/v1/models").json()["items"]}


def submit(server: Server, model: str, **fields: Any) -> httpx2.Response:
    body = {"recipe": "textToImage", "input": {"prompt": "a fox", "steps": 2, "model": model, **fields}}
    return server.client.post("/api/v1/jobs", json=body)


def test_the_list_tells_what_the_files_themselves_tell(server: Server):
    found = listed(server)
    told, lora = found[TOLD], found[LORA]
    assert (told["family"], told["familySource"], told["title"]) == ("sdxl", "metadata", "Told 1")
    assert told["architecture"] == "stable-diffusion-xl-v1-base"
    assert told["air"] == f"urn:air:sdxl:checkpoint:file:{TOLD}"
    assert (lora["family"], lora["architecture"]) == ("sdxl", "sdxl_base_v1-0")
    assert lora["trainedWords"] == ["foxy vale"]


def test_the_list_tells_which_checkpoints_cannot_be_used_and_what_is_missing(server: Server):
    found = listed(server)
    assert found[TOLD]["missing"] == []
    assert found[MYSTERY]["missing"] == ["a known family"]
    assert (found[SPLIT]["family"], found[SPLIT]["variant"]) == ("zimage", "turbo")
    assert any("text encoder" in each for each in found[SPLIT]["missing"])
    assert any("VAE" in each for each in found[SPLIT]["missing"])


def test_a_file_of_an_unknown_family_is_refused_with_those_that_can_be_run(server: Server, node: TestNode):
    body = problem(submit(server, MYSTERY), 400)
    (message,) = body["errors"]["input.model"]
    assert body["type"] == "urn:imagemill:problem:unsupported_family"
    assert f"the family of {MYSTERY} is not known" in message
    assert "imagemill models import NODE" in message
    assert message.endswith("the nodes can run sdxl")
    assert not node.prompts


def test_an_ecosystem_without_a_graph_is_refused_too(server: Server):
    body = problem(submit(server, f"urn:air:hyv1:checkpoint:file:{TOLD}"), 400)
    assert body["type"] == "urn:imagemill:problem:unsupported_family"
    assert "family hyv1" in body["errors"]["input.model"][0]


def test_the_registry_s_base_model_comes_before_the_file_s_metadata(server: Server):
    air = "urn:air:other:checkpoint:civitai:5@6"
    added = server.client.post("/v2/resources", json={"air": air, "fileName": TOLD, "baseModel": "SD 1.5"})
    assert added.status_code == 201, added.text
    item = listed(server)[TOLD]
    assert (item["air"], item["family"], item["familySource"]) == (air, "sd1", "registry")
    answer = submit(server, air)
    assert answer.status_code == 201, answer.text
    assert answer.json()["input"]["family"] == "sd1"
    assert "width" not in answer.json()["input"]  # 512, the recipe's default


def test_a_job_has_the_family_that_the_metadata_tell(server: Server, node: TestNode):
    answer = submit(server, TOLD, networks=[{"air": LORA}])
    assert answer.status_code == 201, answer.text
    input_ = answer.json()["input"]
    assert (input_["model"].split(":")[2], input_["width"]) == ("sdxl", 1024)
    until(lambda: node.prompts)


def test_the_default_is_a_checkpoint_that_a_node_can_use(server: Server):
    default = server.client.get("/api/v1/models").json()["default"]
    assert default == f"urn:air:sdxl:checkpoint:file:{TOLD}"


def test_a_registered_file_gets_the_facts_of_its_header(server: Server):
    order = {"node": "attic", "types": ["lora", "checkpoint"]}
    done = server.client.post("/api/v1/models/import", json=order)
    assert done.status_code == 200, done.text
    items = {item["name"]: item for item in done.json()["items"]}
    assert (items[TOLD]["family"], items[TOLD]["familySource"]) == ("sdxl", "metadata")
    assert items[MYSTERY]["family"] == ""
    stored = server.client.get(f"/v2/resources/{items[LORA]['air']}").json()
    assert stored["trainedWords"] == ["foxy vale"]
    assert listed(server)[TOLD]["title"] == "Told 1"
