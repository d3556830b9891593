"""The screen Books, in the words of an operator: scores, findings, versions, approval and files of a book."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

from imagemill.bootstrap.application import Roles
from imagemill.config import Settings
from imagemill.domain.jobs import Claim
from imagemill.recipes.base import Plan
from tests.books.support import BookRig, picture, write_book
from tests.conftest import Server, running_server
from tests.console.browser import Visitor, accessibility_problems

BOX = {"x": 0.3, "y": 0.9, "width": 0.4, "height": 0.08}
OUTSIDE = {
    "place": "page 2",
    "page": 2,
    "level": "warning",
    "code": "text_outside",
    "message": "the text at the bottom center reaches out of the safe zone",
    "remedy": "change its offset or its position",
    "box": BOX,
}


class PaintingRig(BookRig):
    """A rig whose pages are pictures that a browser shows."""

    def _made(self, claim: Claim, plan: Plan) -> tuple[Sequence[tuple[bytes, str]], dict[str, Any]]:
        files, values = super()._made(claim, plan)
        painted = picture(300, "JPEG")
        return [(painted if kind == "image/jpeg" else data, kind) for data, kind in files], values


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose jobs are ended by the rig of these tests."""
    folder = tmp_path_factory.mktemp("books-screen")
    books = {"folder": write_book(folder / "catalogue")}
    settings = Settings(_env_file=None, data_dir=folder / "data", books=books)
    (folder / "catalogue" / "torn").mkdir()
    (folder / "catalogue" / "torn" / "book.toml").write_text('slug = "torn"')
    with running_server(settings, Roles(worker=False, scheduler=False)) as server:
        yield server


@pytest.fixture(scope="module")
def rig(server: Server) -> BookRig:
    return PaintingRig(server.app, scores={1: [0.1, 0.2, 0.3]}, findings={2: [OUTSIDE]})


def test_an_operator_brings_a_book_to_print(rig: BookRig, reader: Visitor):
    id_ = rig.preview_ready()
    page = reader.open("/personalizations")
    page.get_by_label("State").select_option("preview is ready")
    page.get_by_role("row", name=re.compile("A Day of")).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ада")
    pages = page.get_by_role("region", name="Pages").get_by_role("listitem")
    expect(pages.first).to_contain_text("Page 1look at it")
    assert accessibility_problems(page) == []

    page.get_by_role("region", name="Preflight", exact=True).get_by_role("button", name="Page 2").click()
    panel = page.get_by_role("dialog", name="Page 2")
    mark, sheet = panel.get_by_role("img", name=re.compile("^Finding 1:")), panel.get_by_role("img").first
    expect(mark).to_be_visible()
    around, inner = sheet.bounding_box(), mark.bounding_box()
    assert around is not None
    assert inner is not None
    assert abs(inner["y"] - around["y"] - BOX["y"] * around["height"]) < 2
    assert "finding=1" in page.url
    assert accessibility_problems(page) == []

    panel.get_by_role("button", name="Page before").click()
    panel = page.get_by_role("dialog", name="Page 1")
    panel.get_by_role("button", name="Print version 1").click()
    expect(page.get_by_text("Page 1: version 1 is printed")).to_be_visible()
    panel.get_by_label("What should be different?").fill("a wider smile")
    panel.get_by_role("button", name="Draw again", exact=True).click()
    expect(page.get_by_text("Page 1: version 4 is being drawn")).to_be_visible()
    rig.settle()
    expect(panel.get_by_text(re.compile("Likeness 0.90 · Wish: a wider smile"))).to_be_visible()
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Unlock", exact=True).click()
    page.get_by_role("dialog", name="Unlock").get_by_role("button", name="Unlock", exact=True).click()
    expect(page.get_by_text("All 6 pages are asked for")).to_be_visible()
    rig.settle()
    page.get_by_role("button", name="Approve for print").click()
    dialog = page.get_by_role("dialog", name="Approve for print")
    dialog.get_by_label("Who approves").fill("the print desk")
    dialog.get_by_role("button", name="Approve for print").click()
    expect(page.get_by_text("Approved with 6 pages")).to_be_visible()
    rig.settle()
    files = page.get_by_role("region", name="Files").get_by_role("link")
    expect(files).to_have_text(["Block", "Cover", "Spreads", "Proof", "Pages as pictures (ZIP)"])
    with page.expect_download() as download:
        files.first.click()
    assert download.value.suggested_filename.endswith(".pdf")
    expect(page.get_by_role("region", name="Approval", exact=True)).to_contain_text("the print desk")
    assert accessibility_problems(page) == []

    page.get_by_role("button", name="Delete everything").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete everything").click()
    expect(page.get_by_text("Deletion begun: 6 pages")).to_be_visible()
    rig.settle()
    expect(page.get_by_text("This book was deleted")).to_be_visible()
    expect(page.get_by_text(f"{rig.get(id_).deletion['files']} files")).to_be_visible()


def test_the_catalogue_has_the_books_and_what_is_wrong_with_others(server: Server, reader: Visitor):
    page = reader.open("/personalizations?tab=catalogue")
    page.set_viewport_size({"width": 360, "height": 740})
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="A Day of"))
    expect(card).to_contain_text("3 pages, 2 with a face, 2 in the preview")
    expect(card).to_contain_text("en, uk")
    expect(page.get_by_text("torn is not offered in its newest version")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert accessibility_problems(page) == []
