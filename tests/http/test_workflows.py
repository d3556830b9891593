"""Workflows over HTTP: added, changed, versioned, described and run."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from imagemill.config import Settings
from imagemill.recipes.comfy import EXAMPLE_GRAPH
from tests.conftest import LORA, SD1, SDXL, Server, running_server
from tests.graphs import MANIFEST, UI_FORMAT, data_url, graph
from tests.http.support import count_jobs, problem

ALL = "/api/v1/workflows"
ONE = f"{ALL}/portrait"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("workflows"))
    with running_server(settings) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    """Without any added workflow."""
    for item in items(shared):
        if item["source"] == "added":
            shared.client.delete(f"{ALL}/{item['name']}")
    return shared


def items(server: Server, path: str = ALL) -> list[dict[str, Any]]:
    return server.client.get(path).json()["items"]


def add(server: Server, **body: Any) -> httpx2.Response:
    fields = {"name": "portrait", "graph": graph(), "manifest": MANIFEST}
    return server.client.post(ALL, json={key: v for key, v in {**fields, **body}.items() if v is not None})


def change(server: Server, **body: Any) -> httpx2.Response:
    return server.client.put(ONE, json=body)


def run(server: Server, _query: dict[str, Any] | None = None, **values: Any) -> httpx2.Response:
    return server.client.post(ONE, json={"prompt": "a face", **values}, params=_query or {})


def ran(server: Server, **values: Any) -> dict[str, Any]:
    answer = run(server, **values)
    assert answer.status_code == 201, answer.text
    return server.wait(answer.json()["id"])


def sampler(job: dict[str, Any]) -> dict[str, Any]:
    return job["input"]["graph"]["5"]["inputs"]


def test_an_added_workflow_is_listed_with_its_inputs(server: Server) -> None:
    answer = add(server)

    assert answer.status_code == 201
    assert (answer.json()["version"], answer.json()["source"]) == (1, "added")
    listed = next(item for item in items(server) if item["name"] == "portrait")
    assert listed["title"] == "Portrait"
    assert [one["name"] for one in listed["inputs"]] == ["prompt", "steps", "seed", "model", "image", "loras"]
    assert listed["inputs"][1] == {
        "name": "steps",
        "type": "integer",
        "required": False,
        "default": 8,
        "minimum": 1,
        "maximum": 30,
    }


def test_a_graph_alone_shows_its_own_inputs(server: Server) -> None:
    answer = add(server, manifest=None)

    assert answer.status_code == 201
    assert {"prompt", "seed", "steps", "image"} <= {one["name"] for one in answer.json()["inputs"]}
    assert ran(server, image=data_url())["status"] == "succeeded"


def test_the_built_in_workflows_are_listed_and_stay(server: Server) -> None:
    built_in = [item["name"] for item in items(server) if item["source"] == "built-in"]

    assert "sd-text" in built_in
    one = f"{ALL}/sd-text"
    assert "inputs.prompt" in server.client.get(one).json()["manifest"]
    assert "built in" in problem(server.client.delete(one), 409)["detail"]
    assert "built in" in problem(server.client.put(one, json={"graph": graph()}), 409)["detail"]
    assert "another name" in problem(add(server, name="sd-text"), 409)["detail"]


def test_a_built_in_workflow_runs(server: Server) -> None:
    body = {"prompt": "a boat", "model": SD1, "width": 64, "height": 64, "steps": 2}

    answer = server.client.post(f"{ALL}/sd-text", json=body)

    assert answer.status_code == 201, answer.text
    job = server.wait(answer.json()["id"])
    assert (job["status"], len(job["artifacts"])) == ("succeeded", 1)
    assert job["input"]["checkpoint"] == SD1


def test_a_run_puts_the_values_into_the_graph(server: Server) -> None:
    add(server)

    job = ran(server, prompt="an old face", steps=4, seed=7)

    assert (job["status"], job["recipe"]) == ("succeeded", "workflow")
    assert job["input"]["graph"]["2"]["inputs"]["text"] == "an old face"
    assert (sampler(job)["steps"], sampler(job)["seed"]) == (4, 7)
    assert job["input"]["graph"]["1"]["inputs"]["ckpt_name"].endswith(".safetensors")
    assert job["artifacts"][0]["seed"] == 7


@pytest.mark.parametrize("seed", [2**53 + 1, 2**63, 2**64 - 1])
def test_a_large_seed_is_told_exactly(server: Server, seed: int) -> None:
    add(server)

    job = ran(server, seed=seed)

    assert (sampler(job)["seed"], job["artifacts"][0]["seed"], job["input"]["seed"]) == (seed, seed, seed)
    refused = problem(server.client.post(f"{ALL}/portrait", json={"seed": 2**64}), 400)
    assert str(2**64 - 1) in refused["errors"]["seed"][0]


def test_braces_in_a_text_of_a_client_stay(server: Server) -> None:
    add(server)

    job = ran(server, prompt="a packet of {seed}s, {job_id}", seed=7)

    assert job["input"]["graph"]["2"]["inputs"]["text"] == "a packet of {seed}s, {job_id}"


def test_what_is_not_given_takes_its_default_and_seeds_are_drawn(server: Server) -> None:
    add(server)

    first, second = ran(server), ran(server, seed=-1)

    assert sampler(first)["steps"] == 8
    assert len({sampler(first)["seed"], sampler(second)["seed"], 1}) == 3
    assert first["input"]["values"]["seed"] == sampler(first)["seed"]


def test_models_and_loras_are_given_by_air(server: Server) -> None:
    add(server)

    job = ran(server, model=SDXL, loras=[{"air": LORA, "strength": 0.5}])

    loaded = [node["inputs"] for node in job["input"]["graph"].values() if node["class_type"] == "LoraLoader"]
    assert job["input"]["checkpoint"] == SDXL
    assert [lora["strength_model"] for lora in loaded] == [0.5]
    assert loaded[0]["lora_name"].endswith(".safetensors")


def test_a_picture_is_kept_apart_from_the_job(server: Server) -> None:
    add(server)

    job = ran(server, image=data_url())

    assert job["status"] == "succeeded"
    source = job["input"]["values"]["image"]
    assert source.startswith("inputs/")
    assert job["input"]["pictures"] == {"picture_image": source}
    assert job["input"]["graph"]["4"]["inputs"]["image"] == "{picture_image}"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("prompt", {"prompt": None}),
        ("prompt", {"prompt": 5}),
        ("steps", {"steps": 31}),
        ("steps", {"steps": "many"}),
        ("steps", {"steps": 1.5}),
        ("seed", {"seed": -2}),
        ("model", {"model": 7}),
        ("model", {"model": "urn:air:sd1:checkpoint:civitai:1@1"}),
        ("model", {"model": ""}),
        ("image", {"image": 5}),
        ("image", {"image": ""}),
        ("loras", {"loras": "x"}),
        ("loras", {"loras": [{}]}),
        ("loras[0].air", {"loras": [{"air": "urn:air:sd1:lora:civitai:1@1"}]}),
        ("loras[0].air", {"loras": [{"air": "no air"}]}),
        ("stpes", {"stpes": 5}),
    ],
)
def test_a_wrong_value_is_refused_by_its_input(server: Server, field: str, values: dict[str, Any]) -> None:
    add(server)
    before = count_jobs(server)

    told = problem(run(server, **values), 400)

    assert list(told["errors"]) == [field]
    assert count_jobs(server) == before


def test_every_wrong_value_is_told_at_once(server: Server) -> None:
    add(server)

    told = problem(run(server, prompt=5, steps=0, image=[]), 400)

    assert set(told["errors"]) == {"prompt", "steps", "image"}


def test_a_run_can_be_waited_for(server: Server) -> None:
    add(server)

    answer = run(server, {"wait": "true", "name": "mine", "priority": "5"})

    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"
    assert (answer.json()["name"], answer.json()["priority"]) == ("mine", 5)
    assert server.client.get(answer.json()["artifacts"][0]["url"]).status_code == 200


def test_labels_say_where_it_may_run(server: Server) -> None:
    add(server)

    job = run(server, {"label": "big"}).json()

    assert "big" in job["waits"]
    server.client.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert list(problem(run(server, {"label": "two words"}), 400)["errors"]) == ["label"]


@pytest.mark.parametrize("wait", ["false", "true"])
def test_the_same_key_is_the_same_job(server: Server, wait: str) -> None:
    add(server)
    key = {"Idempotency-Key": f"workflow-{wait}"}
    query = {"wait": wait}

    first = server.client.post(ONE, json={"prompt": "a", "steps": 2}, params=query, headers=key)
    again = server.client.post(ONE, json={"steps": 2, "prompt": "a"}, params=query, headers=key)
    other = server.client.post(ONE, json={"prompt": "b"}, params=query, headers=key)

    assert again.status_code == 200
    assert first.json()["id"] == again.json()["id"]
    problem(other, 409)


def test_a_change_is_a_new_version_and_the_old_one_still_runs(server: Server) -> None:
    add(server)

    changed = change(server, manifest=MANIFEST.replace("default = 8", "default = 12"), graph=graph())

    assert (changed.status_code, changed.json()["version"]) == (200, server_version(server))
    first, second = items(server, f"{ONE}/versions")[1::-1]
    assert second["version"] == first["version"] + 1
    old = run(server, {"version": first["version"]}).json()
    assert (old["input"]["version"], sampler(old)["steps"]) == (first["version"], 8)
    assert sampler(run(server).json())["steps"] == 12


def server_version(server: Server) -> int:
    return server.client.get(ONE).json()["version"]


def test_a_manifest_is_shown_as_it_was_written(server: Server) -> None:
    add(server)
    written = server.client.get(ONE).json()["manifest"].replace("default = 8", "default = 9  # enough")

    changed = change(server, manifest=written).json()

    assert changed["manifest"] == written
    assert change(server, manifest=written).json()["version"] == changed["version"]


def test_a_new_graph_keeps_what_was_written_about_its_inputs(server: Server) -> None:
    add(server)
    other = graph()
    other["5"]["inputs"]["cfg"] = 3.0

    changed = change(server, graph=other).json()

    steps = next(one for one in changed["inputs"] if one["name"] == "steps")
    assert (steps["default"], steps["maximum"]) == (8, 30)
    assert changed["title"] == "Portrait"
    assert sampler(run(server, image=data_url()).json())["cfg"] == 3.0


def test_a_removed_workflow_cannot_be_run_but_its_versions_can_be_read(server: Server) -> None:
    add(server)
    version = server_version(server)
    job = run(server).json()

    assert server.client.delete(ONE).status_code == 204

    problem(run(server), 404)
    problem(run(server, {"version": version}), 404)
    problem(server.client.get(ONE), 404)
    assert server.client.get(ONE, params={"version": version}).json()["deletedAt"]
    assert server.wait(job["id"])["status"] == "succeeded"
    assert add(server).json()["version"] == version + 1
    assert "was deleted" in problem(run(server, {"version": version}), 404)["detail"]


@pytest.mark.parametrize(
    ("field", "part", "body"),
    [
        ("graph", "is required", {"graph": None, "manifest": None}),
        ("graph", "no nodes", {"graph": {}, "manifest": None}),
        ("graph", "class_type", {"graph": {"1": {}}, "manifest": None}),
        ("graph", "Export (API)", {"graph": UI_FORMAT, "manifest": None}),
        ("graph", "object", {"graph": [1], "manifest": None}),
        ("manifest", "not TOML", {"manifest": "= 1"}),
        ("manifest", "steps", {"manifest": MANIFEST.replace('type = "integer"', 'type = "whole"')}),
        ("manifest", "has no node", {"manifest": MANIFEST.replace('"5", "steps"', '"99", "steps"')}),
        ("manifest", "graph", {"graph": None}),
        ("name", "letters", {"name": "two words"}),
        ("name", "required", {"name": None}),
        ("colour", "not a field", {"colour": "red"}),
    ],
)
def test_what_cannot_be_a_workflow_is_refused_with_the_reason(
    server: Server, field: str, part: str, body: dict[str, Any]
) -> None:
    told = problem(add(server, **body), 400)

    assert list(told["errors"]) == [field]
    assert part in told["errors"][field][0]
    assert [item for item in items(server) if item["source"] == "added"] == []


def test_a_name_is_given_once(server: Server) -> None:
    add(server)

    assert "choose another name" in problem(add(server), 409)["detail"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", ""), ("GET", "/versions")]
)
def test_an_unknown_workflow_is_a_404(server: Server, method: str, path: str) -> None:
    answer = server.client.request(method, f"{ALL}/nothing{path}", json={"graph": graph()})

    assert "nothing" in problem(answer, 404)["detail"]


def test_each_workflow_is_described_in_the_openapi_document(server: Server) -> None:
    def paths() -> dict[str, Any]:
        return server.client.get("/openapi.json").json()["paths"]

    assert ONE not in paths()
    add(server)
    operation = paths()[ONE]["post"]

    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["prompt"]
    assert schema["properties"]["steps"] == {"type": "integer", "default": 8, "minimum": 1, "maximum": 30}
    assert {"version", "wait"} <= {each["name"] for each in operation["parameters"]}
    assert f"{ALL}/sd-text" in paths()
    server.client.delete(ONE)
    assert ONE not in paths()


def test_a_job_of_it_is_not_made_by_the_jobs_route(server: Server) -> None:
    add(server)

    body = {"recipe": "workflow", "input": {"name": "portrait", "values": {"prompt": "x"}}}
    told = problem(server.client.post("/api/v1/jobs", json=body), 400)

    assert "POST /api/v1/workflows/" in told["detail"]


def test_a_job_of_it_is_seen_by_the_other_dialects(server: Server) -> None:
    add(server)
    job = ran(server)

    seen = server.client.get(f"/v1/consumer/jobs/{job['id']}", params={"detailed": "true"}).json()

    assert (seen["jobId"], seen["result"]["available"]) == (job["id"], True)


def test_it_is_run_again_with_the_same_values(server: Server) -> None:
    add(server)
    job = ran(server, image=data_url())
    server.client.delete(ONE)

    again = server.wait(server.client.post(f"/api/v1/jobs/{job['id']}/replay").json()["id"])

    assert again["input"] == job["input"]
    assert [each["sha256"] for each in again["artifacts"]] == [each["sha256"] for each in job["artifacts"]]


def test_another_sites_page_cannot_run_it(server: Server) -> None:
    add(server)

    problem(server.client.post(ONE, json={"prompt": "x"}, headers={"Origin": "https://evil.example"}), 403)
    assert server.client.post(ONE, json={"prompt": "x"}, headers={"Authorization": ""}).status_code != 401


def test_a_graph_is_proposed_with_its_inputs_and_published_by_its_manifest(server: Server) -> None:
    found = server.client.post(f"{ALL}/propose", json={"name": "harbour", "graph": EXAMPLE_GRAPH}).json()
    inputs = {each["name"]: each for each in found["inputs"]}
    kept = [{**inputs["prompt"], "name": "scene"}, {**inputs["steps"], "minimum": 1, "maximum": 30}]

    changed = server.client.post(
        f"{ALL}/propose", json={"name": "harbour", "graph": found["graph"], "inputs": kept}
    ).json()

    assert server.client.get(f"{ALL}/harbour").status_code == 404  # nothing was stored
    body = {"name": "harbour", "manifest": changed["manifest"]}
    added = server.client.post(ALL, json=body).json()
    assert [each["name"] for each in added["inputs"]] == ["scene", "steps"]
    assert added["inputs"][1]["maximum"] == 30
    again = server.client.post(
        f"{ALL}/propose", json={"name": "harbour", "manifest": added["manifest"]}
    ).json()
    assert again["inputs"] == changed["inputs"]


def test_two_versions_differ_in_inputs_and_nodes(server: Server) -> None:
    server.client.post(ALL, json={"name": "pier", "graph": EXAMPLE_GRAPH}).raise_for_status()
    other = json.loads(json.dumps(EXAMPLE_GRAPH))
    sampler = next(id_ for id_, node in other.items() if node["class_type"] == "KSampler")
    other[sampler]["inputs"]["steps"] = 9
    server.client.put(f"{ALL}/pier", json={"graph": other}).raise_for_status()

    found = server.client.get(f"{ALL}/pier/diff", params={"from": 1, "to": 2}).json()["items"]

    (node,) = [each for each in found if each["part"] == "node"]
    assert node["name"] == f"{sampler} KSampler"
    assert node["after"] == {**node["before"], "steps": 9}
    assert server.client.get(f"{ALL}/pier/diff", params={"from": 1, "to": 1}).json()["items"] == []
    assert server.client.get(f"{ALL}/pier/diff", params={"from": 1, "to": 7}).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "graph"),
        ({"graph": {}, "picture": "AAAA"}, "graph"),
        ({"picture": "not base64!"}, "picture"),
        ({"picture": "AAAA"}, "picture"),
        ({"picture": base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\xff" * 40).decode()}, "picture"),
        ({"graph": {"1": {"class_type": "SaveImage", "inputs": {}}}, "name": "propose"}, "name"),
    ],
)
def test_what_cannot_be_proposed_names_its_field(server: Server, body: dict[str, Any], field: str) -> None:
    answer = server.client.post(f"{ALL}/propose", json=body)
    assert answer.status_code == 400, answer.text
    assert field in answer.json()["errors"]
