"""Whatever a client sends: a 4xx that says what would be right, never a 5xx, never a half-written job."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import LORA, SD1, Server, image_job
from tests.http.bad_values import AIRS, FIELDS
from tests.http.support import count_jobs, first, problem, status_of


@pytest.fixture(autouse=True)
def nothing_is_written(server: Server) -> Iterator[None]:
    """No test here may leave a job behind."""
    before = count_jobs(server)
    yield
    assert count_jobs(server) == before


@pytest.mark.parametrize(
    ("body", "path", "word"), FIELDS, ids=[f"{n}-{row[1]}" for n, row in enumerate(FIELDS)]
)
def test_a_wrong_field_is_named_with_what_would_be_right(
    server: Server, body: dict[str, Any], path: str, word: str
) -> None:
    told = problem(server.submit(body), 400)

    assert list(told["errors"]) == [path]
    assert word in " ".join(told["errors"][path])
    assert told["detail"].startswith(f"{path}: ")
    assert told["type"] == "urn:imagemill:problem:invalid_input"


@pytest.mark.parametrize(("body", "path", "word"), FIELDS[::7])
def test_in_a_list_the_wrong_job_is_named_and_none_is_accepted(
    server: Server, body: dict[str, Any], path: str, word: str
) -> None:
    told = problem(server.submit({"jobs": [image_job(), body, image_job()]}), 400)

    assert list(told["errors"]) == [path if path == "jobs" else f"jobs[1].{path}"]


@pytest.mark.parametrize(("air", "word"), AIRS)
def test_an_odd_air_is_refused_as_a_model_and_as_a_network(server: Server, air: str, word: str) -> None:
    as_model = problem(server.submit(image_job(model=air)), 400)
    as_label = (
        problem(server.submit(image_job(additionalNetworks={"x": {"id": air}})), 400) if air != LORA else None
    )

    assert word in as_model["errors"]["model"][0]
    assert as_label is None or len(as_label["errors"]) == 1


def test_several_faults_are_all_told_at_once(server: Server) -> None:
    told = problem(
        server.submit(image_job(quantity=0, params={"width": 1, "height": 9999, "stepps": 3})), 400
    )

    assert set(told["errors"]) == {"quantity", "params.width", "params.height", "params.stepps"}
    assert told["detail"].endswith("; and 3 more")


def test_many_faults_do_not_make_a_large_answer(server: Server) -> None:
    jobs = [
        image_job(additionalNetworks={f"{'x' * 400}{n}": {"y" * 2000: 1} for n in range(64)}),
        image_job(dependencies=[5] * 100_000),
        image_job(providers=[5] * 100_000),
        image_job(params={"z" * 100_000: 1}),
        image_job(name="n" * 100_000),
        image_job(model="m" * 100_000),
        image_job(dependencies=["d" * 100_000]),
    ]

    for job in jobs:
        answer = server.submit(job)
        problem(answer, 400)
        assert len(answer.content) < 50_000


NAMES: list[tuple[list[dict[str, Any]], str, str]] = [
    (
        [image_job(name="a"), image_job(name="a"), image_job(dependencies=["a"])],
        "jobs[1].name",
        "jobs[0]",
    ),
    (
        [image_job(name="a", dependencies=["b"]), image_job(name="b", dependencies=["a"])],
        "jobs[0].dependencies",
        "circle",
    ),
    (
        [
            image_job(name="a", dependencies=["c"]),
            image_job(name="b", dependencies=["a"]),
            image_job(name="c", dependencies=["b"]),
            image_job(),
        ],
        "jobs[0].dependencies",
        "circle",
    ),
    ([image_job(name="a"), image_job(dependencies=["A"])], "jobs[1].dependencies", "'A'"),
    ([image_job()] * 501, "jobs", "at most 500"),
    ([image_job(quantity=100)] * 6, "jobs", "at most 500"),
    ([image_job(quantity=100, batchSize=100)] * 200, "jobs", "at most"),
    ([], "jobs", "at least one"),
]


@pytest.mark.parametrize(("jobs", "path", "word"), NAMES)
def test_jobs_that_do_not_fit_together_are_refused(
    server: Server, jobs: list[dict[str, Any]], path: str, word: str
) -> None:
    told = problem(server.submit({"jobs": jobs}), 400)

    assert list(told["errors"]) == [path]
    assert word in told["errors"][path][0]


def post(server: Server, content: bytes, path: str = "/v1/consumer/jobs", **headers: str) -> Any:
    return server.client.post(path, content=content, headers={"Content-Type": "application/json", **headers})


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * levels + b"]" * levels + b"}"


BODIES: list[bytes] = [
    b"",
    b" ",
    b"null",
    b"true",
    b"5",
    b'"text"',
    b"[]",
    b'[{"$type":"textToImage"}]',
    b"{}",
    b"{",
    b"{'$type':'textToImage'}",
    b"not json",
    b"<xml/>",
    b'{"a":1}{"b":2}',
    b'{"jobs":null}',
    b'{"jobs":{}}',
    b'{"jobs":"all"}',
    b'{"jobs":[null]}',
    b'{"jobs":[[]]}',
    b'{"jobs":[5]}',
    b"\xff\xfe{\0}\0",
    b"\xef\xbb\xbf{}",
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\udc00\\ud800"}',
    b'{"a":"raw \0 nul"}',
    b'{"a":"line\nfeed"}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":' + b"9" * 5000 + b"}",
    b"grant_type=password&a=b",
    nested(5000),
    nested(150),
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("path", ["/v1/consumer/jobs", "/v2/resources", "/api/v1/jobs"])
def test_a_body_that_is_no_request_is_refused(server: Server, path: str, body: bytes) -> None:
    assert problem(post(server, body, path), 400)["errors"]


def with_value(text: str) -> bytes:
    """A valid job whose first property and prompt are this JSON text."""
    job = json.dumps(image_job(prompt="PLACE", properties={"a": "PLACE"}, params={"prompt": "PLACE"}))
    return job.replace('"PLACE"', text).encode()


@pytest.mark.parametrize(
    "text",
    ['"a\\u0000b"', '"\\u0000"', '{"\\u0000": 1}', "1e999", "-1e400", '[[{"x": 1e309}]]', "9" * 400 + ".0"],
)
def test_values_that_could_not_be_read_again_are_refused(server: Server, text: str) -> None:
    told = problem(post(server, with_value(text)), 400)

    assert len(told["errors"]) == 1


def test_a_nul_is_refused_by_name_wherever_text_is_read(server: Server) -> None:
    nul = {"a": "x\0y"}
    there = first(server.submit(whatif="true"))["jobId"]
    answers = [
        server.client.post("/v1/consumer/jobs/query", json={"properties": nul}),
        server.client.put(f"/v1/consumer/jobs/{there}", json={"context": nul}),
        server.client.post("/v2/resources", json={"air": "x\0"}),
        server.client.patch(f"/v2/resources/{SD1}", json={"description": "x\0"}),
        server.client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": nul}),
    ]

    for answer in answers:
        assert "NUL" in problem(answer, 400)["detail"]


@pytest.mark.parametrize("levels", [90, 99])
def test_what_is_accepted_deep_can_be_read_again(make_server: Any, levels: int) -> None:
    server = make_server()
    deep: Any = 1
    for _ in range(levels - 2):
        deep = [deep]
    job_id = first(server.submit(image_job(properties={"deep": deep}), wait="true"))["jobId"]

    assert status_of(server, job_id, detailed="true")["properties"]["deep"] == deep
    assert server.client.get(f"/api/v1/jobs/{job_id}").json()["properties"]["deep"] == deep


def test_a_prompt_of_ten_megabytes_is_too_large(server: Server) -> None:
    body = json.dumps(image_job(params={"prompt": "x" * 10_000_000})).encode()

    def piecemeal() -> Iterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    whole = post(server, body)
    chunked = server.client.post("/v1/consumer/jobs", content=piecemeal())

    for answer in (whole, chunked):
        assert "4194304 bytes" in problem(answer, 413)["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data", "", "ü"])
def test_the_body_is_json_whatever_its_type_says(server: Server, content_type: str) -> None:
    headers = {"Content-Type": content_type.encode("latin-1")}
    answer = server.client.post(
        "/v1/consumer/jobs", content=json.dumps(image_job()), headers=headers, params={"whatif": "true"}
    )

    assert answer.status_code == 200
