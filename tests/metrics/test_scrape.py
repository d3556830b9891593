"""What a running server tells Prometheus, over HTTP."""

from collections.abc import Callable

import httpx2

from imagemill.bootstrap.application import Application, Roles
from imagemill.config import Settings
from tests.conftest import SDXL, Server, image_job
from tests.metrics.scraped import Scrape, parse, until

END = "imagemill_jobs_total"
FAILURES = "imagemill_failures_total"


def metrics(server: Server) -> Scrape:
    answer = httpx2.get(f"{server.url}/metrics", verify=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return parse(answer.text)


def run(server: Server, **changes: object) -> str:
    job_id = server.submit(image_job(**changes)).json()["jobs"][0]["jobId"]
    server.wait(job_id)
    return job_id


def ends(count: float) -> Callable[[Scrape], bool]:
    return lambda seen: seen.value(END) >= count


def test_a_job_is_seen_from_its_request_to_its_end(make_server: Callable[..., Server]) -> None:
    server = make_server()
    run(server)

    seen = until(lambda: metrics(server), lambda seen: seen.value("imagemill_node_in_flight") == 0)

    assert seen.value(END, recipe="textToImage", end="succeeded") == 1
    assert seen.value("imagemill_queue_wait_seconds_count") == 1
    assert seen.value("imagemill_claim_seconds_count") == 1
    assert seen.labels("imagemill_stage_seconds_count", "stage") == {
        "CLAIMED",
        "PROMPT_PREPARED",
        "SENT_TO_BACKEND",
        "BACKEND_RESULT",
        "STORED",
    }
    assert seen.value("imagemill_commit_writes_sum") >= 3
    assert seen.value("imagemill_blob_seconds_count", result="ok") >= 1
    assert seen.value("imagemill_node_busy_seconds_total") > 0
    assert seen.value("imagemill_database_up") == 1


def test_a_node_is_named_without_the_part_that_changes_with_each_start(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(simulator={"nodes": 2})
    run(server)

    seen = metrics(server)

    assert seen.labels("imagemill_node_healthy", "node") == {"sim-1", "sim-2"}
    assert seen.labels("imagemill_node_busy_seconds_total", "node") <= {"sim-1", "sim-2"}


def test_requests_are_told_by_route_and_never_by_path(make_server: Callable[..., Server]) -> None:
    server = make_server()
    for word in ("secret", "words"):
        assert server.client.get(f"/v1/consumer/jobs/{word}").status_code == 404
        assert server.client.get(f"/no/such/{word}").status_code == 404

    seen = metrics(server)
    count = "imagemill_http_request_seconds_count"

    assert seen.value(count, method="GET", route="/v1/consumer/jobs/{job_id}", status="404") == 2
    assert seen.value(count, route="other", status="404") == 2
    assert not {route for route in seen.labels(count, "route") if "secret" in route}


def test_a_route_is_named_as_the_documentation_names_it(make_server: Callable[..., Server]) -> None:
    server = make_server()
    documented = set(server.client.get("/openapi.json").json()["paths"])
    for path in (
        "/health",
        "/api/v1/jobs",
        "/api/v1/nodes",
        "/api/v1/workflows",
        "/v2/resources",
        "/api/v1/jobs/x",
    ):
        server.client.get(path)

    told = metrics(server).labels("imagemill_http_request_seconds_count", "route") - {"other"}

    assert len(told) >= 5
    assert told <= documented


def test_a_method_of_nobodys_is_one_label_with_all_its_like(make_server: Callable[..., Server]) -> None:
    server = make_server()
    for method in ("BREW", "WHEN"):
        server.client.request(method, "/health/live")

    assert metrics(server).labels("imagemill_http_request_seconds_count", "method") <= {"GET", "other"}


def test_a_failure_is_told_by_type_and_by_whether_it_is_retried(make_server: Callable[..., Server]) -> None:
    server = make_server()
    run(server, properties={"simulate": {"fault": "server_error", "times": 1}})

    seen = until(lambda: metrics(server), ends(1))

    assert seen.value(END, end="succeeded") == 1
    assert seen.value(FAILURES, retried="true") == 1
    assert seen.value(FAILURES, retried="false") == 0


def test_a_job_that_never_ran_has_an_end_too(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(api=True, scheduler=True, worker=False))
    job_id = server.submit().json()["jobs"][0]["jobId"]
    waiting = until(
        lambda: metrics(server), lambda seen: seen.value("imagemill_queue_jobs", state="queued") == 1
    )
    assert server.client.delete(f"/v1/consumer/jobs/{job_id}").is_success

    seen = until(lambda: metrics(server), ends(1))

    assert 0 < waiting.value("imagemill_queue_oldest_seconds", queue="gpu") < 60
    assert seen.value(END, recipe="textToImage", end="canceled") == 1
    assert seen.value("imagemill_stage_seconds_count") == 0


def test_models_that_are_loaded_are_counted_by_node(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"nodes": 1, "load_ms": 5})
    run(server)
    run(server, model=SDXL)

    seen = until(lambda: metrics(server), ends(2))

    assert seen.value("imagemill_model_loads_total", node="sim-1") == 2


def test_a_worker_tells_on_a_port_of_its_own(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(api=True, scheduler=True, worker=False))
    settings = server.app.settings.model_copy(update={"metrics": type(server.app.settings.metrics)(port=0)})
    worker = Application(settings, Roles(api=False, scheduler=False, worker=True))
    worker.start()
    try:
        run(server)
        port = worker.observer.port
        seen = until(
            lambda: parse(httpx2.get(f"http://127.0.0.1:{port}/metrics", verify=False).text), ends(1)
        )
        assert seen.value("imagemill_stage_seconds_count", stage="STORED") == 1
        assert seen.matching("imagemill_queue_jobs") == []
        assert metrics(server).value("imagemill_stage_seconds_count") == 0
    finally:
        worker.close()


def test_without_the_setting_there_is_no_port() -> None:
    assert Settings(_env_file=None).metrics.port is None
