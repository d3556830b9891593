"""Servers with books, once for each module of tests."""

from collections.abc import Iterator

import pytest

from tests.access.support import ADMIN_KEY
from tests.books.http.support import Parent, Shop, book_server, open_shop
from tests.conftest import Server


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that needs keys; its client sends an administrator's."""
    auth = {"admin_key": ADMIN_KEY, "password_memory_mb": 8}
    with book_server(tmp_path_factory.mktemp("books"), auth=auth) as server:
        server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        yield server


@pytest.fixture(scope="module")
def shop(books: Server) -> Shop:
    return open_shop(books)


@pytest.fixture(scope="module")
def preview(shop: Shop) -> Parent:
    """A book whose preview is ready; its tests leave it so."""
    parent = shop.parent("ann")
    parent.with_preview()
    return parent
