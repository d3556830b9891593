"""Fixtures of the stories: one browser for all, one server for each file, one visitor for each test.

The browser is of the package, as Playwright leaves its event loop running in the thread that has started it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from playwright.sync_api import Browser, Error, Page

from tests.conftest import Server
from tests.console.browser import Visitor, chromium, visitor


class _SharedBrowser:
    """A browser that is started again once the connection to it is lost, as it is when a test times out."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._browser: Browser | None = None

    def connected(self) -> Browser:
        if self._browser is not None:
            with suppress(Error):
                self._browser.new_context().close()
                return self._browser
        self.close()
        self._browser = self._stack.enter_context(chromium())
        return self._browser

    def close(self) -> None:
        with suppress(Error):
            self._stack.close()


@pytest.fixture(scope="package")
def shared_browser() -> Iterator[_SharedBrowser]:
    shared = _SharedBrowser()
    yield shared
    shared.close()


@pytest.fixture(scope="module")
def browser(shared_browser: _SharedBrowser) -> Browser:
    return shared_browser.connected()


@pytest.fixture
def reader(browser: Browser, server: Server) -> Iterator[Visitor]:
    """Somebody at a fresh loopback server, at a desktop."""
    with visitor(browser, server.url) as made:
        yield made


@pytest.fixture
def page(reader: Visitor) -> Page:
    return reader.open("/")
