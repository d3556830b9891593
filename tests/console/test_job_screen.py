"""The page of one job, in the words of somebody who wants to know where its time went."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Server
from tests.console.browser import Visitor, accessibility_problems

STEPS = 4
GIVEN = {"prompt": "a lighthouse at dusk", "width": 64, "height": 64, "steps": STEPS}


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(shutdown_grace_s=0, simulator={"nodes": 1, "slots": 1, "load_ms": 60, "step_ms": 10})


def submit(server: Server, **more: object) -> str:
    answer = server.client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": GIVEN, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def test_a_finished_job_tells_where_its_time_went(server: Server, reader: Visitor) -> None:
    job = server.wait(submit(server))
    page = reader.open(f"/jobs/{job['id']}")

    expect(page.get_by_role("heading", level=1, name="a lighthouse at dusk")).to_be_visible()
    expect(page.get_by_role("img", name="Picture 1")).to_be_visible()
    timeline = page.get_by_role("region", name="Where the time went")
    for part in ("queued", "model load", "steps", "upload"):
        expect(timeline.get_by_text(part, exact=False).first).to_be_visible()
    expect(page.get_by_role("row", name="Succeeded")).to_be_visible()
    assert accessibility_problems(page) == []

    open_tab(page, "Graph")
    expect(page.locator(".job-node", has_text="Sampler")).to_be_visible()
    expect(page.get_by_role("row", name="KSampler")).to_contain_text("ms")
    open_tab(page, "Why this node")
    expect(page.get_by_text("took attempt 1")).to_be_visible()
    open_tab(page, "Related jobs")
    expect(page.get_by_text("stands alone")).to_be_visible()
    page.reload()
    expect(page.get_by_role("tab", name="Related jobs")).to_have_attribute("aria-selected", "true")
    open_tab(page, "JSON")
    expect(page.get_by_role("tabpanel")).to_contain_text(job["trace"])

    page.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(job["id"]))
    expect(page.get_by_role("tab", name="Events")).to_have_attribute("aria-selected", "true")
    open_tab(page, "Related jobs")
    expect(page.get_by_role("link", name=job["id"])).to_be_visible()


def test_a_waiting_job_says_why_and_can_be_cancelled(server: Server, reader: Visitor) -> None:
    submit(server, properties={"simulate": {"step_ms": 60_000}})
    waiting = submit(server)
    page = reader.open(f"/jobs/{waiting}?tab=placement")

    expect(page.get_by_text("It waits:")).to_be_visible()
    expect(page.get_by_text("would take it now")).to_be_visible()
    expect(page.get_by_text("score 1")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("queued", exact=True).first).to_be_visible()
    server.client.post(f"/api/v1/jobs/{waiting}/cancel")

    expect(page.get_by_text("canceled", exact=True)).to_be_visible()


def test_a_failure_says_what_to_do(server: Server, reader: Visitor) -> None:
    job = server.wait(submit(server, properties={"simulate": {"fault": "content"}}))
    page = reader.open(f"/jobs/{job['id']}")

    expect(page.get_by_role("alert")).to_contain_text(job["error"]["code"])
    expect(page.get_by_role("alert")).to_contain_text(job["error"]["advice"])
