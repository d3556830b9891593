"""The catalogue of books, and the drawn pictures that everybody with a key may see."""

import httpx2

from tests.books.http.support import BOOKS, PAID_PAGE, SIDE, SLUG, picture
from tests.conftest import Server
from tests.http.support import problem


def test_books_are_listed_with_what_they_need(books: Server):
    body = books.client.get(BOOKS).json()
    (mine,) = (each for each in body["items"] if each["slug"] == SLUG)
    assert body["next"] is None
    assert (mine["pages"], mine["previewPages"], mine["pagesWithFace"]) == (PAID_PAGE, 2, 2)
    assert mine["people"] == [{"id": "hero", "role": "hero", "needsPhoto": True, "ages": [0, 12]}]
    assert mine["price"] == {"page": None, "book": None}


def test_the_list_has_pages(books: Server):
    slugs = [each["slug"] for each in books.client.get(BOOKS).json()["items"]]
    assert slugs == sorted(slugs)
    assert len(slugs) > 1
    first = books.client.get(BOOKS, params={"limit": 1}).json()
    assert [each["slug"] for each in first["items"]] == slugs[:1]
    rest = books.client.get(BOOKS, params={"cursor": first["next"]}).json()
    assert [each["slug"] for each in rest["items"]] == slugs[1:]


def test_books_are_filtered_by_language(books: Server):
    found = books.client.get(BOOKS, params={"language": "uk"}).json()["items"]
    assert found
    assert SLUG not in {each["slug"] for each in found}


def test_a_book_has_its_contents(books: Server):
    contents = books.client.get(f"{BOOKS}/{SLUG}").json()["contents"]
    assert contents[:3] == [
        {"page": 1, "kind": "both", "people": ["hero"], "inPreview": True},
        {"page": 2, "kind": "neither", "people": [], "inPreview": True},
        {"page": 3, "kind": "face", "people": ["hero"], "inPreview": False},
    ]


def test_drawn_pictures_of_the_preview_need_no_key_for_a_while(books: Server):
    items = books.client.get(f"{BOOKS}/{SLUG}/previews").json()["items"]
    assert [each["name"] for each in items] == ["front", "back", "1", "2"]
    for each in items:
        answer = httpx2.get(each["url"])
        assert answer.headers["cache-control"].startswith("private, max-age=")
        assert picture(answer).size == (SIDE, SIDE)
    wrong = items[0]["url"].replace("front", "back")
    assert httpx2.get(wrong).status_code == 403
    assert httpx2.get(items[0]["url"].partition("?")[0]).status_code == 401


def test_drawn_pages_of_the_whole_book_are_not_shown(books: Server):
    for name in ("3", "0", "spine", "../book.json"):
        problem(books.client.get(f"{BOOKS}/{SLUG}/previews/{name}"), 404)


def test_an_unknown_book_is_not_found(books: Server):
    for path in ("/no-book", "/no-book/previews", "/no-book/previews/front", "/%2e%2e"):
        problem(books.client.get(f"{BOOKS}{path}"), 404)
    body = problem(books.client.get(BOOKS, params={"cursor": "../x"}), 400)
    assert list(body["errors"]) == ["cursor"]
