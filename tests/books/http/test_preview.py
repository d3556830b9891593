"""A book from its photo to the preview: the steps, what each state refuses, links, and the paywall."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from imagemill.bootstrap.build import signing_key
from imagemill.domain.access import Role
from imagemill.domain.signing import UrlSigner
from tests.access.support import bearer, key
from tests.books.drawn_photos import photo, two_children
from tests.books.http.support import (
    BOOKS,
    CHILD,
    CONSENT,
    FACE_PAGE,
    MADE,
    NAME,
    PAID_PAGE,
    PLAIN_PAGE,
    SLUG,
    Parent,
    Shop,
    open_shop,
    picture,
    refused_move,
)
from tests.conftest import Server
from tests.http.support import problem, until
from tests.media.files import animation, turned

FILES = ("pdf", "cover.pdf", "spreads.pdf", "zip")


def test_the_preview_has_every_page_with_its_picture(preview: Parent):
    book = preview.get()
    assert book["state"] == "preview_ready"
    assert [page["page"] for page in book["pages"]] == [FACE_PAGE, PLAIN_PAGE]
    assert (book["done"], book["total"]) == (2, 2)
    assert book["child"] == {"name": NAME, "age": 5, "gender": "girl", "language": "en"}
    face, plain = book["pages"]
    assert 0 < face["score"] <= 1
    assert plain["score"] is None
    for page in book["pages"]:
        assert preview.get(f"/pages/{page['page']}")["version"] == page["version"]
        assert picture(preview.ask("GET", f"/pages/{page['page']}/picture")).size == (1080, 1080)


def test_a_page_is_a_picture_where_one_is_accepted(preview: Parent):
    for path in (f"/pages/{FACE_PAGE}", "/reference"):
        shown = preview.ask("GET", path, headers={"Accept": "image/*,*/*;q=0.8"})
        assert shown.content == preview.ask("GET", f"{path}/picture").content
        assert preview.ask("GET", path, headers={"Accept": "*/*"}).json()["state"] == "ready"


def test_pictures_have_links_for_browsers_that_expire(preview: Parent, books: Server):
    page = preview.get(f"/pages/{FACE_PAGE}")
    assert httpx2.get(page["url"]).content == preview.ask("GET", f"/pages/{FACE_PAGE}/picture").content
    partial = httpx2.get(page["url"], headers={"Range": "bytes=0-1"})
    assert (partial.status_code, partial.content) == (206, b"\xff\xd8")
    assert httpx2.head(page["url"]).status_code == 200
    path = urlsplit(page["url"]).path
    secret = signing_key(books.app.settings)
    for life_s, status in ((60, 200), (-120, 403)):
        query = UrlSigner(secret, life_s=life_s).sign(f"books:{path}?version=1").query
        assert httpx2.get(f"{books.url}{path}?version=1&{query}").status_code == status


def test_a_link_opens_nothing_but_its_picture(preview: Parent, books: Server):
    url = preview.get(f"/pages/{FACE_PAGE}")["url"]
    address = urlsplit(url)
    given = {name: values[0] for name, values in parse_qs(address.query).items()}
    other = address.path.replace(f"/{FACE_PAGE}/", f"/{PLAIN_PAGE}/")
    wrong: list[tuple[str, dict[str, str]]] = [
        (address.path, {**given, "version": "2"}),
        (address.path, {name: given[name] for name in ("exp", "sig")}),
        (address.path, {**given, "exp": str(int(given["exp"]) + 60)}),
        (address.path, {**given, "sig": ""}),
        (other, given),
        (f"{MADE}/{preview.id}/pdf", {name: given[name] for name in ("exp", "sig")}),
    ]
    for path, query in wrong:
        assert httpx2.get(f"{books.url}{path}", params=query).status_code == 403, (path, query)
    assert httpx2.get(f"{books.url}{MADE}/{preview.id}?{address.query}").status_code == 401


def test_a_move_that_the_state_does_not_allow_changes_nothing(preview: Parent):
    before = preview.get()
    moves: list[tuple[str, Any]] = [
        ("/approve", {"who": "parent@example.org"}),
        ("/reference/redraw", {}),
        ("/generate", {**CHILD, "childName": "Another"}),
    ]
    for path, body in moves:
        refused = refused_move(preview.ask("POST", path, json=body))
        assert refused["state"] == "preview_ready"
        assert "unlock" in refused["allowed"]
    for name in FILES:
        assert refused_move(preview.ask("GET", f"/{name}"))["state"] == "preview_ready"
    after = preview.get()
    assert [page["versions"] for page in after["pages"]] == [page["versions"] for page in before["pages"]]
    assert after["state"] == "preview_ready"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/generate", {**CHILD, "childName": ""}, "childName"),
        ("/generate", {**CHILD, "childAge": -1}, "childAge"),
        ("/generate", {**CHILD, "childGender": "dragon"}, "childGender"),
        ("/generate", {**CHILD, "language": "tlh"}, "language"),
        ("/generate", {**CHILD, "nickname": "L"}, "nickname"),
        (f"/pages/{FACE_PAGE}/redraw", {"feedback": "x" * 301}, "feedback"),
        (f"/pages/{FACE_PAGE}/redraw", {"feedback": "Smile. Then cry."}, "feedback"),
        (f"/pages/{FACE_PAGE}/choose", {"version": 0}, "version"),
        ("/reference/approve", {"version": "first"}, "version"),
        ("/approve", {"who": " "}, "who"),
    ],
)
def test_a_wrong_field_is_named(preview: Parent, path: str, body: dict[str, Any], field: str):
    assert list(problem(preview.ask("POST", path, json=body), 400)["errors"]) == [field]


def test_pages_that_are_not_paid_for_are_reached_by_no_route(preview: Parent, books: Server):
    """They do not exist: neither as pages, nor as jobs, nor as files."""
    problem(preview.ask("GET", f"/pages/{PAID_PAGE}"), 404)
    problem(preview.ask("GET", f"/pages/{PAID_PAGE}/picture"), 404)
    problem(preview.ask("GET", f"/pages/{PAID_PAGE}/picture?version=1"), 404)
    problem(preview.ask("POST", f"/pages/{PAID_PAGE}/redraw"), 404)
    problem(preview.ask("POST", f"/pages/{PAID_PAGE}/choose", json={"version": 1}), 404)
    problem(preview.ask("POST", "/unlock"), 403)
    jobs = books.client.get("/api/v1/jobs", headers=preview.headers, params={"limit": 500}).json()["items"]
    mine = [job for job in jobs if job["input"].get("personalization") == preview.id]
    assert {job["input"].get("page") for job in mine} <= {None, FACE_PAGE, PLAIN_PAGE}
    stored = [blob.key for blob in books.app.services.blobs.list("books/") if preview.id in blob.key]
    assert stored
    assert not [key for key in stored if re.search(rf"\b{PAID_PAGE}\b", key.rpartition("/")[2])]


def test_jobs_of_books_cannot_be_submitted_to_get_round_the_paywall(preview: Parent, books: Server):
    for recipe in ("bookPicture", "bookPage", "bookProof", "bookPrint"):
        input_ = {"personalization": preview.id, "page": PAID_PAGE, "version": 1}
        for headers in (preview.headers, open_shop(books, "rival").parent("bob").headers):
            body = {"recipe": recipe, "input": input_}
            answer = books.client.post("/api/v1/jobs", json=body, headers=headers)
            if answer.status_code == 201:
                path = f"/api/v1/jobs/{answer.json()['id']}"
                ended = until(lambda path=path, headers=headers: ended_job(books, path, headers), 60)
                assert ended["status"] == "failed", ended
                assert ended["artifacts"] == []
            else:
                assert answer.status_code in (400, 403, 404), answer.text
    assert [page["page"] for page in preview.get()["pages"]] == [FACE_PAGE, PLAIN_PAGE]


def ended_job(books: Server, path: str, headers: dict[str, str]) -> Any:
    job = books.client.get(path, headers=headers).json()
    return job if job["finishedAt"] else None


def test_a_page_is_redrawn_and_an_earlier_version_chosen_again(shop: Shop):
    parent = shop.parent("carol")
    parent.with_preview()
    first = parent.ask("GET", f"/pages/{FACE_PAGE}/picture").content
    parent.post(f"/pages/{FACE_PAGE}/redraw", {"feedback": "a wider smile"})
    book = parent.until(lambda book: book["pages"][0]["version"] == 2 and book["state"] == "preview_ready")
    page = book["pages"][0]
    assert [each["feedback"] for each in page["versions"]] == ["", "a wider smile"]
    assert page["redrawsLeft"] == 2
    assert parent.ask("GET", f"/pages/{FACE_PAGE}/picture").content != first
    assert parent.ask("GET", f"/pages/{FACE_PAGE}/picture?version=1").content == first
    chosen = parent.post(f"/pages/{FACE_PAGE}/choose", {"version": 1})
    assert chosen["pages"][0]["version"] == 1
    assert parent.ask("GET", f"/pages/{FACE_PAGE}/picture").content == first
    problem(parent.ask("POST", f"/pages/{FACE_PAGE}/choose", json={"version": 9}), 404)
    canceled = parent.post("/cancel")
    assert (canceled["state"], canceled["allowed"]) == ("canceled", ["delete"])


def sent(shop: Shop, name: str, data: bytes, **fields: str) -> httpx2.Response:
    files = {name: ("child.jpg", data, "image/jpeg")}
    body = {"consent": CONSENT, **fields}
    headers = shop.parent("dave").headers
    return shop.server.client.post(
        f"{BOOKS}/{SLUG}/personalizations", files=files, data=body, headers=headers
    )


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (animation("GIF"), 415, "a GIF"),
        (b"<svg/>", 415, "HTML, SVG"),
        (b"", 415, "empty"),
        (photo(3)[:-2000], 422, "ends"),
        (photo(3) + b"PK\3\4", 422, "after its end"),
    ],
)
def test_a_hostile_photo_is_refused_by_its_part(shop: Shop, data: bytes, status: int, said: str):
    before = {blob.key for blob in shop.server.app.services.blobs.list("books/")}
    body = problem(sent(shop, "photo", data), status)
    assert said in body["errors"]["photo.hero"][0]
    assert {blob.key for blob in shop.server.app.services.blobs.list("books/")} <= before
    assert shop.server.client.get(MADE, headers=shop.parent("dave").headers).json()["items"] == []


def test_fields_of_the_form_are_checked_by_the_server(shop: Shop):
    assert list(problem(sent(shop, "photo", photo(3), profile="no-such"), 400)["errors"]) == ["profile"]
    local = problem(sent(shop, "photo", photo(3), callbackUrl="http://127.0.0.1:1/"), 400)
    assert list(local["errors"]) == ["callbackUrl"]


def test_a_photo_without_one_clear_face_is_told_to_the_parent(shop: Shop):
    parent = shop.parent("erin")
    parent.start(two_children())
    book = until(lambda: (book := parent.get())["state"] == "analysis_failed" and book, 60)
    (analysis,) = book["analyses"]
    assert (analysis["usable"], analysis["problem"]) == (False, "several_faces")
    assert analysis["message"]
    assert problem(parent.ask("GET", "/reference"), 404)
    events = parent.get("/events", stream="false")["items"]
    assert [event["type"] for event in events] == ["photo.accepted", "analysis.failed"]


def test_a_photo_is_kept_upright_and_without_its_metadata(shop: Shop):
    parent = shop.parent("frank")
    parent.start(turned("JPEG", 6))
    kept = [blob.key for blob in shop.server.app.services.blobs.list("books/") if parent.id in blob.key]
    (key,) = (each for each in kept if "/photo-" in each)
    data = shop.server.app.services.blobs.get(key)
    assert b"Exif" not in data
    parent.ask("DELETE")


def test_books_are_listed_by_book_and_state(preview: Parent):
    def listed(**query: Any) -> list[str]:
        return [each["id"] for each in preview.get_list(**query)["items"]]

    assert listed() == [preview.id]
    assert listed(book=SLUG, state="preview_ready") == [preview.id]
    assert listed(book="another-book") == []
    assert listed(state="completed") == []
    answer = preview.server.client.get(MADE, headers=preview.headers, params={"state": "lost"})
    assert list(problem(answer, 400)["errors"]) == ["state"]


def test_an_administrator_sees_and_unlocks_the_books_of_others(preview: Parent, books: Server):
    owner = {"owner": "shop:ann"}
    found = books.client.get(MADE, params=owner).json()["items"]
    assert [each["id"] for each in found] == [preview.id]
    assert books.client.get(f"{MADE}/{preview.id}", params=owner).json()["id"] == preview.id
    assert books.client.get(f"{MADE}/{preview.id}").status_code == 404


def test_an_operator_lists_the_books_of_all_owners_and_acts_for_one(preview: Parent, books: Server):
    operator = bearer(key(books, "desk", role=Role.OPERATOR))
    everyone = {"owner": "*"}
    listed = books.client.get(MADE, params=everyone, headers=operator).json()["items"]
    assert ("shop:ann", preview.id) in [(each["owner"], each["id"]) for each in listed]
    found = books.client.get(f"{MADE}/{preview.id}", params=everyone, headers=operator).json()
    assert found["owner"] == "shop:ann"
    body = {"version": found["pages"][0]["version"]}
    path = f"{MADE}/{preview.id}/pages/{found['pages'][0]['page']}/choose"
    chosen = books.client.post(path, params={"owner": "shop:ann"}, json=body, headers=operator)
    assert chosen.status_code == 200
    assert books.client.post(path, json=body, headers=operator).status_code == 404
    (entry, *_) = books.client.get("/api/v1/audit").json()["items"]
    assert (entry["target"], entry["detail"]) == (path, "for shop:ann")
    assert books.client.get(MADE, params=everyone, headers=preview.headers).status_code == 403
