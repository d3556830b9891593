"""A page with its preview, and the print files of a book: text, pictures, checks and files put together."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pypdfium2

from imagemill.domain.dataclass import dataclass
from imagemill.media.page_work import PageFile, PageResult, report
from imagemill.products.books.book_manifest import TextStyle
from imagemill.products.books.layout import pdf_files
from imagemill.products.books.layout.findings import FindingCode, PrintFinding, findings_values, stopping
from imagemill.products.books.layout.frames import (
    CoverSheet,
    PageFrame,
    Rect,
    Sheet,
    cover_sheet,
    page_sheet,
    side_sheet,
)
from imagemill.products.books.layout.imposition import arrange
from imagemill.products.books.layout.page_layouts import (
    BookLayout,
    FontFiles,
    PageLayout,
    TextBlock,
    TextRun,
    text_sha256,
)
from imagemill.products.books.layout.pdf_files import Ground, PdfFacts
from imagemill.products.books.layout.preflight import LaidPage, check_fonts, check_page, open_picture
from imagemill.products.books.layout.profiles import PrintProfile, millimetres
from imagemill.products.books.layout.typesetter import (
    SpineText,
    TextSheet,
    Typesetter,
    open_typesetter,
)

PREVIEW_QUALITY = 90
SPINE_PT = 14.0
"""Largest size of the text on the spine."""
LEAST_SPINE_PT = 6.0
_LINE_SHARE = 0.7
"""The share of the spine's free width that the size of its text takes."""
_TOLERANCE_PT = 0.05


def lay_page(
    page: PageLayout,
    profile: PrintProfile,
    fonts: FontFiles,
    language: str,
    preview_px: int,
    inputs: Mapping[str, bytes],
) -> PageResult:
    """Do `imagemill.products.books.layout.works.LayPage`."""
    sheet = side_sheet(profile, page.kind)
    with open_typesetter(fonts, inputs, language) as setter:
        (laid,) = _measure(setter, [(page, sheet.frames[0])])
        text, missing = setter.lay([TextSheet(sheet.width, sheet.height, laid.blocks)])
        findings = check_fonts(fonts, setter)
    laid = _read_and_check(laid, inputs, profile, missing, findings)
    pdf = pdf_files.assemble(text, [Ground(sheet, (laid,))], PdfFacts("", language))
    preview = PageFile(rasterise(pdf, sheet.trim, sheet, preview_px), "image/jpeg")
    digest = text_sha256(page, fonts, inputs)
    return PageResult((preview,), {"textSha256": digest, **findings_values(findings)})


def rasterise(pdf: bytes, area: Rect, sheet: Sheet, longer_px: int) -> bytes:
    """Return an area of the first page as a JPEG."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        document[0].set_cropbox(*area.in_pdf(sheet.height))
        scale = longer_px / max(area.width, area.height) - 1e-6  # sizes are rounded up
        bitmap = document[0].render(scale=scale)  # pyright: ignore[reportArgumentType] - takes fractions
        picture = bitmap.to_pil().convert("RGB")
    finally:
        document.close()
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=PREVIEW_QUALITY, subsampling=0)
    return file.getvalue()


def _measure(setter: Typesetter, pages: Sequence[tuple[PageLayout, PageFrame]]) -> list[LaidPage]:
    """Return the pages with their text measured, in one run of the typesetter."""
    measured = setter.measure([(block, frame) for page, frame in pages for block in page.blocks])
    laid: list[LaidPage] = []
    for page, frame in pages:
        count = sum(block.is_visible for block in page.blocks)
        blocks, measured = tuple(measured[:count]), measured[count:]
        laid.append(LaidPage(page, frame, blocks))
    return laid


def _read_and_check(
    laid: LaidPage,
    inputs: Mapping[str, bytes],
    profile: PrintProfile,
    missing: frozenset[str],
    findings: list[PrintFinding],
) -> LaidPage:
    """Return the page with its picture, and add its findings."""
    data = inputs.get(laid.page.picture or "")
    if data is not None:
        try:
            laid = replace(laid, picture=open_picture(data))
        except ValueError as error:
            laid = replace(laid, picture_error=str(error))
    findings += check_page(laid, profile, missing)
    return replace(laid, picture=replace(laid.picture, small=None)) if laid.picture is not None else laid


@dataclass(frozen=True, slots=True)
class _LaidBook:
    block: tuple[LaidPage, ...]
    sheets: tuple[Sheet, ...]
    cover: CoverSheet
    sides: tuple[LaidPage, ...]
    spine: SpineText | None


def lay_book(book: BookLayout, icc: bytes | None, inputs: Mapping[str, bytes]) -> PageResult:
    """Do `imagemill.products.books.layout.works.LayBook`."""
    arranged, findings = arrange(book.profile, book.pages, book.fill)
    sheets = tuple(page_sheet(book.profile, is_right=number % 2 == 0) for number in range(len(arranged)))
    cover = cover_sheet(book.profile, len(arranged))
    found = list(findings)
    with open_typesetter(book.fonts, inputs, book.language) as setter:
        frames = [(page, sheet.frames[0]) for page, sheet in zip(arranged, sheets, strict=True)]
        laid = _measure(setter, [*frames, (book.back, cover.back), (book.front, cover.front)])
        spine, spine_findings = _fit_spine(setter, book, cover, len(arranged))
        whole = _LaidBook(tuple(laid[:-2]), sheets, cover, tuple(laid[-2:]), spine)
        block_text, cover_text, missing = _lay_text(setter, whole)
        found += [*spine_findings, *check_fonts(book.fonts, setter)]
    read: list[LaidPage] = []
    for each in laid:
        read.append(_read_and_check(each, inputs, book.profile, missing, found))
        report(len(read), len(laid), each.page.name)
    whole = replace(whole, block=tuple(read[:-2]), sides=tuple(read[-2:]))
    facts, intent = _facts(book, icc)
    found += intent
    files: tuple[PageFile, ...] = ()
    if not stopping(found):
        files, unlike = _make_files(book, whole, block_text, cover_text, facts)
        found += unlike
    return PageResult(() if stopping(found) else files, _values(book, whole, found, inputs))


def _lay_text(setter: Typesetter, whole: _LaidBook) -> tuple[bytes, bytes, frozenset[str]]:
    block, missing = setter.lay(
        [
            TextSheet(sheet.width, sheet.height, page.blocks)
            for page, sheet in zip(whole.block, whole.sheets, strict=True)
        ]
    )
    sheet = whole.cover.sheet
    blocks = tuple(block for side in whole.sides for block in side.blocks)
    cover, missing_there = setter.lay([TextSheet(sheet.width, sheet.height, blocks, whole.spine)])
    return block, cover, missing | missing_there


def _fit_spine(
    setter: Typesetter, book: BookLayout, cover: CoverSheet, pages: int
) -> tuple[SpineText | None, list[PrintFinding]]:
    """Return the spine's text in the size that fits; none in a book that is too thin for one."""
    text, box = book.spine.text.strip(), cover.spine_text
    if not text or pages < book.profile.cover.spine.text_from_pages:
        return None, []
    size = min(SPINE_PT, box.width * _LINE_SHARE)
    if size >= LEAST_SPINE_PT:
        style = TextStyle(size=size)
        line = TextBlock((TextRun(text, True),), "top-left", style=style, accent=style)
        wide = Rect(0, 0, 20_000, 100)
        (measured,) = setter.measure([(line, PageFrame(wide, wide, wide, wide))]) or (None,)
        length = measured.ink_box.width if measured is not None else 0.0
        size = min(size, size * box.height / length) if length else size
    if size < LEAST_SPINE_PT:
        finding = PrintFinding(
            "the spine", 0, "error", FindingCode.SPINE_TEXT,
            f"the text does not fit on a spine of {millimetres(cover.spine.width):.1f} mm",
            "shorten the spine's text, or leave it out",
        )  # fmt: skip
        return None, [finding]
    return SpineText(text, book.spine.colour, size, box), []


def _facts(book: BookLayout, icc: bytes | None) -> tuple[PdfFacts, list[PrintFinding]]:
    output = book.profile.output
    facts = PdfFacts(book.title, book.language, book.made_at, output.condition)
    if output.standard != "pdf-x-4":
        return facts, []
    problem = None if icc is not None else "the print profile asks for PDF/X-4, and there is no ICC profile"
    if icc is not None:
        try:
            pdf_files.count_colours(icc)
        except ValueError as error:
            problem = f"the ICC profile of the output intent {error}"
    if problem is None:
        return replace(facts, icc=icc), []
    remedy = "set IMAGEMILL_BOOKS__ICC_PROFILE to the file that the print shop names"
    return facts, [PrintFinding("the book", 0, "error", FindingCode.OUTPUT_INTENT, problem, remedy)]


def _make_files(
    book: BookLayout, whole: _LaidBook, block_text: bytes, cover_text: bytes, facts: PdfFacts
) -> tuple[tuple[PageFile, ...], list[PrintFinding]]:
    grounds = [Ground(sheet, (page,)) for page, sheet in zip(whole.block, whole.sheets, strict=True)]
    block = pdf_files.assemble(block_text, grounds, facts)
    sheet = whole.cover.sheet
    spine = (whole.cover.spine, book.spine.background)
    cover = pdf_files.assemble(cover_text, [Ground(sheet, whole.sides, (spine,))], facts)
    spreads = pdf_files.pair(block, facts)
    sheets = list(whole.sheets)
    if book.profile.output.files == "cover_first":
        block = pdf_files.join([cover, block], facts)
        sheets = [sheet, *sheets]
    unlike = [*_check_boxes("the block", block, sheets), *_check_boxes("the cover", cover, [sheet])]
    files = tuple(PageFile(data, pdf_files.FORMAT) for data in (block, cover, spreads))
    return files, unlike


def _check_boxes(place: str, pdf: bytes, sheets: Sequence[Sheet]) -> list[PrintFinding]:
    """Return a finding if a second library reads other boxes or another number of pages than intended."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        wrong = [
            number
            for number, sheet in enumerate(sheets, 1)
            if number > len(document) or not _has_boxes(document[number - 1], sheet)
        ]
        if not wrong and len(document) == len(sheets):
            return []
    finally:
        document.close()
    pages = ", ".join(map(str, wrong[:10])) or "more than intended"
    return [
        PrintFinding(
            place, 0, "error", FindingCode.BOXES,
            f"the boxes of the PDF are wrong: pages {pages}",
            "report this as a bug, with the print profile",
        )
    ]  # fmt: skip


def _has_boxes(page: pypdfium2.PdfPage, sheet: Sheet) -> bool:
    whole, trim = sheet.whole.in_pdf(sheet.height), sheet.trim.in_pdf(sheet.height)
    pairs = ((page.get_mediabox(), whole), (page.get_bleedbox(), whole), (page.get_trimbox(), trim))
    return all(
        abs(edge - wanted) < _TOLERANCE_PT
        for box, expected in pairs
        for edge, wanted in zip(box or (), expected, strict=True)
    )


def _values(
    book: BookLayout, whole: _LaidBook, findings: Sequence[PrintFinding], inputs: Mapping[str, bytes]
) -> dict[str, Any]:
    sheet, profile = whole.cover.sheet, book.profile
    shown = {str(page.number): text_sha256(page, book.fonts, inputs) for page in book.pages}
    return {
        "profile": profile.slug,
        "pages": len(whole.block),
        "trimMm": [profile.page.width, profile.page.height],
        "sheetMm": [round(millimetres(size), 3) for size in (whole.sheets[0].width, whole.sheets[0].height)],
        "coverMm": [round(millimetres(sheet.width), 3), round(millimetres(sheet.height), 3)],
        "spineMm": round(millimetres(whole.cover.spine.width), 3),
        "textSha256": shown,
        **findings_values(findings),
    }
