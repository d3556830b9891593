"""Take pictures of the screens: ``python -m tests.console.screenshots [--docs] [SCREEN ...]``.

Each screen at three widths and in both themes goes to ``build/screens/``, to be looked at; one of each, at
the width of a desktop, goes to ``docs/images/console/``. With ``--docs`` only those are taken.
"""

import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin

from PIL import Image
from playwright.sync_api import Page

from tests.console.browser import DESKTOP, PHONE, TABLET, chromium, visitor
from tests.console.showcase import showcase

ROOT = Path(__file__).parents[2]
DOCS, ALL = ROOT / "docs/images/console", ROOT / "build/screens"
SIZES = {"desktop": DESKTOP, "tablet": TABLET, "phone": PHONE}
SETTLED_MS = 2500
"""Charts are drawn and thumbnails loaded by then."""
IN_DOCS = ("desktop", "light")
_COLOURS = 128
"""Pictures of pages need no more; it halves their size."""

Prepare = Callable[[Page], None]


def nothing(_: Page) -> None:
    """Show the screen as it opens."""


def newest_job(page: Page) -> None:
    """Open the graph of the newest job that succeeded."""
    found = page.request.get(urljoin(page.url, "/api/v1/jobs?status=succeeded&limit=1")).json()["items"]
    page.goto(urljoin(page.url, f"/jobs/{found[0]['id']}?tab=graph"))


def thumbnails(page: Page) -> None:
    """Wait for the thumbnails, which are made when they are first asked for."""
    page.get_by_role("img").first.wait_for()
    while page.evaluate("[...document.images].some(image => !image.complete || !image.naturalWidth)"):
        page.wait_for_timeout(100)


SCREENS: dict[str, tuple[str, Prepare]] = {
    "make": ("/", nothing),
    "gallery": ("/gallery", thumbnails),
    "queue": ("/queue", nothing),
    "job": ("/queue", newest_job),
    "failures": ("/failures", nothing),
    "workflows": ("/workflows", nothing),
    "models": ("/models", nothing),
    "characters": ("/characters/lia", nothing),
    "library": ("/library", nothing),
    "books": ("/personalizations", nothing),
    "nodes": ("/nodes", nothing),
    "watch": ("/watch", nothing),
    "faults": ("/faults", nothing),
    "people": ("/people", nothing),
    "webhooks": ("/webhooks", nothing),
    "start": ("/start", nothing),
    "studio": ("/books", nothing),
}


def save(picture: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(BytesIO(picture)) as opened:
        opened.convert("RGB").quantize(_COLOURS).save(path, optimize=True)


def main(names: list[str], views: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, showcase(Path(folder)) as server, chromium() as browser:
        for width, theme in views:
            with visitor(browser, server.url, SIZES[width], color_scheme=theme) as reader:
                for name in names:
                    path, prepare = SCREENS[name]
                    page = reader.open(path)
                    prepare(page)
                    page.wait_for_timeout(SETTLED_MS)
                    taken = page.screenshot()
                    save(taken, ALL / f"{name}-{width}-{theme}.png")
                    if (width, theme) == IN_DOCS:
                        save(taken, DOCS / f"{name}.png")
                    page.close()


if __name__ == "__main__":
    given = sys.argv[1:]
    every = [(width, theme) for theme in ("light", "dark") for width in SIZES]
    main(
        [name for name in given if name != "--docs"] or list(SCREENS),
        [IN_DOCS] if "--docs" in given else every,
    )
