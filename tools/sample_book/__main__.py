"""Write the sample book: ``python -m tools.sample_book [SCENE ...]``; without scenes, all of it."""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from tools.sample_book import story
from tools.sample_book.manifest import manifest
from tools.sample_book.paint import paint

FOLDER = Path(__file__).parents[2] / "src" / "imagemill" / "products" / "books" / "sample" / story.SLUG
SIDE_PX = 2551
"""8.25 inches of trim and an eighth of an inch of bleed on each side, at 300 dpi."""
_MOST_BYTES = 258_000
"""For each picture, so that all 30 together stay below eight million bytes."""


def encode(picture: Image.Image) -> bytes:
    for quality in (90, 86, 82, 78, 72, 66, 58, 50):
        buffer = BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=6)
        if len(buffer.getvalue()) <= _MOST_BYTES:
            break
    return buffer.getvalue()


def main(scenes: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "book.toml").write_text(manifest(), encoding="utf-8")
    for scene in scenes or story.SCENES:
        data = encode(paint(story.draw(scene)[0], SIDE_PX))
        (FOLDER / f"{scene}.webp").write_bytes(data)
        print(f"{scene}: {len(data)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
