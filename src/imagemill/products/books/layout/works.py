"""The layout's page work: a page with its preview, the print files of a book, and the proof sheet.

The press runs it in a child process. Typst, pikepdf and pypdfium2 are loaded there only.
"""

from collections.abc import Mapping

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import MissingExtra
from imagemill.media.page_work import PageResult
from imagemill.products.books.layout.page_layouts import BUILT_IN_FONTS, BookLayout, FontFiles, PageLayout
from imagemill.products.books.layout.profiles import PrintProfile
from imagemill.products.books.layout.proof_pages import ProofPage as ProofPage
from imagemill.products.books.layout.proof_pages import ProofSheet

PREVIEW_PX = 1080
"""The longer side of a preview."""
ICC_INPUT = "icc"
"""The input with the ICC profile of the output intent, where the print profile asks for one."""


def check_extra() -> None:
    """Raise `MissingExtra` without the packages that books need."""
    for module in ("typst", "pikepdf", "pypdfium2"):
        MissingExtra.check(module, "books", "The layout of books")


@dataclass(frozen=True, slots=True)
class LayPage:
    """Lay one page.

    Inputs are the picture and the fonts that the layout names. File 0 is the preview, a JPEG of the trimmed
    page. Values are ``textSha256`` and ``findings``.
    """

    page: PageLayout
    profile: PrintProfile
    fonts: FontFiles = BUILT_IN_FONTS
    language: str = "en"
    preview_px: int = PREVIEW_PX

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        check_extra()
        from imagemill.products.books.layout.printing import lay_page

        return lay_page(self.page, self.profile, self.fonts, self.language, self.preview_px, inputs)


@dataclass(frozen=True, slots=True)
class LayBook:
    """Make the print files of a book.

    Inputs are the pictures and fonts that the layout names, and ``icc``. Files are ``block.pdf``,
    ``cover.pdf`` and ``spreads.pdf``; there are none if a finding is an error. Values are ``pages`` (of the
    block), ``trimMm``, ``sheetMm``, ``coverMm``, ``spineMm``, ``textSha256`` by the page's number, and
    ``findings``.
    """

    book: BookLayout

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        check_extra()
        from imagemill.products.books.layout.printing import lay_book

        return lay_book(self.book, inputs.get(ICC_INPUT), inputs)


@dataclass(frozen=True, slots=True)
class LayProof(ProofSheet):
    """Make the proof sheet ``proof.pdf``: every page's preview with its number, score and findings."""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        check_extra()
        from imagemill.products.books.layout.proof_sheet import lay_proof

        return lay_proof(self, inputs)
