"""The gallery: looking through pictures, finding some, and doing something with many."""

import io
import re
import zipfile
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import Server
from tests.console.browser import Visitor, accessibility_problems, visitor
from tests.http.support import image_job, job_ids, until

ANIMALS = ("fox", "owl", "heron", "hare", "wolf")


def make(server: Server, prompt: str) -> str:
    (job_id,) = job_ids(server.submit(image_job(params={"prompt": prompt}), wait="true"))
    return job_id


@pytest.fixture(scope="module", autouse=True)
def _pictures(server: Server) -> None:
    for animal in ANIMALS:
        make(server, f"a {animal} in the snow")


@pytest.fixture
def gallery(reader: Visitor) -> Page:
    page = reader.open("/gallery")
    expect(tile(page, "wolf")).to_be_visible()
    return page


def grid(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Pictures")


def tile(page: Page, animal: str) -> Locator:
    return grid(page).get_by_role("option", name=f"a {animal} in the snow")


def details(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Details of the picture")


def first_artifact(server: Server, text: str) -> dict[str, Any]:
    return server.client.get("/api/v1/artifacts", params={"text": text}).json()["items"][0]


def test_keys_move_open_rate_and_leave(gallery: Page, server: Server) -> None:
    grid(gallery).focus()
    gallery.keyboard.press("Home")
    gallery.keyboard.press("Enter")
    expect(details(gallery)).to_contain_text("a wolf in the snow")
    gallery.keyboard.press("ArrowRight")
    expect(details(gallery)).to_contain_text("a hare in the snow")
    gallery.keyboard.press("4")
    expect(details(gallery).get_by_role("button", name="4 stars")).to_have_attribute("aria-pressed", "true")
    until(lambda: first_artifact(server, "hare")["rating"] == 4)
    gallery.get_by_label("Sort", exact=True).select_option("rating")
    expect(grid(gallery).get_by_role("option")).to_have_count(1)
    assert "sort=rating" in gallery.url
    grid(gallery).focus()
    gallery.keyboard.press("Escape")
    expect(details(gallery)).to_have_count(0)


def test_a_filter_in_words_stands_in_the_address(gallery: Page) -> None:
    gallery.get_by_role("combobox", name="Filter pictures").fill("type:image heron")
    expect(grid(gallery).get_by_role("option")).to_have_count(1)
    expect(tile(gallery, "heron")).to_be_visible()
    gallery.reload()
    expect(grid(gallery).get_by_role("option")).to_have_count(1)
    gallery.get_by_role("combobox", name="Filter pictures").fill("a whale")
    expect(gallery.get_by_text("No picture matches")).to_be_visible()


def test_new_pictures_appear_by_themselves(gallery: Page, server: Server) -> None:
    make(server, "a lynx in the snow")
    expect(tile(gallery, "lynx")).to_be_visible()
    expect(grid(gallery).get_by_role("option").first).to_have_accessible_name("a lynx in the snow")


def test_a_selection_becomes_a_zip_file_and_a_contact_sheet(gallery: Page) -> None:
    tile(gallery, "fox").click(modifiers=["ControlOrMeta"])
    tile(gallery, "owl").click(modifiers=["ControlOrMeta"])
    bar = gallery.get_by_role("toolbar", name="Selected pictures")
    expect(bar).to_contain_text("2 selected")
    with gallery.expect_download() as download:
        bar.get_by_role("button", name="ZIP").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len(archive.namelist()) == 2
    bar.get_by_role("button", name="Contact sheet").click()
    dialog = gallery.get_by_role("dialog", name="Contact sheet")
    with gallery.expect_download() as sheet:
        dialog.get_by_role("button", name="Download").click()
    with Image.open(io.BytesIO(sheet.value.path().read_bytes())) as image:
        assert image.format == "PNG"


def test_two_pictures_are_compared_with_a_slider(gallery: Page) -> None:
    grid(gallery).focus()
    for key in ("Home", "Space", "ArrowRight", "Space"):
        gallery.keyboard.press(key)
    gallery.get_by_role("button", name="Compare").click()
    dialog = gallery.get_by_role("dialog", name="Compare two pictures")
    slider = dialog.get_by_label("Share of the left picture")
    slider.fill("20")
    expect(dialog.get_by_role("img", name=re.compile("Right: "))).to_have_css(
        "clip-path", "inset(0px 0px 0px 20%)"
    )
    expect(dialog.get_by_role("table")).to_contain_text("Seed")
    assert accessibility_problems(gallery) == []


def test_a_deletion_can_be_undone_for_a_moment(gallery: Page, server: Server) -> None:
    make(server, "a mole in the snow")
    tile(gallery, "mole").click()
    details(gallery).get_by_role("button", name="Delete").click()
    expect(tile(gallery, "mole")).to_have_count(0)
    gallery.get_by_role("button", name="Undo").click()
    expect(tile(gallery, "mole")).to_be_visible()
    gallery.clock.install()
    tile(gallery, "mole").click()
    details(gallery).get_by_role("button", name="Delete").click()
    expect(gallery.get_by_text("1 picture deleted")).to_be_visible()
    gallery.clock.fast_forward(6000)
    found = {"text": "mole", "deleted": "true"}
    until(lambda: not server.client.get("/api/v1/artifacts", params=found).json()["items"][0]["available"])
    expect(tile(gallery, "mole")).to_have_count(0)


def test_a_picture_is_made_again_and_opens_its_own_form(gallery: Page, server: Server) -> None:
    job = first_artifact(server, "fox")["job"]
    tile(gallery, "fox").click()
    details(gallery).get_by_role("button", name="Same again", exact=True).click()
    expect(gallery.get_by_text("Submitted again as job")).to_be_visible()
    details(gallery).get_by_role("button", name="Same again with one change").click()
    expect(gallery).to_have_url(re.compile(f"/make\\?from={job}$"))


def test_on_a_phone_the_details_come_from_below(browser: Browser, server: Server) -> None:
    with visitor(browser, server.url, (360, 740), locale="pt-BR") as reader:
        page = reader.open("/gallery")
        pictures = page.get_by_role("listbox", name="Imagens")
        expect(pictures.get_by_role("option").first).to_be_visible()
        assert accessibility_problems(page) == []
        pictures.get_by_role("option").first.click()
        panel = page.get_by_role("complementary", name="Detalhes da imagem")
        expect(panel.get_by_role("button", name="De novo com uma mudança")).to_be_visible()
        box = panel.bounding_box()
        assert box is not None
        assert (box["x"], box["width"]) == (0, 360)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert accessibility_problems(page) == []
        panel.get_by_role("button", name="Fechar os detalhes").click()
        page.get_by_role("button", name="Selecionar").click()
        pictures.get_by_role("option").first.click()
        expect(page.get_by_role("toolbar")).to_contain_text("1 selecionada")


def test_an_address_of_a_picture_opens_it(reader: Visitor, server: Server) -> None:
    page = reader.open(f"/gallery/{first_artifact(server, 'owl')['id']}")
    expect(details(page)).to_contain_text("a owl in the snow")
    assert accessibility_problems(page) == []
