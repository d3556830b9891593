"""A link by which others may read a book: what it shows, and how it ends."""

import json
import time

import httpx2
import pytest

from tests.access.support import ADMIN_KEY, bearer
from tests.books.http.support import (
    FACE_PAGE,
    NAME,
    PAID_PAGE,
    PLAIN_PAGE,
    Parent,
    Shop,
    picture,
    refused_move,
)
from tests.conftest import Server
from tests.http.support import problem

SHARED = "/api/v1/shared-books"


def read(server: Server, token: str, path: str = "") -> httpx2.Response:
    """Ask as a reader who has nothing but the link."""
    return httpx2.get(f"{server.url}{SHARED}/{token}{path}")


def share(parent: Parent, **body: int) -> str:
    answer = parent.ask("POST", "/share", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


@pytest.fixture
def token(preview: Parent) -> str:
    return share(preview)


def test_a_reader_sees_the_pages_and_nothing_else_of_the_child(books: Server, preview: Parent, token: str):
    book = read(books, token).json()
    assert (book["title"], book["language"], book["isWhole"]) == ({"en": "A walk"}, "en", False)
    assert [page["page"] for page in book["pages"]] == [FACE_PAGE, PLAIN_PAGE]
    shown = httpx2.get(book["pages"][0]["url"])
    assert picture(shown)
    assert shown.content == preview.ask("GET", f"/pages/{FACE_PAGE}/picture").content
    assert shown.headers["cache-control"].startswith("private")
    assert httpx2.get(book["coverUrl"]).status_code == 200
    told = json.dumps(book)
    assert NAME not in told
    assert "reference" not in told
    problem(read(books, token, "/pages/3/picture"), 404)


def test_the_book_says_how_it_is_bound(preview: Parent):
    bound = preview.get()["bound"]
    assert (bound["widthMm"], bound["heightMm"], bound["cover"]) == (100, 100, "soft")
    assert bound["order"] == [*range(1, PAID_PAGE + 1), None]
    assert bound["spineMm"] > 0


def test_the_owner_sees_the_link_and_a_new_one_ends_it(books: Server, preview: Parent, token: str):
    link = preview.get()["share"]
    assert (link["token"], link["url"]) == (token, f"{books.url}/books/shared/{token}")
    other = share(preview, days=1)
    assert read(books, other).status_code == 200
    problem(read(books, token), 404)


def test_a_link_that_was_ended_shows_nothing(books: Server, preview: Parent, token: str):
    url = read(books, token).json()["pages"][0]["url"]
    assert preview.ask("DELETE", "/share").json()["share"] is None
    assert preview.ask("DELETE", "/share").status_code == 200
    assert "ask whoever sent it" in problem(read(books, token), 404)["detail"]
    problem(httpx2.get(url), 404)


def test_a_link_expires(books: Server, preview: Parent, token: str, monkeypatch: pytest.MonkeyPatch):
    later = int((time.time() + 14 * 86_400 + 60) * 1_000_000)
    monkeypatch.setattr("imagemill.domain.signing.now_us", lambda: later)
    problem(read(books, token), 404)


@pytest.mark.parametrize("change", ["id", "expires", "signature", "rubbish"])
def test_a_changed_link_is_unknown(books: Server, token: str, change: str):
    id_, expires, signature = token.split(".")
    changed = {
        "id": f"{id_[:-1]}{'1' if id_[-1] == '0' else '0'}.{expires}.{signature}",
        "expires": f"{id_}.{int(expires) + 60}.{signature}",
        "signature": f"{id_}.{expires}.{signature[::-1]}",
        "rubbish": "é..",
    }
    problem(read(books, changed[change]), 404)


def test_sharing_is_refused_before_there_are_pages_and_for_wrong_days(shop: Shop, preview: Parent):
    early = shop.parent("early")
    early.start()
    assert "share" not in refused_move(early.ask("POST", "/share"))["allowed"]
    early.ask("DELETE")
    assert list(problem(preview.ask("POST", "/share", json={"days": 91}), 400)["errors"]) == ["days"]


def test_another_parent_cannot_share_it_and_the_audit_names_who_did(
    books: Server, shop: Shop, preview: Parent, token: str
):
    bob = shop.parent("bob")
    bob.id = preview.id
    problem(bob.ask("POST", "/share"), 404)
    problem(bob.ask("DELETE", "/share"), 404)
    assert read(books, token).status_code == 200
    entries = books.client.get("/api/v1/audit", headers=bearer(ADMIN_KEY)).json()["items"]
    assert any(f"/personalizations/{preview.id}/share" in json.dumps(entry) for entry in entries)
    assert token not in json.dumps(entries)
