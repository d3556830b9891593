"""Somebody looks after a queue: finds jobs, acts on one, on many and on all that match, and pauses."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.console.browser import PHONE, Visitor, accessibility_problems, visitor

INPUT = {"width": 64, "height": 64, "steps": 1}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two pictures, and a paused queue in which eight jobs wait."""
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("queue"))
    with running_server(settings) as server:
        for prompt in ("a lighthouse", "an owl"):
            server.wait(submit(server, prompt)["id"])
        server.client.post("/api/v1/pauses", json={"scope": "recipe", "name": "textToImage"})
        for number in range(8):
            submit(server, f"fox {number}")
        yield server
        for pause in server.client.get("/api/v1/pauses").json()["items"]:
            server.client.delete(f"/api/v1/pauses/{pause['id']}")


@pytest.fixture
def reader(browser: Browser, busy: Server) -> Iterator[Visitor]:
    with visitor(browser, busy.url) as made:
        yield made


def submit(server: Server, prompt: str) -> Any:
    body = {"recipe": "textToImage", "input": {"prompt": prompt, **INPUT}}
    answer = server.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def rows(page: Page) -> Any:
    return page.get_by_role("list", name="Jobs").get_by_role("listitem")


def test_the_queue_shows_every_job_why_it_waits_and_the_numbers(reader: Visitor) -> None:
    page = reader.open("/queue")
    expect(rows(page)).to_have_count(10)
    expect(page.get_by_role("button", name="queued 8")).to_be_visible()
    expect(rows(page).first).to_contain_text("paused by local")
    expect(page.get_by_text("textToImage jobs are paused by local")).to_be_visible()
    assert accessibility_problems(page) == []


def test_filter_words_stand_in_the_url_and_are_suggested(reader: Visitor) -> None:
    page = reader.open("/queue")
    field = page.get_by_role("combobox", name="Filter jobs")
    field.fill("stat")
    page.get_by_role("option", name="status:").click()
    page.get_by_role("option", name="succeeded").click()
    expect(rows(page)).to_have_count(2)
    page.wait_for_url("**/queue?q=status%3Asucceeded")
    field.fill("owl")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("an owl")
    field.fill("nothing has this")
    page.get_by_role("button", name="Show all jobs").click()
    expect(rows(page)).to_have_count(10)


def test_a_filter_is_kept_in_the_browser(reader: Visitor) -> None:
    page = reader.open("/queue?q=status%3Asucceeded")
    page.get_by_role("button", name="Saved filters").click()
    page.get_by_role("menuitem", name="Save this filter").click()
    page.get_by_label("Name of the filter").fill("ready")
    page.get_by_role("dialog").get_by_role("button", name="Save this filter").click()
    page.goto(reader.url + "/queue")
    page.get_by_role("button", name="Saved filters").click()
    page.get_by_role("menuitem", name="ready").click()
    expect(rows(page)).to_have_count(2)


def test_the_keyboard_moves_selects_and_makes_a_job_again(reader: Visitor, busy: Server) -> None:
    page = reader.open("/queue?q=owl")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("list", name="Jobs").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.get_by_role("toolbar", name="1 job selected")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.get_by_text("1 job is submitted again")).to_be_visible()
    expect(rows(page)).to_have_count(2)
    made = busy.client.get("/api/v1/jobs", params={"limit": 1}).json()["items"][0]
    busy.client.post(f"/api/v1/jobs/{made['id']}/cancel")


def test_one_job_gets_more_urgent(reader: Visitor, busy: Server) -> None:
    page = reader.open("/queue?q=%22fox%203%22")
    page.get_by_role("button", name="Actions on fox 3").click()
    page.get_by_role("menuitem", name="More urgent").click()
    expect(page.get_by_text("1 job is more urgent now")).to_be_visible()
    (job,) = busy.client.get("/api/v1/jobs", params={"text": "fox 3"}).json()["items"]
    assert job["priority"] == -10


def test_all_that_match_are_cancelled_after_a_dry_run_and_it_is_undone(reader: Visitor, busy: Server) -> None:
    page = reader.open("/queue?q=fox")
    expect(rows(page)).to_have_count(8)
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Select all 8 that match").click()
    bar = page.get_by_role("toolbar")
    expect(bar).to_contain_text("All 8 jobs that match are selected")
    bar.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("8 jobs will be canceled.")
    assert accessibility_problems(page) == []
    dialog.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone: no job was changed")).to_be_visible()
    assert busy.client.get("/api/v1/jobs", params={"status": "queued"}).json()["items"][0]["waits"]


def test_many_get_another_priority_and_the_numbers_are_told(reader: Visitor, busy: Server) -> None:
    page = reader.open("/queue?q=fox")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Select all 8 that match").click()
    page.get_by_role("toolbar").get_by_role("button", name="Priority").click()
    page.get_by_role("spinbutton", name="Priority").fill("42")
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    expect(page.get_by_text("8 priorities changed")).to_be_visible()
    jobs = busy.client.get("/api/v1/jobs", params={"status": "queued"}).json()["items"]
    assert {job["priority"] for job in jobs} == {42}


def test_groups_by_submission(reader: Visitor) -> None:
    page = reader.open("/queue?q=fox&group=batch")
    expect(rows(page)).to_have_count(16)


def test_an_operator_pauses_everything_and_continues(reader: Visitor, busy: Server) -> None:
    page = reader.open("/queue")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_label("Reason").fill("a new fan")
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    banner = page.get_by_text("All jobs are paused by local")
    expect(banner).to_contain_text("a new fan")
    page.goto(reader.url + "/gallery")
    expect(banner).to_be_visible()
    page.get_by_role("button", name="Continue").nth(1).click()
    expect(banner).to_have_count(0)
    assert len(busy.client.get("/api/v1/pauses").json()["items"]) == 1


def test_on_a_phone_rows_keep_what_matters(browser: Browser, busy: Server) -> None:
    with visitor(browser, busy.url, PHONE, locale="uk-UA") as reader:
        page = reader.open("/queue?q=fox")
        expect(page.get_by_role("heading", name="Черга")).to_be_visible()
        expect(page.get_by_role("list", name="Завдання").get_by_role("listitem").first).to_contain_text(
            "у черзі"  # noqa: RUF001 - Ukrainian
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
