"""``imagemill books`` against a server: from a photo to the preview, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.books.drawn_photos import photo
from tests.books.http.support import FACE_PAGE, NAME, SLUG, Shop, write_book
from tests.cli.programs import run


class Cli:
    def __init__(self, shop: Shop, folder: Path, key: str) -> None:
        self.folder = folder
        self.settings = {"IMAGEMILL_URL": shop.server.url, "IMAGEMILL_TOKEN": key}

    def __call__(self, *arguments: str, status: int = 0) -> str:
        done = run("books", *arguments, cwd=self.folder, **self.settings)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture(scope="module")
def cli(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "child.jpg").write_bytes(photo(5))
    return Cli(shop, folder, shop.pages)


@pytest.fixture(scope="module")
def made(cli: Cli) -> str:
    """The id of a book that was brought to its preview by commands."""
    started = cli("start", SLUG, "child.jpg", "--consent", "parent@example.org")
    id_ = started.split()[1]
    assert f"{id_} reference_ready" in started
    assert "reference    ready" in started
    assert "is approved" in cli("approve-reference", id_)
    child = ("--name", NAME, "--age", "5", "--gender", "girl")
    shown = cli("generate", id_, *child)
    assert f"page {FACE_PAGE}       ready, score 0." in shown
    assert f"{id_} preview_ready: 2 of 2 pages" in shown
    return id_


def test_the_catalogue_is_listed_and_a_book_shown(cli: Cli):
    assert SLUG in cli("catalogue")
    assert {each["slug"] for each in cli.json("catalogue")["items"]} >= {SLUG, "little-star"}
    assert "2 with a face" in cli("catalogue", SLUG)


def test_a_book_is_listed_and_shown(cli: Cli, made: str):
    assert made in cli("list", "--state", "preview_ready")
    assert made not in cli("list", "--book", "another")
    assert f"{made} preview_ready: 2 of 2 pages" in cli("status", made)
    shown = cli("show", made)
    assert "reference" in shown
    assert "1 of 1" in shown
    assert cli.json("show", made)["state"] == "preview_ready"


def test_a_page_is_redrawn_and_chosen(cli: Cli, made: str):
    cli("redraw", made, str(FACE_PAGE), "a wider smile")
    pages = cli.json("show", made)["pages"]
    assert pages[0]["version"] == 2
    assert "page 1: version 1" in cli("choose", made, str(FACE_PAGE), "1")


def test_a_book_is_shared_and_the_link_ended(cli: Cli, made: str):
    assert "/books/shared/" in cli("share", made, "--days", "7")
    assert f"/books/shared/{made}." in cli.json("show", made)["share"]["url"]
    assert f"{made} is not shared" in cli("unshare", made)
    assert cli.json("show", made)["share"] is None


def test_what_is_refused_says_why(cli: Cli, made: str, tmp_path: Path):
    assert "books:unlock" in cli("unlock", made, status=1)
    assert "preview_ready" in cli("approve", made, "--who", "me", status=1)
    assert "preview_ready" in cli("pdf", made, status=1)
    assert not (cli.folder / "book.pdf.part").exists()
    assert "cannot be read" in cli("start", SLUG, "no.jpg", "--consent", "me", status=2)
    assert "does not exist" in cli("start", "no-book", "child.jpg", "--consent", "me", status=1)
    assert "CHARACTER=PHOTO" in cli("start", SLUG, "child.jpg", "--consent", "me", "--also", "x", status=2)


def test_events_are_printed(cli: Cli, made: str):
    events = cli("events", made)
    assert "photo.accepted" in events
    assert "page.ready" in events
    assert "page 1" in events


def test_a_book_is_checked_before_it_is_offered(cli: Cli, tmp_path: Path):
    place = write_book(tmp_path)
    assert "no problems" in cli("check", str(place))
    (place / "face.jpg").unlink()
    assert "pages[0].base" in cli("check", str(place), status=1)


def test_a_book_is_deleted(cli: Cli):
    id_ = cli.json("start", SLUG, "child.jpg", "--consent", "me", "--no-wait")["id"]
    assert "is being deleted" in cli("delete", id_, "--yes")
    assert cli.json("show", id_)["deletedAt"]
