"""Health: a page for people, two probes for machines."""

import shutil
from collections.abc import Callable

import httpx2

from imagemill.bootstrap.application import Roles
from tests.conftest import Server, image_job
from tests.http.support import job_ids, slow_job, until


def test_health_tells_of_every_part(server: Server) -> None:
    answer = httpx2.get(f"{server.url}/health", verify=False)
    body = answer.json()

    assert answer.status_code == 200
    assert body["ok"] is True
    assert body["database"] == "ok"
    assert body["blobs"] == "ok"
    assert set(body["queue"]) == {"waiting", "queued", "running"}
    assert [(node["backend"], node["healthy"], node["slots"]) for node in body["nodes"]] == [
        ("simulator", True, 2)
    ]


def test_probes_answer_a_machine(server: Server) -> None:
    live, ready = (httpx2.get(f"{server.url}/health/{probe}", verify=False) for probe in ("live", "ready"))

    assert (live.status_code, live.json()) == (200, {"ok": True})
    assert (ready.status_code, ready.json()["ok"]) == (200, True)


def test_health_counts_what_waits_and_what_runs(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"slots": 1})
    ids = job_ids(
        server.submit({"jobs": [slow_job(300, name="a"), image_job(dependencies=["a"]), image_job()]})
    )

    def queue() -> dict[str, int]:
        return server.client.get("/health").json()["queue"]

    assert until(lambda: (found := queue())["running"] == 1 and found) == {
        "waiting": 1,
        "queued": 1,
        "running": 1,
    }
    server.client.delete(f"/v1/consumer/jobs/{ids[0]}")
    until(lambda: set(queue().values()) == {0})


def test_health_names_the_models_a_node_has_loaded(make_server: Callable[..., Server]) -> None:
    server = make_server()
    assert server.client.get("/health").json()["nodes"][0]["resident"] == []

    server.submit(wait="true")

    resident = server.client.get("/health").json()["nodes"][0]["resident"]
    assert resident == ["urn:air:sd1:checkpoint:civitai:4384@128713"]


def test_a_process_without_its_blob_folder_is_alive_but_not_ready(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(worker=False))
    shutil.rmtree(server.app.settings.data_dir / "blobs")

    health, live = server.client.get("/health/ready"), server.client.get("/health/live")

    assert health.status_code == 503
    assert health.json()["ok"] is False
    assert "blob folder" in health.json()["blobs"]
    assert health.json()["database"] == "ok"
    assert live.status_code == 200
