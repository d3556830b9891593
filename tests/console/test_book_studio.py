"""Stories of parents in the book studio: a book is made, shared and deleted in the browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pypdfium2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.access.support import ADMIN_KEY
from tests.books.drawn_pages import PLAIN, draw_page
from tests.books.drawn_photos import photo
from tests.books.http.support import FACE_PAGE, SLUG, Parent, book_server
from tests.conftest import Server
from tests.console.browser import DESKTOP, Visitor, accessibility_problems, visitor

SMALL_PHONE = (360, 740)
PAINT_MS = 60_000
"""The longest wait for work on pictures, whose processes have to start first."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A fresh server on this machine, whose only book has three small pages."""
    with book_server(tmp_path_factory.mktemp("studio")) as server:
        yield server


@pytest.fixture(params=[DESKTOP, SMALL_PHONE], ids=["desktop", "phone"])
def parent(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Visitor]:
    with visitor(browser, server.url, request.param, has_touch=request.param == SMALL_PHONE) as made:
        yield made


def bring_photo(page: Page, data: bytes) -> None:
    page.get_by_label(re.compile("Choose")).set_input_files(
        {"name": "child.jpg", "mimeType": "image/jpeg", "buffer": data}
    )
    page.get_by_label("Your name").fill("Ada's mother")
    page.get_by_label(re.compile("agree that this photo is used")).check()
    page.get_by_role("button", name="Begin the book").click()


def is_accessible(page: Page) -> None:
    assert not accessibility_problems(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "the page is wider than the screen"
    )


def turn_to(page: Page, name: str) -> None:
    """Turn pages until this one is open."""
    book = page.get_by_role("group", name=re.compile("turn the pages"))
    book.focus()
    page.keyboard.press("Home")
    opened = page.locator(".flip-controls p")
    for _ in range(8):
        if name in opened.inner_text():
            return
        before = opened.inner_text()
        page.keyboard.press("ArrowRight")
        expect(opened).not_to_have_text(before)
    raise AssertionError(f"{name} is not in the book")


def swipe(page: Page, book: Locator) -> None:
    box = book.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.8, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, middle + 4)
    page.mouse.up()


def test_a_parent_finishes_a_book(parent: Visitor):
    page = parent.open("/books")
    page.get_by_role("link", name=re.compile("A walk 3 pages")).click()
    expect(page.get_by_role("heading", name="A walk")).to_be_visible()
    is_accessible(page)
    bring_photo(page, photo(3))

    page.get_by_role("heading", name="Is this your child?").wait_for(timeout=PAINT_MS)
    is_accessible(page)
    page.get_by_role("button", name="Yes, that is our hero").click()

    page.get_by_role("button", name="Paint the first pages").click()
    expect(page.get_by_text("Please write a name.")).to_be_visible()
    page.get_by_label("First name").fill("Zoë")
    page.get_by_label("Age", exact=True).fill("5")
    page.get_by_label("she", exact=True).check()
    is_accessible(page)
    page.get_by_role("button", name="Paint the first pages").click()

    page.get_by_role("link", name="On to the whole book").wait_for(timeout=PAINT_MS)
    opened = page.locator(".flip-controls p")
    expect(opened).to_have_text("Front cover")
    swipe(page, page.get_by_role("group", name=re.compile("turn the pages")))
    expect(opened).to_have_text(re.compile("Page 1"))
    page.get_by_role("button", name="Page 1: change something").click()
    page.get_by_label("What should be different?").fill("a wider smile")
    page.get_by_role("button", name=re.compile("Paint it again")).click()
    page.get_by_role("button", name="Page 1: 2 versions").click(timeout=PAINT_MS)
    page.get_by_role("button", name="Take drawing 1").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    is_accessible(page)

    page.get_by_role("link", name="On to the whole book").click()
    page.get_by_role("button", name="Make the whole book").click()
    page.get_by_role("link", name="Look over and approve").click(timeout=PAINT_MS)
    page.get_by_role("button", name="Approve the book").click()
    expect(page.get_by_text("Please look at every page first, then tick the box")).to_be_visible()
    page.get_by_label("I have looked at every page").check()
    is_accessible(page)
    page.get_by_role("button", name="Approve the book").click()

    page.get_by_role("heading", name="A walk is ready").wait_for(timeout=PAINT_MS)
    expect(page.get_by_text(re.compile("Approved by Ada's mother"))).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download: The book").click()
    assert download.value.suggested_filename == "book.pdf"
    assert len(pypdfium2.PdfDocument(Path(download.value.path()))) == 4
    expect(page.get_by_text("The photo is deleted.")).to_be_visible(timeout=PAINT_MS)
    is_accessible(page)


def test_a_photo_that_does_not_fit_gets_advice_and_closing_the_page_loses_nothing(
    browser: Browser, server: Server
):
    with visitor(browser, server.url, SMALL_PHONE) as parent:
        page = parent.open(f"/books/{SLUG}")
        bring_photo(page, draw_page(PLAIN, 600))
        expect(page.get_by_text("We see no face in it.")).to_be_visible(timeout=PAINT_MS)
        expect(page.get_by_text(re.compile("the face looks at the camera"))).to_be_visible()
        is_accessible(page)
        page.get_by_role("button", name="Choose another photo").click()
        expect(page.get_by_label("Your name")).to_have_value("Ada's mother")
        bring_photo(page, photo(3))
        page.get_by_role("heading", name="Is this your child?").wait_for(timeout=PAINT_MS)
        id_ = page.url.split("/")[-2]
        page.close()
        page = parent.open("/books")
        page.get_by_role("link", name=re.compile("A walk The hero waits for you")).first.click()
        expect(page).to_have_url(re.compile(f"/books/made/{id_}/hero$"))


def test_a_parent_signs_in_and_out_where_the_server_has_accounts(
    browser: Browser, make_server: Callable[..., Server]
):
    server = make_server(auth={"admin_key": ADMIN_KEY, "password_memory_mb": 8, "sign_up": True})
    account = {"email": "ann@example.org", "password": "correct horse battery"}
    assert server.client.post("/api/v1/auth/sign-up", json=account).status_code == 201
    with visitor(browser, server.url, SMALL_PHONE) as parent:
        parent.expected = ("401",)
        page = parent.open("/books/little-star")
        page.get_by_label("E-mail address").fill(account["email"])
        page.get_by_label("Password").fill("something else")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Address and password do not match")).to_be_visible()
        is_accessible(page)
        page.get_by_label("Password").fill(account["password"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="One photo of your child")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Please sign in")).to_be_visible()


@pytest.fixture(scope="module")
def previewed(server: Server) -> Parent:
    """A book whose first pages are ready."""
    parent = Parent(server)
    parent.with_preview()
    return parent


def test_a_book_is_shared_until_the_link_is_ended(browser: Browser, server: Server, previewed: Parent):
    with visitor(browser, server.url) as owner, visitor(browser, server.url, SMALL_PHONE) as reader:
        page = owner.open(f"/books/made/{previewed.id}")
        expect(page).to_have_url(re.compile("/read$"))
        page.get_by_role("button", name="Share").click()
        page.get_by_label("The link works for").select_option("7")
        page.get_by_role("button", name="Make a link").click()
        link = page.get_by_label("The link", exact=True).input_value()
        seen = reader.open(link.removeprefix(server.url))
        expect(seen.get_by_role("heading", name="A walk")).to_be_visible()
        turn_to(seen, f"Page {FACE_PAGE}")
        picture = seen.get_by_role("img", name=f"Page {FACE_PAGE}")
        expect(picture).to_be_visible()
        assert "/shared-books/" in (picture.get_attribute("src") or "")
        expect(seen.get_by_role("button", name=re.compile("change something"))).to_have_count(0)
        is_accessible(seen)
        page.get_by_role("button", name="End the link").click()
        expect(page.get_by_role("button", name="Make a link")).to_be_visible()
        reader.expected = ("404",)
        seen.reload()
        expect(seen.get_by_text("There is no such book here, or its link has ended.")).to_be_visible()


def test_a_parent_deletes_everything_and_sees_the_proof(browser: Browser, server: Server, previewed: Parent):
    with visitor(browser, server.url, locale="uk-UA") as parent:
        page = parent.open(f"/books/made/{previewed.id}/read")
        page.get_by_role("link", name="Видалити все").click()
        page.get_by_role("button", name="Видалити зараз").click()
        expect(page.get_by_text("Спершу поставте позначку")).to_be_visible()
        page.get_by_label("Так, видалити все").check()
        page.get_by_role("button", name="Видалити зараз").click()
        expect(page.get_by_role("heading", name="Фото більше немає")).to_be_visible(timeout=PAINT_MS)
        expect(page.get_by_text(previewed.id)).to_be_visible()
        is_accessible(page)
        assert previewed.get()["deletion"]["files"] > 0
        page.get_by_role("link", name="До історій").click()
        expect(page.get_by_role("link", name=re.compile(previewed.id))).to_have_count(0)
