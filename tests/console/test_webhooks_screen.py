"""Somebody adds an endpoint, sees what was sent and answered, and sends again what has failed."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.console.browser import PHONE, Visitor, visitor
from tests.webhooks.receivers import Receiver, receiving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("webhooks")
    settings = Settings(_env_file=None, data_dir=folder, allow_networks=["127.0.0.0/8"], webhook={"tries": 1})
    with running_server(settings) as started:
        yield started


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def add(server: Server, receiver: Receiver, description: str) -> str:
    body = {"url": receiver.url, "description": description}
    answer = server.client.post("/api/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_an_endpoint_is_added_its_secret_shown_once_and_a_test_arrives(page: Page, receiver: Receiver):
    page.goto(page.url + "webhooks")
    page.get_by_role("button", name="Add endpoint").first.click()
    form = page.get_by_role("dialog", name="Add endpoint")
    form.get_by_label("Address").fill(receiver.url)
    form.get_by_label("Note for yourself").fill("Orders")
    form.get_by_label("job.started").check()
    form.get_by_role("button", name="Add endpoint").click()
    shown = page.get_by_role("dialog", name="Signing secret")
    expect(shown.locator("pre")).to_contain_text("whsec_")
    shown.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_role("heading", name="Orders")).to_be_visible()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("1 test message sent")).to_be_visible()
    delivered = page.get_by_role("row").filter(has_text="endpoint.test").filter(has_text="delivered")
    expect(delivered).to_contain_text("200")
    delivered.get_by_role("button").click()
    panel = page.get_by_role("dialog", name="endpoint.test")
    panel.get_by_text("Request", exact=True).click()
    expect(panel.locator("pre").first).to_contain_text("webhook-signature")
    assert receiver.types == ["endpoint.test"]


def test_a_bad_address_is_named_at_its_field(reader: Visitor):
    reader.expected = ("status of 400",)
    page = reader.open("/webhooks")
    page.get_by_role("button", name="Add endpoint").first.click()
    form = page.get_by_role("dialog", name="Add endpoint")
    form.get_by_label("Address").fill("ftp://example.com/x")
    form.get_by_role("button", name="Add endpoint").click()
    expect(form.get_by_role("alert")).to_be_visible()
    expect(form.get_by_label("Address")).to_have_attribute("aria-invalid", "true")


def test_a_paused_endpoint_says_why_and_holds_messages_back_until_it_is_resumed(
    page: Page, server: Server, receiver: Receiver
):
    id_ = add(server, receiver, "Held back")
    page.goto(f"{page.url}webhooks/{id_}")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused by its owner")).to_be_visible()
    page.get_by_role("link", name="Webhooks").first.click()
    card = page.get_by_role("listitem").filter(has_text="Held back")
    expect(card).to_contain_text("paused")
    card.get_by_role("link").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("active", exact=True)).to_be_visible()


def test_messages_are_filtered_by_event_and_one_is_sent_again(page: Page, server: Server, receiver: Receiver):
    id_ = add(server, receiver, "Events")
    job_input = {"prompt": "a fox", "width": 64, "height": 64}
    made = server.client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": job_input})
    job = made.json()["id"]
    server.wait(job, 30)
    server.client.post(f"/api/v1/webhooks/{id_}/test")
    page.goto(f"{page.url}webhooks/{id_}")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(3)
    page.get_by_label("Event").select_option("job.succeeded")
    expect(rows).to_have_count(2)
    assert "event=job.succeeded" in page.url
    page.get_by_role("row").nth(1).get_by_role("button").click()
    panel = page.get_by_role("dialog", name="job.succeeded")
    panel.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("1 message is sent again")).to_be_visible()
    expect(panel.get_by_role("region", name="Attempt 2")).to_be_visible()
    assert receiver.types.count("job.succeeded") == 2


def test_an_endpoint_that_failed_is_paused_with_the_reason_and_gets_what_was_held_back(
    page: Page, server: Server
):
    with receiving(status=500) as broken:
        id_ = add(server, broken, "Was broken")
        page.goto(f"{page.url}webhooks/{id_}")
        page.get_by_role("button", name="Send a test").click()
        expect(page.get_by_text("paused", exact=True)).to_be_visible()
        expect(page.get_by_role("cell", name="500")).to_be_visible()
        broken.status = 200
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("Resumed: what was held back is sent")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="delivered")).to_be_visible()
        page.get_by_role("button", name="Resend failed").click()
        page.get_by_role("dialog").get_by_role("button", name="Send again").click()
        expect(page.get_by_text("0 messages are sent again")).to_be_visible()


def test_an_endpoint_is_deleted_after_a_question_on_a_phone(
    browser: Browser, server: Server, receiver: Receiver
):
    id_ = add(server, receiver, "Not needed")
    with visitor(browser, server.url, PHONE) as made:
        page = made.open(f"/webhooks/{id_}")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_text("1 endpoint deleted")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert server.client.get(f"/api/v1/webhooks/{id_}").status_code == 404
