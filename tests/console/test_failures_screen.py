"""Somebody finds failed jobs, reads what to do about them, mends them together and discards the rest."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.console.browser import Visitor, accessibility_problems, visitor

FAULTS = "/api/v1/simulator/worker-faults"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two jobs that ran out of memory, and one that was rejected."""
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("failures"), job={"max_failures": 1})
    with running_server(settings) as server:
        for fault, prompt in (("out_of_memory", "fox"), ("rejected", "owl")):
            answer = server.client.post(FAULTS, json={"fault": fault, "prompt": prompt, "times": 9})
            assert answer.status_code == 201, answer.text
        for prompt in ("a fox", "another fox", "an owl"):
            body = {
                "recipe": "textToImage",
                "input": {"prompt": prompt, "width": 128, "height": 128, "steps": 1},
            }
            job = server.client.post("/api/v1/jobs", json=body).json()
            assert server.wait(job["id"])["status"] == "failed"
        # The graphics card was replaced.
        server.client.delete(FAULTS)
        yield server


@pytest.fixture
def reader(browser: Browser, broken: Server) -> Iterator[Visitor]:
    with visitor(browser, broken.url) as made:
        yield made


def test_the_jobs_of_a_cause_are_shown_in_the_queue(reader: Visitor) -> None:
    page = reader.open("/failures")
    cause = page.get_by_role("article").filter(has_text="backend_rejected")
    cause.get_by_role("link", name="Show the jobs").click()
    expect(page.get_by_role("list", name="Jobs").get_by_role("listitem")).to_have_count(1)
    assert "error%3Abackend_rejected" in page.url


def test_failures_are_mended_together_and_the_rest_is_discarded(reader: Visitor, broken: Server) -> None:
    page = reader.open("/failures")
    memory = page.get_by_role("article").filter(has_text="out_of_memory")
    expect(memory).to_contain_text("2 jobs")
    expect(memory).to_contain_text("Ask for a smaller picture or batch")
    expect(memory).to_contain_text("2 in the last hour")
    assert accessibility_problems(page) == []

    memory.get_by_role("button", name="Fix and replay").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 jobs will be submitted again.")
    dialog.get_by_label("Width").fill("64")
    assert accessibility_problems(page) == []
    dialog.get_by_role("button", name="Start").click()
    expect(page.get_by_text("2 jobs submitted again")).to_be_visible()
    expect(memory).to_have_count(0)
    newest = broken.client.get("/api/v1/jobs", params={"limit": 2}).json()["items"]
    assert {(job["input"]["width"], job["input"]["height"]) for job in newest} == {(64, 128)}

    page.get_by_role("article").get_by_role("button", name="Discard").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 job will be deleted")
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    expect(page.get_by_text("No failed jobs")).to_be_visible()
