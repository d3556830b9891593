"""Pictures, fonts and small books for tests of the layout."""

import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
from PIL import Image

from imagemill.media.page_work import PageResult
from imagemill.products.books.book_manifest import Position, TextStyle
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.page_layouts import (
    BUILT_IN_FONTS,
    BookLayout,
    FontFiles,
    PageLayout,
    SpineLayout,
    TextBlock,
    TextRun,
)
from imagemill.products.books.layout.works import LayBook, LayPage

SQUARE = profiles.find("square-8-25in")
PRINT_PX = 2551
DARK = TextStyle(size=20, colour="#101018")


@cache
def picture(
    seed: int = 0, size: tuple[int, int] = (PRINT_PX, PRINT_PX), quality: int = 90, noise: int = 0
) -> bytes:
    """A calm, light picture with waves of colour, as a JPEG."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0 : size[1], 0 : size[0]] / max(size)
    waves = [np.sin(6.28 * (across * a + down * b) + c) for a, b, c in rng.uniform(0.5, 3, (3, 3))]
    pixels = np.stack([190 + 45 * wave for wave in waves], axis=-1)
    pixels += rng.integers(-noise, noise + 1, (size[1], size[0], 1))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def plain_picture(colour: str, size: tuple[int, int] = (PRINT_PX, PRINT_PX)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", quality=90)
    return file.getvalue()


def text_block(text: str, position: Position = "bottom-center", **changes: Any) -> TextBlock:
    changes = {"style": DARK, "accent": DARK, **changes}
    return TextBlock((TextRun(text),), position, **changes)


def page(*blocks: TextBlock, **changes: Any) -> PageLayout:
    return PageLayout(**{"number": 1, "picture": "picture", "blocks": blocks, **changes})


def lay(
    layout: PageLayout,
    profile: profiles.PrintProfile = SQUARE,
    fonts: FontFiles = BUILT_IN_FONTS,
    inputs: dict[str, bytes] | None = None,
    **changes: Any,
) -> PageResult:
    return LayPage(layout, profile, fonts, **changes)({"picture": picture(), **(inputs or {})})


def codes(result: PageResult) -> list[str]:
    return [finding["code"] for finding in result.values["findings"]]


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures of one size, in levels."""
    assert one.size == other.size
    first, second = (np.asarray(each, dtype=np.float64) for each in (one, other))
    return float(np.abs(first - second).mean())


def book(pages: int = 24, **changes: Any) -> BookLayout:
    """A book with a picture and a line of text on each page; its pictures are those of `book_inputs`."""
    return BookLayout(
        **{
            "profile": SQUARE,
            "pages": tuple(
                PageLayout(number, f"picture.{number}", blocks=(text_block(f"This is page {number}."),))
                for number in range(1, pages + 1)
            ),
            "front": PageLayout(
                0, "picture.front", kind="front", blocks=(text_block("The Sea", "top-center"),)
            ),
            "back": PageLayout(
                0, "picture.back", kind="back", blocks=(text_block("A book.", "middle-center"),)
            ),
            "spine": SpineLayout("The Sea"),
            "title": "The Sea",
            **changes,
        }
    )


def book_inputs(pages: int = 24, size: tuple[int, int] = (PRINT_PX, PRINT_PX)) -> dict[str, bytes]:
    """A few pictures, shared by the pages, so that tests are quick."""
    names = [*map(str, range(1, pages + 1)), "front", "back"]
    return {f"picture.{name}": picture(index % 3, size) for index, name in enumerate(names)}


def make(layout: BookLayout, **inputs: bytes) -> PageResult:
    return LayBook(layout)({**book_inputs(len(layout.pages)), **inputs})


def raster(pdf: bytes, number: int, dpi: float = 96) -> Image.Image:
    """The trimmed page of a PDF as a second library shows it."""
    document = pypdfium2.PdfDocument(pdf)
    document[number].set_cropbox(*document[number].get_trimbox())
    return document[number].render(scale=dpi / 72 - 1e-6).to_pil().convert("RGB")


def installed_font(package: str, path: str) -> bytes:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / path).read_bytes()


@cache
def dejavu(name: str = "DejaVuSans") -> bytes:
    """A font with Arabic letters."""
    return installed_font("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf")


@cache
def nanum(name: str = "NanumGothic") -> bytes:
    """A font with Hangul."""
    return installed_font("koreanize_matplotlib", f"fonts/{name}.ttf")
