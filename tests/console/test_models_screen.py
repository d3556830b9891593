"""The screen Models, in the words of an operator."""

from playwright.sync_api import Page, expect

from tests.conftest import Server
from tests.console.browser import Visitor, accessibility_problems

DREAMSHAPER, SCHNELL = "DreamShaper 8", "FLUX Schnell"


def opened(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    expect(page.get_by_role("dialog", name=name)).to_be_visible()


def test_a_model_is_found_edited_and_made_the_default(reader: Visitor, server: Server) -> None:
    page = reader.open("/models")
    page.get_by_label("Find a model").fill("schnell")
    expect(page.get_by_text("1 model", exact=True)).to_be_visible()
    opened(page, SCHNELL)
    dialog = page.get_by_role("dialog")

    dialog.get_by_label("Trigger words").fill("schnell, fast picture")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("FLUX Schnell: saved")).to_be_visible()
    dialog.get_by_role("button", name="Make it the default of flux1").click()

    expect(page.get_by_text("FLUX Schnell is the default of flux1 now")).to_be_visible()
    models = server.client.get("/api/v1/models").json()
    (found,) = [each for each in models["items"] if each["title"] == SCHNELL]
    assert found["trainedWords"] == ["schnell", "fast picture"]
    assert models["defaults"] == {"flux1": found["air"]}
    assert accessibility_problems(page) == []


def test_a_file_is_registered_and_another_one_takes_its_place_as_the_default(
    reader: Visitor, server: Server
) -> None:
    server.client.put("/api/v1/models/default", json={"air": "urn:air:sdxl:checkpoint:civitai:101055@128078"})
    page = reader.open("/models")
    page.get_by_role("button", name="Add a model").click()
    dialog = page.get_by_role("dialog", name="Add a model by its file")
    dialog.get_by_label("File", exact=True).fill("sdxl/harbour.safetensors")
    dialog.get_by_label("Name").fill("Harbour")
    dialog.get_by_role("button", name="Register").click()
    expect(page.get_by_text("Harbour is registered")).to_be_visible()

    opened(page, "Harbour")
    page.get_by_role("button", name="Make it the default of sdxl").click()

    expect(page.get_by_text("Harbour is the default of sdxl now")).to_be_visible()
    defaults = server.client.get("/api/v1/models").json()["defaults"]
    assert defaults["sdxl"] == "urn:air:sdxl:checkpoint:file:sdxl/harbour.safetensors"


def test_the_jobs_of_a_model_are_counted(reader: Visitor, server: Server) -> None:
    server.wait(server.submit().json()["jobs"][0]["jobId"])

    page = reader.open("/models?q=dreamshaper")

    expect(page.get_by_role("listitem").filter(has_text=DREAMSHAPER)).to_contain_text("1 job")
