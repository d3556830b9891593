"""Civitai v1, the rest: finding jobs by properties, taint, coverage, consumption, requests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.conftest import LORA, SD1, SDXL, Server, image_job
from tests.http.support import faulty_job, first, job_ids, problem, status_of


def found(server: Server, query: dict[str, Any], **parameters: str) -> list[str]:
    answer = server.client.post("/v1/consumer/jobs/query", json=query, params=parameters)
    return job_ids(answer)


def test_a_query_finds_jobs_with_all_the_properties(server: Server) -> None:
    both = first(server.submit(image_job(properties={"user": "ann", "set": 1})))["jobId"]
    one = first(server.submit(image_job(properties={"user": "ann", "set": 2})))["jobId"]

    assert found(server, {"properties": {"user": "ann"}}) == [one, both]
    assert found(server, {"properties": {"user": "ann", "set": 1}}) == [both]
    assert found(server, {"properties": {"user": "ann", "set": 3}}) == []
    assert found(server, {"properties": {"nobody": "ann"}}) == []


@pytest.mark.parametrize(
    "value",
    [True, None, 0, 1.5, "", "größer", "x" * 5000, [1, "a"], {"a": [1], "b": {"c": None}}, 10**30],
)
def test_a_property_of_any_json_type_is_kept_and_found(server: Server, value: Any) -> None:
    job_id = first(server.submit(image_job(properties={"any": value, "of": "types"})))["jobId"]

    assert found(server, {"properties": {"any": value, "of": "types"}}) == [job_id]
    assert status_of(server, job_id)["properties"] == {"any": value, "of": "types"}


def test_a_property_is_found_whatever_the_order_of_its_keys(server: Server) -> None:
    job_id = first(server.submit(image_job(properties={"nested": {"a": 1, "b": 2}})))["jobId"]

    assert found(server, {"properties": {"nested": {"b": 2, "a": 1}}}) == [job_id]


def test_a_query_is_read_page_by_page(server: Server) -> None:
    ids = job_ids(server.submit(image_job(quantity=60, batchSize=2, properties={"paged": True})))
    query: dict[str, Any] = {"properties": {"paged": True}}
    pages: list[list[str]] = []
    while True:
        answer = server.client.post("/v1/consumer/jobs/query", json=query)
        pages.append(job_ids(answer))
        if "cursor" not in answer.json():
            break
        query["cursor"] = answer.json()["cursor"]

    assert [len(page) for page in pages] == [50, 50, 20]
    assert [job_id for page in pages for job_id in page] == ids[::-1]


def test_a_query_can_ask_for_a_type(server: Server) -> None:
    job_id = first(server.submit(image_job(properties={"typed": 1})))["jobId"]

    for job_type in ("textToImage", "textToImageV2"):
        assert found(server, {"jobType": job_type, "properties": {"typed": 1}}) == [job_id]
    assert found(server, {"jobType": "comfy", "properties": {"typed": 1}}) == []


def test_a_taint_notes_properties_on_one_job_or_all_of_a_token(server: Server) -> None:
    answer = server.submit(image_job(quantity=3, properties={"kept": 1}))
    ids, token = job_ids(answer), answer.json()["token"]
    note = {"reason": "wrong hands", "context": {"by": "a person"}, "properties": {"tainted": "yes"}}

    all_of_them = server.client.put("/v1/consumer/jobs", params={"token": token}, json=note)
    one = server.client.put(f"/v1/consumer/jobs/{ids[0]}", json={"properties": {"tainted": "twice"}})

    assert (all_of_them.status_code, all_of_them.json()) == (200, {"jobs": 3})
    assert (one.status_code, one.content) == (200, b"")
    assert found(server, {"properties": {"tainted": "twice", "kept": 1}}) == [ids[0]]
    assert found(server, {"properties": {"tainted": "yes"}}) == [ids[2], ids[1]]


def test_a_deep_taint_can_be_read_again(server: Server) -> None:
    """What is stored must be no deeper than what can be read."""
    job_id = first(server.submit())["jobId"]
    deep: Any = "end"
    for _ in range(97):
        deep = [deep]

    answer = server.client.put(f"/v1/consumer/jobs/{job_id}", json={"context": {"deep": deep}})

    assert answer.status_code == 200
    assert status_of(server, job_id, detailed="true")["jobId"] == job_id


def test_coverage_tells_for_each_model_as_it_was_written(server: Server) -> None:
    models = [SD1, SDXL.upper(), "@civitai/128713", LORA, "urn:air:sd1:checkpoint:civitai:1@2"]

    answer = server.client.get("/v1/consumer/coverage", params={"model": models})

    assert answer.status_code == 200
    assert list(answer.json()) == models
    *known, unknown = answer.json().values()
    assert all(entry == {"availability": "Available", "workers": 2} for entry in known)
    assert unknown == {"availability": "Unsupported", "workers": 0}


def test_coverage_knows_a_registered_model_that_no_node_has(make_server: Any) -> None:
    server = make_server(simulator={"models": [SDXL]})

    answer = server.client.get("/v1/consumer/coverage", params={"model": [SD1, SDXL]}).json()

    assert answer[SD1] == {"availability": "Unavailable", "workers": 0}
    assert answer[SDXL]["availability"] == "Available"


def test_consumption_counts_what_was_delivered_in_a_time(make_server: Any) -> None:
    server = make_server()

    def used(**times: str) -> dict[str, Any]:
        answer = server.client.get("/v1/consumer/consumption", params=times)
        assert answer.status_code == 200, answer.text
        return answer.json()

    start = datetime.now(UTC)
    first(server.submit(image_job(quantity=3), wait="true"))
    first(server.submit(faulty_job("content"), wait="true"))
    since = used(startDate=start.isoformat())

    assert set(since) == {"images", "totalCost", "startDate", "endDate"}
    assert since["images"] == 3
    assert since["totalCost"] == pytest.approx(3 * 0.002)
    assert used()["images"] >= 3
    yesterday = start - timedelta(days=1)
    assert (
        used(startDate=yesterday.isoformat(), endDate=start.isoformat().replace("+00:00", "Z"))["images"] >= 0
    )
    assert used(startDate="2020-01-01", endDate="2021-01-01")["images"] == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"),
        ("1969-12-31", "9999-12-31T23:59:59Z"),
        ("2025-01-01T00:00:00 02:00", "2025-01-02"),
    ],
)
def test_consumption_takes_any_dates(server: Server, start: str, end: str) -> None:
    answer = server.client.get("/v1/consumer/consumption", params={"startDate": start, "endDate": end})

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        ("yesterday", "", "startDate"),
        ("", "2025-13-01", "endDate"),
        ("2025-01-02", "2025-01-01", "endDate"),
        ("0001-01-01T00:00:00+14:00", "", "startDate"),
        ("", "9999-12-31T23:59:59-14:00", "endDate"),
    ],
)
def test_consumption_says_which_date_is_wrong(server: Server, start: str, end: str, field: str) -> None:
    answer = server.client.get("/v1/consumer/consumption", params={"startDate": start, "endDate": end})

    assert list(problem(answer, 400)["errors"]) == [field]


def test_requests_are_read_page_by_page(make_server: Any) -> None:
    server = make_server()
    ids = [job_ids(server.submit(image_job(quantity=2)))[0] for _ in range(5)]
    pages: list[dict[str, Any]] = []
    cursor = ""
    while not pages or "cursor" in pages[-1]:
        answer = server.client.get("/v1/consumer/requests", params={"take": "2", "cursor": cursor})
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        cursor = pages[-1].get("cursor", {}).get("nextId", "")

    entries = [entry for page in pages for entry in page["requests"]]
    assert [len(page["requests"]) for page in pages] == [2, 2, 1]
    assert [entry["jobs"][0]["job"]["id"] for entry in entries] == ids[::-1]
    assert all(len(entry["jobs"]) == 2 for entry in entries)
    assert {key for entry in entries for job in entry["jobs"] for key in job} == {"job", "lastEvent"}


ROUTES = [
    ("POST", "/v1/consumer/jobs"),
    ("GET", "/v1/consumer/jobs?token=x"),
    ("PUT", "/v1/consumer/jobs?token=x"),
    ("DELETE", "/v1/consumer/jobs?token=x"),
    ("GET", "/v1/consumer/jobs/x"),
    ("PUT", "/v1/consumer/jobs/x"),
    ("DELETE", "/v1/consumer/jobs/x"),
    ("POST", "/v1/consumer/jobs/query"),
    ("GET", "/v1/consumer/coverage?model=x"),
    ("GET", "/v1/consumer/consumption"),
    ("GET", "/v1/consumer/requests"),
    ("GET", "/v1/producer/jobs/x/events"),
    ("GET", "/v2/resources"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", [None, "Basic eDp5", "Bearer", "Bearer " + "x" * 5000, "token"])
def test_no_route_needs_a_header_before_there_is_a_key(
    server: Server, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}

    answer = httpx2.request(method, server.url + path, headers=headers, verify=False)

    assert answer.status_code in (200, 400, 404)
    assert "send the header" not in answer.text.lower()


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", [None, "Basic eDp5", "Bearer", "Bearer " + "x" * 5000, "token"])
def test_every_route_needs_a_key_once_there_is_one(
    keyed: Server, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}

    answer = httpx2.request(method, keyed.url + path, headers=headers, verify=False)

    assert "Authorization: Bearer" in problem(answer, 401)["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/consumer/jobs?token=absent"),
        ("PUT", "/v1/consumer/jobs?token=absent"),
        ("DELETE", "/v1/consumer/jobs?token=absent"),
        ("GET", "/v1/consumer/jobs/absent"),
        ("PUT", "/v1/consumer/jobs/absent"),
        ("DELETE", "/v1/consumer/jobs/absent"),
        ("GET", "/v1/producer/jobs/absent/events"),
    ],
)
def test_what_is_not_there_is_a_404(server: Server, method: str, path: str) -> None:
    answer = server.client.request(method, path, json={"reason": "x"})

    assert "there" in problem(answer, 404)["detail"]
