"""The checks of laid-out pages before they are printed. Each finding names the page and the remedy.

A finding cites no text, which may hold the child's name.
"""

import io
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.layout.findings import FindingCode, Level, PrintFinding
from imagemill.products.books.layout.frames import PageFrame, Rect, barcode_box
from imagemill.products.books.layout.page_layouts import FontFiles, PageLayout
from imagemill.products.books.layout.profiles import PrintProfile
from imagemill.products.books.layout.shadows import cast_shadow
from imagemill.products.books.layout.typesetter import PX_PER_POINT, MeasuredBlock, Typesetter

READABLE_PT = 10.0
"""Smaller text is hard to read for children."""
LARGE_PT = 18.0
"""WCAG asks for less contrast from this size on."""
CONTRAST = 4.5
LARGE_CONTRAST = 3.0
UNREADABLE_CONTRAST = 1.5
SHARE = 15
"""Per cent of the area around the letters that may have less contrast, such as a few leaves."""
MOST_CROPPED = 0.03
MOST_PIXELS = 150_000_000
_SLACK_PT = 1.0
_JOINERS = "\u200c\u200d\u00ad"
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page's JPEG as it is embedded, and a smaller copy to measure it."""

    data: bytes
    size: tuple[int, int]
    components: int
    small: Image.Image | None
    """None once the page is checked, since 24 of them are 30 MB."""


def open_picture(data: bytes) -> PagePicture:
    """Read a page's JPEG. Raises ValueError."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            size, mode = picture.size, picture.mode
            if size[0] * size[1] > MOST_PIXELS:
                raise ValueError(f"has more than {MOST_PIXELS} pixels")
            if mode not in ("RGB", "L"):
                raise ValueError(f"is a JPEG of the colours {mode}, not RGB")
            picture.draft(mode, (size[0] // 4, size[1] // 4))
            small = picture.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("is not a JPEG that can be decoded") from error
    return PagePicture(data, size, 1 if mode == "L" else 3, small)


@dataclass(frozen=True, slots=True)
class LaidPage:
    """A page with its text measured and its picture read."""

    page: PageLayout
    frame: PageFrame
    blocks: tuple[MeasuredBlock, ...] = ()
    picture: PagePicture | None = None
    picture_error: str = ""
    """Why there is no picture, where the layout names one."""

    def finding(
        self, level: Level, code: FindingCode, message: str, remedy: str, at: Rect | None = None
    ) -> PrintFinding:
        """Return a finding of this page; ``at``: its place on the sheet."""
        box = None if at is None else self._share(at)
        return PrintFinding(self.page.name, self.page.number, level, code, message, remedy, box)

    def _share(self, at: Rect) -> tuple[float, float, float, float] | None:
        """Return the part of an area that is on the trimmed page, in shares of that; None for none."""
        trim = self.frame.trim
        seen = at.clip(trim)
        if not seen.area:
            return None
        return (
            round((seen.left - trim.left) / trim.width, 3),
            round((seen.top - trim.top) / trim.height, 3),
            round(seen.width / trim.width, 3),
            round(seen.height / trim.height, 3),
        )


def check_page(laid: LaidPage, profile: PrintProfile, missing: frozenset[str]) -> list[PrintFinding]:
    """Return the findings of a page; ``missing`` are characters that the fonts lack."""
    return [
        *_check_picture(laid, profile),
        *_check_characters(laid, missing),
        *(finding for block in laid.blocks for finding in _check_block(laid, block, profile)),
        *_check_neighbours(laid),
        *_check_barcode(laid, profile),
    ]


def check_fonts(fonts: FontFiles, setter: Typesetter) -> list[PrintFinding]:
    """Return the findings of the book's fonts."""
    found = [
        f"the file of the {name} font cannot be read"
        for name, input_name in (("regular", fonts.regular), ("bold", fonts.bold))
        if input_name in setter.unusable
    ]
    if not fonts.inputs and fonts.family not in setter.families:
        found.append(f"there is no family {fonts.family}")
    remedy = "name a TrueType or OpenType file of the book, or the family Libertinus Serif"
    return [
        PrintFinding("the book", 0, "error", FindingCode.FONT_UNUSABLE, message, remedy) for message in found
    ]


def _check_picture(laid: LaidPage, profile: PrintProfile) -> Iterator[PrintFinding]:
    picture, rules = laid.picture, profile.page
    if picture is None:
        if laid.page.picture is not None:
            missing = laid.picture_error == ""
            code = FindingCode.PICTURE_MISSING if missing else FindingCode.PICTURE_UNUSABLE
            message = "the picture is missing" if missing else f"the picture {laid.picture_error}"
            yield laid.finding("error", code, message, "make the page again")
        return
    drawn = laid.frame.place_picture(picture.size)
    dpi = picture.size[0] / drawn.width * 72
    if round(dpi) < rules.dpi:
        needed = round(max(drawn.width, drawn.height) / 72 * rules.dpi)
        yield laid.finding(
            "error" if dpi < rules.least_dpi else "warning",
            FindingCode.PICTURE_DPI,
            f"the picture has {dpi:.0f} dpi at its size in print; {rules.dpi} are wanted",
            f"make the picture {needed} pixels wide or larger",
        )
    cropped = 1 - laid.frame.picture.area / drawn.area
    if cropped > MOST_CROPPED:
        yield laid.finding(
            "warning",
            FindingCode.PICTURE_CROPPED,
            f"{cropped:.0%} of the picture is cut off, since its ratio is not the page's",
            "draw the illustration in the ratio of the print profile",
        )


def _check_characters(laid: LaidPage, missing: frozenset[str]) -> Iterator[PrintFinding]:
    text = "".join(block.text for block in laid.page.blocks)
    lacking = [character for character in dict.fromkeys(text) if character in missing]
    if lacking:
        yield laid.finding(
            "error",
            FindingCode.GLYPH_MISSING,
            f"the font has no glyph for {_describe(lacking)}",
            "use a font of the language, or write the text or the name without it",
        )
    hidden = [
        character
        for character in dict.fromkeys(text)
        if unicodedata.category(character) == "Cf" and character not in _JOINERS and character not in missing
    ]
    if hidden:
        yield laid.finding(
            "warning",
            FindingCode.TEXT_INVISIBLE,
            f"the text has invisible characters: {_describe(hidden)}",
            "write the text or the name without them",
        )


def _describe(characters: Sequence[str]) -> str:
    """Name the characters; of letters the script alone, since they may be a child's name."""
    letters = [each for each in characters if unicodedata.category(each)[0] in "LM"]
    scripts = dict.fromkeys(unicodedata.name(each, "unknown").split()[0].title() for each in letters)
    others = [f"{unicodedata.name(each, 'a character')} (U+{ord(each):04X})" for each in characters[:12]]
    signs = [name for name, each in zip(others, characters[:12], strict=True) if each not in letters]
    count = "1 letter" if len(letters) == 1 else f"{len(letters)} letters"
    return ", ".join([*([f"{count} ({', '.join(scripts)})"] if letters else []), *signs])


def _check_block(laid: LaidPage, block: MeasuredBlock, profile: PrintProfile) -> Iterator[PrintFinding]:
    start = _title(block)
    yield from _check_place(laid, block, start)
    yield from _check_size(laid, block, start, profile)
    if block.has_widow:
        yield laid.finding(
            "warning",
            FindingCode.TEXT_WIDOW,
            f"{start} ends with a line of a single word",
            "change the width of the box or the text",
            block.ink_box,
        )
    shadow = block.block.style.shadow
    if shadow is not None and shadow.blur and not profile.output.transparency:
        yield laid.finding(
            "warning",
            FindingCode.TRANSPARENCY,
            f"{start} has a blurred shadow; the shop asks for files without transparency",
            "leave out the blur, or ask the shop whether it flattens the file",
            block.ink_box,
        )
    yield from _check_contrast(laid, block, start)


def _title(block: MeasuredBlock) -> str:
    row, _, column = block.block.position.partition("-")
    return f"the text at the {row} {column}"


def _check_place(laid: LaidPage, block: MeasuredBlock, start: str) -> Iterator[PrintFinding]:
    frame, ink = laid.frame, block.ink_box
    if block.is_too_wide:
        yield laid.finding(
            "error",
            FindingCode.TEXT_OVERFLOW,
            f"{start} has a word that is wider than its box",
            "make the box wider, or the text smaller",
            block.box,
        )
    elif block.box.height > frame.safe.height + _SLACK_PT:
        yield laid.finding(
            "error",
            FindingCode.TEXT_OVERFLOW,
            f"{start} is higher than the page's safe area",
            "shorten the text, make the box wider, or the text smaller",
            block.box,
        )
    elif not frame.safe.contains(ink, _SLACK_PT):
        is_cut = not frame.trim.contains(ink)
        yield laid.finding(
            "error",
            FindingCode.TEXT_OUTSIDE,
            f"{start} {'is cut off at the edge' if is_cut else 'reaches out of the safe zone'}",
            "change its offset or its position",
            block.ink_box,
        )


def _check_size(
    laid: LaidPage, block: MeasuredBlock, start: str, profile: PrintProfile
) -> Iterator[PrintFinding]:
    text = block.block
    size = min(text.accent.size if run.accent else text.style.size for run in text.runs if run.text.strip())
    least = profile.page.least_text_pt
    if size >= READABLE_PT:
        return
    yield laid.finding(
        "error" if size < least else "warning",
        FindingCode.TEXT_SMALL,
        f"{start} has {size:g} points; the shop takes {least:g}, and children read {READABLE_PT:g}",
        "make it larger",
        block.ink_box,
    )


def _check_neighbours(laid: LaidPage) -> Iterator[PrintFinding]:
    for one, other in combinations(laid.blocks, 2):
        if one.ink_box.clip(other.ink_box).area > 0:
            yield laid.finding(
                "warning",
                FindingCode.TEXT_OVERLAP,
                f"{_title(one)} and {_title(other)} overlap",
                "change their positions, offsets or widths",
                one.ink_box.clip(other.ink_box),
            )
    if laid.picture is None:
        return
    faces = [laid.frame.place_box(box, laid.picture.size) for box in laid.page.faces]
    for block in laid.blocks:
        if any(face.clip(block.ink_box).area > 0.02 * face.area for face in faces):
            yield laid.finding(
                "warning",
                FindingCode.TEXT_ON_FACE,
                f"{_title(block)} lies on a face",
                "change its position or its width",
                block.ink_box,
            )


def _check_barcode(laid: LaidPage, profile: PrintProfile) -> Iterator[PrintFinding]:
    box = barcode_box(profile, laid.frame) if laid.page.kind == "back" else None
    if box is not None and any(box.clip(block.ink_box).area > 0 for block in laid.blocks):
        yield laid.finding(
            "error",
            FindingCode.BARCODE_COVERED,
            "a text lies where the shop prints the barcode",
            "change its position or its width",
            box,
        )


def _check_contrast(laid: LaidPage, block: MeasuredBlock, start: str) -> Iterator[PrintFinding]:
    text = block.block
    used = {run.accent for run in text.runs if run.text.strip()}
    styles = [style for is_accent, style in ((False, text.style), (True, text.accent)) if is_accent in used]
    around = None
    for style in styles:
        if style.outline is not None and style.outline.width >= 0.5:
            ratios = _ratios(style.colour, _luminance(np.array([_rgb(style.outline.colour)])))
        else:
            around = _luminance_around(laid, block) if around is None else around
            ratios = _ratios(style.colour, around)
        least = LARGE_CONTRAST if style.size >= LARGE_PT else CONTRAST
        found = float(np.percentile(ratios, SHARE))
        if found < least:
            yield laid.finding(
                "error" if float(np.median(ratios)) < UNREADABLE_CONTRAST else "warning",
                FindingCode.TEXT_CONTRAST,
                f"{start} has a contrast of {floor(found * 10) / 10:g} to 1 against what lies beneath; "
                f"{least:g} are wanted",
                "change its colour, add an outline or a shadow, or calm the picture beneath",
                block.ink_box,
            )
            return


def _luminance_around(laid: LaidPage, block: MeasuredBlock) -> _Floats:
    """Return the luminance of what the letters stand on, in the pixels next to them."""
    region = block.ink_box.grow(3.0)
    size = (max(1, round(region.width)), max(1, round(region.height)))
    ground = _ground(laid, region, size)
    if (shadow := cast_shadow(block)) is not None:
        mask = _resample(shadow.mask, shadow.box, region, size)
        ground.paste(shadow.colour, (0, 0, *size), mask)
    whole = Rect(*block.ink_at, block.ink.width / PX_PER_POINT, block.ink.height / PX_PER_POINT)
    ink = _resample(block.ink, whole, region, size)
    near = np.asarray(ink.filter(ImageFilter.MaxFilter(3))) > 100
    pixels = np.asarray(ground, dtype=np.float64)
    return _luminance(pixels[near] if near.any() else pixels.reshape(-1, 3))


def _ground(laid: LaidPage, region: Rect, size: tuple[int, int]) -> Image.Image:
    ground = Image.new("RGB", size, laid.page.background)
    if laid.picture is not None and laid.picture.small is not None:
        drawn, small = laid.frame.place_picture(laid.picture.size), laid.picture.small
        seen = region.clip(drawn)
        if seen.width and seen.height:
            across, down = small.width / drawn.width, small.height / drawn.height
            box = (
                (seen.left - drawn.left) * across,
                (seen.top - drawn.top) * down,
                (seen.right - drawn.left) * across,
                (seen.bottom - drawn.top) * down,
            )
            shown = (max(1, round(seen.width)), max(1, round(seen.height)))
            ground.paste(
                small.resize(shown, Image.Resampling.BOX, box=box),
                (round(seen.left - region.left), round(seen.top - region.top)),
            )
    return ground


def _resample(mask: Image.Image, box: Rect, region: Rect, size: tuple[int, int]) -> Image.Image:
    """Return the part of a mask at ``box`` that lies in ``region``, at one pixel a point."""
    whole = Image.new("L", size)
    shown = mask.resize((max(1, round(box.width)), max(1, round(box.height))), Image.Resampling.BOX)
    whole.paste(shown, (round(box.left - region.left), round(box.top - region.top)))
    return whole


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(pixels: _Floats) -> _Floats:
    """Return the relative luminance of WCAG 2 of sRGB pixels from 0 to 255."""
    levels = np.asarray(pixels, dtype=np.float64) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def _ratios(colour: str, around: _Floats) -> _Floats:
    own = float(_luminance(np.array([_rgb(colour)], dtype=np.float64))[0])
    return (np.maximum(own, around) + 0.05) / (np.minimum(own, around) + 0.05)
