"""Vector text by Typst: blocks are measured first, then laid on the sheets of one PDF without pictures.

Fonts are the files that are given and the families that Typst brings; those of the system are not used. The
source is ours, text comes as JSON, and Typst's root is an empty folder.
"""

import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import typst
from PIL import Image

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.book_manifest import TextStyle
from imagemill.products.books.layout.frames import PageFrame, Rect
from imagemill.products.books.layout.page_layouts import BUILT_IN_FONTS, FontFiles, TextBlock, TextRun

PX_PER_POINT = 2
"""Resolution of measured blocks: 144 dpi."""
_MARGIN_PT = 48.0
"""Around a measured block, so that what sticks out of its box is seen."""
_FONT_END = ".ttf"
"""Typst ignores files of other names; it reads TrueType and OpenType from these."""
_MISSING = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed', re.DOTALL)
_HANGUL = re.compile("(?<=[\uac00-\ud7a3])(?=[\uac00-\ud7a3])")
"""Between two syllables of a Korean word, where no line should end."""
_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_END = re.compile(r"(\S+)([^\S\n\r]+)\S+\s*$")
"""The last two words of a line, and the spaces between them."""
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|(.))", re.DOTALL)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "0": "\0"}


@dataclass(frozen=True, slots=True)
class FontFace:
    family: str
    weight: int = 400
    style: str = "normal"

    def as_data(self) -> dict[str, Any]:
        return {"family": self.family, "weight": self.weight, "style": self.style}


@dataclass(frozen=True, slots=True)
class MeasuredBlock:
    """A block with its place on the sheet and the pixels of its letters."""

    block: TextBlock
    box: Rect
    """The box of the text: the width that the layer names, and the height that the text has."""
    ink: Image.Image
    """The letters with their outlines as coverage, mode L, at `PX_PER_POINT`."""
    ink_at: tuple[float, float]
    """The point of the sheet at the upper left corner of ``ink``."""
    lines: int
    has_widow: bool
    is_too_wide: bool
    """Whether a word is wider than the box."""

    @property
    def ink_box(self) -> Rect:
        """The letters' bounds on the sheet."""
        bounds = self.ink.getbbox() or (0, 0, 0, 0)
        left, top, right, bottom = (edge / PX_PER_POINT for edge in bounds)
        return Rect(self.ink_at[0] + left, self.ink_at[1] + top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class SpineText:
    text: str
    colour: str
    size: float
    box: Rect
    direction: str = "ltr"


@dataclass(frozen=True, slots=True)
class TextSheet:
    """The text of one page of the PDF."""

    width: float
    height: float
    blocks: tuple[MeasuredBlock, ...]
    spine: SpineText | None = None


class Typesetter:
    """Sets text in one family. Made by `open_typesetter`."""

    def __init__(self, compiler: typst.Compiler, found: "FoundFonts", language: str) -> None:
        self._compiler = compiler
        self.families = found.families
        self.unusable = found.unusable
        language, _, region = language.partition("-")
        self._common = {
            "language": language,
            "region": region.upper() if len(region) == 2 and region.isalpha() else None,
            "fonts": {"regular": found.regular.as_data(), "bold": found.bold.as_data()},
            "margin": _MARGIN_PT,
        }

    def measure(self, blocks: Sequence[tuple[TextBlock, PageFrame]]) -> list[MeasuredBlock]:
        """Return the blocks in their places; one without a visible character is left out."""
        shown = [(block, frame) for block, frame in blocks if block.is_visible]
        if not shown:
            return []
        data = self._data(measured=[_measured_data(block, frame) for block, frame in shown])
        pictures = self._compiler.compile(sys_inputs=data, format="png", ppi=72.0 * PX_PER_POINT)
        pages = pictures if isinstance(pictures, list) else [pictures or b""]
        facts: list[Any] = json.loads(self._compiler.query("<facts>", field="value"))
        return [
            _place(block, frame, fact, Image.open(io.BytesIO(page)).getchannel("A"))
            for (block, frame), fact, page in zip(shown, facts, pages, strict=True)
        ]

    def lay(self, sheets: Sequence[TextSheet]) -> tuple[bytes, frozenset[str]]:
        """Return a PDF with a page for each sheet, and the characters that the fonts lack."""
        data = self._data(sheets=[_sheet_data(sheet) for sheet in sheets])
        try:
            # This standard refuses characters without a glyph, and names them.
            return self._export(data, ["a-2b"]), frozenset()
        except typst.TypstError as error:
            missing = _missing_characters(error)
            if not missing:
                raise
        return self._export(data, []), missing

    def _export(self, data: Mapping[str, str], standards: list[Any]) -> bytes:
        made = self._compiler.compile(
            sys_inputs=dict(data),
            format="pdf",
            pdf_standards=standards,
            pdf_tags=False,
            timestamp=0,
        )
        assert isinstance(made, bytes)  # noqa: S101 - one file without an output path
        return made

    def _data(
        self, measured: Sequence[dict[str, Any]] = (), sheets: Sequence[dict[str, Any]] = ()
    ) -> dict[str, str]:
        return {"data": json.dumps({**self._common, "measured": measured, "sheets": sheets})}


@dataclass(frozen=True, slots=True)
class FoundFonts:
    regular: FontFace
    bold: FontFace
    families: frozenset[str]
    unusable: tuple[str, ...]
    """The names of the inputs that are no fonts."""


@contextmanager
def open_typesetter(fonts: FontFiles, inputs: Mapping[str, bytes], language: str) -> Iterator[Typesetter]:
    """Return a typesetter with these fonts; one that is unusable is replaced by a family built in."""
    with tempfile.TemporaryDirectory(prefix="imagemill-layout-") as folder:
        root = Path(folder)
        for name in fonts.inputs:
            (root / f"{name}{_FONT_END}").write_bytes(inputs.get(name, b""))
        known = typst.Fonts(include_system_fonts=False, font_paths=[root] if fonts.inputs else [])
        (root / "text.typ").write_bytes(_source())
        packages = root / "no-packages"
        compiler = typst.Compiler(
            root / "text.typ", root, known, package_path=packages, package_cache_path=packages
        )
        yield Typesetter(compiler, _find_fonts(fonts, known), language)


def _find_fonts(fonts: FontFiles, known: typst.Fonts) -> FoundFonts:
    families = frozenset(known.families())
    files = {
        Path(font.path).name.removesuffix(_FONT_END): FontFace(font.family, font.weight, font.style)
        for font in known.fonts()
        if font.path is not None
    }
    family = fonts.family if fonts.family in families else BUILT_IN_FONTS.family
    regular = files.get(fonts.regular or "", FontFace(family))
    bold = files.get(fonts.bold or "", regular if fonts.inputs else FontFace(family, 700))
    return FoundFonts(regular, bold, families, tuple(name for name in fonts.inputs if name not in files))


@cache
def _source() -> bytes:
    return files("imagemill.products.books.layout").joinpath("text.typ").read_bytes()


def _missing_characters(error: typst.TypstError) -> frozenset[str]:
    texts = _MISSING.findall(error.diagnostic)
    return frozenset(character for text in texts for character in _ESCAPE.sub(_unescape, text))


def _unescape(found: re.Match[str]) -> str:
    code, character = found.groups()
    return chr(int(code, 16)) if code else _ESCAPED.get(character, character)


def _style_data(style: TextStyle) -> dict[str, Any]:
    outline = style.outline
    return {
        "size": style.size,
        "colour": style.colour,
        "outline": None if outline is None else {"width": outline.width, "colour": outline.colour},
    }


def _runs_data(runs: Sequence[TextRun]) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = []
    before = ""
    for run in runs:
        text = run.text.replace("\t", " ").encode("utf-8", "replace").decode()
        joined = _HANGUL.sub("\u2060", before + text)[len(before) :]
        data.append({"lines": _LINE_END.split(joined), "accent": run.accent})
        before = text[-1:] or before
    return data


def _block_data(block: TextBlock, width: float) -> dict[str, Any]:
    return {
        "width": width,
        "align": block.position.partition("-")[2],
        "direction": block.direction,
        "style": {**_style_data(block.style), "leading": block.style.leading},
        "accent": _style_data(block.accent),
        "runs": _runs_data(block.runs),
    }


def _measured_data(block: TextBlock, frame: PageFrame) -> dict[str, Any]:
    shortened, pair = _split_end(block.runs)
    return {
        **_block_data(block, frame.safe.width * block.width),
        "shortened": _runs_data(shortened),
        "bound": _runs_data(_bind_end(block.runs)),
        "pair": _runs_data(pair),
        "first": _runs_data([TextRun("x")]),
        "words": _runs_data([TextRun(word, run.accent) for run in block.runs for word in run.text.split()]),
    }


def _split_end(runs: Sequence[TextRun]) -> tuple[list[TextRun], list[TextRun]]:
    """Return the text without its last word, and its last two words; (all, all) if it has no two words."""
    text = "".join(run.text for run in runs)
    end = _END.search(text)
    if end is None:
        return list(runs), list(runs)
    return _cut(runs, 0, end.end(1)), _cut(runs, end.start(1), len(text.rstrip()))


def _bind_end(runs: Sequence[TextRun]) -> tuple[TextRun, ...]:
    """Return the text with its last two words bound by a space at which no line ends."""
    text = "".join(run.text for run in runs)
    end = _END.search(text)
    if end is None:
        return tuple(runs)
    space = TextRun("\u00a0", _cut(runs, end.end(1) - 1, end.end(1))[0].accent)
    return (*_cut(runs, 0, end.end(1)), space, *_cut(runs, end.end(2), len(text)))


def _cut(runs: Sequence[TextRun], start: int, end: int) -> list[TextRun]:
    """Return the part of the runs between two positions of their whole text."""
    parts: list[TextRun] = []
    at = 0
    for run in runs:
        part = run.text[max(0, start - at) : max(0, end - at)]
        if part:
            parts.append(TextRun(part, run.accent))
        at += len(run.text)
    return parts


def _place(block: TextBlock, frame: PageFrame, fact: Mapping[str, Any], ink: Image.Image) -> MeasuredBlock:
    width, height, safe = float(fact["width"]), float(fact["height"]), frame.safe
    wide = safe.width * block.width
    row, _, column = block.position.partition("-")
    left = safe.left + {"left": 0.0, "center": (safe.width - width) / 2, "right": safe.width - width}[column]
    top = safe.top + {"top": 0.0, "middle": (safe.height - height) / 2, "bottom": safe.height - height}[row]
    bounds = ink.getbbox() or (0, 0, 0, 0)
    letters = Rect(
        left - _MARGIN_PT + bounds[0] / PX_PER_POINT,
        top - _MARGIN_PT + bounds[1] / PX_PER_POINT,
        (bounds[2] - bounds[0]) / PX_PER_POINT,
        (bounds[3] - bounds[1]) / PX_PER_POINT,
    )
    outline = max((style.outline.width for style in (block.style, block.accent) if style.outline), default=0)
    slack = outline + block.style.size * 0.15  # swashes and the side bearings of letters
    box = Rect(left, top, width, height).move(*_inwards(letters, safe)).move(*block.offset)
    lines = 1 + round((height - float(fact["line"])) / (block.style.size * block.style.leading))
    return MeasuredBlock(
        block=replace(block, runs=_bind_end(block.runs)) if fact["bound"] else block,
        box=box,
        ink=ink,
        ink_at=(box.left - _MARGIN_PT, box.top - _MARGIN_PT),
        lines=lines,
        has_widow=bool(fact["widow"]),
        is_too_wide=letters.width > wide + slack,
    )


def _inwards(letters: Rect, safe: Rect) -> tuple[float, float]:
    """Return the move by which outlines and tall accents stay in the safe area, where they fit."""

    def move(start: float, end: float, least: float, most: float) -> float:
        if end - start > most - least:
            return 0.0
        return max(0.0, least - start) - max(0.0, end - most)

    return (
        move(letters.left, letters.right, safe.left, safe.right),
        move(letters.top, letters.bottom, safe.top, safe.bottom),
    )


def _sheet_data(sheet: TextSheet) -> dict[str, Any]:
    spine = sheet.spine
    return {
        "width": sheet.width,
        "height": sheet.height,
        "blocks": [_laid_data(block) for block in sheet.blocks],
        "spine": None
        if spine is None
        else {
            "text": spine.text,
            "colour": spine.colour,
            "size": spine.size,
            "direction": spine.direction,
            "x": spine.box.left,
            "y": spine.box.top,
            "width": spine.box.width,
            "height": spine.box.height,
        },
    }


def _laid_data(measured: MeasuredBlock) -> dict[str, Any]:
    block, shadow = measured.block, measured.block.style.shadow
    return {
        **_block_data(block, measured.box.width),
        "x": measured.box.left,
        "y": measured.box.top,
        "outlined": block.style.outline is not None or block.accent.outline is not None,
        # A blurred shadow is a picture beneath the text; see `shadow_picture`.
        "shadow": {"x": shadow.x, "y": shadow.y, "colour": shadow.colour}
        if shadow is not None and not shadow.blur
        else None,
    }
