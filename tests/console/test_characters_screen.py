"""The screen Characters, in the words of somebody who draws the cast of a chat platform."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.conftest import Server
from tests.console.browser import Visitor, accessibility_problems

API = "/api/v1/image-generation"
LIA: dict[str, Any] = {
    "name": "Lia",
    "gender": "mulher",
    "physical": "cabelo longo castanho, olhos verdes",
    "attire": "vestido vermelho",
}


def make(server: Server, kind: str, body: dict[str, Any]) -> None:
    answer = server.client.post(f"{API}/{kind}", json=body).json()
    for job_id in answer.get("jobIds") or [answer["jobId"]]:
        server.wait(job_id)


def tile(page: Page, name: str) -> Any:
    return page.get_by_role("tabpanel").get_by_role("button", name=name)


def test_a_character_is_described_its_tags_shown_and_its_sheet_exported(
    reader: Visitor, server: Server, tmp_path: Path
) -> None:
    reader.expected = ("404",)  # the browser notes that nothing of the new character is stored yet
    page = reader.open("/characters")
    page.get_by_role("button", name="New character").first.click()
    page.get_by_role("dialog").get_by_label("Id").fill("bia")
    page.get_by_role("dialog").get_by_role("button", name="Open").click()
    page.get_by_label("Body, hair, eyes").fill("cabelo ruivo, olhos azuis, xyzzyx")
    tags = page.get_by_role("region", name="Tags the image model gets")
    expect(tags.get_by_text("red hair", exact=True)).to_be_visible()
    expect(tags.get_by_text("Not understood:")).to_be_visible()
    expect(tags.get_by_text("xyzzyx", exact=True)).to_be_visible()

    page.get_by_label("Body, hair, eyes").fill("cabelo ruivo, olhos azuis")
    expect(tags.get_by_text("Every word was understood.")).to_be_visible()
    page.get_by_role("button", name="Save the sheet").click()
    expect(page.get_by_text("The sheet of bia is saved")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()

    download.value.save_as(tmp_path / "bia.json")
    written = json.loads((tmp_path / "bia.json").read_text())
    assert written == {"characterId": "bia", "character": {"physical": "cabelo ruivo, olhos azuis"}}
    stored = server.client.get(f"{API}/characters/bia").json()
    assert stored["character"]["physical"] == "cabelo ruivo, olhos azuis"


def test_gaps_are_filled_and_one_cell_is_redrawn_and_chosen(reader: Visitor, server: Server) -> None:
    server.client.put(f"{API}/characters/lia", json={"character": LIA})
    make(server, "sticker", {"characterId": "lia", "emotion": "happy"})
    page = reader.open("/characters/lia")
    expect(tile(page, "waving: missing")).to_be_visible()
    expect(page.get_by_text("21 credits")).to_be_visible()
    page.get_by_role("button", name="Fill 7 gaps").click()
    expect(page.get_by_text("7 pictures ordered")).to_be_visible()
    expect(tile(page, "waving: missing")).to_have_count(0)
    expect(page.get_by_role("button", name="Every emotion has a sticker")).to_be_disabled()

    tile(page, "happy").click()
    dialog = page.get_by_role("dialog", name="Lia: happy")
    expect(dialog.get_by_text("3 credits")).to_be_visible()
    dialog.get_by_role("button", name="Redraw").click()
    kinds = dialog.get_by_role("region", name="Pictures of this kind").get_by_role("button")
    expect(kinds).to_have_count(2)
    kinds.nth(1).click()
    dialog.get_by_role("button", name="Use this one").click()
    expect(page.get_by_text("This picture is in use now")).to_be_visible()

    pictures = server.client.get(f"{API}/characters/lia/images", params={"emotion": "happy"}).json()["items"]
    assert [each["active"] for each in pictures] == [False, True]
    assert accessibility_problems(page) == []


def test_pictures_are_compared_with_the_avatar_the_farthest_first(reader: Visitor, server: Server) -> None:
    make(server, "avatar", {"characterId": "rex", "character": LIA | {"name": "Rex"}})
    make(server, "sticker", {"characterId": "rex", "emotion": "sad"})
    blue = LIA | {"attire": "roupa azul", "physical": "cabelo azul"}
    make(server, "sticker", {"characterId": "rex", "emotion": "happy", "character": blue})
    page = reader.open("/characters/rex?tab=drift")
    rows = page.get_by_role("tabpanel").get_by_role("listitem")
    expect(rows).to_have_count(2)

    report = server.client.get(f"{API}/characters/rex/drift").json()
    names = [each["image"]["emotion"] for each in report["items"]]
    distances = [each["distance"] for each in report["items"]]

    assert names == ["happy", "sad"]
    assert distances[0] > distances[1]
    expect(rows.nth(0)).to_contain_text("happy")
    expect(page.get_by_text("faces are not compared")).to_be_visible()
    assert accessibility_problems(page) == []
