"""Every screen by the rules of WCAG 2.2 AA, in both themes and at a phone's width."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from imagemill.config import Settings
from tests.access.support import ADMIN_KEY, QUICK
from tests.conftest import Server, running_server
from tests.console.browser import DESKTOP, PHONE, accessibility_problems, visitor

TABLE = (Path(__file__).parents[2] / "web/src/app/navigation.ts").read_text()
PATHS = [path for path in re.findall(r' path: "([^"]+)"', TABLE) if ":" not in path]
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TABS = ["/people?tab=" + name for name in ("keys", "money", "limits", "sessions", "prices", "audit")]


@pytest.mark.parametrize("theme", THEMES)
def test_every_screen_is_clean(browser: Browser, server: Server, theme: Literal["light", "dark"]):
    found: dict[str, list[str]] = {}
    size = DESKTOP if theme == "light" else PHONE
    with visitor(browser, server.url, size, color_scheme=theme) as made:
        page = made.open("/")
        page.wait_for_url("**/start")  # where the first visit leads, once
        for path in (*PATHS, *TABS):
            page.goto(server.url + path)
            page.wait_for_selector("h1")
            page.wait_for_load_state("load")
            if problems := accessibility_problems(page):
                found[path] = problems
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.setdefault(path, []).append("is wider than the page")
    assert found == {}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, auth = tmp_path_factory.mktemp("axe"), {"admin_key": ADMIN_KEY, **QUICK}
    with running_server(Settings(_env_file=None, data_dir=folder, auth=auth)) as started:
        yield started


@pytest.mark.parametrize("theme", THEMES)
def test_the_page_to_sign_in_is_clean(browser: Browser, guarded: Server, theme: Literal["light", "dark"]):
    with visitor(browser, guarded.url, PHONE, color_scheme=theme) as made:
        page = made.open("/")
        page.wait_for_selector("h1")
        assert accessibility_problems(page) == []
