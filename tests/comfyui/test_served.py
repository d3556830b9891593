"""The whole way: a client's job, the real server as a process, ComfyUI nodes on real ports, the picture."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from imagemill.backends.comfyui.settings import default_name
from tests.backends.comfyui.support import pace
from tests.comfyui.node import NEW, OLD, TestNode
from tests.comfyui.processes import LORA, SD1, SDXL, Served, blank, download, graph_of, image
from tests.conftest import TOKEN


@pytest.fixture(scope="module", params=[NEW, OLD])
def node(request: pytest.FixtureRequest) -> Iterator[TestNode]:
    with TestNode(request.param, previews=True, step_s=0.01) as node:
        yield node


@pytest.fixture(scope="module")
def served(node: TestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"), [node.url])
    served.start()
    served.register()
    yield served
    served.stop()
    assert node.troubles == []


def run(served: Served, job: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The job's v1 status once it is done, and its events."""
    status = served.post("/v1/consumer/jobs", job, wait="true")["jobs"][0]
    events = served.events(status["jobId"])
    assert status["result"]["available"], events[-1]
    return status, events


def picture(status: Any) -> Image.Image:
    return Image.open(io.BytesIO(download(status["result"]["blobUrl"])))


def data_url(colour: str, size: tuple[int, int] = (80, 60)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def native(served: Served, **input_: Any) -> Any:
    body = {"recipe": "textToImage", "input": {"model": SD1, "width": 64, "height": 96, "steps": 3, **input_}}
    job = served.post("/api/v1/jobs", body)
    (done,) = served.finished([job["id"]])
    assert done["status"] == "succeeded", done["error"]
    return done


def classes(graph: dict[str, Any]) -> list[str]:
    return sorted(node["class_type"] for node in graph.values())


def test_a_picture_is_made_on_a_node(served: Served):
    job = image(SD1, width=64, height=96, scheduler="EulerA", seed=7)
    job["additionalNetworks"] = {LORA: {"strength": 0.5}}
    status, events = run(served, job)
    assert picture(status).size == (64, 96)
    assert status["result"]["seed"] == 7
    graph = graph_of(events)
    sampler = next(node["inputs"] for node in graph.values() if node["class_type"] == "KSampler")
    assert (sampler["sampler_name"], sampler["scheduler"], sampler["seed"]) == (
        "euler_ancestral",
        "normal",
        7,
    )
    lora = next(node["inputs"] for node in graph.values() if node["class_type"] == "LoraLoader")
    assert (lora["lora_name"], lora["strength_model"], lora["strength_clip"]) == (
        "lora_sd1.safetensors",
        0.5,
        0.5,
    )
    stages = [stage["stage"] for stage in events[-1]["data"]["stages"]]
    assert stages == ["CLAIMED", "PROMPT_PREPARED", "SENT_TO_COMFY", "COMFY_RESULT", "STORED"]


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_picture_comes_in_the_format_that_was_asked_for(served: Served, format: str):
    (artifact,) = native(served, format=format)["artifacts"]
    assert (artifact["mediaType"], artifact["width"]) == (f"image/{format}", 64)


def test_the_same_request_twice_gives_its_picture_twice(served: Served):
    job = image(SD1, seed=99)
    first, _ = run(served, job)
    second, _ = run(served, job)
    assert picture(first).tobytes() == picture(second).tobytes()


def test_a_batch_of_pictures_is_a_job_each(served: Served):
    answer = served.post("/v1/consumer/jobs", {**image(SD1), "quantity": 3}, wait="true")
    assert len({status["result"]["seed"] for status in answer["jobs"]}) == 3
    assert all(picture(status).size == (64, 64) for status in answer["jobs"])


def test_a_source_picture_is_drawn_anew(served: Served, node: TestNode):
    before = len(node.uploads)
    done = native(served, image=data_url("red"), denoise=0.4)
    graph = graph_of(served.events(done["id"]))
    assert "VAEEncode" in classes(graph)
    assert (done["artifacts"][0]["width"], done["artifacts"][0]["height"]) == (64, 96)
    native(served, image=data_url("red"), denoise=0.5)
    assert len(node.uploads) == before + 1, "the same picture is uploaded once"


def test_a_mask_says_where_to_draw(served: Served):
    done = native(served, image=data_url("red"), mask=data_url("white"))
    assert "SetLatentNoiseMask" in classes(graph_of(served.events(done["id"])))


def test_a_controlnet_is_found_by_its_kind(served: Served):
    done = native(served, controls=[{"image": data_url("blue"), "preprocessor": "Canny", "end": 0.5}])
    graph = graph_of(served.events(done["id"]))
    loader = next(node["inputs"] for node in graph.values() if node["class_type"] == "ControlNetLoader")
    assert loader["control_net_name"] == "control_canny_sd1.safetensors"


def test_a_graph_of_the_client_s_own_is_run(served: Served):
    status, _ = run(served, blank(0xFF0000))
    assert picture(status).convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_an_input_the_node_does_not_know_is_passed_on(served: Served):
    job = blank(0x00FF00)
    job["params"]["workflow"]["1"]["inputs"]["of_a_pack"] = {"on": True}
    _, events = run(served, job)
    assert graph_of(events)["1"]["inputs"]["of_a_pack"] == {"on": True}


def test_what_the_node_lacks_is_refused_at_once_by_name(served: Served):
    served.post("/v2/resources", {"air": "urn:air:sd1:lora:civitai:9@9", "fileName": "nowhere.safetensors"})
    job = {**image(SD1), "additionalNetworks": {"urn:air:sd1:lora:civitai:9@9": {}}}
    answer = httpx2.post(f"{served.url}/v1/consumer/jobs", json=job, headers=TOKEN, verify=False)
    assert answer.status_code == 400
    assert "LoRA nowhere.safetensors is missing on comfyui-" in answer.json()["detail"]
    job = blank(1)
    job["params"]["workflow"]["1"]["class_type"] = "NoSuchNode"
    answer = httpx2.post(f"{served.url}/v1/consumer/jobs", json=job, headers=TOKEN, verify=False)
    assert "node class NoSuchNode is missing" in answer.json()["detail"]


def test_steps_and_previews_are_told_as_they_come(served: Served, node: TestNode):
    pace(node, step_s=0.02)
    native(served, height=64, steps=10)  # so that the next one is expected to take 3 s
    body = {"recipe": "textToImage", "input": {"model": SD1, "width": 64, "height": 64, "steps": 150}}
    job = served.post("/api/v1/jobs", body)
    with httpx2.stream(
        "GET", f"{served.url}/api/v1/jobs/{job['id']}/events", headers=TOKEN, timeout=100, verify=False
    ) as stream:
        data = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    told = [each for each in data if each["type"] == "progress"]
    steps = [each["step"] for each in told]
    assert steps == sorted(steps)
    assert len(set(steps)) > 10
    assert "Sampler" in {each["note"] for each in told}
    pace(node, step_s=0.01)
    previews = [each["preview"] for each in told if "preview" in each]
    assert previews
    jpeg = base64.b64decode(previews[-1].partition(",")[2])
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"


def test_a_cancelled_job_is_taken_off_the_node(served: Served, node: TestNode):
    body = {"recipe": "textToImage", "input": {"model": SD1, "width": 64, "height": 64, "steps": 150}}
    job = served.post("/api/v1/jobs", body)
    end = time.monotonic() + 60
    while node.running is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    served.post(f"/api/v1/jobs/{job['id']}/cancel", {})
    (done,) = served.finished([job["id"]])
    assert done["status"] == "canceled"
    while node.running is not None:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_another_model_is_loaded_and_the_reason_is_told(served: Served):
    done = [native(served, model=model) for model in (SDXL, SD1)]
    assert all(job["reason"] for job in done)
    assert [node["resident"] for node in served.get("/health")["nodes"] if node["backend"] == "comfyui"] == [
        [SD1]
    ]


def test_a_workflow_is_added_and_run_with_its_inputs(served: Served, node: TestNode):
    graph = blank(0)["params"]["workflow"]
    added = served.post("/api/v1/workflows", {"name": f"blank-{node.port}", "graph": graph})
    names = [each["name"] for each in added["inputs"]]
    assert "width" in names
    job = served.post(f"/api/v1/workflows/blank-{node.port}", {"width": 128, "height": 64})
    job_id = job["jobs"][0]["id"] if "jobs" in job else job["id"]
    (done,) = served.finished([job_id])
    assert (done["artifacts"][0]["width"], done["artifacts"][0]["height"]) == (128, 64)


def test_out_of_memory_is_freed_and_tried_once_more(tmp_path: Path):
    with TestNode(vram_mb=8000) as node:
        served = Served(tmp_path, [node.url])
        served.start()
        try:
            served.register()
            node.behave(oom_until_freed=True)
            status, _ = run(served, image(SD1))
            assert picture(status).size == (64, 64)
            node.behave(oom_times=99)
            job = served.post("/v1/consumer/jobs", image(SD1))["jobs"][0]["jobId"]
            (done,) = served.finished([job])
            assert (done["status"], done["error"]["code"], done["attempt"]) == ("failed", "out_of_memory", 1)
        finally:
            served.stop()


def test_a_job_too_large_for_one_node_goes_to_one_with_more_memory(tmp_path: Path):
    with TestNode(vram_mb=4000) as small, TestNode(vram_mb=24_000) as large:
        served = Served(tmp_path, [small.url, large.url])
        served.start()
        try:
            served.register()
            small.behave(oom_times=99)
            jobs = [served.post("/v1/consumer/jobs", image(SD1))["jobs"][0]["jobId"] for _ in range(8)]
            done = served.finished(jobs)
            assert {job["status"] for job in done} == {"succeeded"}
            assert {job["node"] for job in done} == {default_name(large.url)}
        finally:
            served.stop()


def test_a_node_added_at_run_time_gets_jobs_and_a_drained_one_no_more(tmp_path: Path):
    with TestNode() as first, TestNode() as second:
        served = Served(tmp_path, [first.url])
        served.start()
        try:
            served.register()
            served.post("/api/v1/nodes", {"name": "second", "url": second.url, "labels": ["fast"]})
            job = served.post(
                "/api/v1/jobs", {"recipe": "textToImage", "input": {"model": SD1}, "labels": ["fast"]}
            )
            assert served.finished([job["id"]])[0]["node"] == "second"
            served.post("/api/v1/nodes/second/drain", {})
            jobs = [served.post("/v1/consumer/jobs", image(SD1))["jobs"][0]["jobId"] for _ in range(6)]
            assert {each["node"] for each in served.finished(jobs)} == {default_name(first.url)}
        finally:
            served.stop()


def test_two_prompts_are_in_flight_on_a_node_and_no_more(tmp_path: Path):
    most = 0
    with TestNode(work_s=0.05) as node:
        served = Served(tmp_path, [node.url])
        served.start()
        try:
            jobs = [served.post("/v1/consumer/jobs", blank(n))["jobs"][0]["jobId"] for n in range(20)]
            watching = threading.Event()

            def watch() -> None:
                nonlocal most
                while not watching.is_set():
                    most = max(most, len(node.pending) + (node.running is not None))
                    time.sleep(0.005)

            thread = threading.Thread(target=watch)
            thread.start()
            served.finished(jobs)
            watching.set()
            thread.join()
        finally:
            served.stop()
    assert most == 2


def test_health_tells_nodes_at_rest_and_in_trouble(tmp_path: Path):
    with TestNode() as node:
        served = Served(tmp_path, [node.url])
        served.start()
        served.register()
        try:
            nodes = {each["backend"]: each for each in served.get("/health")["nodes"]}
            assert nodes["comfyui"]["draining"] is False
            assert nodes["simulator"]["draining"] is True
            node.kill()
            end = time.monotonic() + 20
            while not (trouble := served.get("/health")["nodes"][0]["trouble"]):
                assert time.monotonic() < end
                time.sleep(0.1)
            assert "cannot be reached" in trouble
            job = served.post("/api/v1/jobs", {"recipe": "textToImage", "input": {"model": SD1}})
            assert served.job(job["id"])["waits"] == f"no node takes jobs now: {trouble}"
        finally:
            served.stop()


@pytest.mark.parametrize(
    ("file", "guided"), [("flux_dev.safetensors", True), ("flux_schnell.safetensors", False)]
)
def test_flux_is_made_of_separate_files(served: Served, file: str, guided: bool):
    air = f"urn:air:flux1:checkpoint:civitai:{len(file)}@{len(file)}"
    answer = httpx2.post(
        f"{served.url}/v2/resources", json={"air": air, "fileName": file}, headers=TOKEN, verify=False
    )
    assert answer.status_code in (201, 409), answer.text
    status, events = run(served, image(air, width=128, height=128))
    graph = graph_of(events)
    assert picture(status).size == (128, 128)
    assert {"UNETLoader", "DualCLIPLoader", "VAELoader", "SamplerCustomAdvanced"} <= set(classes(graph))
    assert ("FluxGuidance" in classes(graph)) is guided
    chosen = {node["class_type"]: node["inputs"] for node in graph.values()}
    assert chosen["KSamplerSelect"]["sampler_name"] == "euler"
    assert chosen["BasicScheduler"]["scheduler"] == "simple"
