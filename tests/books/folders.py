"""Folders of small books for tests."""

import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

Manifest = dict[str, Any]


def picture(side: int = 1700, colour: str = "#7fa0c0", *, format_: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, format_)
    return buffer.getvalue()


def manifest(slug: str = "moon") -> Manifest:
    """A book of two pages in two languages; a test changes what it needs."""
    return {
        "slug": slug,
        "title": {"en": "Moon", "uk": "Місяць"},
        "languages": ["en", "uk"],
        "characters": [{"id": "hero"}, {"id": "cat", "role": "pet", "needs_photo": False}],
        "reference": {"base": "sheet.png", "characters": [{"id": "hero"}, {"id": "hero"}]},
        "covers": {"front": {"base": "page.png"}, "back": {"base": "page.png"}},
        "pages": [
            {
                "page_num": 1,
                "base": "page.png",
                "characters": [{"id": "hero", "box": {"x": 0.4, "y": 0.4, "width": 0.2, "height": 0.2}}],
                "availability": {"preview": True},
                "text_layers": [{"text": {"en": "Hi {child_name}", "uk": "Привіт, {child_name}"}}],
            },
            {"page_num": 2, "base": "page.png", "characters": [{"id": "cat"}]},
        ],
        "fill": [{"kind": "blank"}],
    }


PICTURE = picture()


def write(
    folder: Path, content: Manifest | str | None = None, change: Callable[[Manifest], object] | None = None
) -> Path:
    """Write a book named like its folder; a text is the whole ``book.toml``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page.png").write_bytes(PICTURE)
    (folder / "sheet.png").write_bytes(PICTURE)
    if isinstance(content, str):
        (folder / "book.toml").write_text(content, encoding="utf-8")
        return folder
    book = manifest(folder.name) if content is None else content
    if change is not None:
        change(book)
    (folder / "book.json").write_text(json.dumps(book), encoding="utf-8")
    return folder


def touch_later(path: Path, data: bytes | str, step: int = 1) -> None:
    """Replace a file, with a time of change that differs."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + step * 1_000_000))
