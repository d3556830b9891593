"""The rules that decide whether a published v1 client works, each as one request without a client."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.conftest import SDXL, TOKEN, Server, image_job
from tests.http.support import slow_job

PROVIDERS = {
    "Civitai",
    "OctoML",
    "SaladML",
    "PicFinder",
    "RunPods",
    "ValdiAI",
    "OctoMLNext",
    "RunDiffusion",
    "SaladShared",
}
EVENT_TYPES = {
    "Initialized",
    "Claimed",
    "Updated",
    "Succeeded",
    "Failed",
    "Rejected",
    "LateRejected",
    "ClaimExpired",
    "Expired",
    "Deleted",
}


@pytest.mark.parametrize("body", [image_job(), {"jobs": [image_job(), image_job()]}])
def test_r1_a_submission_answers_200_or_202_with_a_token_and_jobs(
    server: Server, body: dict[str, Any]
) -> None:
    answer = server.submit(body)

    assert answer.status_code in (200, 202)
    assert answer.json()["token"]
    assert len(answer.json()["jobs"]) == len(body.get("jobs", [body]))


def test_r2_a_result_is_an_object_before_and_after_the_run(server: Server) -> None:
    before = server.submit(slow_job(30)).json()
    server.wait(before["jobs"][0]["jobId"])
    after = server.client.get("/v1/consumer/jobs", params={"token": before["token"]}).json()

    assert set(before["jobs"][0]["result"]) == {"blobKey", "available"}
    assert before["jobs"][0]["result"]["available"] is False
    assert set(after["jobs"][0]["result"]) == {
        "blobKey",
        "available",
        "blobUrl",
        "blobUrlExpirationDate",
        "seed",
    }
    assert after["jobs"][0]["result"]["blobKey"] == before["jobs"][0]["result"]["blobKey"]


def test_r3_a_job_is_scheduled_until_it_is_finished(server: Server) -> None:
    job_id = server.submit(slow_job(60)).json()["jobs"][0]["jobId"]
    seen: list[tuple[bool, bool]] = []
    while not seen or seen[-1][0]:
        status = server.client.get(f"/v1/consumer/jobs/{job_id}").json()
        seen.append((status["scheduled"], "blobUrl" in status["result"]))
        time.sleep(0.02)

    assert len(seen) > 3
    assert set(seen[:-1]) == {(True, False)}
    assert seen[-1] == (False, True)


def test_r4_the_picture_of_a_blob_url_needs_no_token(server: Server) -> None:
    url = server.submit(wait="true").json()["jobs"][0]["result"]["blobUrl"]

    picture = httpx2.get(url, verify=False)

    assert picture.status_code == 200
    assert picture.content.startswith(b"\x89PNG")


def test_r5_an_event_has_a_known_provider_and_type_and_durations_as_text(server: Server) -> None:
    job_id = server.submit(slow_job(10), wait="true").json()["jobs"][0]["jobId"]
    canceled_id = server.submit(slow_job(500)).json()["jobs"][0]["jobId"]
    server.client.delete(f"/v1/consumer/jobs/{canceled_id}")
    server.wait(canceled_id)

    for id_ in (job_id, canceled_id):
        events = server.client.get(f"/v1/producer/jobs/{id_}/events").json()
        assert {event["type"] for event in events} <= EVENT_TYPES
        assert {event["provider"] for event in events} <= {*PROVIDERS, None}
        assert all(isinstance(event["claimDuration"], str) for event in events)
        assert all(isinstance(event["jobDuration"], str) for event in events)


def test_r6_a_delete_answers_exactly_200(server: Server) -> None:
    by_id = server.submit(slow_job(200)).json()
    by_token = server.submit(slow_job(200)).json()

    assert server.client.delete(f"/v1/consumer/jobs/{by_id['jobs'][0]['jobId']}").status_code == 200
    assert server.client.delete("/v1/consumer/jobs", params={"token": by_token["token"]}).status_code == 200


def test_r7_a_job_by_id_is_flat(server: Server) -> None:
    job_id = server.submit(wait="true").json()["jobs"][0]["jobId"]

    status = server.client.get(f"/v1/consumer/jobs/{job_id}").json()

    assert status["jobId"] == job_id
    assert not {"jobs", "token"} & set(status)


def test_r8_answers_come_within_5_s_while_the_nodes_are_busy(server: Server) -> None:
    busy = server.submit(slow_job(100, quantity=30, params={"steps": 10})).json()
    started = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: server.submit(), range(20)))
        answers.append(server.client.get("/v1/consumer/jobs", params={"token": busy["token"]}))
    took_s = time.monotonic() - started
    for token in (answer.json()["token"] for answer in answers):
        server.client.delete("/v1/consumer/jobs", params={"token": token})

    assert {answer.status_code for answer in answers} <= {200, 202}
    assert took_s < 5


def test_r9_wait_holds_until_the_job_is_done(server: Server) -> None:
    started = time.monotonic()
    answer = server.submit(slow_job(100, params={"steps": 6}), wait="true")
    took_s = time.monotonic() - started

    assert answer.status_code == 200
    assert 0.5 < took_s < 5
    assert answer.json()["jobs"][0]["result"]["blobUrl"]


def test_r9_wait_that_runs_out_answers_202_with_the_same_body(make_server: Any) -> None:
    server = make_server(limit={"wait_s": 0.4})
    started = time.monotonic()
    answer = server.submit(slow_job(300), wait="true")
    took_s = time.monotonic() - started

    assert answer.status_code == 202
    assert 0.4 <= took_s < 2
    assert answer.json()["jobs"][0]["scheduled"] is True
    again = server.client.get("/v1/consumer/jobs", params={"token": answer.json()["token"], "wait": "true"})
    assert again.status_code == 202
    assert set(again.json()) == set(answer.json())


@pytest.mark.parametrize("hint", ["SD_1_5", "SDXL", "flux1", "anything"])
def test_r10_the_air_decides_about_the_pipeline_and_not_base_model(server: Server, hint: str) -> None:
    job = image_job(model=SDXL, baseModel=hint)

    status = server.submit(job, wait="true", detailed="true").json()["jobs"][0]

    assert status["lastEvent"]["context"]["ecosystems"] == "sdxl"
    assert status["job"]["model"] == "@civitai/128078"


@pytest.mark.parametrize("scheduler", ["EulerA", "eulerA", "eulera", "EULERA", "dpm2mkarras", "DpmSde"])
def test_r17_enums_are_read_in_any_case(server: Server, scheduler: str) -> None:
    job = image_job(
        params={"scheduler": scheduler},
        priority="HIGH",
        additionalNetworks={"urn:air:sd1:lora:civitai:82098@87153": {"type": "LORA"}},
        controlNets=[{"preprocessor": "canny", "weight": 1, "startStep": 0, "endStep": 1}],
    )

    detail = server.submit(job, detailed="true").json()["jobs"][0]["job"]

    assert detail["params"]["scheduler"].lower() == scheduler.lower()
    assert detail["params"]["scheduler"] in ("EulerA", "DPM2MKarras", "DPMSDE")
    assert detail["additionalNetworks"]["@civitai/87153"]["type"] == "lora"
    assert detail["controlNets"][0]["preprocessor"] == "Canny"


@pytest.mark.parametrize("absent", ["cfgScale", "seed", "steps", "scheduler", "width", "negativePrompt"])
def test_r18_no_parameter_but_the_model_is_required(server: Server, absent: str) -> None:
    job = image_job(params={"cfgScale": 7, "seed": 1, "scheduler": "Euler", "negativePrompt": "fog"})
    del job["params"][absent]

    assert server.submit(job, whatif="true").status_code == 200


def test_r18_a_model_alone_is_enough(server: Server) -> None:
    answer = server.submit({"$type": "textToImage", "model": SDXL}, whatif="true")

    assert answer.json()["jobs"][0]["cost"] > 0


@pytest.mark.parametrize("path", ["/v1/consumer/jobs", "/v2/resources", "/v1/consumer/jobs/query"])
def test_r19_any_origin_may_call_after_a_preflight(server: Server, path: str) -> None:
    asked = {
        "Origin": "https://docs.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    preflight = httpx2.request("OPTIONS", server.url + path, headers=asked, verify=False)

    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == "*"
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    assert {"GET", "POST", "PUT", "DELETE"} <= set(
        preflight.headers["access-control-allow-methods"].split(", ")
    )


def test_r19_every_answer_may_be_read_by_any_origin(keyed: Server) -> None:
    """On a server with keys; without, other sites' pages get a 403 that they may read."""
    origin = {"Origin": "https://docs.example"}
    done = keyed.submit(wait="true").json()["jobs"][0]
    answers = [
        keyed.client.get("/v2/resources", headers=origin),
        keyed.client.post("/v1/consumer/jobs", json=[], headers=origin),
        keyed.client.get("/v1/consumer/jobs/absent", headers=origin),
        keyed.client.patch("/v1/consumer/jobs", headers=origin),
        httpx2.get(f"{keyed.url}/v1/consumer/jobs", headers=origin, verify=False),
        httpx2.get(done["result"]["blobUrl"], headers=origin, verify=False),
    ]

    assert [answer.status_code for answer in answers] == [200, 400, 404, 405, 401, 200]
    assert {answer.headers.get("access-control-allow-origin") for answer in answers} == {"*"}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "image/png;q=0.1", ""])
def test_r20_any_accept_header_gets_json(server: Server, accept: str) -> None:
    answer = server.client.post("/v1/consumer/jobs", json=image_job(), headers={**TOKEN, "Accept": accept})

    assert answer.status_code in (200, 202)
    assert answer.headers["content-type"] == "application/json"


def test_r20_unknown_query_parameters_are_ignored(server: Server) -> None:
    unknown = {"charge": "true", "api-version": "3", "x": ["1", "2"], "": "y"}

    assert server.client.post("/v1/consumer/jobs", json=image_job(), params=unknown).status_code == 200
    assert server.client.get("/v2/resources", params=unknown).status_code == 200
    assert server.client.get("/api/v1/jobs", params=unknown).status_code == 400  # our own API names them
