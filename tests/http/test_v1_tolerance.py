"""Civitai v1: the spellings of older clients, and the parts of a job that have no effect."""

from typing import Any

import pytest

from tests.conftest import LORA, SD1, SDXL, Server, image_job
from tests.http.support import first, problem
from tests.http.test_v1_jobs import GRAPH

LORA_XL = "urn:air:sdxl:lora:civitai:12345@67890"


def without_type(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "$type"}


# The type of a job


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"$type": None},
        {"$type": "TEXTTOIMAGE"},
        {"$type": "textToImageV2"},
        {"$type": "text_to_image"},
        {"type": "TextToImage"},
    ],
)
def test_the_type_of_a_job_is_read_in_every_spelling(server: Server, kind: dict[str, Any]) -> None:
    job = {**without_type(image_job()), **kind}

    status = first(server.submit(job, wait="true", detailed="true"))

    assert status["result"]["available"] is True
    assert status["job"]["type"] == "textToImageV2"
    assert "warnings" not in status


def test_a_list_of_jobs_needs_no_types(server: Server) -> None:
    jobs = {"jobs": [without_type(image_job()), {"type": "COMFY", "params": {"workflow": GRAPH}}]}

    types = [status["lastEvent"]["jobType"] for status in server.submit(jobs).json()["jobs"]]

    assert types == ["textToImageV2", "comfy"]


def test_a_workflow_needs_no_type(server: Server) -> None:
    status = first(server.submit({"params": {"workflow": GRAPH}}, wait="true"))

    assert status["lastEvent"]["jobType"] == "comfy"


@pytest.mark.parametrize("name", ["$type", "type"])
def test_an_unknown_type_is_refused_by_the_name_it_was_written_under(server: Server, name: str) -> None:
    answer = server.submit({**without_type(image_job()), name: "txt2vid"})

    assert "'txt2vid'" in problem(answer, 400)["errors"][name][0]


def test_a_null_is_an_absent_field(server: Server) -> None:
    names = ("quantity", "batchSize", "priority", "retries", "timeout", "additionalNetworks", "controlNets")
    job = image_job(params={"prompt": None, "seed": None}, **dict.fromkeys(names))

    assert first(server.submit(job, wait="true"))["result"]["available"] is True


# Networks


def test_an_embedding_is_a_type_of_network(make_server: Any) -> None:
    server = make_server()
    air = "urn:air:sd1:embedding:civitai:7@8"
    assert server.client.post("/v2/resources", json={"air": air}).status_code == 201

    job = image_job(additionalNetworks={air: {"type": "embedding"}})
    detail = first(server.submit(job, detailed="true"))["job"]

    assert detail["additionalNetworks"]["@civitai/8"]["type"] == "embedding"


@pytest.mark.parametrize(
    ("networks", "path", "words"),
    [
        ({LORA: {"type": "Checkpoint"}}, f"additionalNetworks[{LORA!r}].type", "write it as `model`"),
        ({LORA: {"type": "ControlNet"}}, f"additionalNetworks[{LORA!r}].type", "write it as `controlNets`"),
        ({LORA: {"type": "Vae"}}, f"additionalNetworks[{LORA!r}].type", "is a lora"),
        ({SD1: {}}, f"additionalNetworks[{SD1!r}]", "AIR of a checkpoint"),
        ({"x": {"id": SD1}}, "additionalNetworks['x']", "AIR of a checkpoint"),
        ({"a": {"id": LORA}, "@civitai/87153": {}}, "additionalNetworks['@civitai/87153']", "there twice"),
    ],
)
def test_a_network_without_effect_is_refused(
    server: Server, networks: dict[str, Any], path: str, words: str
) -> None:
    answer = server.submit(image_job(additionalNetworks=networks))

    assert words in problem(answer, 400)["errors"][path][0]


def test_types_that_nodes_load_alike_may_be_mixed_up(server: Server) -> None:
    job = image_job(additionalNetworks={LORA: {"type": "LoCon"}})

    assert first(server.submit(job, wait="true"))["result"]["available"] is True


def test_the_sample_of_a_mock_names_the_ways_to_use_its_unregistered_lora(make_server: Any) -> None:
    job = image_job(
        model=SDXL, additionalNetworks={"lora1": {"id": LORA_XL, "strength": 0.8, "type": "lora"}}
    )

    strict = problem(make_server().submit(job), 400)
    mild = make_server(resources={"strict": False}).submit(job, wait="true")

    message = next(iter(strict["errors"].values()))[0]
    assert "POST /v2/resources" in message
    assert "IMAGEMILL_RESOURCES__STRICT=false" in message
    assert first(mild)["result"]["available"] is True


# Parts without effect


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"quantiy": 3}, "quantiy", "did you mean 'quantity'"),
        ({"priority": 1e9}, "priority", "-100 to 100"),
        (
            {"controlNets": [{"preprocessor": "Canny", "weight": 1, "startStep": 0, "endStep": 1}]},
            "controlNets[0]",
            "no effect",
        ),
    ],
)
def test_a_part_without_effect_is_a_warning(
    server: Server, changes: dict[str, Any], path: str, words: str
) -> None:
    accepted = first(server.submit(image_job(**changes)))
    read = server.client.get(f"/v1/consumer/jobs/{accepted['jobId']}").json()

    [warning] = accepted["warnings"]
    assert warning.startswith(f"{path}: ")
    assert words in warning
    assert read["warnings"] == [warning]


def test_a_priority_beyond_the_bound_is_the_bound(server: Server) -> None:
    status = first(server.submit(image_job(priority=-1e9)))

    assert status["lastEvent"]["jobPriority"] == -100


def test_values_beside_a_workflow_that_it_does_not_contain_are_warnings(server: Server) -> None:
    graph = {
        **GRAPH,
        "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["3", 1], "text": "a {thing}"}},
    }
    params = {"workflow": graph, "thing": "boat", "steps": 30, "seed": 5, "sizes": [1, 2]}

    status = first(server.submit({"$type": "comfy", "params": params}, wait="true", detailed="true"))

    assert status["job"]["params"]["workflow"]["6"]["inputs"]["text"] == "a boat"
    assert sorted(warning.partition(":")[0] for warning in status["warnings"]) == [
        "params.seed",
        "params.sizes",
        "params.steps",
    ]
    assert status["result"]["seed"] == 3


# Several files of one job


def several() -> dict[str, Any]:
    latents = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 3}}
    second = {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "second"}}
    return {"$type": "comfy", "params": {"workflow": {**GRAPH, "5": latents, "10": second}}}


def test_all_files_of_a_job_are_listed(server: Server) -> None:
    status = first(server.submit(several(), wait="true"))

    result, results = status["result"], status["results"]
    assert len(results) == 6
    assert result == results[0] | {"count": 6, "hint": result["hint"]}
    assert "`results`" in result["hint"]
    assert len({entry["blobUrl"] for entry in results}) == 6
    assert {server.client.get(entry["blobUrl"]).status_code for entry in results} == {200}


def test_the_array_holds_all_files_of_a_job(make_server: Any) -> None:
    server = make_server(civitai={"result_shape": "array"})

    status = first(server.submit(several(), wait="true"))

    assert len(status["result"]) == 6
    assert "results" not in status


def test_one_file_is_neither_counted_nor_listed_again(server: Server) -> None:
    status = first(server.submit(wait="true"))

    assert set(status["result"]) == {"blobKey", "available", "blobUrl", "blobUrlExpirationDate", "seed"}
    assert "results" not in status
