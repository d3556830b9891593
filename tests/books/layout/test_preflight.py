"""The preflight: each finding where it belongs, and none where nothing is wrong."""

from dataclasses import replace

import pytest

from imagemill.products.books.book_manifest import Box, Outline, Shadow, TextStyle
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.findings import MOST_LISTED, FindingCode, PrintFinding, findings_values
from imagemill.products.books.layout.page_layouts import FontFiles, TextBlock, TextRun
from tests.books.layout.support import (
    DARK,
    SQUARE,
    codes,
    dejavu,
    lay,
    page,
    picture,
    plain_picture,
    text_block,
)

WHITE = TextStyle(size=20, colour="#ffffff")


def levels(result) -> list[tuple[str, str]]:
    return [(finding["code"], finding["level"]) for finding in result.values["findings"]]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [(2551, []), (2550, []), (2400, [("picture_dpi", "warning")]), (1600, [("picture_dpi", "error")])],
)
def test_the_resolution_is_that_in_print(pixels, expected):
    result = lay(page(text_block("Hello")), inputs={"picture": picture(0, (pixels, pixels))})
    assert levels(result) == expected


def test_the_remedy_of_a_small_picture_is_its_size():
    result = lay(page(), inputs={"picture": picture(0, (1275, 1275))})
    (finding,) = result.values["findings"]
    assert finding["message"] == "the picture has 150 dpi at its size in print; 300 are wanted"
    assert finding["remedy"] == "make the picture 2550 pixels wide or larger"
    assert (finding["place"], finding["page"]) == ("page 1", 1)


def test_a_picture_of_another_ratio_is_cropped_and_told():
    assert codes(lay(page(), inputs={"picture": picture(0, (4000, 2551))})) == ["picture_cropped"]
    assert codes(lay(page(), inputs={"picture": picture(0, (2590, 2551))})) == []


def test_a_finding_about_a_text_says_where_on_the_page_it_is():
    result = lay(page(text_block("Hello", offset=(0, 45))))
    box = next(each["box"] for each in result.values["findings"] if each["code"] == "text_outside")
    assert box["y"] > 0.9
    assert box["y"] + box["height"] <= 1
    assert 0 < box["x"] < 0.5 < box["x"] + box["width"] < 1


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ((0, 0), []),
        ((0, -30), []),
        ((0, 10), ["text_outside"]),
        ((0, 60), ["text_outside"]),
        ((-400, 0), ["text_outside"]),
    ],
)
def test_text_outside_of_the_safe_zone_is_an_error(offset, expected):
    result = lay(page(text_block("Hello", offset=offset)))
    assert codes(result) == expected


def test_text_at_the_cut_says_so():
    (finding,) = lay(page(text_block("Hello", offset=(0, 45)))).values["findings"]
    assert finding["message"] == "the text at the bottom center is cut off at the edge"


def test_too_much_text_overflows():
    result = lay(page(text_block("many words " * 400)))
    assert ("text_overflow", "error") in levels(result)
    result = lay(page(text_block("Unbreakable", width=0.08, style=TextStyle(size=30))))
    assert ("text_overflow", "error") in levels(result)


def test_a_single_word_on_the_last_line_is_told_where_it_cannot_be_helped():
    words = text_block("Extraordinarily extraordinary", width=0.4, style=TextStyle(size=30))
    assert codes(lay(page(words))) == ["text_widow"]
    assert codes(lay(page(text_block("two short words on lines", width=0.4, style=TextStyle(size=30))))) == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [(12, []), (9, [("text_small", "warning")]), (6, [("text_small", "error")])],
)
def test_small_text_is_told(size, expected):
    assert levels(lay(page(text_block("Hello", style=TextStyle(size=size, colour="#000000"))))) == expected


def test_a_small_accent_is_told():
    block = TextBlock((TextRun("A "), TextRun("b", True)), style=DARK, accent=TextStyle(size=6))
    assert levels(lay(page(block))) == [("text_small", "error")]


@pytest.mark.parametrize(
    ("ground", "style", "expected"),
    [
        ("#101010", WHITE, []),
        ("#ffffff", DARK, []),
        ("#ffffff", WHITE, [("text_contrast", "error")]),
        ("#c0c0c0", WHITE, [("text_contrast", "warning")]),
        ("#ffffff", WHITE.model_copy(update={"outline": Outline(width=1, colour="#202020")}), []),
        ("#a0a0a0", WHITE, [("text_contrast", "warning")]),
        ("#a0a0a0", WHITE.model_copy(update={"shadow": Shadow(x=0, y=0, blur=3, colour="#000000")}), []),
        # 3.9 to 1: enough for large text only
        ("#ffffff", TextStyle(size=20, colour="#808080"), []),
        ("#ffffff", TextStyle(size=14, colour="#808080"), [("text_contrast", "warning")]),
    ],
)
def test_contrast_is_measured_against_what_lies_beneath(ground, style, expected):
    result = lay(page(text_block("Hello", style=style)), inputs={"picture": plain_picture(ground)})
    assert levels(result) == expected


def test_contrast_on_an_empty_page_is_against_its_background():
    assert codes(lay(page(text_block("Hi", style=WHITE), picture=None, background="#203040"))) == []
    assert codes(lay(page(text_block("Hi", style=WHITE), picture=None))) == ["text_contrast"]


def test_overlapping_texts_are_told():
    result = lay(page(text_block("One text"), text_block("Other text")))
    assert levels(result) == [("text_overlap", "warning")]


def test_text_on_a_face_is_told():
    face = Box(x=0.4, y=0.8, width=0.2, height=0.2)
    text = text_block("A text at the foot of the page")
    assert codes(lay(page(text, faces=(face,)))) == ["text_on_face"]
    assert codes(lay(page(text, faces=(Box(x=0.4, y=0.1, width=0.2, height=0.2),)))) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Mila 😀", "the font has no glyph for GRINNING FACE (U+1F600)"),
        ("小明 is here", "the font has no glyph for 2 letters (Cjk)"),
        ("\x01", "the font has no glyph for a character (U+0001)"),
    ],
)
def test_a_missing_glyph_is_told_without_the_name(text, message):
    (finding,) = lay(page(text_block(text))).values["findings"]
    assert (finding["code"], finding["level"]) == ("glyph_missing", "error")
    assert finding["message"] == message


def test_findings_cite_no_text():
    blocks = (text_block("Xenia Zweistein 漢字 " * 90), text_block("Xenia \u202e", style=WHITE))
    found = str(lay(page(*blocks)).values)
    assert len(lay(page(*blocks)).values["findings"]) >= 4
    assert not any(part in found for part in ("Xenia", "Zweistein", "漢", "字"))


def test_invisible_characters_are_told():
    (finding,) = lay(page(text_block("Mi\u202ela\u200b"))).values["findings"]
    assert (finding["code"], finding["level"]) == ("text_invisible", "warning")
    assert "RIGHT-TO-LEFT OVERRIDE (U+202E)" in finding["message"]


def test_an_unusable_font_is_told_and_replaced():
    result = lay(page(text_block("Hello")), fonts=FontFiles(regular="font.0"), inputs={"font.0": b"no font"})
    assert levels(result) == [("font_unusable", "error")]
    assert codes(lay(page(text_block("Hello")), fonts=FontFiles("No Such Family"))) == ["font_unusable"]
    named = FontFiles("any name", "font.0")
    assert codes(lay(page(text_block("Hello")), fonts=named, inputs={"font.0": dejavu()})) == []


def test_the_barcode_stays_free():
    kdp = profiles.find("kdp-8-5in")
    inputs = {"picture": picture(0, (2625, 2625))}
    low = page(text_block("A blurb", "bottom-right"), kind="back", number=0)
    assert levels(lay(low, kdp, inputs=inputs)) == [("barcode_covered", "error")]
    assert (
        codes(lay(page(text_block("A blurb", "top-right"), kind="back", number=0), kdp, inputs=inputs)) == []
    )
    assert codes(lay(low)) == []


def test_a_shop_without_transparency_is_told_of_blurred_shadows():
    kdp = profiles.find("kdp-8-5in")
    inputs = {"picture": plain_picture("#202020", (2625, 2625))}
    blurred = WHITE.model_copy(update={"shadow": Shadow(blur=3)})
    assert levels(lay(page(text_block("Hi", style=blurred)), kdp, inputs=inputs)) == [
        ("transparency", "warning")
    ]
    sharp = WHITE.model_copy(update={"shadow": Shadow(x=1, y=1)})
    assert codes(lay(page(text_block("Hi", style=sharp)), kdp, inputs=inputs)) == []


def test_many_findings_are_cut_and_errors_go_first():
    finding = PrintFinding("page 1", 1, "warning", FindingCode.TEXT_WIDOW, "m", "r")
    values = findings_values([*[finding] * MOST_LISTED, replace(finding, level="error")])
    assert values["findings"][0]["level"] == "error"
    assert (len(values["findings"]), values["moreFindings"]) == (MOST_LISTED, 1)


def test_a_page_of_any_kind_is_named():
    names = [
        page(kind=kind, number=0).name for kind in ("title", "dedication", "end", "blank", "front", "back")
    ]
    assert len(set(names)) == 6
    assert page(number=7).name == "page 7"
    assert SQUARE.slug == "square-8-25in"
