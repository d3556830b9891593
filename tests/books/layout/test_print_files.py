"""The print files of a book, read by the libraries that did not write what is asked for."""

import hashlib
import io
from dataclasses import replace
from datetime import date
from functools import cache

import pikepdf
import pypdfium2
import pytest
from PIL import Image, ImageCms
from pypdfium2 import raw

from imagemill.media.page_work import PageResult
from imagemill.products.books.book_manifest import Outline, Shadow, TextStyle
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.frames import cover_sheet, page_sheet
from imagemill.products.books.layout.page_layouts import (
    FontFiles,
    PageLayout,
    SpineLayout,
    TextBlock,
    TextRun,
)
from imagemill.products.books.layout.profiles import PrintProfile, millimetres
from tests.books.layout.support import (
    DARK,
    SQUARE,
    book,
    book_inputs,
    codes,
    dejavu,
    difference,
    make,
    nanum,
    page,
    picture,
    plain_picture,
    raster,
    text_block,
)

BLOCK, COVER, SPREADS = range(3)


def changed(profile: PrintProfile, part: str, **changes) -> PrintProfile:
    return profile.model_copy(update={part: getattr(profile, part).model_copy(update=changes)})


@pytest.fixture(scope="module")
def printed() -> PageResult:
    return make(book())


def opened(result: PageResult, number: int) -> pikepdf.Pdf:
    return pikepdf.open(io.BytesIO(result.files[number].data))


def sizes_mm(box) -> tuple[float, float]:
    left, bottom, right, top = box
    return millimetres(right - left), millimetres(top - bottom)


def test_three_pdfs_are_made_without_an_error(printed):
    assert codes(printed) == []
    assert [file.media_type for file in printed.files] == ["application/pdf"] * 3
    assert [len(opened(printed, number).pages) for number in range(3)] == [24, 1, 13]
    assert printed.values["pages"] == 24
    assert printed.values["trimMm"] == [209.55, 209.55]
    assert printed.values["sheetMm"] == [215.9, 215.9]
    assert set(printed.values["textSha256"]) == {str(number) for number in range(1, 25)}


@pytest.mark.parametrize("name", profiles.load())
def test_boxes_are_those_of_the_profile(name):
    profile = profiles.find(name)
    pages = profile.pages.least
    result = make(book(pages, profile=profile))
    assert [code for code in codes(result) if code != "picture_dpi"] == []
    document = pypdfium2.PdfDocument(result.files[BLOCK].data)
    first = 1 if profile.output.files == "cover_first" else 0
    page_size = (profile.page.width, profile.page.height)
    bleed = profile.page.bleed
    for number in (0, 1):
        sheet = document[first + number]
        left = bleed.inner if number % 2 == 0 else bleed.outer
        assert sizes_mm(sheet.get_trimbox()) == pytest.approx(page_size, abs=0.01)
        assert sheet.get_bleedbox() == sheet.get_mediabox()
        assert millimetres(sheet.get_trimbox()[0]) == pytest.approx(left, abs=0.01)
        assert millimetres(sheet.get_trimbox()[1]) == pytest.approx(bleed.bottom, abs=0.01)
        assert sizes_mm(sheet.get_mediabox()) == pytest.approx(
            (page_size[0] + bleed.inner + bleed.outer, page_size[1] + bleed.top + bleed.bottom), abs=0.01
        )
    cover = pypdfium2.PdfDocument(result.files[COVER].data)[0]
    assert sizes_mm(cover.get_mediabox()) == pytest.approx(result.values["coverMm"], abs=0.01)


def test_the_soft_cover_is_as_wide_as_its_parts():
    profile = profiles.find("kdp-8-5in")
    values = make(book(32, profile=profile)).values
    spine = 32 * 0.0596138
    assert values["spineMm"] == pytest.approx(spine, abs=0.001)
    assert values["coverMm"] == pytest.approx([2 * (215.9 + 3.175) + spine, 215.9 + 6.35], abs=0.001)


def test_the_hard_cover_has_the_sizes_of_the_shops_example():
    """The shop's example for 210 x 280 mm and a spine of 6 mm."""
    gelato = profiles.find("gelato-20cm-hard")
    profile = changed(gelato, "page", width=210, height=280)
    sheet = cover_sheet(profile, 34)
    assert millimetres(sheet.sheet.width) == pytest.approx(468)
    assert millimetres(sheet.sheet.height) == pytest.approx(325)
    assert millimetres(sheet.spine.left) == pytest.approx(231)
    assert millimetres(sheet.front.trim.left) == pytest.approx(245)
    assert millimetres(sheet.back.trim.width) == pytest.approx(203)


def test_one_file_has_the_cover_first():
    result = make(book(24, profile=profiles.find("gelato-20cm-hard")))
    block, cover = (pypdfium2.PdfDocument(result.files[number].data) for number in (BLOCK, COVER))
    assert len(block) == 25
    assert block[0].get_mediabox() == cover[0].get_mediabox() != block[1].get_mediabox()
    assert len(opened(result, SPREADS).pages) == 13


def test_pictures_are_embedded_byte_for_byte(printed):
    inputs = book_inputs()
    for number, sheet in enumerate(opened(printed, BLOCK).pages, 1):
        (image,) = sheet.get_images().values()
        assert image.read_raw_bytes() == inputs[f"picture.{number}"]
    (file,) = [
        each
        for each in pypdfium2.PdfDocument(printed.files[BLOCK].data)[0].get_objects()
        if each.type == raw.FPDF_PAGEOBJ_IMAGE
    ]
    assert file.get_px_size() == (2551, 2551)
    assert file.get_filters() == ["DCTDecode"]


def test_fonts_are_embedded():
    fonts = FontFiles(regular="font.0", bold="font.1")
    block = TextBlock((TextRun("Hello "), TextRun("Mila", True)), style=DARK, accent=DARK)
    pages = tuple(replace(each, blocks=(block,)) for each in book().pages)
    layout = replace(book(fonts=fonts), pages=pages)
    result = make(layout, **{"font.0": dejavu(), "font.1": nanum("NanumGothicBold")})
    found = {}
    for sheet in opened(result, BLOCK).pages:
        for font in sheet.resources.Font.values():
            descriptor = font.DescendantFonts[0].FontDescriptor
            found[str(font.BaseFont).split("+")[1].split("-Identity")[0]] = bool(
                {"/FontFile2", "/FontFile3"} & set(descriptor.keys())
            )
    assert found == {"DejaVuSans": True, "NanumGothicBold": True}


def test_text_is_text(printed):
    document = pypdfium2.PdfDocument(printed.files[BLOCK].data)
    assert document[6].get_textpage().get_text_range().strip() == "This is page 7."


def test_the_same_input_gives_the_same_bytes(printed):
    again = make(book())
    assert [hashlib.sha256(file.data).digest() for file in again.files] == [
        hashlib.sha256(file.data).digest() for file in printed.files
    ]


def test_metadata_is_the_title_alone(printed):
    for number in range(3):
        pdf = opened(printed, number)
        assert dict(pdf.docinfo) == {"/Title": "The Sea"}
        assert "/Metadata" not in pdf.Root
        assert pdf.Root.Lang == "en"
        assert pdf.pdf_version == "1.7"
        assert b"ypst" not in printed.files[number].data


def test_a_spread_is_two_trimmed_pages(printed):
    block, spreads = printed.files[BLOCK].data, printed.files[SPREADS].data
    pair = raster(spreads, 3, 48)
    left, right = raster(block, 5, 48), raster(block, 6, 48)
    assert raster(spreads, 0, 48).size == left.size
    assert abs(pair.width - left.width - right.width) <= 1
    assert difference(pair.crop((0, 0, left.width, left.height)), left) < 1
    assert difference(pair.crop((pair.width - right.width, 0, pair.width, right.height)), right) < 1


def test_the_cover_has_the_back_on_the_left_and_the_front_on_the_right():
    inputs = {"picture.front": plain_picture("#ff0000"), "picture.back": plain_picture("#0000ff")}
    spine = SpineLayout(background="#00ff00")
    shown = raster(make(book(spine=spine), **inputs).files[COVER].data, 0, 72)
    middle = shown.width // 2
    colours = [shown.getpixel((x, 40)) for x in (5, middle - 8, middle, middle + 8, shown.width - 5)]
    near = [tuple(round(level / 255) for level in colour) for colour in colours]
    assert near == [(0, 0, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 0)]


def test_a_thin_spine_has_no_text_and_a_thick_one_has():
    thin = make(book(24))
    assert "The Sea" not in spine_text(thin)
    profile = changed(SQUARE, "cover", spine=profiles.SpineRules(per_page=0.3, text_from_pages=24))
    thick = make(book(24, profile=profile, spine=SpineLayout("Spine words")))
    assert "Spine words" in spine_text(thick)
    assert codes(thick) == []


def spine_text(result: PageResult) -> str:
    sheet = pypdfium2.PdfDocument(result.files[COVER].data)[0]
    middle = sheet.get_width() / 2
    return sheet.get_textpage().get_text_bounded(left=middle - 15, right=middle + 15)


def test_a_long_spine_text_is_made_smaller_or_told():
    profile = changed(SQUARE, "cover", spine=profiles.SpineRules(per_page=0.3, text_from_pages=24))
    long = make(book(24, profile=profile, spine=SpineLayout("A long title of a book " * 4)))
    assert codes(long) == []
    longer = make(book(24, profile=profile, spine=SpineLayout("A long title of a book " * 12)))
    assert codes(longer) == ["spine_text"]
    assert longer.files == ()


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"picture.3": b""}, "picture_unusable"),
        ({"picture.3": b"\xff\xd8\xff\xe0 broken"}, "picture_unusable"),
    ],
)
def test_an_unusable_picture_stops_the_print_files(inputs, code):
    result = make(book(), **inputs)
    assert result.files == ()
    (finding,) = result.values["findings"]
    assert (finding["code"], finding["page"], finding["level"]) == (code, 3, "error")


def test_a_missing_picture_stops_the_print_files():
    layout = book()
    pages = (*layout.pages[:2], PageLayout(3, "picture.none"), *layout.pages[3:])
    result = make(replace(layout, pages=pages))
    assert result.files == ()
    assert codes(result) == ["picture_missing"]


def test_a_short_book_is_filled():
    fill = (
        page(text_block("A title"), number=0, kind="title", picture=None, before=True),
        page(text_block("For you"), number=0, kind="dedication", picture=None, before=True),
        page(text_block("The end"), number=0, kind="end", picture=None),
        page(number=0, kind="blank", picture=None),
    )
    result = make(book(20, fill=fill))
    assert codes(result) == []
    document = pypdfium2.PdfDocument(result.files[BLOCK].data)
    texts = [document[number].get_textpage().get_text_range().strip() for number in range(24)]
    assert texts[:3] == ["A title", "For you", "This is page 1."]
    assert texts[-3:] == ["This is page 20.", "The end", ""]


def test_a_blurred_shadow_is_a_picture_beneath_and_a_sharp_one_is_text():
    def images_and_text(shadow: Shadow) -> tuple[int, str]:
        block = text_block("Hello", style=TextStyle(size=30, shadow=shadow))
        layout = book()
        pages = (replace(layout.pages[0], blocks=(block,)), *layout.pages[1:])
        result = make(replace(layout, pages=pages))
        text = pypdfium2.PdfDocument(result.files[BLOCK].data)[0].get_textpage().get_text_range()
        with opened(result, BLOCK) as pdf:
            return len(pdf.pages[0].get_images()), text.replace("\r\n", " ").strip()

    assert images_and_text(Shadow(blur=4)) == (2, "Hello")
    count, text = images_and_text(Shadow(x=2, y=2))
    assert count == 1
    assert "Hello" in text


@cache
def press_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


X4 = changed(SQUARE, "output", standard="pdf-x-4", condition="FOGRA51")


def test_pdf_x_4_has_an_output_intent_and_states_what_it_is():
    layout = book(profile=X4, made_at=1_793_000_000)
    result = make(layout, icc=press_profile())
    assert codes(result) == []
    for number in (BLOCK, COVER):
        pdf = opened(result, number)
        (intent,) = pdf.Root.OutputIntents
        assert intent.S == pikepdf.Name.GTS_PDFX
        assert intent.OutputConditionIdentifier == "FOGRA51"
        assert intent.DestOutputProfile.read_bytes() == press_profile()
        assert pdf.pdf_version == "1.6"
        assert b"<pdfxid:GTS_PDFXVersion>PDF/X-4</pdfxid:GTS_PDFXVersion>" in pdf.Root.Metadata.read_bytes()
        assert pdf.docinfo["/Trapped"] == pikepdf.Name.False_
        assert pdf.docinfo["/CreationDate"] == "D:20261026073320Z"
        assert "/ID" in pdf.trailer
        for sheet in pdf.pages:
            assert sheet.resources.ColorSpace.DefaultRGB[0] == pikepdf.Name.ICCBased
            assert {"/TrimBox", "/BleedBox", "/MediaBox"} <= set(sheet.obj.keys())
    assert make(layout, icc=press_profile()).files == result.files


@pytest.mark.parametrize("inputs", [{}, {"icc": b"no profile"}])
def test_pdf_x_4_without_a_profile_of_the_press_is_told(inputs):
    result = make(book(profile=X4), **inputs)
    assert codes(result) == ["output_intent"]
    assert result.files == ()


def test_left_and_right_pages_show_the_same_part_of_a_picture():
    """A shop without bleed at the spine cuts the inner side; the trimmed page stays the same."""
    profile = profiles.find("kdp-8-5in")
    one = picture(5)
    result = make(book(24, profile=profile), **{"picture.1": one, "picture.2": one})
    data = result.files[BLOCK].data
    first, second = raster(data, 0, 48), raster(data, 1, 48)
    top = (0, 0, first.width, first.height // 2)
    assert difference(first.crop(top), second.crop(top)) < 1.5
    assert page_sheet(profile, is_right=True).trim.left == 0


def test_grey_jpegs_are_taken():
    file = io.BytesIO()
    Image.new("L", (2551, 2551), 200).save(file, "JPEG")
    result = make(book(), **{"picture.2": file.getvalue()})
    assert codes(result) == []
    assert raster(result.files[BLOCK].data, 1, 24).getpixel((20, 20)) == pytest.approx((200, 200, 200), abs=2)


def test_outlined_text_has_its_line_beneath():
    style = TextStyle(size=60, colour="#000000", outline=Outline(width=4, colour="#ff0000"))
    layout = book()
    pages = (
        replace(layout.pages[0], picture="plain", blocks=(text_block("I", style=style),)),
        *layout.pages[1:],
    )
    result = make(replace(layout, pages=pages), plain=plain_picture("#ffffff"))
    shown = raster(result.files[BLOCK].data, 0, 96)
    _, top, _, bottom = shown.convert("L").point(lambda level: 255 * (level < 60)).getbbox()
    row = [shown.getpixel((x, (top + bottom) // 2)) for x in range(shown.width)]
    black = [x for x, colour in enumerate(row) if max(colour) < 40]
    red = [x for x, colour in enumerate(row) if colour[0] > 200 and max(colour[1:]) < 40]
    # The line of 4 points is whole on both sides of the stem, so the stem keeps its width.
    assert [sum(x < black[0] for x in red), sum(x > black[-1] for x in red)] == [
        pytest.approx(4.5, abs=1)
    ] * 2
    assert black[-1] - black[0] == pytest.approx(7, abs=2)


def test_profiles_have_a_date():
    assert SQUARE.dated >= date(2026, 1, 1)
