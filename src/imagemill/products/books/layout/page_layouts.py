"""The pages of one book as the layout gets them: every text is resolved, every picture is an input by name.

Lengths of text are in points; boxes are fractions of a picture.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.book_manifest import Box, Position, TextLayer, TextStyle, Typography
from imagemill.products.books.layout.profiles import PrintProfile

PageKind = Literal["page", "title", "dedication", "end", "blank", "front", "back"]
Direction = Literal["ltr", "rtl"]
PLAIN_STYLE = TextStyle()
FILL_NAMES: Mapping[PageKind, str] = {
    "title": "the title page",
    "dedication": "the dedication",
    "end": "the closing page",
    "blank": "an empty page",
    "front": "the front cover",
    "back": "the back cover",
}


@dataclass(frozen=True, slots=True)
class TextRun:
    """Text in one style. It is data: no character of it is markup."""

    text: str
    accent: bool = False


@dataclass(frozen=True, slots=True)
class FontFiles:
    """A family that is built in, or the names of the inputs that hold font files, such as ``font.0``."""

    family: str = "Libertinus Serif"
    regular: str | None = None
    bold: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name in (self.regular, self.bold) if name)


BUILT_IN_FONTS = FontFiles()


@dataclass(frozen=True, slots=True)
class TextBlock:
    """One text layer with its style resolved."""

    runs: tuple[TextRun, ...]
    position: Position = "bottom-center"
    width: float = 1.0
    """Width of the box as a fraction of the safe area."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Points to the right and down."""
    style: TextStyle = PLAIN_STYLE
    accent: TextStyle = PLAIN_STYLE
    """Size, colour and outline of accented runs, which are in the bold font. The shadow is the style's."""
    direction: Direction = "ltr"

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)

    @property
    def is_visible(self) -> bool:
        return bool(self.text.strip())


@dataclass(frozen=True, slots=True)
class PageLayout:
    """One page of the block, or one side of the cover."""

    number: int
    """The number of the book's page; 0 for covers and pages that fill the block."""
    picture: str | None = None
    """The input that holds the page's JPEG; None means an empty page."""
    background: str = "#ffffff"
    blocks: tuple[TextBlock, ...] = ()
    kind: PageKind = "page"
    faces: tuple[Box, ...] = ()
    """Where faces are in the picture; text over one is a finding."""
    before: bool = False
    """Whether a page that fills the block stands before the first page of the book."""

    @property
    def name(self) -> str:
        return f"page {self.number}" if self.kind == "page" else FILL_NAMES[self.kind]


@dataclass(frozen=True, slots=True)
class SpineLayout:
    text: str = ""
    colour: str = "#ffffff"
    background: str = "#3a4a6b"


PLAIN_SPINE = SpineLayout()


@dataclass(frozen=True, slots=True)
class BookLayout:
    """A whole book for one print profile."""

    profile: PrintProfile
    pages: tuple[PageLayout, ...]
    front: PageLayout
    back: PageLayout
    spine: SpineLayout = PLAIN_SPINE
    fill: tuple[PageLayout, ...] = ()
    """The pages that may be added to reach a count that the print shop takes, the most wanted first."""
    title: str = ""
    """The document's title. It should not hold the child's name."""
    language: str = "en"
    fonts: FontFiles = BUILT_IN_FONTS
    made_at: int = 0
    """The time in the metadata of PDF/X-4, in seconds since the epoch; other files have none."""


def text_sha256(page: PageLayout, fonts: FontFiles, inputs: Mapping[str, bytes]) -> str:
    """Return the hash of a page's text as it is approved: words, styles, places and fonts."""
    files = [hashlib.sha256(inputs[name]).hexdigest() if name in inputs else "" for name in fonts.inputs]
    facts = {
        "blocks": [_block_facts(block) for block in page.blocks],
        "fonts": [fonts.family, *files],
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _block_facts(block: TextBlock) -> dict[str, Any]:
    return {
        "runs": [[run.text, run.accent] for run in block.runs],
        "position": block.position,
        "width": block.width,
        "offset": list(block.offset),
        "style": block.style.model_dump(mode="json"),
        "accent": block.accent.model_dump(mode="json"),
        "direction": block.direction,
    }


def lay_blocks(
    layers: Sequence[TextLayer],
    runs: Sequence[Sequence[tuple[str, bool]]],
    typography: Typography,
    direction: Direction = "ltr",
) -> tuple[TextBlock, ...]:
    """Return the blocks of a page's text layers; ``runs`` are their texts in parts: text, accent."""
    return tuple(
        _block(layer, parts, typography, direction) for layer, parts in zip(layers, runs, strict=True)
    )


def _block(
    layer: TextLayer, parts: Sequence[tuple[str, bool]], typography: Typography, direction: Direction
) -> TextBlock:
    accented = layer.style == "accent"
    base = typography.accent if accented else typography.body
    own = {
        name: value
        for name in ("size", "colour", "outline", "shadow")
        if (value := getattr(layer, name)) is not None
    }
    style = base.model_copy(update=own)
    accent = typography.accent.model_copy(
        update={
            "size": typography.accent.size * style.size / base.size,
            "outline": typography.accent.outline or style.outline,
        }
    )
    return TextBlock(
        runs=tuple(TextRun(text, accented or is_accent) for text, is_accent in parts),
        position=layer.position,
        width=layer.width,
        offset=layer.offset,
        style=style,
        accent=style if accented else accent,
        direction=direction,
    )
