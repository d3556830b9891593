"""The proof sheet: what it shows of each page."""

import pypdfium2
import pytest

from imagemill.products.books.layout.page_layouts import FontFiles
from imagemill.products.books.layout.works import LayProof, ProofPage
from tests.books.layout.support import SQUARE, dejavu, picture, raster

FINDING = {"place": "page 2", "page": 2, "level": "error", "code": "text_outside"}
OUTSIDE = {**FINDING, "message": "the text reaches out of the safe zone", "remedy": "change its offset"}
WIDOW = {**OUTSIDE, "level": "warning", "message": "ends with a line of a single word"}


def proof(*pages: ProofPage, **changes) -> LayProof:
    return LayProof(
        **{"title": "The Sea", "pages": pages, "profile": SQUARE, "dated": "2026-11-29", **changes}
    )


def made(sheet: LayProof, **inputs: bytes) -> bytes:
    (file,) = sheet({"preview": picture(0, (540, 540)), **inputs}).files
    assert file.media_type == "application/pdf"
    return file.data


def text_of(data: bytes) -> str:
    document = pypdfium2.PdfDocument(data)
    pages = [document[number].get_textpage().get_text_range() for number in range(len(document))]
    return " ".join(" ".join(pages).split())


def test_a_page_has_number_score_redraws_and_findings():
    shown = text_of(
        made(
            proof(
                ProofPage("page 1", "preview", 0.834),
                ProofPage("page 2", "preview", 0.31, True, 2, findings=(WIDOW, OUTSIDE)),
                ProofPage("page 3", None, note="failed: the node ran out of memory"),
                facts={"Language": "uk"},
            )
        )
    )
    for part in (
        "The Sea",
        "2026-11-29",
        "square-8-25in",
        "Language uk",
        "page 1 0.83",
        "page 2 0.31 redrawn 2 times 1 error, 1 warning unlike the reference",
        "no picture page 3 failed: the node ran out of memory",
        "Findings 1 error, 1 warning",
        "page 2 Error the text reaches out of the safe zone change its offset",
    ):
        assert part in shown
    assert shown.index("Error the text") < shown.index("Warning ends with")


def test_a_score_has_the_colour_of_its_grade():
    """The pixels of the labels: green above, brown near, red below the limit."""
    colours = {}
    for name, score in (("good", 0.7), ("near", 0.55), ("bad", 0.2)):
        shown = raster(made(proof(ProofPage("page 1", "preview", score), limit=0.5)), 0, 100)
        colours[name] = {colour for _, colour in shown.getcolors(2**24) or ()}
    assert (46, 125, 50) in colours["good"] - colours["near"] - colours["bad"]
    assert (154, 91, 0) in colours["near"] - colours["good"] - colours["bad"]
    assert (179, 38, 30) in colours["bad"] - colours["good"] - colours["near"]


def test_a_clean_book_says_so():
    assert "Findings none" in text_of(made(proof(ProofPage("page 1", "preview"))))


def test_28_pages_are_on_two_sheets():
    pages = [ProofPage(f"page {number}", "preview", 0.8) for number in range(1, 29)]
    assert len(pypdfium2.PdfDocument(made(proof(*pages)))) == 2


@pytest.mark.parametrize("text", ["#panic()", "*a* _b_ $c$", "\\ \" ' `", "a\nb", "<b>"])
def test_texts_are_no_markup(text):
    shown = text_of(made(proof(ProofPage("page 1", "preview", note=text), title=text)))
    assert shown.count(" ".join(text.split())) >= 2


def test_a_damaged_preview_is_shown_as_missing():
    assert "no picture" in text_of(made(proof(ProofPage("page 1", "preview")), preview=b"no jpeg"))


def test_the_books_fonts_are_used_for_what_the_others_lack():
    fonts = FontFiles(regular="font.0")
    data = made(proof(ProofPage("page 1", "preview"), title="بحر", fonts=fonts), **{"font.0": dejavu()})
    assert b"DejaVuSans" in data


def test_the_same_input_gives_the_same_bytes():
    sheet = proof(ProofPage("page 1", "preview", 0.5))
    assert made(sheet) == made(sheet)
