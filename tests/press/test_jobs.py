"""Jobs of page work: their queue, price, outputs, inputs and ends, and who runs them."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.bootstrap.application import Roles
from imagemill.domain.blob_keys import owner_folder
from imagemill.domain.jobs import JobStatus as S
from imagemill.jobs.erasure import erase_jobs
from imagemill.jobs.submit import JobRequest, draw_ids
from tests.conftest import Server, image_job
from tests.press.recipes import PageProduct, installed
from tests.press.works import PDF, png
from tests.service.build import wait_until
from tests.tasks.support import data_url, download, run

OWNER = "local"


@pytest.fixture(autouse=True)
def _product() -> Iterator[None]:
    with installed(PageProduct()):
        yield


@pytest.fixture
def pages(make_server: Callable[..., Server]) -> Server:
    return make_server()


def submit(server: Server, **input_: Any) -> str:
    answer = server.client.post("/api/v1/jobs", json={"recipe": "drawn", "input": input_})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def together(server: Server, *requests: JobRequest) -> list[str]:
    submitter = server.app.services.submitter
    drafts = submitter.prepare(server.app.settings.owner, requests, dialect="native")
    return [job.id for job in submitter.submit(server.app.settings.owner, drafts).jobs]


def artifacts(server: Server, job_id: str) -> tuple[Any, ...]:
    return server.app.stores.jobs.view(job_id).artifacts


def folder(server: Server) -> str:
    return owner_folder(server.app.settings.owner)


def is_running(server: Server, job_id: str) -> bool:
    job = server.app.stores.jobs.job(job_id)
    return job.status is S.RUNNING and bool(pids(server))


def pids(server: Server) -> list[int]:
    press: Any = server.app.backends["press"]
    return press.pool.processes


def test_a_page_is_made_by_the_press_with_its_values(pages: Server) -> None:
    job = run(pages, "drawn")
    assert download(pages, job) == png(24, 16)
    assert job["output"] == {"size": [24, 16]}
    stored = pages.app.stores.jobs.job(job["id"])
    assert (stored.queue, stored.backend) == ("render", "press")
    assert stored.cost == 3 * (1.0 + 0.5 * 2.0)


def test_its_lane_is_open_to_the_press_only(pages: Server) -> None:
    stored = pages.app.stores.jobs.job(run(pages, "drawn")["id"])
    assert pages.app.stores.jobs.lane(stored.lane).backends == ("press",)


def test_pages_are_told_as_progress(pages: Server) -> None:
    job = run(pages, "drawn", work="pages")
    assert (job["status"], job["output"]) == ("succeeded", {"pages": 4})


def test_a_cancelled_job_ends_its_process(pages: Server) -> None:
    job_id = submit(pages, work="hang")
    wait_until(lambda: is_running(pages, job_id))
    assert pages.client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
    assert pages.wait(job_id)["status"] == "canceled"
    wait_until(lambda: pids(pages) == [])


def test_an_erased_job_ends_its_process_and_leaves_nothing(pages: Server, tmp_path: Path) -> None:
    app = pages.app
    job_id = submit(pages, work="hang", argument=str(tmp_path / "over"))
    wait_until(lambda: is_running(pages, job_id))
    erase_jobs(app.stores.jobs, app.blobs, app.settings.owner, [job_id])
    wait_until(lambda: pids(pages) == [] and app.runner.active == 0)
    assert pages.client.get(f"/api/v1/jobs/{job_id}").status_code == 404
    assert [blob.key for blob in app.blobs.list("jobs/")] == []


def test_who_waits_for_a_job_that_is_erased_is_answered(pages: Server) -> None:
    app, answers = pages.app, list[int]()

    def wait() -> None:
        body = {"recipe": "drawn", "input": {"work": "hang"}}
        answers.append(pages.client.post("/api/v1/jobs", json=body, params={"wait": "true"}).status_code)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: [job["id"] for job in listed(pages) if job["status"] == "running"])
    (job,) = listed(pages)
    erase_jobs(app.stores.jobs, app.blobs, app.settings.owner, [job["id"]])
    waiting.join(20)
    assert answers in ([404], [201])


def listed(server: Server) -> list[dict[str, Any]]:
    return server.client.get("/api/v1/jobs").json()["items"]


def test_a_job_whose_process_dies_is_tried_again(pages: Server, tmp_path: Path) -> None:
    job = run(pages, "drawn", work="die", argument=str(tmp_path / "died"))
    assert job["status"] == "succeeded"
    events = pages.app.stores.jobs.events_after(job["id"], 0)
    (rejected,) = [event.data for event in events if event.type.value == "Rejected"]
    assert rejected["error"]["code"] == "node_lost"
    assert "SIGKILL" in rejected["error"]["message"]


def test_a_job_whose_process_dies_always_fails_with_the_cause(pages: Server) -> None:
    job = run(pages, "drawn", work="fail", argument="kill")
    assert (job["status"], job["error"]["code"]) == ("failed", "node_lost")


def test_a_missing_package_is_said_in_the_error(pages: Server) -> None:
    job = run(pages, "drawn", work="fail", argument="extra")
    assert job["status"] == "failed"
    assert "imagemill[books]" in job["error"]["message"]


def test_files_of_the_recipe_and_of_the_client_come_together(pages: Server) -> None:
    job = run(pages, "joined", pictures=[data_url(png(7, 7))])
    assert job["output"] == {"names": ["a", "b0"]}
    assert download(pages, job, 0) == PDF + png(5, 5, "blue") + png(7, 7)
    assert [each["mediaType"] for each in job["artifacts"]] == ["application/pdf", "image/png"]


def test_files_of_any_type_get_their_keys_by_position(pages: Server) -> None:
    job = run(pages, "joined", keys=["books/{owner}/block-{ms}.pdf"])
    document, picture = artifacts(pages, job["id"])
    started_ms = (pages.app.stores.jobs.job(job["id"]).started_at or 0) // 1000
    assert document.blob_key == f"books/{folder(pages)}/block-{started_ms}.pdf"
    assert picture.blob_key == f"jobs/{job['id']}/1/1.png"
    assert pages.app.blobs.get(document.blob_key).startswith(b"%PDF")
    assert download(pages, job, 0).startswith(b"%PDF")


def test_a_document_is_served_as_what_it_is(pages: Server) -> None:
    url = run(pages, "joined")["artifacts"][0]["url"]
    answer = pages.client.get(url, headers={"Authorization": ""})
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_empty_key_stands_for_the_folder_of_the_job(pages: Server) -> None:
    job = run(pages, "joined", keys=["", "books/{owner}/page-{ms}.png", "books/{owner}/unused"])
    document, picture = artifacts(pages, job["id"])
    assert document.blob_key == f"jobs/{job['id']}/1/0.pdf"
    assert picture.blob_key.startswith(f"books/{folder(pages)}/page-")


@pytest.mark.parametrize("keys", [[], ["", "books/{owner}/page-{ms}.png"]])
def test_the_picture_of_one_job_is_the_input_of_one_that_waits(pages: Server, keys: list[str]) -> None:
    """Wherever the first one's picture is kept."""
    first, second = draw_ids(2, time.time_ns() // 1000)
    ids = together(
        pages,
        JobRequest("joined", {"pictures": [], "keys": keys}, id=first, name="first"),
        JobRequest("joined", {"pictures": [f"output:{first}/1"]}, id=second, after=("first",)),
    )
    assert ids == [first, second]
    assert pages.wait(second)["status"] == "succeeded"
    document = pages.app.blobs.get(artifacts(pages, second)[0].blob_key)
    assert document == PDF + png(5, 5, "blue") * 2


def test_a_document_is_no_input_of_a_job(pages: Server) -> None:
    first, second = draw_ids(2, time.time_ns() // 1000)
    together(
        pages,
        JobRequest("joined", {}, id=first, name="first"),
        JobRequest(
            "joined", {"pictures": [f"output:{first}/0"]}, id=second, after=("first",), max_failures=1
        ),
    )
    error = pages.wait(second)["error"]
    assert error["code"] == "bad_input"
    assert "made a file of the type application/pdf" in error["message"]


def test_a_picture_that_is_drawn_is_the_input_of_page_work(pages: Server) -> None:
    first, second = draw_ids(2, time.time_ns() // 1000)
    params = image_job()["params"]
    input_ = {"model": image_job()["model"], **params}
    together(
        pages,
        JobRequest("textToImage", input_, id=first, name="picture"),
        JobRequest("joined", {"pictures": [f"output:{first}/0"]}, id=second, after=("picture",)),
    )
    assert pages.wait(second)["status"] == "succeeded"
    drawn = pages.app.blobs.get(artifacts(pages, first)[0].blob_key)
    assert pages.app.blobs.get(artifacts(pages, second)[0].blob_key).endswith(drawn)


# Who runs it


def test_a_worker_of_other_queues_has_no_press(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(queues=frozenset({"gpu", "celery"})))
    job_id = submit(server)
    job = server.client.get(f"/api/v1/jobs/{job_id}").json()
    assert job["status"] == "queued"
    assert "no running worker serves the queue render" in job["waits"]
    assert server.wait(submit_image(server))["status"] == "succeeded"
    assert pids(server) == []


def test_a_worker_of_the_queue_render_has_one(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(queues=frozenset({"render", "celery"})))
    assert run(server, "drawn")["status"] == "succeeded"


def submit_image(server: Server) -> str:
    return server.submit().json()["jobs"][0]["jobId"]


def test_the_press_counts_as_no_node(pages: Server) -> None:
    health = pages.client.get("/health").json()
    assert {node["backend"] for node in health["nodes"]} == {"simulator"}
    slots = sum(node.slots for node in pages.app.backends["simulator"].nodes())
    assert pages.app.services.capacity.report().slots == slots
    assert "press" not in pages.client.get("/api/v1/nodes").text


def test_with_the_press_alone_no_node_takes_jobs(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"enabled": "never"})
    report = server.app.services.capacity.report()
    assert [problem.text for problem in report.problems] == ["no node takes jobs"]
    assert run(server, "drawn")["status"] == "succeeded"
    assert server.submit().status_code == 400


def test_the_press_has_as_many_slots_as_the_settings_say(make_server: Callable[..., Server]) -> None:
    (node,) = make_server(press={"slots": 3}).app.backends["press"].nodes()
    assert (node.slots, node.queues, node.name.startswith("press")) == (3, frozenset({"render"}), True)


def test_pages_of_a_fleet_that_nobody_makes_are_a_problem_of_its_health(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(roles=Roles(queues=frozenset({"gpu", "celery"})))
    server.app.services.capacity._queues = ("gpu", "render")
    assert server.app.services.capacity.report().problems == ()
    submit(server)
    (problem,) = server.app.services.capacity.report().problems
    assert problem.text.startswith("no running worker serves the queue render")
