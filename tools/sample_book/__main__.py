"""Write the sample book, its sheet in the documentation, and the pictures of ``examples/books/kite``.

``python -m tools.sample_book [SCENE ...]``; without scenes, everything.
"""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from tools.sample_book import story
from tools.sample_book.manifest import manifest
from tools.sample_book.paint import paint, rasterise

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "src" / "imagemill" / "products" / "books" / "sample" / story.SLUG
SHEET = ROOT / "docs" / "images" / "sample-book.jpg"
EXAMPLE = ROOT / "examples" / "books" / "kite"
SIDE_PX = 2551
"""8.25 inches of trim and an eighth of an inch of bleed on each side, at 300 dpi."""
_MOST_BYTES = 258_000
"""For each picture, so that all 30 together stay below eight million bytes."""
_QUALITIES = (84, 80, 76, 72, 66, 58, 50)


def encode(picture: Image.Image, qualities: tuple[int, ...]) -> bytes:
    """Return the picture as WebP, in the first quality that is small enough."""
    data = b""
    for quality in qualities:
        buffer = BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=6)
        data = buffer.getvalue()
        if len(data) <= _MOST_BYTES:
            break
    return data


def draw_sheet() -> None:
    """Draw all 24 pages as one picture for the documentation."""
    side, gap, columns = 288, 8, 6
    rows = -(-len(story.PAGES) // columns)
    size = columns * (side + gap) + gap, rows * (side + gap) + gap
    sheet = Image.new("RGB", size, "#ffffff")
    for at, page in enumerate(story.PAGES):
        with Image.open(SAMPLE / f"{page.scene}.webp") as picture:
            small = picture.resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(small, (gap + at % columns * (side + gap), gap + at // columns * (side + gap)))
    sheet.save(SHEET, "JPEG", quality=84, optimize=True)


def main(scenes: list[str]) -> None:
    SAMPLE.mkdir(parents=True, exist_ok=True)
    (SAMPLE / "book.toml").write_text(manifest(), encoding="utf-8")
    for scene in scenes or (*story.SCENES, *story.EXAMPLE_SCENES):
        svg, _ = story.draw(scene)
        if scene in story.EXAMPLE_SCENES:
            path, data = EXAMPLE / f"{scene}.webp", encode(rasterise(svg, SIDE_PX), (70,))
        else:
            path, data = SAMPLE / f"{scene}.webp", encode(paint(svg, SIDE_PX), _QUALITIES)
        path.write_bytes(data)
        print(f"{scene}: {len(data)} bytes")
    draw_sheet()


if __name__ == "__main__":
    main(sys.argv[1:])
