"""Findings of the preflight: what a print shop would refuse or a reader would notice."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Literal

from imagemill.domain.dataclass import dataclass

Level = Literal["error", "warning"]


MOST_LISTED = 150
"""A job's values are limited to 64 KB."""


class FindingCode(StrEnum):
    """The kinds of findings; `docs/print.md` explains each."""

    PICTURE_MISSING = "picture_missing"
    PICTURE_UNUSABLE = "picture_unusable"
    PICTURE_DPI = "picture_dpi"
    PICTURE_CROPPED = "picture_cropped"
    TEXT_OUTSIDE = "text_outside"
    TEXT_OVERFLOW = "text_overflow"
    TEXT_WIDOW = "text_widow"
    TEXT_SMALL = "text_small"
    TEXT_CONTRAST = "text_contrast"
    TEXT_OVERLAP = "text_overlap"
    TEXT_ON_FACE = "text_on_face"
    TEXT_INVISIBLE = "text_invisible"
    FACE_NOT_SCORED = "face_not_scored"
    GLYPH_MISSING = "glyph_missing"
    FONT_UNUSABLE = "font_unusable"
    SPINE_TEXT = "spine_text"
    BARCODE_COVERED = "barcode_covered"
    PAGE_COUNT = "page_count"
    BLANK_PAGES = "blank_pages"
    TRANSPARENCY = "transparency"
    BOXES = "boxes"
    OUTPUT_INTENT = "output_intent"


@dataclass(frozen=True, slots=True)
class PrintFinding:
    """One finding. An error stops the print files; a warning is on the proof sheet."""

    place: str
    """The page by name, such as ``page 3`` or ``the front cover``; ``the book`` for the whole."""
    page: int
    """The page's number; 0 for covers, pages that fill the block, and the whole book."""
    level: Level
    code: FindingCode
    message: str
    remedy: str
    box: tuple[float, float, float, float] | None = None
    """Left, top, width and height in shares of the trimmed page; None for the whole page."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON; ``box`` only where it is known."""
        values = {**asdict(self), "code": self.code.value}
        box = values.pop("box")
        if box is None:
            return values
        return {**values, "box": dict(zip(("x", "y", "width", "height"), box, strict=True))}


def stopping(findings: Iterable[PrintFinding]) -> tuple[PrintFinding, ...]:
    """Return the errors."""
    return tuple(finding for finding in findings if finding.level == "error")


def findings_values(findings: Sequence[PrintFinding]) -> dict[str, Any]:
    """Return the findings as values of a work, errors first: ``findings``, and ``moreFindings`` left out."""
    ordered = sorted(findings, key=lambda finding: finding.level != "error")
    return {
        "findings": [finding.as_dict() for finding in ordered[:MOST_LISTED]],
        "moreFindings": max(0, len(ordered) - MOST_LISTED),
    }
