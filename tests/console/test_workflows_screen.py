"""The screen Workflows: a picture of ComfyUI becomes an endpoint."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, expect

from imagemill.recipes.comfy import EXAMPLE_GRAPH
from tests.conftest import Server
from tests.console.browser import PHONE, Visitor, accessibility_problems, visitor

GRAPH = {
    **EXAMPLE_GRAPH,
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["1", 1]}},
}


def picture_of_comfyui() -> bytes:
    """Return a PNG with its graph in its metadata, as SaveImage writes it."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", json.dumps({**GRAPH, "3": {**GRAPH["3"], "is_changed": [float("nan")]}}))
    file = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, "PNG", pnginfo=texts)
    return file.getvalue()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "Harbour at night.png"
    file.write_bytes(picture_of_comfyui())
    return file


def dropped(page: Page, picture: Path) -> None:
    page.get_by_label("Drop a PNG from ComfyUI").set_input_files(picture)
    expect(page.get_by_label("Name in the address")).to_have_value("harbour-at-night")


def test_a_dropped_picture_is_tested_and_published(reader: Visitor, server: Server, picture: Path) -> None:
    page = reader.open("/workflows")
    page.get_by_role("button", name="Add a workflow").click()
    dropped(page, picture)
    inputs = page.get_by_role("region", name="Inputs")
    prompt = inputs.get_by_role("listitem").filter(has=page.get_by_label("Offer prompt"))
    expect(prompt.get_by_label("Default")).to_have_value("a lighthouse at dusk")
    prompt.get_by_label("Name").fill("scene")
    inputs.get_by_label("Offer seed").uncheck()

    page.get_by_role("button", name="Test run").click()
    expect(page.get_by_role("img", name="The picture of the test run")).to_be_visible()
    page.get_by_role("button", name="Publish").click()

    expect(page.get_by_text("harbour-at-night is an endpoint now, version 1")).to_be_visible()
    expect(page.get_by_text("/api/v1/workflows/harbour-at-night'")).to_be_visible()
    names = [
        each["name"] for each in server.client.get("/api/v1/workflows/harbour-at-night").json()["inputs"]
    ]
    assert "scene" in names
    assert "seed" not in names
    done = server.client.post("/api/v1/workflows/harbour-at-night", json={"scene": "a pier"}).json()
    assert server.wait(done["id"])["status"] == "succeeded"
    assert accessibility_problems(page) == []


def test_two_versions_are_compared(reader: Visitor, server: Server) -> None:
    server.client.post("/api/v1/workflows", json={"name": "pier", "graph": GRAPH}).raise_for_status()
    page = reader.open("/workflows/pier?tab=edit")
    page.get_by_role("region", name="Inputs").get_by_label("Offer seed").uncheck()
    page.get_by_role("button", name="Publish as a new version").click()
    expect(page.get_by_text("pier is an endpoint now, version 2")).to_be_visible()

    page.get_by_role("tab", name="Versions").click()

    changes = page.get_by_role("list", name="Compare 1 with 2")
    expect(changes.get_by_role("listitem").filter(has_text="seed")).to_contain_text("removed")
    assert accessibility_problems(page) == []


def test_a_file_without_a_graph_is_refused_on_a_phone(reader: Visitor, tmp_path: Path) -> None:
    note = tmp_path / "note.json"
    note.write_text("no graph")
    with visitor(reader.context.browser, reader.url, PHONE) as somebody:  # pyright: ignore[reportArgumentType]
        page = somebody.open("/workflows/+")
        page.get_by_label("Drop a PNG from ComfyUI").set_input_files(note)

        expect(page.get_by_role("alert")).to_contain_text("choose Workflow > Export (API)")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
