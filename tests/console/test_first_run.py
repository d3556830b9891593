"""The first minute and a half of somebody who has read nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.console.browser import DESKTOP, PHONE, accessibility_problems, visitor


def served(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start `imagemill serve` as a user does; return it and the address that it prints."""
    command = [sys.executable, "-m", "imagemill", "serve", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEMILL_")}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return process, found[0]
    raise AssertionError("it printed no address")


def test_a_picture_without_having_read_anything(browser: Browser, tmp_path: Path) -> None:
    process, url = served(tmp_path)
    try:
        with visitor(browser, url) as reader:
            page = reader.open("/")
            expect(page.get_by_role("heading", name="Try it without a GPU")).to_be_visible()
            page.get_by_role("textbox", name="Prompt").press("Enter")
            expect(page.get_by_role("list", name="Its timeline")).to_contain_text("done after")
            picture = page.get_by_role("img", name=re.compile("a lighthouse"))
            expect(picture).to_have_js_property("naturalWidth", 1024)
            # The list of first steps knows of it by itself.
            expect(page.get_by_role("region", name="First steps")).to_contain_text("1 of 5 done")
            page.get_by_role("link", name="Go on in Make").click()
            expect(page.get_by_role("heading", name="Make", exact=True)).to_be_visible()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_comfyui_is_examined_line_by_line_and_its_models_are_registered(
    browser: Browser, make_server: Callable[..., Server]
) -> None:
    server = make_server()
    with TestNode() as comfy, visitor(browser, server.url) as reader:
        page = reader.open("/start")
        page.get_by_label("Address").fill(comfy.url)
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_role("list", name="Examination")).to_contain_text("a test picture was rendered")
        page.get_by_role("button", name="Register all").click()
        expect(page.get_by_role("status").filter(has_text="registered")).to_be_visible()


def test_somebody_who_tests_a_client_finds_address_and_calls(browser: Browser, server: Server) -> None:
    with visitor(browser, server.url, PHONE) as reader:
        page = reader.open("/start")
        expect(page.get_by_text(server.url, exact=True)).to_be_visible()
        page.get_by_role("tab", name="@civitai/orchestration-client").click()
        expect(page.get_by_role("tabpanel")).to_contain_text(f'baseUrl: "{server.url}"')
        page.get_by_role("tab", name="A job for your CI").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("imagemill serve --profile ci")
        # Not on a phone: there the bar at the bottom covers a part of some control at any time.
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        assert accessibility_problems(page) == []
