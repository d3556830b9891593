"""The filters of the list of jobs, and the counts, over HTTP."""

from typing import Any

import pytest

from tests.conftest import Server
from tests.http.support import faulty_job, first, image_job, job_ids


def listed(server: Server, **query: Any) -> list[str]:
    return [job["id"] for job in server.client.get("/api/v1/jobs", params=query).json()["items"]]


def test_filters_of_every_kind_narrow_the_list(make_server: Any) -> None:
    server = make_server()
    (good,) = job_ids(server.submit(image_job(), wait="true"))
    bad = first(server.submit(faulty_job("content"), wait="true"))["jobId"]
    job = server.client.get(f"/api/v1/jobs/{good}").json()

    assert listed(server, id=f"{good},absent") == [good]
    assert listed(server, error="content_blocked") == [bad]
    assert listed(server, node=job["node"]) == [bad, good]
    assert listed(server, node="attic") == []
    assert listed(server, model=job["input"]["model"]) == [bad, good]
    assert listed(server, model="flux9*") == []
    assert listed(server, text=job["input"]["prompt"][:6].upper(), status="succeeded") == [good]
    assert listed(server, label="big") == []
    assert listed(server, olderThan="1h") == []
    assert listed(server, newerThan="3600", olderThan="2200-01-01T00:00:00Z") == [bad, good]
    assert listed(server, character="mia") == listed(server, book="0" * 36) == []


def test_jobs_are_counted_by_group(make_server: Any) -> None:
    server = make_server()
    server.submit(image_job(quantity=2), wait="true")
    bad = first(server.submit(faulty_job("content"), wait="true"))["jobId"]

    def counted(**query: str) -> dict[str, int]:
        body = server.client.get("/api/v1/jobs/counts", params=query).json()
        assert body["complete"]
        return {item["key"]: item["count"] for item in body["items"]}

    assert counted() == {"succeeded": 2, "failed": 1}
    assert counted(by="recipe", status="succeeded") == {"textToImage": 2}
    (group,) = server.client.get("/api/v1/jobs/counts", params={"by": "error"}).json()["items"]
    assert (group["key"], group["count"], group["lastJob"]) == ("content_blocked", 1, bad)
    assert group["model"].startswith("urn:air:")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"status": "faild"}, "is 'faild'; did you mean 'failed'?"),
        ({"error": "memory"}, "is 'memory'; did you mean 'out_of_memory'?"),
        ({"olderThan": "yesterday"}, "is 'yesterday'; write an age such as 90, 15m or 7d"),
        ({"newerThan": "9" * 12 + "d"}, None),
        ({"id": ",".join(["x"] * 101)}, "at most 100"),
        ({"node": "x" * 201}, "has a value of more than 200 characters"),
        ({"text": "x" * 201}, "200"),
        ({"moddel": "x"}, "did you mean 'model'?"),
    ],
)
def test_a_wrong_filter_is_explained(server: Server, query: dict[str, str], message: str | None) -> None:
    answer = server.client.get("/api/v1/jobs", params=query)

    if message is None:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400
        ((field, (text,)),) = answer.json()["errors"].items()
        assert field == next(iter(query))
        assert message in text
