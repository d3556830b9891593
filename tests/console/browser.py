"""Debian's Chromium, driven by Playwright, and what every page must keep to."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.debian import environment, unpacked

WAIT_MS = 60_000
"""The longest wait for an element, also on a busy machine; Playwright's own expectations end after 5 s."""
expect.set_options(timeout=WAIT_MS)
DESKTOP, TABLET, PHONE = (1440, 900), (820, 1180), (390, 844)
_SWITCHES = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
"""A container has no user namespaces for Chromium's own sandbox, and little shared memory."""
_FORGIVEN = ("favicon.ico", "ERR_ABORTED", "ERR_CONNECTION_REFUSED", "ERR_INTERNET_DISCONNECTED")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser of the machine, else one from Debian's packages."""
    found, variables = shutil.which("chromium"), dict(os.environ)
    if found is None:
        root = unpacked("chromium", "fonts-dejavu-core")
        found, variables = str(root / "usr/lib/chromium/chromium"), environment(root)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=_SWITCHES, env=variables)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """One person with one browser profile. Errors of scripts and requests to other hosts fail the test."""

    context: BrowserContext
    url: str
    wrong: list[str] = field(default_factory=list[str])
    expected: tuple[str, ...] = ()
    """Parts of messages in the browser's console that this story brings about."""

    def open(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        page.on("request", self._on_request)
        page.goto(self.url + path)
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        known = (*_FORGIVEN, *self.expected)
        if message.type == "error" and not any(each in message.text for each in known):
            self.wrong.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"another host: {request.url}")


@contextmanager
def visitor(browser: Browser, url: str, size: tuple[int, int] = DESKTOP, **options: Any) -> Iterator[Visitor]:
    width, height = size
    given = {"locale": "en-GB", "reduced_motion": "reduce", **options}
    context = browser.new_context(viewport={"width": width, "height": height}, **given)
    made = Visitor(context, url)
    try:
        yield made
    finally:
        # An open feed would keep the server from stopping.
        context.close()
    assert not made.wrong, "\n".join(made.wrong[:5])


def accessibility_problems(page: Page) -> list[str]:
    """Return what axe finds on the page by the rules of WCAG 2.2 AA."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Path(AXE_FILE_PATH).read_text(encoding="utf-8"))
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate(
        "rules => axe.run({ runOnly: { type: 'tag', values: rules }, resultTypes: ['violations'] })", rules
    )
    return [
        f"{each['id']}: {each['help']}: {node['html'][:160]}"
        for each in found["violations"]
        for node in each["nodes"][:3]
    ]
