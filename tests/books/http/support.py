"""What the tests of the routes share: a small book, servers that make it, and a client's steps."""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
from PIL import Image

from imagemill.backends.press import pool
from imagemill.config import Settings
from imagemill.domain.access import Scope
from tests.access.support import bearer, key
from tests.books.drawn_pages import PAGES, PLAIN, SHEET, DrawnPage, draw_page
from tests.books.drawn_photos import photo
from tests.conftest import Server, running_server

BOOKS = "/api/v1/books"
MADE = "/api/v1/personalizations"
SLUG = "a-walk"
CONSENT = json.dumps({"who": "parent@example.org", "when": "2026-01-31T12:00:00Z"})
NAME = "Zuzanna-Kvetoslava"
"""A name that stands in nothing else."""
CHILD = {"childName": NAME, "childAge": 5, "childGender": "girl", "language": "en"}
FACE_PAGE, PLAIN_PAGE, PAID_PAGE, MOST_PAGE = 1, 2, 3, 22
"""Pages of the small books. A shop prints no fewer than the last with two blank ones."""
SIDE = 600
"""Pixels of an illustration of the pocket book."""
_SHOP_SIDE = 1700
"""Pixels of an illustration, the fewest that the print profile of a shop takes."""
_POCKET = """
slug = "pocket"
shop = "a shop of these tests"
product = "A pocket book of four pages"
dated = 2026-11-28

[page]
width = 100
height = 100
bleed = { top = 3, bottom = 3, outer = 3, inner = 3 }
safe = 5
dpi = 100
least_dpi = 72

[pages]
least = 4
most = 40

[cover]
kind = "soft"
bleed = 3
safe = 5
spine = { per_page = 0.5 }
"""


def _illustration(page: DrawnPage, side: int) -> bytes:
    file = io.BytesIO()
    drawn = Image.open(io.BytesIO(draw_page(page, 600))).resize((side, side))
    drawn.save(file, "JPEG", quality=85)
    return file.getvalue()


def write_book(folder: Path, slug: str = SLUG, *, full_size: bool = False) -> Path:
    """Write a book, two pages of which are in the preview, into its folder; return that.

    It is a pocket book of three pages, else (``full_size``) one that a shop prints, whose pages take twenty
    times as long.
    """
    side, last = (_SHOP_SIDE, MOST_PAGE) if full_size else (SIDE, PAID_PAGE)
    place = folder / slug
    place.mkdir(parents=True)
    drawn = {"face": PAGES[0], "paid": PAGES[1], "plain": PLAIN, "sheet": SHEET}
    for name, page in drawn.items():
        (place / f"{name}.jpg").write_bytes(_illustration(page, side))

    def faces(page: DrawnPage) -> list[dict[str, Any]]:
        return [
            {"id": "hero", "box": target.box.model_dump(), "tilt": target.tilt}
            for target in page.targets
            if target.box is not None
        ]

    def text(words: str) -> list[dict[str, Any]]:
        shadow = {"x": 0, "y": 0, "blur": 4, "colour": "#000000"}
        return [{"text": {"en": words}, "colour": "#ffffff", "shadow": shadow}]

    manifest: dict[str, Any] = {
        "slug": slug,
        "title": {"en": "A walk"},
        "languages": ["en"],
        "characters": [{"id": "hero"}],
        "reference": {"base": "sheet.jpg", "characters": faces(SHEET)},
        "covers": {"front": {"base": "plain.jpg"}, "back": {"base": "plain.jpg"}},
        "pages": [
            {
                "page_num": FACE_PAGE,
                "base": "face.jpg",
                "characters": faces(PAGES[0]),
                "availability": {"preview": True},
                "text_layers": text("{child_name} goes for a walk."),
            },
            {"page_num": PLAIN_PAGE, "base": "plain.jpg", "availability": {"preview": True}},
            {"page_num": PAID_PAGE, "base": "paid.jpg", "characters": faces(PAGES[1])},
            *({"page_num": number, "base": "plain.jpg"} for number in range(PAID_PAGE + 1, last + 1)),
        ],
        "fill": [{"kind": "blank"}, {"kind": "blank"}],
    }
    if not full_size:
        manifest["profile"] = "pocket"
        (folder / "profiles").mkdir(exist_ok=True)
        (folder / "profiles" / "pocket.toml").write_text(_POCKET)
    (place / "book.json").write_text(json.dumps(manifest))
    return place


def quick(folder: Path, **settings: Any) -> Settings:
    """Return settings with the small book, in which steps follow each other without a pause."""
    books = {"folder": folder, "modes": ["local"], **settings.pop("books", {})}
    defaults: dict[str, Any] = {
        "sweep_s": 0.05,
        "shutdown_grace_s": 5,
        "press": {"slots": 1},  # the libraries of each process take seconds to be imported
        "job": {"retry_base_s": 0.01, "heartbeat_s": 0.05},
    }
    return Settings(_env_file=None, books=books, **{**defaults, **settings})


@contextmanager
def book_server(folder: Path, *, full_size: bool = False, **settings: Any) -> Iterator[Server]:
    """Run a server that has the small book; ``folder``: for its data, and the book."""
    write_book(folder / "books", full_size=full_size)
    # Of niceness 10 a page takes minutes on a busy machine.
    with (
        patch.object(pool, "_NICE", 0),
        running_server(quick(folder / "books", data_dir=folder / "data", **settings)) as server,
    ):
        yield server


class Parent:
    """A client that makes a book step by step; ``paid`` are the headers of the shop that unlocks it."""

    def __init__(
        self, server: Server, headers: dict[str, str] | None = None, paid: dict[str, str] | None = None
    ) -> None:
        self.server = server
        self.headers = headers or {}
        self.paid = paid or self.headers
        self.id = ""

    def ask(self, method: str, path: str = "", **options: Any) -> httpx2.Response:
        """Send a request about the book of this parent."""
        headers = {**self.headers, **options.pop("headers", {})}
        return self.server.client.request(method, f"{MADE}/{self.id}{path}", headers=headers, **options)

    def get(self, path: str = "", **query: Any) -> Any:
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get_list(self, **query: Any) -> Any:
        answer = self.server.client.get(MADE, params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        content = {} if body is None else {"json": body}
        answer = self.ask("POST", path, **content, **options)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def start(self, data: bytes | None = None, slug: str = SLUG, **fields: str) -> dict[str, Any]:
        answer = self.server.client.post(
            f"{BOOKS}/{slug}/personalizations",
            files={"photo": ("child.jpg", photo(3) if data is None else data, "image/jpeg")},
            data={"consent": CONSENT, **fields},
            headers=self.headers,
        )
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]
        assert answer.headers["location"] == f"{MADE}/{self.id}"
        return answer.json()

    def wait(self, *states: str, seconds: float = 120) -> dict[str, Any]:
        """Return the book once it is in one of the states."""
        return self.until(lambda book: book["state"] in states, seconds)

    def until(self, is_so: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while not is_so(book := self.get()):
            assert time.monotonic() < end, book
            assert not book["state"].endswith("_failed"), book
            time.sleep(0.1)
        return book

    def with_reference(self) -> dict[str, Any]:
        self.start()
        return self.wait("reference_ready")

    def with_preview(self) -> dict[str, Any]:
        self.with_reference()
        self.post("/reference/approve")
        self.post("/generate", CHILD)
        return self.wait("preview_ready")

    def with_proof(self) -> dict[str, Any]:
        self.with_preview()
        self.post("/unlock", headers=self.paid)
        return self.wait("proof_ready")

    def completed(self) -> dict[str, Any]:
        self.with_proof()
        self.post("/approve", {"who": "parent@example.org"})
        return self.wait("completed")


@dataclass(frozen=True)
class Shop:
    """An account with a service key for its pages, and another one for payments."""

    server: Server
    pages: str
    payments: str

    def parent(self, name: str) -> Parent:
        """Return an end user of the shop."""
        return Parent(
            self.server,
            bearer(self.pages, **{"X-Imagemill-User": name}),
            bearer(self.payments, **{"X-Imagemill-User": name}),
        )


def open_shop(server: Server, account: str = "shop") -> Shop:
    scopes = {Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.BOOKS_UNLOCK}
    payments = key(server, account, is_service=True, scopes=frozenset(scopes))
    return Shop(server, key(server, account, is_service=True), payments)


def refused_move(answer: httpx2.Response) -> dict[str, Any]:
    """Return the body of a 409 that names the state and what it allows."""
    assert answer.status_code == 409, answer.text
    body = answer.json()
    assert body["type"] == "urn:imagemill:problem:illegal_move"
    return body


def picture(answer: httpx2.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content))
