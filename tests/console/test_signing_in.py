"""Somebody signs in to a server that has keys, looks around, and signs out."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from imagemill.config import Settings
from imagemill.domain.access import Role
from tests.access.support import ADMIN_KEY, PASSWORD, QUICK, key, sign_up
from tests.conftest import Server, running_server
from tests.console.browser import PHONE, Visitor, visitor


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    auth = {"admin_key": ADMIN_KEY, "sign_up": True, **QUICK}
    folder = tmp_path_factory.mktemp("guarded")
    with running_server(Settings(_env_file=None, data_dir=folder, auth=auth)) as server:
        sign_up(server)
        yield server


@pytest.fixture
def stranger(browser: Browser, guarded: Server) -> Iterator[Visitor]:
    with visitor(browser, guarded.url) as made:
        made.expected = ("status of 401", "status of 403")
        yield made


def sign_in_by_key(page: Page, text: str) -> None:
    page.get_by_label("API key", exact=True).last.fill(text)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_key_says_what_to_do_and_a_right_one_opens_the_page_that_was_asked_for(stranger: Visitor):
    page = stranger.open("/people?tab=keys")
    sign_in_by_key(page, "im_abcdefghijkl_" + "A" * 43)
    expect(page.get_by_role("alert")).to_contain_text("imagemill keys create")
    sign_in_by_key(page, ADMIN_KEY)
    expect(page.get_by_role("heading", name="People and money")).to_be_visible()
    expect(page.get_by_role("tab", name="Keys")).to_have_attribute("aria-selected", "true")
    cookies = page.context.cookies()
    assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
    assert page.evaluate("document.cookie") == ""
    assert not page.evaluate(
        "Object.values(localStorage).concat(Object.values(sessionStorage)).join()"
    ).count(ADMIN_KEY)


def test_a_user_signs_in_with_a_password_reloads_and_signs_out(stranger: Visitor):
    page = stranger.open("/gallery")
    page.get_by_text("Password", exact=True).first.click()
    page.get_by_label("E-mail address").fill("ann@example.org")
    page.get_by_label("Password", exact=True).last.fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Gallery")).to_be_visible()
    expect(page.get_by_role("link", name="Nodes")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="Gallery")).to_be_visible()
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_session_that_only_looks_offers_no_changes(stranger: Visitor, guarded: Server):
    page = stranger.open("/people?tab=keys")
    page.get_by_label("Only look, change nothing").check()
    sign_in_by_key(page, key(guarded, "olga", Role.OPERATOR))
    expect(page.get_by_role("heading", name="People and money")).to_be_visible()
    expect(page.get_by_role("button", name="Make a key")).to_have_count(0)
    page.get_by_role("button", name="Account").click()
    expect(page.get_by_text("Read-only")).to_be_visible()


def test_a_one_time_link_signs_in_on_a_phone_and_leaves_no_code_behind(browser: Browser, guarded: Server):
    code = guarded.app.services.browser_sessions.link("local")
    with visitor(browser, guarded.url, PHONE) as phone:
        page = phone.open(f"/watch#code={code}")
        expect(page.get_by_role("heading", name="Watch")).to_be_visible()
        assert page.url == f"{guarded.url}/watch"
    with visitor(browser, guarded.url, PHONE) as late:
        late.expected = ("status of 401",)
        page = late.open(f"/watch#code={code}")
        expect(page.get_by_role("alert")).to_contain_text("used or too old")


def test_a_session_that_was_ended_elsewhere_asks_to_sign_in_again(stranger: Visitor, guarded: Server):
    page = stranger.open("/people?tab=sessions")
    text = key(guarded, "tom")
    sign_in_by_key(page, text)
    expect(page.get_by_role("cell", name="this one")).to_be_visible()
    for session in guarded.app.services.browser_sessions.of("tom"):
        guarded.app.services.browser_sessions.end(session.id)
    page.get_by_role("tab", name="Credits").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
