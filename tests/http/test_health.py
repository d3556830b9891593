"""Health: a page for people, two probes for machines, and the reasons why jobs wait."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from io import BytesIO
from typing import Any, cast

import httpx2
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from typer.testing import CliRunner

from imagemill.bootstrap.application import Application, Roles
from imagemill.cli.app import app
from imagemill.domain.errors import StorageError
from imagemill.net.pools import HealthProbe
from tests.conftest import LORA, SD1, Server, image_job
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


def test_what_fails_and_that_it_works_again_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    problems = ["", "no bucket", "no bucket", "full", "", ""]

    def check() -> None:
        if problem := problems.pop(0):
            raise StorageError(problem)

    async def ask() -> list[str]:
        probe, told = HealthProbe("blobs", check), list[str]()
        while problems:
            try:
                await probe()
            except StorageError as error:
                told.append(str(error))
        return told

    caplog.set_level(logging.INFO, "imagemill.net.pools")

    assert asyncio.run(ask()) == ["no bucket", "no bucket", "full"]
    assert caplog.messages == [
        "health: blobs: no bucket",
        "health: blobs: full",
        "health: blobs: works again",
    ]


# What can run

NATIVE: dict[str, Any] = {
    "recipe": "textToImage",
    "input": {"model": SD1, "width": 64, "height": 64, "steps": 2},
}
GONE = "http://127.0.0.1:1"
COMFY: dict[str, Any] = {"urls": GONE}


def health(server: Server) -> dict[str, Any]:
    answer = server.client.get("/health")
    assert answer.status_code == 200
    return answer.json()


def command(server: Server) -> Any:
    return CliRunner().invoke(app, ["health", "--url", server.url])


def test_all_is_well_with_the_simulator(server: Server) -> None:
    body = health(server)

    assert (body["status"], body["problems"], body["simulated"]) == ("ok", [], True)
    shown = command(server)
    assert shown.exit_code == 0
    assert "simulator" in shown.output


def test_a_node_that_was_never_reached_is_a_problem_and_the_paused_simulator_no_capacity(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(comfyui=COMFY)
    body = until(lambda: (found := health(server)) and "cannot be reached" in str(found) and found)

    assert (body["status"], body["simulated"]) == ("degraded", False)
    assert "no node takes jobs" in body["problems"]
    assert any("comfyui-" in problem for problem in body["problems"])
    shown = command(server)
    assert shown.exit_code == 3
    assert "is degraded" in shown.output
    characters = server.client.get("/api/v1/image-generation/health")
    assert characters.status_code == 503
    assert {name: characters.json()[name] for name in ("comfyui", "status", "simulated")} == {
        "comfyui": "unhealthy",
        "status": "degraded",
        "simulated": False,
    }
    models = [SD1, LORA]
    coverage = server.client.get("/v1/consumer/coverage", params={"model": models}).json()
    assert coverage == {air: {"availability": "Unavailable", "workers": 0} for air in models}


def test_strangers_learn_no_names_of_nodes(make_server: Callable[..., Server]) -> None:
    server = make_server(comfyui=COMFY, auth={"required": "always"})

    body = httpx2.get(f"{server.url}/health", verify=False).json()

    assert body["status"] == "degraded"
    assert "no node takes jobs" in body["problems"]
    assert "comfy-" not in str(body)
    assert "nodes" not in body


def test_a_server_without_workers_is_degraded_until_one_starts(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(worker=False))
    id_ = server.client.post("/api/v1/jobs", json=NATIVE).json()["id"]

    def waits() -> str:
        return server.client.get(f"/api/v1/jobs/{id_}").json()["waits"]

    [problem] = health(server)["problems"]
    assert "imagemill worker" in problem
    assert "no worker is running" in waits()
    v1 = server.client.get(f"/v1/consumer/jobs/{id_}").json()
    assert v1["serviceProviders"]["Imagemill"]["support"] == "Unavailable"
    assert server.client.get("/v1/consumer/coverage", params={"model": SD1}).json()[SD1]["workers"] == 0

    settings = server.app.settings.model_copy(update={"data_dir": server.app.settings.data_dir})
    worker = Application(settings, Roles(api=False, scheduler=False))
    worker.start()
    try:
        until(lambda: health(server)["status"] == "ok")
        assert server.client.get("/v1/consumer/coverage", params={"model": SD1}).json()[SD1]["workers"] == 2
    finally:
        worker.close()
    until(lambda: health(server)["status"] == "degraded")


def test_a_worker_of_another_queue_is_no_help(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(queues=frozenset({"render"})))
    id_ = server.client.post("/api/v1/jobs", json=NATIVE).json()["id"]

    [problem] = health(server)["problems"]
    waits = server.client.get(f"/api/v1/jobs/{id_}").json()["waits"]

    assert problem == waits
    assert "no running worker serves the queue gpu" in problem


def test_a_server_without_a_scheduler_is_degraded(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(scheduler=False))

    [problem] = health(server)["problems"]

    assert "imagemill scheduler" in problem


def test_draining_every_node_is_degraded_and_named(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"enabled": "never"})

    assert "no node takes jobs" in health(server)["problems"]


# Pictures without a model


def test_a_simulated_picture_says_so(server: Server) -> None:
    job = server.client.post("/api/v1/jobs", json=NATIVE).json()
    job = until(lambda: (read := server.client.get(f"/api/v1/jobs/{job['id']}").json())["artifacts"] and read)

    assert job["simulated"] is True
    picture = Image.open(BytesIO(server.client.get(job["artifacts"][0]["url"]).content))
    assert "Simulated: yes" in cast("PngImageFile", picture).text["parameters"]
