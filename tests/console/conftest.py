"""Fixtures of the stories: one browser and one server for the tests of a file, one visitor for each test."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import Server
from tests.console.browser import Visitor, chromium, visitor


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def reader(browser: Browser, server: Server) -> Iterator[Visitor]:
    """Somebody at a fresh loopback server, at a desktop."""
    with visitor(browser, server.url) as made:
        yield made


@pytest.fixture
def page(reader: Visitor) -> Page:
    return reader.open("/")
