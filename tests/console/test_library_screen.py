"""The screen Model library, in the words of an application's back office."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.console.browser import Visitor, accessibility_problems

CASUAL = {"gender": "female", "ageRange": "20-30", "bodyType": "slim", "style": "casual"}
SIDE = "female, 20-30, slim, side, casual"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that renders small pictures, with two models of the library."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("library"),
        sweep_s=0.05,
        job={"heartbeat_s": 0.05},
        library={"picture": {"width": 128, "height": 192}},
    )
    with running_server(settings) as server:
        order(server, grid=CASUAL, count=2)
        yield server


def order(server: Server, **body: Any) -> None:
    batch = server.client.post("/api/v1/library/batch", json=body).json()["batch"]
    for job_id in server.client.get(f"/api/v1/library/batch/{batch}").json()["jobs"]:
        server.wait(job_id)


def cell(page: Page, name: str) -> Any:
    return page.get_by_role("gridcell").get_by_role("button", name=name)


def test_what_a_filter_misses_is_made_with_its_price_before(reader: Visitor, server: Server) -> None:
    page = reader.open("/library?gender=female&age=20-30&body=slim&style=casual")
    expect(page.get_by_role("status").filter(has_text="2 of 4 cells made · 2 missing")).to_be_visible()

    page.get_by_role("button", name="Fill missing").click()
    dialog = page.get_by_role("dialog", name="Make the missing models")
    expect(dialog.get_by_text("2 cells of the filter are missing.")).to_be_visible()
    dialog.get_by_label("Make at most").fill("1")
    expect(dialog.get_by_text("free on this server")).to_be_visible()
    dialog.get_by_role("button", name="Make 1 model").click()

    expect(page.get_by_text("1 model ordered")).to_be_visible()
    # The feed tells that the picture is there; nobody reloads.
    expect(page.get_by_role("status").filter(has_text="3 of 4 cells made · 1 missing")).to_be_visible()
    grid = server.client.get("/api/v1/library/grid", params=CASUAL).json()
    assert (grid["present"], grid["missing"]) == (3, 1)
    assert accessibility_problems(page) == []


def test_a_cell_is_reached_by_the_keyboard_and_edited_to_its_next_version(
    reader: Visitor, server: Server
) -> None:
    page = reader.open("/library?gender=female&age=20-30&body=slim&style=casual")
    cell(page, "female, 20-30, slim, front standing, casual: version 1").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="side · casual, version 1")).to_be_visible()
    dialog.get_by_text("Edit", exact=True).click()
    expect(dialog.get_by_role("button", name="Make the next version").first).to_be_disabled()

    dialog.get_by_role("textbox", name="Prompt").fill("fashion model in a red coat, full body shot")
    dialog.get_by_role("button", name="Make the next version").first.click()

    versions = dialog.get_by_role("region", name="Versions")
    expect(versions.get_by_role("button", name="version 2")).to_be_visible()
    expect(cell(page, f"{SIDE}: version 2")).to_be_attached()
    assert accessibility_problems(page) == []
