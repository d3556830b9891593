"""Golden answers of Civitai v1: field set, casing, formats of dates and durations."""

import json
from typing import Any

import pytest

from tests.conftest import LORA, Server, image_job
from tests.http.support import (
    count_jobs,
    events_of,
    first,
    formats,
    golden,
    job_ids,
    slow_job,
    status_of,
    until,
)

REQUEST = image_job(
    params={"seed": 7, "negativePrompt": "fog", "scheduler": "EulerA", "cfgScale": 6.5, "clipSkip": 2},
    additionalNetworks={LORA: {"strength": 0.8}},
    properties={"userId": 5, "tag": "x"},
    name="first",
)


def test_a_finished_job_has_the_recorded_shape(server: Server) -> None:
    status = first(server.submit(REQUEST, wait="true"))

    assert formats(status) == golden("finished_status")


def test_a_detailed_job_has_the_recorded_shape(server: Server) -> None:
    status = first(server.submit(REQUEST, wait="true", detailed="true"))

    assert formats(status["job"]) == golden("detailed_job")


def test_an_accepted_job_has_the_recorded_shape(server: Server) -> None:
    status = first(server.submit(REQUEST))

    assert formats(status) == golden("accepted_status")


def test_every_event_has_the_recorded_shape(server: Server) -> None:
    job_id = first(server.submit(REQUEST, wait="true"))["jobId"]
    # On a busy machine even an instant render may be seen in progress.
    events = [event for event in events_of(server, job_id) if event["type"] != "Updated"]

    assert formats(events) == golden("events")


def test_nothing_on_the_wire_is_null(server: Server) -> None:
    """The service leaves absent fields out."""

    def nulls(value: Any, path: str = "") -> list[str]:
        if isinstance(value, dict):
            return [found for key, item in value.items() for found in nulls(item, f"{path}.{key}")]
        if isinstance(value, list):
            return [found for item in value for found in nulls(item, f"{path}[]")]
        return [path] if value is None else []

    answer = server.submit(image_job(), wait="true", detailed="true").json()

    assert nulls(answer) == []
    assert nulls(events_of(server, answer["jobId"])) == []


def test_the_graph_that_was_run_is_told_as_text(server: Server) -> None:
    context = first(server.submit(REQUEST, wait="true"))["lastEvent"]["context"]
    graph = json.loads(context["comfy_prompt_request"])
    sampler = next(node["inputs"] for node in graph.values() if node["class_type"] == "KSampler")

    assert sampler["sampler_name"] == "euler_ancestral"
    assert sampler["scheduler"] == "normal"
    assert sampler["seed"] == 7
    loader = next(n["inputs"] for n in graph.values() if n["class_type"] == "CheckpointLoaderSimple")
    assert loader == {"ckpt_name": "sd1/civitai/4384/128713.safetensors"}
    assert isinstance(json.loads(context["comfy_prompt_response"]), dict)


def test_a_queued_job_tells_its_place_and_a_finished_one_does_not(make_server: Any) -> None:
    server = make_server(simulator={"slots": 1})
    running = first(server.submit(slow_job(200)))["jobId"]
    until(lambda: status_of(server, running)["lastEvent"]["type"] != "Initialized")
    queued = job_ids(server.submit(image_job(quantity=3)))

    places = [status_of(server, job_id)["serviceProviders"] for job_id in queued]
    ahead = [next(iter(place.values()))["queuePosition"]["precedingJobs"] for place in places]

    assert {next(iter(place.values()))["support"] for place in places} == {"Available"}
    assert ahead == [0, 1, 2]
    assert status_of(server, running)["serviceProviders"] == {}
    server.wait(queued[-1])
    assert "serviceProviders" not in status_of(server, queued[-1])


def test_progress_is_told_by_updated_events(server: Server) -> None:
    job_id = first(server.submit(slow_job(150, params={"steps": 10}), wait="true"))["jobId"]
    updates = [event for event in events_of(server, job_id) if event["type"] == "Updated"]

    assert updates
    assert all(not event["jobHasCompleted"] and not event["claimHasCompleted"] for event in updates)
    progress = [event["context"]["progress"] for event in updates]
    assert progress == sorted(progress)
    assert all(0 < each <= 1 for each in progress)


@pytest.mark.parametrize("take", [1, 2, 100])
def test_events_are_taken_from_either_end(server: Server, take: int) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]
    everything = events_of(server, job_id)

    assert everything[0]["type"] == "Initialized"
    assert everything[-1]["type"] == "Succeeded"
    assert events_of(server, job_id, take=str(take)) == everything[:take]
    assert events_of(server, job_id, take=str(take), descending="true") == everything[::-1][:take]


def test_cost_grows_with_pixels_and_steps(server: Server) -> None:
    def cost(**params: int) -> float:
        return first(server.submit(image_job(params=params), whatif="true"))["cost"]

    before = count_jobs(server)
    assert cost(width=768, height=512, steps=20) == pytest.approx(0.96)
    assert cost(width=1024, height=1024) > cost(width=512, height=512) > 0
    assert cost(steps=40) == pytest.approx(2 * cost(steps=20))
    assert count_jobs(server) == before
