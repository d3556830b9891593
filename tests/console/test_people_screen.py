"""An administrator looks after accounts, keys, limits and credits; a user after their own."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from imagemill.config import Settings
from tests.access.support import ADMIN_KEY, QUICK, ask, key
from tests.conftest import Server, running_server
from tests.console.browser import PHONE, visitor


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("people"),
        auth={"admin_key": ADMIN_KEY, **QUICK},
        credits={"enabled": True},
        quota={"enabled": True},
    )
    with running_server(settings) as started:
        key(started, "anna")
        yield started


@pytest.fixture
def admin(browser: Browser, server: Server) -> Iterator[Page]:
    with visitor(browser, server.url) as made:
        made.expected = ("status of 403",)
        page = made.open(f"/people#code={server.app.services.browser_sessions.link('local')}")
        expect(page.get_by_role("tab", name="Accounts")).to_be_visible()
        yield page


def go(page: Page, path: str) -> None:
    page.goto(page.url.partition("/people")[0] + path)


def test_an_account_is_added_given_another_role_and_disabled_with_time_to_undo(admin: Page, server: Server):
    admin.get_by_role("button", name="Add account").click()
    form = admin.get_by_role("dialog", name="Add account")
    form.get_by_label("Account", exact=True).fill("shop")
    form.get_by_label("Name").fill("The shop")
    form.get_by_label("Role").select_option(label="Viewer")
    expect(form).to_contain_text("changes nothing")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(admin.get_by_text("Account shop added")).to_be_visible()
    admin.get_by_role("link", name="shop").click()
    admin.get_by_label("Role").select_option(label="Operator")
    expect(admin.get_by_text("shop is now: Operator")).to_be_visible()
    admin.get_by_role("button", name="Disable").click()
    admin.get_by_role("button", name="Undo").click()
    expect(admin.get_by_role("button", name="Undo")).to_have_count(0)
    owner = ask(server, ADMIN_KEY, "GET", "/api/v1/owners/shop").json()
    assert (owner["role"], owner["disabledAt"]) == ("operator", None)


def test_a_key_with_chosen_scopes_is_shown_once_works_and_is_revoked(admin: Page, server: Server):
    go(admin, "/people/anna?tab=keys")
    admin.get_by_role("button", name="Make a key").click()
    form = admin.get_by_role("dialog", name="Make a key")
    form.get_by_label("What it is for").fill("reader")
    form.get_by_label("All scopes that the account has").uncheck()
    form.get_by_label("jobs:read", exact=True).check()
    form.get_by_role("button", name="Make a key").click()
    shown = admin.get_by_role("dialog", name="The key")
    text = shown.locator("pre").inner_text().strip()
    assert ask(server, text, "GET", "/api/v1/jobs").status_code == 200
    assert ask(server, text, "POST", "/api/v1/jobs", json={}).status_code == 403
    shown.get_by_role("button", name="I have kept it").click()
    expect(admin.get_by_text(text)).to_have_count(0)
    admin.get_by_role("button", name="Revoke: reader").click()
    asked = admin.get_by_role("dialog", name="Revoke: reader")
    expect(asked).to_contain_text("are refused from now on")
    asked.get_by_role("button", name="Revoke", exact=True).click()
    expect(admin.get_by_text("revoked", exact=True)).to_be_visible()
    assert ask(server, text, "GET", "/api/v1/jobs").status_code == 401


def test_a_scope_beyond_the_account_is_refused_and_the_form_is_kept(admin: Page):
    go(admin, "/people/anna?tab=keys")
    admin.get_by_role("button", name="Make a key").click()
    form = admin.get_by_role("dialog", name="Make a key")
    form.get_by_label("What it is for").fill("too much")
    form.get_by_label("All scopes that the account has").uncheck()
    form.get_by_label("nodes:write", exact=True).check()
    form.get_by_role("button", name="Make a key").click()
    expect(form.get_by_role("alert")).to_contain_text("whose role is user")
    admin.reload()
    admin.get_by_role("button", name="Make a key").click()
    expect(admin.get_by_label("What it is for")).to_have_value("too much")


def test_credits_are_given_once_and_stand_in_the_statement_and_the_audit_log(admin: Page, server: Server):
    go(admin, "/people/anna?tab=money")
    admin.get_by_label("Give credits").fill("250")
    admin.get_by_label("Note").fill("January")
    admin.get_by_role("button", name="Give", exact=True).click()
    expect(admin.get_by_text("250 credits for anna; the balance is 250")).to_be_visible()
    expect(admin.get_by_role("cell", name="January · local")).to_be_visible()
    admin.get_by_role("tab", name="Limits").click()
    admin.get_by_label("Jobs at once").fill("3")
    admin.get_by_role("button", name="Save").last.click()
    expect(admin.get_by_text("anna has 1 limit of its own")).to_be_visible()
    go(admin, "/people?tab=audit")
    expect(admin.get_by_text("jobs=3")).to_be_visible()
    expect(admin.get_by_role("cell", name="POST /api/v1/credits/grants")).to_be_visible()


def test_the_calculator_asks_the_server_for_the_price(admin: Page, server: Server):
    go(admin, "/people?tab=prices")
    admin.get_by_label("Width in pixels").fill("512")
    admin.get_by_label("Pictures").fill("4")
    query = {"recipe": "textToImage", "width": 512, "height": 1024, "steps": 25, "quantity": 4}
    answer = ask(server, ADMIN_KEY, "GET", "/api/v1/prices", params=query)
    expect(admin.get_by_text(f"{answer.json()['estimate']:g} credits")).to_be_visible()


def test_a_user_sees_only_their_own_on_a_phone(browser: Browser, server: Server):
    with visitor(browser, server.url, PHONE) as made:
        made.expected = ("status of 401",)
        page = made.open("/people")
        page.get_by_label("API key", exact=True).last.fill(key(server, "anna"))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("tab", name="Keys")).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tab", name="Accounts")).to_have_count(0)
        expect(page.get_by_role("tab", name="Audit log")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
