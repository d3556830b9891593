"""Making pictures: a prompt, a workflow's inputs, a picture's own form, and the end of a server."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.conftest import Server
from tests.console.browser import Visitor, accessibility_problems, visitor
from tests.http.support import until


@pytest.fixture
def make(reader: Visitor, page: Page, server: Server) -> Page:
    """The screen of somebody who has made a picture before."""
    reader.expected = ("status of 400",)  # the price of an input that is wrong
    page.evaluate("localStorage.setItem('imagemill.start.seen', 'true')")
    page.goto(f"{server.url}/")
    return page


def result(page: Page, number: int = 0) -> Locator:
    return page.locator(".make-result").nth(number)


def test_a_prompt_becomes_a_picture_and_its_form_keeps(make: Page) -> None:
    make.get_by_label("Prompt", exact=True).fill("a fox in the snow")
    make.get_by_label("Steps").fill("8")
    expect(make.get_by_text(re.compile("credit"))).to_be_visible()
    make.get_by_label("Prompt", exact=True).press("Enter")
    expect(result(make).get_by_role("img", name="a fox in the snow")).to_be_visible()
    expect(result(make).get_by_role("link", name="Download")).to_have_attribute(
        "href", re.compile(r"/blobs/.*sig=")
    )
    make.reload()
    expect(make.get_by_label("Prompt", exact=True)).to_have_value("a fox in the snow")
    expect(result(make).get_by_role("img", name="a fox in the snow")).to_be_visible()
    assert accessibility_problems(make) == []


def test_a_job_that_ends_before_its_submission_is_answered_shows_its_picture(
    make: Page, server: Server
) -> None:
    def answer_late(route: Route) -> None:
        answer = route.fetch()
        job = answer.json()["id"]
        until(lambda: server.client.get(f"/api/v1/jobs/{job}").json()["status"] == "succeeded")
        make.wait_for_timeout(500)  # the news of the end arrive before the answer
        route.fulfill(response=answer)

    make.route("**/api/v1/jobs", answer_late, times=1)
    make.get_by_label("Prompt", exact=True).fill("a hare in the rain")
    make.get_by_label("Prompt", exact=True).press("Enter")
    expect(result(make).get_by_role("img", name="a hare in the rain")).to_be_visible()


def test_what_is_wrong_is_said_at_its_field_before_it_is_sent(make: Page) -> None:
    make.get_by_label("Steps").fill("500")
    expect(make.get_by_role("alert").filter(has_text="150")).to_be_visible()
    expect(make.locator(".make-result")).to_have_count(0)


def test_the_same_again_with_one_change(make: Page, server: Server) -> None:
    job = server.client.post(
        "/api/v1/jobs?wait=true",
        json={"recipe": "textToImage", "input": {"prompt": "an owl", "width": 512, "height": 512, "seed": 5}},
    ).json()
    make.goto(f"{server.url}/make?from={job['id']}")
    expect(make.get_by_role("spinbutton", name="Seed")).to_have_value("5")
    expect(make.locator(".is-changed")).to_have_count(0)
    make.get_by_label("Prompt", exact=True).fill("an owl at night")
    expect(make.locator(".is-changed")).to_have_count(1)
    make.get_by_role("button", name="Make", exact=True).click()
    expect(result(make).get_by_role("img", name="an owl at night")).to_be_visible()
    newest = server.client.get("/api/v1/jobs", params={"limit": "1"}).json()["items"][0]
    assert newest["input"] | {"prompt": ""} == job["input"] | {"prompt": ""}


def test_a_batch_grid_makes_the_product_of_all_values(make: Page) -> None:
    make.get_by_text("Batch grid").click()
    make.get_by_role("button", name="Vary a field").click()
    make.get_by_label("Field", exact=True).select_option("seed")
    make.get_by_label("Values, one a line").fill("1\n2\n3")
    make.get_by_role("button", name="Make 3 jobs").click()
    expect(make.locator(".make-result .make-actions")).to_have_count(3)
    assert sorted(make.locator(".make-caption b").all_text_contents()) == ["1", "2", "3"]
    # Two of them are compared.
    make.get_by_label("Compare this picture").nth(0).check()
    make.get_by_label("Compare this picture").nth(1).check()
    expect(make.get_by_role("dialog", name="Two pictures").get_by_role("slider")).to_be_visible()


def test_a_picture_is_varied_and_used_as_an_input(make: Page, server: Server) -> None:
    make.get_by_role("button", name="Make", exact=True).click()
    result(make).get_by_role("button", name="Vary").click()
    expect(make.locator(".make-result .make-actions")).to_have_count(2)
    varied = server.client.get("/api/v1/jobs", params={"limit": "1"}).json()["items"][0]
    assert varied["input"]["image"]
    result(make, 1).get_by_role("button", name="More actions").click()
    make.get_by_role("menuitem", name="Use as input").click()
    expect(make.get_by_label("How much is redrawn")).to_be_visible()


def test_a_workflow_has_a_form_of_its_inputs(make: Page) -> None:
    make.get_by_label("What to make").select_option(label="Stable Diffusion 1.5, 2 and XL: text to image")
    make.get_by_label(re.compile("^Prompt")).first.fill("a tram in the rain")
    make.get_by_role("button", name="Make", exact=True).click()
    expect(result(make).get_by_role("img", name="a tram in the rain")).to_be_visible()


def test_a_server_that_ends_and_comes_back_loses_no_form_and_no_news(
    browser: Browser, make_server: Callable[..., Server]
) -> None:
    server = make_server()
    with visitor(browser, server.url) as reader:
        reader.expected = ("ERR_", "Failed to load resource")
        page = reader.open("/make")
        expect(page.locator(".feed-live")).to_be_attached()
        page.get_by_label("Prompt", exact=True).fill("kept")
        reader.context.set_offline(True)
        page.get_by_role("button", name="Make", exact=True).click()
        expect(page.get_by_role("alert").filter(has_text="The server does not answer")).to_be_visible()
        expect(page.get_by_label("Prompt", exact=True)).to_have_value("kept")
        reader.context.set_offline(False)
        page.get_by_role("button", name="Make", exact=True).click()
        expect(result(page).get_by_role("img", name="kept")).to_be_visible()
        # The feed is cut like by a proxy, and resumed by itself.
        server.app.feed.close()
        expect(page.locator(".feed-lost")).to_be_attached()
        server.app.feed.closed = False
        expect(page.locator(".feed-live")).to_be_attached()
        until(lambda: server.app.feed._readers)
        page.get_by_label("Prompt", exact=True).fill("after the break")
        page.get_by_label("Prompt", exact=True).press("Enter")
        expect(result(page).get_by_role("img", name="after the break")).to_be_visible()
