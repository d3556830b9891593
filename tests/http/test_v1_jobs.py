"""Civitai v1, jobs: submit, look, find, cancel, taint."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import LORA, SD1, SDXL, Server, image_job
from tests.http.support import (
    count_jobs,
    events_of,
    faulty_job,
    first,
    job_ids,
    problem,
    slow_job,
    status_of,
    until,
)

GRAPH = {
    "3": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": SD1}, "_meta": {"title": "Load"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["3", 1], "text": "a lighthouse"}},
    "7": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["3", 0],
            "positive": ["6", 0],
            "negative": ["6", 0],
            "latent_image": ["5", 0],
            "seed": 3,
            "steps": 2,
            "cfg": 7,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["3", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
}


def test_one_job_answers_its_own_fields_at_the_top_too(server: Server) -> None:
    body = server.submit(wait="true").json()

    assert {name: body[name] for name in body["jobs"][0]} == body["jobs"][0]
    assert set(body) == {"token", "jobs", *body["jobs"][0]}


def test_several_jobs_come_back_in_the_order_they_were_asked_for(server: Server) -> None:
    jobs = [image_job(properties={"place": place}) for place in range(12)]

    answer = server.submit({"jobs": jobs})
    again = server.client.get("/v1/consumer/jobs", params={"token": answer.json()["token"]})

    assert [job["properties"]["place"] for job in answer.json()["jobs"]] == list(range(12))
    assert job_ids(again) == job_ids(answer)
    assert "jobId" not in answer.json()


def test_a_job_reads_the_same_by_id_and_by_token(server: Server) -> None:
    token = server.submit(wait="true").json()["token"]

    by_token = first(server.client.get("/v1/consumer/jobs", params={"token": token}))

    assert status_of(server, by_token["jobId"]) == by_token


def test_reading_by_token_can_wait_for_the_end(server: Server) -> None:
    token = server.submit(slow_job(40)).json()["token"]

    now = server.client.get("/v1/consumer/jobs", params={"token": token})
    done = server.client.get("/v1/consumer/jobs", params={"token": token, "wait": "true"})

    assert now.status_code == 202
    assert done.status_code == 200
    assert first(done)["result"]["available"] is True


def test_detailed_shows_the_job_in_every_form_of_reading(server: Server) -> None:
    submitted = server.submit(detailed="true", wait="true")
    job, token = first(submitted), submitted.json()["token"]
    readings = [
        status_of(server, job["jobId"], detailed="true"),
        first(server.client.get("/v1/consumer/jobs", params={"token": token, "detailed": "true"})),
        first(
            server.client.post("/v1/consumer/jobs/query", json={}, params={"detailed": "true"}),
        ),
    ]

    assert all(reading["job"] == job["job"] for reading in readings)
    assert "job" not in status_of(server, job["jobId"])


def test_whatif_prices_and_writes_nothing(server: Server) -> None:
    before = count_jobs(server)

    body = server.submit(
        image_job(quantity=3, params={"width": 768, "height": 512, "steps": 20}), whatif="true"
    ).json()

    assert "token" not in body
    assert [job["cost"] for job in body["jobs"]] == [0.96] * 3
    assert {job["scheduled"] for job in body["jobs"]} == {False}
    assert count_jobs(server) == before


def test_every_picture_of_a_quantity_has_a_seed_of_its_own(server: Server) -> None:
    answer = server.submit(image_job(quantity=2, batchSize=3), wait="true")
    seeds = [job["result"]["seed"] for job in answer.json()["jobs"]]

    assert len(seeds) == 6
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_given_seed_makes_a_series_that_wraps(server: Server) -> None:
    answer = server.submit(image_job(quantity=3, params={"seed": 2**32 - 2}), wait="true")

    assert [job["result"]["seed"] for job in answer.json()["jobs"]] == [2**32 - 2, 2**32 - 1, 0]


@pytest.mark.parametrize("seed", [-1, None])
def test_minus_one_draws_a_seed(server: Server, seed: int | None) -> None:
    drawn = {
        first(server.submit(image_job(params={"seed": seed}), wait="true"))["result"]["seed"] for _ in "ab"
    }

    assert len(drawn) == 2


def test_a_job_waits_for_those_it_depends_on(server: Server) -> None:
    jobs = [slow_job(40, name="base", quantity=2), image_job(dependencies=["base"])]

    answer = server.submit({"jobs": jobs}, wait="true", detailed="true")
    *bases, last = answer.json()["jobs"]
    native = {job["jobId"]: server.wait(job["jobId"]) for job in answer.json()["jobs"]}

    assert last["job"]["jobDependencies"] == [base["jobId"] for base in bases]
    assert all(native[last["jobId"]]["startedAt"] >= native[base["jobId"]]["finishedAt"] for base in bases)


def test_what_depends_on_a_failed_job_ends_with_it(server: Server) -> None:
    jobs = [faulty_job("rejected", name="base"), image_job(name="next", dependencies=["base"])]
    jobs.append(image_job(dependencies=["next", "next"]))

    answer = server.submit({"jobs": jobs}, wait="true")

    assert answer.status_code == 200
    assert [job["lastEvent"]["type"] for job in answer.json()["jobs"]] == ["Failed", "Deleted", "Deleted"]


@pytest.mark.parametrize("step_ms", [0, 300])
def test_a_cancelled_job_ends_with_deleted_and_no_picture(server: Server, step_ms: float) -> None:
    body = {"jobs": [slow_job(300, name="base"), slow_job(step_ms, dependencies=["base"])]}
    running, waiting = job_ids(server.submit(body))
    until(lambda: status_of(server, running)["lastEvent"]["type"] != "Initialized")

    for job_id in (waiting, running):
        assert server.client.delete(f"/v1/consumer/jobs/{job_id}", params={"force": "true"}).content == b""
        server.wait(job_id)
        status = status_of(server, job_id)
        assert status["lastEvent"]["type"] == "Deleted"
        assert status["lastEvent"]["jobHasCompleted"] is True
        assert status["scheduled"] is False
        assert status["result"] == {"blobKey": status["result"]["blobKey"], "available": False}


def test_a_token_cancels_all_its_jobs(server: Server) -> None:
    answer = server.submit(slow_job(300, quantity=5))

    deleted = server.client.delete("/v1/consumer/jobs", params={"token": answer.json()["token"]})

    assert (deleted.status_code, deleted.content) == (200, b"")
    assert {server.wait(job_id)["status"] for job_id in job_ids(answer)} == {"canceled"}


def test_cancelling_what_is_finished_changes_nothing(server: Server) -> None:
    before = first(server.submit(wait="true"))

    assert server.client.delete(f"/v1/consumer/jobs/{before['jobId']}").status_code == 200
    assert status_of(server, before["jobId"]) == before


def test_a_failed_job_has_its_cause_and_no_picture(server: Server) -> None:
    answer = server.submit(faulty_job("content"), wait="true")
    status = first(answer)

    assert answer.status_code == 200
    assert status["scheduled"] is False
    assert "blobUrl" not in status["result"]
    assert status["lastEvent"]["type"] == "Failed"
    assert status["lastEvent"]["context"]["error_code"] == "content_blocked"
    assert "content filter" in status["lastEvent"]["context"]["error_message"]
    assert status["lastEvent"]["context"]["advice"]


def test_a_failed_attempt_is_tried_again(server: Server) -> None:
    job_id = first(server.submit(faulty_job("server_error", times=2), wait="true"))["jobId"]
    events = [event for event in events_of(server, job_id) if event["type"] != "Updated"]

    assert [event["type"] for event in events] == [
        "Initialized",
        *("Claimed", "Rejected") * 2,
        "Claimed",
        "Succeeded",
    ]
    assert [event["retryAttempt"] for event in events] == [0, 0, 0, 1, 1, 2, 2]


def test_each_event_has_the_worker_and_the_time_of_its_own_attempt(server: Server) -> None:
    job = image_job(properties={"simulate": {"fault": "crash", "times": 2, "step_ms": 10}})
    job_id = first(server.submit(job, wait="true"))["jobId"]

    events = events_of(server, job_id)
    ends = [event for event in events if event["claimHasCompleted"]]

    assert [event["type"] for event in ends] == ["Rejected", "Rejected", "Succeeded"]
    assert all(event["claimDuration"] > "00:00:00.0100000" for event in ends)
    assert all(event["claimDuration"] < event["jobDuration"] for event in ends)
    assert ["workerId" in event for event in events] == [event["type"] != "Initialized" for event in events]
    assert {event["context"]["worker_group"] for event in events[1:]} == {"simulator"}
    assert events_of(server, job_id, descending="true") == events[::-1]


def test_a_job_that_expires_between_two_attempts_has_no_claim_then(make_server: Any) -> None:
    server = make_server(job={"retry_base_s": 30, "heartbeat_s": 0.05})
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    job_id = first(server.submit(faulty_job("server_error", times=9, expireAt=soon)))["jobId"]

    last = until(lambda: (event := status_of(server, job_id)["lastEvent"])["type"] == "Expired" and event)

    assert (last["claimDuration"], last["claimHasCompleted"]) == ("00:00:00.0000000", False)
    assert "workerId" not in last
    assert events_of(server, job_id)[-1] == last


@pytest.mark.parametrize(("retries", "claims"), [(0, 1), (2, 3), (None, 5)])
def test_retries_bound_the_tries(server: Server, retries: int | None, claims: int) -> None:
    job = faulty_job("server_error", times=100, retries=retries)

    status = first(server.submit(job, wait="true", detailed="true"))

    assert status["lastEvent"]["type"] == "Failed"
    assert status["job"]["maxRetryAttempt"] == claims
    types = [event["type"] for event in events_of(server, status["jobId"])]
    assert types.count("Claimed") == claims


def test_a_job_not_started_by_its_time_expires(server: Server) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.4)).isoformat()
    body = {"jobs": [slow_job(300, name="base"), image_job(dependencies=["base"], expireAt=soon)]}
    running, expiring = job_ids(server.submit(body))

    assert server.wait(expiring)["status"] == "expired"
    server.client.delete(f"/v1/consumer/jobs/{running}")
    status = status_of(server, expiring)
    assert status["lastEvent"]["type"] == "Expired"
    assert status["scheduled"] is False


def test_a_job_lives_for_a_day_unless_it_says_otherwise(server: Server) -> None:
    detail = first(server.submit(detailed="true"))["job"]
    given = first(server.submit(image_job(expireAt="2031-01-01T12:00:00.5+02:00"), detailed="true"))["job"]

    life = datetime.fromisoformat(detail["expireAt"]) - datetime.fromisoformat(detail["createdAt"])
    assert abs(life - timedelta(days=1)) < timedelta(seconds=1)
    assert given["expireAt"] == "2031-01-01T10:00:00.5000000Z"


@pytest.mark.parametrize("timeout", ["00:00:00.3", "0:0:0.3000000", 0.3])
def test_a_hanging_job_ends_with_its_timeout(server: Server, timeout: str | float) -> None:
    job = image_job(timeout=timeout, retries=0, properties={"simulate": {"fault": "hang", "step_ms": 1}})

    status = first(server.submit(job, wait="true"))

    assert status["lastEvent"]["context"]["error_code"] == "timeout"


@pytest.mark.parametrize("timeout", ["00:10:00", "1.00:00:00", "00:00:58.8000000", "23:59:59", 600, 0.5])
def test_time_spans_are_read_in_every_form(server: Server, timeout: str | float) -> None:
    assert server.submit(image_job(timeout=timeout), whatif="true").status_code == 200


@pytest.mark.parametrize(
    ("priority", "number"),
    [
        (5, 5),
        (-3.2, -3),
        ("7", 7),
        ("High", -10),
        ("low", 10),
        (" Normal ", 0),
        ({"value": 4}, 4),
        ({"min": 2, "max": 9}, 2),
        ({"max": 9}, 9),
        (10**400, 100),
        (-(10**400), -100),
        (None, 0),
    ],
)
def test_priorities_are_read_in_every_form(server: Server, priority: Any, number: int) -> None:
    detail = first(server.submit(image_job(priority=priority), detailed="true"))["job"]

    assert detail["priority"] == number


def test_the_urgent_job_starts_first(make_server: Any) -> None:
    server = make_server(simulator={"slots": 1})
    running = first(server.submit(slow_job(100)))["jobId"]
    until(lambda: status_of(server, running)["lastEvent"]["type"] != "Initialized")
    ids = [first(server.submit(image_job(priority=word)))["jobId"] for word in ("Low", "Normal", "High")]

    started = {job_id: server.wait(job_id)["startedAt"] for job_id in ids}

    assert sorted(started, key=started.__getitem__) == ids[::-1]


@pytest.mark.parametrize(
    "networks",
    [
        {LORA: {"strength": 0.8, "triggerWord": "detail", "type": "Lora"}},
        {LORA: {"strength": 0.8, "triggerWord": "detail"}},
        {"@civitai/87153": {"strength": 0.8, "triggerWord": "detail"}},
        {"lora1": {"id": LORA, "strength": 0.8, "type": "lora", "triggerWord": "detail"}},
        {LORA.upper(): {"strength": 0.8, "triggerWord": "detail"}},
    ],
)
def test_a_network_is_named_by_its_air_or_labelled(server: Server, networks: dict[str, Any]) -> None:
    job = image_job(additionalNetworks=networks)

    detail = first(server.submit(job, wait="true", detailed="true"))["job"]

    assert detail["additionalNetworks"] == {
        "@civitai/87153": {"type": "lora", "strength": 0.8, "triggerWord": "detail"}
    }
    assert detail["resources"] == ["@civitai/128713", "@civitai/87153"]


@pytest.mark.parametrize("model", [SDXL, SDXL.upper(), SDXL[4:], SDXL[8:], "@civitai/128078"])
def test_a_model_is_named_in_every_form_of_its_air(server: Server, model: str) -> None:
    status = first(server.submit(image_job(model=model), wait="true", detailed="true"))

    assert status["job"]["model"] == "@civitai/128078"
    assert status["result"]["available"] is True


@pytest.mark.parametrize("providers", [[], ["Civitai"], ["saladml", "OctoML"], ["simulator"]])
def test_provider_names_of_the_service_mean_any(server: Server, providers: list[str]) -> None:
    assert first(server.submit(image_job(providers=providers), wait="true"))["result"]["available"]


@pytest.mark.parametrize("params", [{"workflow": GRAPH, "seed": 3}, {"workflow": GRAPH}, GRAPH])
def test_a_comfy_graph_is_run_with_its_airs_resolved(server: Server, params: dict[str, Any]) -> None:
    job = {"$type": "comfy", "quantity": 2, "params": params}

    answer = server.submit(job, wait="true", detailed="true")

    for status in answer.json()["jobs"]:
        assert status["result"]["available"] is True
        loader = status["job"]["params"]["workflow"]["3"]["inputs"]
        assert loader["ckpt_name"] == "sd1/civitai/4384/128713.safetensors"
        assert status["lastEvent"]["jobType"] == "comfy"


def test_the_same_key_answers_the_same_jobs(server: Server) -> None:
    key = {"Idempotency-Key": "once"}
    before = count_jobs(server)
    answers = [
        server.client.post("/v1/consumer/jobs", json=image_job(quantity=2), headers=key, params=query)
        for query in ({}, {"wait": "true"}, {"wait": "true"})
    ]

    assert [job_ids(answer) for answer in answers] == [job_ids(answers[0])] * 3
    assert count_jobs(server) == before + 2
    other = server.client.post("/v1/consumer/jobs", json=image_job(quantity=3), headers=key)
    assert "another body" in problem(other, 409)["detail"]


def test_the_array_shape_of_results_is_a_setting(make_server: Any) -> None:
    server = make_server(civitai={"result_shape": "array"})
    before = first(server.submit(slow_job(30)))
    server.wait(before["jobId"])
    after = status_of(server, before["jobId"])

    assert [entry["available"] for entry in before["result"]] == [False]
    assert [entry["available"] for entry in after["result"]] == [True]
    assert after["result"][0]["blobUrl"]
