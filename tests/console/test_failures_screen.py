"""Somebody finds failed jobs, reads what to do about them, mends them together and discards the rest."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.console.browser import Visitor, accessibility_problems, visitor


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with three jobs that ran out of memory, and one that was rejected."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("failures"),
        sweep_s=0.1,
        job={"retry_base_s": 0.01, "max_failures": 1},
    )
    with running_server(settings) as server:
        jobs = [submit(server, fault) for fault in ("out_of_memory", "out_of_memory", "rejected")]
        assert {server.wait(job["id"])["status"] for job in jobs} == {"failed"}
        yield server


@pytest.fixture
def reader(browser: Browser, broken: Server) -> Iterator[Visitor]:
    with visitor(browser, broken.url) as made:
        yield made


def submit(server: Server, fault: str) -> Any:
    body = {
        "recipe": "textToImage",
        "input": {"prompt": "a fox", "width": 128, "height": 128, "steps": 1},
        "properties": {"simulate": {"fault": fault, "times": 1}},
    }
    return server.client.post("/api/v1/jobs", json=body).json()


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


def test_the_jobs_of_a_cause_are_shown_in_the_queue(reader: Visitor, broken: Server) -> None:
    job = submit(broken, "rejected")
    broken.wait(job["id"])
    page = reader.open("/failures")
    page.get_by_role("article").get_by_role("link", name="Show the jobs").click()
    expect(page.get_by_role("list", name="Jobs").get_by_role("listitem")).to_have_count(1)
    assert "error%3Abackend_rejected" in page.url
