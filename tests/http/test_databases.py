"""What must not depend on the database: repeats and conflicts are noticed on both."""

from tests.conftest import Server, image_job
from tests.http.support import count_jobs, job_ids, problem

AIR = "urn:air:sd1:lora:civitai:4711@4712"


def test_a_repeated_submission_is_noticed(accepting: Server) -> None:
    key = {"Idempotency-Key": "on both databases"}
    before = count_jobs(accepting)

    answers = [
        accepting.client.post("/v1/consumer/jobs", json=image_job(quantity=2), headers=key) for _ in range(3)
    ]
    other = accepting.client.post("/v1/consumer/jobs", json=image_job(quantity=3), headers=key)

    assert [job_ids(answer) for answer in answers] == [job_ids(answers[0])] * 3
    assert "another body" in problem(other, 409)["detail"]
    assert count_jobs(accepting) == before + 2


def test_a_second_registration_with_other_fields_is_a_conflict(accepting: Server) -> None:
    accepting.client.delete(f"/v2/resources/{AIR}")

    bodies = ({"air": AIR}, {"air": AIR}, {"air": AIR, "modelName": "Another"})
    answers = [accepting.client.post("/v2/resources", json=body) for body in bodies]

    assert [answer.status_code for answer in answers] == [201, 200, 409]
    assert "registered already" in problem(answers[2], 409)["detail"]


def test_an_absent_resource_is_neither_replaced_nor_removed(accepting: Server) -> None:
    accepting.client.delete(f"/v2/resources/{AIR}")

    problem(accepting.client.put(f"/v2/resources/{AIR}", json={"air": AIR}), 404)
    problem(accepting.client.delete(f"/v2/resources/{AIR}"), 404)
    problem(accepting.client.get(f"/v2/resources/{AIR}"), 404)


def test_properties_are_found(accepting: Server) -> None:
    ids = job_ids(accepting.submit(image_job(quantity=3, properties={"database": "both", "n": 1})))
    query = {"properties": {"n": 1, "database": "both"}}

    found = job_ids(accepting.client.post("/v1/consumer/jobs/query", json=query))

    assert found[:3] == ids[::-1]


def test_a_cancelled_job_is_over(accepting: Server) -> None:
    (job_id,) = job_ids(accepting.submit())

    assert accepting.client.delete(f"/v1/consumer/jobs/{job_id}").status_code == 200
    assert accepting.client.get(f"/v1/consumer/jobs/{job_id}").json()["lastEvent"]["type"] == "Deleted"
