"""The longest values that are accepted are kept whole, by both databases."""

from typing import Any

import pytest

from tests.conftest import LORA, SD1, Server, image_job
from tests.http.support import count_jobs, first, status_of

WIDE = "🗼"
"""Four bytes in UTF-8, two units in UTF-16: where lengths are counted differently, this tells."""

JOBS: dict[str, dict[str, Any]] = {
    "name": image_job(name=WIDE * 200),
    "prompt": image_job(params={"prompt": WIDE * 10_000, "negativePrompt": WIDE * 10_000}),
    "property keys": image_job(properties={f"{number:02}" + WIDE * 198: WIDE for number in range(50)}),
    "property values": image_job(properties={"a": WIDE * 100_000, "b": "x" * 198, "c": WIDE * 198}),
    "callback": image_job(callbackUrl="https://example.com/" + "x" * 1980),
    "trigger": image_job(additionalNetworks={LORA: {"triggerWord": WIDE * 50_000}}),
    "base model": image_job(baseModel=WIDE * 50_000),
    "numbers": image_job(properties={"int": 10**4000, "float": 1.7e308, "small": 5e-324, "minus": -(2**63)}),
    "expiry": image_job(expireAt="2035-12-31T23:59:59.999999+14:00"),
    "timeout": image_job(timeout="1.00:00:00", retries=50, priority=1e300),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_with_the_longest_values_is_kept(accepting: Server, name: str) -> None:
    job = JOBS[name]

    accepted = first(accepting.submit(job))
    read = status_of(accepting, accepted["jobId"], detailed="true")

    assert read["properties"] == job.get("properties", {})
    assert read["job"]["params"]["prompt"] == job["params"]["prompt"]
    assert read["job"].get("name") == job.get("name")


def test_a_native_job_with_the_longest_values_is_kept(accepting: Server) -> None:
    body = {
        "recipe": "textToImage",
        "input": {"model": SD1},
        "labels": [f"{number:02}" + "abcdefgh.-:/_123"[number % 10 :] * 4 for number in range(20)],
        "properties": {"deep": {WIDE * 1000: [WIDE] * 1000}},
    }
    body["labels"] = [label.replace("_", "-")[:64] for label in body["labels"]]

    answer = accepting.client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "k" * 200})

    assert answer.status_code == 201, answer.text
    assert answer.json()["properties"] == body["properties"]


def test_five_hundred_jobs_are_accepted_together(accepting: Server) -> None:
    before = count_jobs(accepting)

    answer = accepting.submit({"jobs": [image_job(quantity=100, name=f"n{number}") for number in range(5)]})

    assert len(answer.json()["jobs"]) == 500
    assert count_jobs(accepting) == before + 500


@pytest.mark.parametrize(
    "air",
    [
        "urn:air:a:b:c:" + "d" * 496 + "@1",
        f"urn:air:sd1:{'t' * 64}:own:5@6",
        "urn:air:sd1:lora:civitai:5@" + "9" * 19,
    ],
)
def test_a_model_with_the_longest_air_is_kept(accepting: Server, air: str) -> None:
    texts = {
        "modelName": WIDE * 200,
        "description": WIDE * 10_000,
        "tags": [f"{number:03}" + WIDE * 197 for number in range(100)],
        "fileName": WIDE * 255,
    }
    accepting.client.delete(f"/v2/resources/{air}")

    answer = accepting.client.post("/v2/resources", json={"air": air, **texts})

    assert answer.status_code == 201, answer.text
    read = accepting.client.get(f"/v2/resources/{air}").json()
    assert {name: read[name] for name in texts} == texts
