"""The contents of a proof sheet."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.layout.page_layouts import BUILT_IN_FONTS, FontFiles
from imagemill.products.books.layout.profiles import PrintProfile


@dataclass(frozen=True, slots=True)
class ProofPage:
    """One page on the proof sheet."""

    name: str
    preview: str | None
    """The input with its preview; None where the page has failed."""
    score: float | None = None
    """Identity from 0 to 1; None for a page without a face."""
    flagged: bool = False
    redraws: int = 0
    note: str = ""
    """Such as the cause of a failure."""
    findings: tuple[Mapping[str, Any], ...] = ()
    """Those that `LayPage` returned."""


@dataclass(frozen=True, slots=True)
class ProofSheet:
    """A proof sheet with its head, pages and findings."""

    title: str
    pages: tuple[ProofPage, ...]
    profile: PrintProfile
    dated: str
    """The date that is printed on it, such as ``2026-11-29``."""
    limit: float = 0.5
    """The score below which a page is shown as unlike the reference."""
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further lines of the head, by label."""
    findings: tuple[Mapping[str, Any], ...] = ()
    """Those of the book as a whole."""
    fonts: FontFiles = BUILT_IN_FONTS
    """The book's fonts, for what findings cite."""
