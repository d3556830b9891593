"""Shared parts of all drawings: colours, the canvas of a scene, and text."""

import colorsys
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from random import Random

from PIL import Image, ImageDraw, ImageFont

from imagemill.domain.dataclass import dataclass

Colour = tuple[int, int, int]
Point = tuple[float, float]
Hsv = tuple[float, float, float]

MISSING = "?"
"""Replaces a character that the font cannot draw."""

READ_AT_MOST = 400
"""Characters of a text that are considered; more never fits into the strip."""

# Pillow's font has ASCII and a few signs. Accents are removed from letters; the scripts below are
# transliterated, so that a Russian or Greek prompt stays readable on the picture.
_CYRILLIC = (
    "а:a б:b в:v г:g д:d е:e ё:e ж:zh з:z и:i й:y к:k л:l м:m н:n о:o п:p р:r с:s т:t у:u ф:f х:kh ц:ts ч:ch "  # noqa: RUF001
    "ш:sh щ:shch ъ:' ы:y ь:' э:e ю:yu я:ya і:i ї:yi є:ye ґ:g"  # noqa: RUF001
)
_GREEK = (
    "α:a β:v γ:g δ:d ε:e ζ:z η:i θ:th ι:i κ:k λ:l μ:m ν:n ξ:x ο:o π:p ρ:r σ:s ς:s τ:t υ:y φ:f χ:ch ψ:ps ω:o"  # noqa: RUF001
)
_OTHERS = "ß:ss æ:ae œ:oe ø:o ł:l đ:d ð:d þ:th ı:i –:- —:- −:- ×:x №:No."  # noqa: RUF001
_TRANSLITERATION = {pair[0]: pair[2:] for pair in f"{_CYRILLIC} {_GREEK} {_OTHERS}".split()}
_SIGNS = frozenset("·«»“”‘’…©™°±")  # noqa: RUF001
"""Characters of the font beyond ASCII."""


# Colours and canvas.


def rgb(hsv: Hsv) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hsv[0] % 1.0, hsv[1], hsv[2])
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours. ``share``: the share of the second one, 0 to 1."""
    rest = 1.0 - share
    return (
        round(first[0] * rest + second[0] * share),
        round(first[1] * rest + second[1] * share),
        round(first[2] * rest + second[2] * share),
    )


@dataclass(slots=True)
class Scene:
    """The canvas of a landscape, and the values that its drawing steps share."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    random: Random
    sky: tuple[Colour, Colour, Colour]
    far: Colour
    near: Colour
    light: Colour
    night: bool
    fine: bool
    """Whether it is large enough for trees, windows and stars."""

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random.random()


# The signatures of these Pillow functions name NumPy types, which are unknown if NumPy is not installed.


def scale_image(
    image: Image.Image,
    size: tuple[int, int],
    filter: Image.Resampling = Image.Resampling.BILINEAR,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    return image.resize(size, filter, box)  # pyright: ignore[reportUnknownMemberType]


def map_levels(image: Image.Image, table: Sequence[int]) -> Image.Image:
    """The picture with each value replaced by that of the table."""
    return image.point(table)  # pyright: ignore[reportUnknownMemberType]


# Text.


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font; a bitmap font if Pillow was built without FreeType."""
    loaded = ImageFont.load_default(size)
    if isinstance(loaded, ImageFont.FreeTypeFont) and isinstance(loaded.path, BytesIO):
        # Basic layout: no shaping, for which the font lacks the characters anyway; ten times faster than
        # Raqm.
        return loaded.font_variant(layout_engine=ImageFont.Layout.BASIC)
    return loaded


@lru_cache(maxsize=4096)
def _drawable(character: str) -> str:
    """The characters of the font that replace one character."""
    if character.isspace() or unicodedata.category(character).startswith("C"):
        return " "
    if " " <= character <= "~" or character in _SIGNS:
        return character
    lower = character.lower()
    if lower in _TRANSLITERATION:
        latin = _TRANSLITERATION[lower]
        return latin.capitalize() if lower != character else latin
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if " " <= c <= "~")
    if bare:
        return bare
    return "" if unicodedata.combining(character) else MISSING


def printable(text: str) -> str:
    """The text in characters of the font, with whitespace and control characters as single spaces."""
    clipped = text[: READ_AT_MOST + 1]
    drawn = " ".join("".join(map(_drawable, clipped)).split())
    return f"{drawn}..." if len(text) > READ_AT_MOST else drawn


@lru_cache(maxsize=8192)
def _advance(character: str, size: int) -> float:
    return font(size).getlength(character)


def _width(text: str, size: int) -> float:
    return sum(_advance(character, size) for character in text)


def wrap(text: str, size: int, width: float, lines: int) -> list[str]:
    """At most ``lines`` lines no wider than ``width`` px; a truncated text ends in three dots.

    Words are kept whole unless one is wider than a line.
    """
    wrapped: list[str] = []
    rest = text
    while rest and len(wrapped) < lines:
        line = _longest_fit(rest, size, width)
        wrapped.append(line.rstrip())
        rest = rest[len(line) :].lstrip()
    if rest and wrapped:
        last = wrapped[-1]
        while last and _width(f"{last}...", size) > width:
            last = last[:-1]
        wrapped[-1] = f"{last.rstrip()}..."
    return wrapped


def _longest_fit(text: str, size: int, width: float) -> str:
    """The longest start of the text that fits, cut at a space if there is one; at least one character."""
    used = 0.0
    for end, character in enumerate(text):
        used += _advance(character, size)
        if used > width and end:
            space = text.rfind(" ", 0, end + 1)
            return text[:space] if space > 0 else text[:end]
    return text


def print_strip(image: Image.Image, prompt: str, facts: str, accent: Colour) -> None:
    """Print a strip on the lower edge of a picture: the prompt, the word "simulated", and facts, on a dark
    band."""
    width, height = image.size
    size = max(9, min(24, round(min(width, height) / 40)))
    margin = max(3, size * 3 // 4)
    line = round(size * 1.3)
    room = max(2, int(height * 0.4) // line)
    body = width - 2 * margin
    wanted = wrap(printable(prompt), size, body, max(1, min(3, room - 2)))
    below = wrap(f"simulated  {printable(facts)}", size, body, max(1, min(4, room - len(wanted))))
    top = height - line * (len(wanted) + len(below)) - margin * 3 // 2
    box = (0, max(0, top), width, height)
    band = image.crop(box)
    image.paste(Image.blend(band, Image.new("RGB", band.size, (12, 14, 22)), 0.66), box)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, top, width, top + max(1, size // 8) - 1), fill=accent)
    y = top + margin * 3 // 4
    for number, text in enumerate([*wanted, *below]):
        colour = (250, 250, 250) if number < len(wanted) else (198, 204, 216)
        draw.text((margin, y), text, font=font(size), fill=colour)
        if number == len(wanted) and text.startswith("simulated"):
            draw.text((margin, y), "simulated", font=font(size), fill=accent)
        y += line
