"""The screen Faults, in the words of somebody who tests a client."""

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.conftest import Server
from tests.console.browser import Visitor, accessibility_problems

FAULT = "Out of GPU memory"


def add_fault(page: Page) -> None:
    page.get_by_role("button", name="Add a fault of the worker").click()
    dialog = page.get_by_role("dialog", name="Add a fault of the worker")
    dialog.get_by_label("Only prompts that contain").fill("lighthouse")
    dialog.get_by_role("button", name="Set this fault").click()
    expect(page.get_by_role("row", name=FAULT)).to_contain_text("prompt has “lighthouse”")


def test_a_fault_strikes_a_job_and_is_counted(reader: Visitor, server: Server) -> None:
    page = reader.open("/faults")
    add_fault(page)

    job = server.client.post(
        "/api/v1/jobs",
        json={"recipe": "textToImage", "input": {"prompt": "a lighthouse", "width": 64, "height": 64}},
    ).json()

    assert server.wait(job["id"])["attempt"] == 2  # the retry succeeds
    page.get_by_role("button", name="Count again").click()
    expect(page.get_by_role("row", name=FAULT).get_by_role("cell").nth(1)).to_have_text("1")
    assert accessibility_problems(page) == []
    page.get_by_role("button", name="Delete all").click()
    expect(page.get_by_text("No fault is set")).to_be_visible()


def test_the_speed_slows_the_simulated_gpu_down(reader: Visitor, server: Server) -> None:
    page = reader.open("/faults")
    speed = page.get_by_role("slider", name="Speed of the simulated GPU")

    speed.press("End")

    expect(page.get_by_text("1 sec a step, 20 sec to load a checkpoint")).to_be_visible()
    assert server.client.get("/api/v1/simulator").json()["speed"] == "slow"
    page.get_by_role("button", name="As in the settings").click()
    expect(speed).to_have_attribute("aria-valuetext", "Instant")


def test_rules_are_recorded_as_a_file_and_loaded_again(reader: Visitor, tmp_path: Path) -> None:
    page = reader.open("/faults")
    add_fault(page)
    page.get_by_role("tab", name="Faults of the API").click()
    page.get_by_role("button", name="Add a fault of the API").click()
    page.get_by_role("button", name="Set this fault").click()
    expect(page.get_by_role("row", name="HTTP 429, Retry-After 1")).to_contain_text("/v1/*")

    with page.expect_download() as download:
        page.get_by_role("button", name="Record as a file").click()
    file = tmp_path / "scenario.json"
    download.value.save_as(file)
    recorded = json.loads(file.read_text())
    page.get_by_role("button", name="Delete all").click()
    expect(page.get_by_text("No fault is set")).to_be_visible()
    page.get_by_label("Load a file").set_input_files(file)

    expect(page.get_by_text("2 faults were loaded")).to_be_visible()
    expect(page.get_by_role("row", name="HTTP 429, Retry-After 1")).to_be_visible()
    assert recorded["rule"] == [{"fault": "out_of_memory", "prompt": "lighthouse"}]
    assert recorded["http"] == [{"http": 429, "retryAfter": 1, "path": "/v1/*", "times": 2}]
