"""Pages: one layout for the preview and for print, in several scripts, with any text."""

import pickle
from dataclasses import replace
from typing import get_args

import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagemill.products.books.book_manifest import (
    Fonts,
    Outline,
    Position,
    Shadow,
    TextLayer,
    TextStyle,
    Typography,
)
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.frames import page_sheet, side_sheet
from imagemill.products.books.layout.page_layouts import (
    BUILT_IN_FONTS,
    FontFiles,
    TextBlock,
    TextRun,
    lay_blocks,
    text_sha256,
)
from imagemill.products.books.layout.typesetter import TextSheet, open_typesetter
from imagemill.products.books.layout.works import LayPage
from tests.books.layout.support import (
    DARK,
    SQUARE,
    book,
    book_inputs,
    codes,
    decoded,
    dejavu,
    difference,
    lay,
    make,
    nanum,
    page,
    plain_picture,
    raster,
    text_block,
)

PLACES = get_args(Position)


def extracted(text: TextBlock, fonts: FontFiles = BUILT_IN_FONTS, **inputs: bytes) -> str:
    """The text of a laid page as a second library reads it."""
    sheet = page_sheet(SQUARE)
    with open_typesetter(fonts, inputs, "en") as setter:
        blocks = tuple(setter.measure([(text, sheet.frames[0])]))
        pdf, _ = setter.lay([TextSheet(sheet.width, sheet.height, blocks)])
    return pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_range().replace("\u2060", "")


def test_the_preview_is_a_jpeg_of_the_trimmed_page():
    result = lay(page(text_block("Once upon a time")))
    assert result.files[0].media_type == "image/jpeg"
    assert decoded(result.files[0].data).size == (1080, 1080)
    assert result.values["findings"] == []


def test_the_preview_equals_the_printed_page():
    style = TextStyle(size=22, colour="#101018", shadow=Shadow(x=0, y=0, blur=5, colour="#ffffff"))
    accent = TextStyle(size=24, colour="#7a0020", outline=Outline(width=1))
    block = TextBlock(
        (TextRun("The sea sang to "), TextRun("Юрко", True), TextRun(" all night long.")),
        "bottom-center",
        0.7,
        style=style,
        accent=accent,
    )
    layout = book()
    pages = (*layout.pages[:6], page(block, number=7, picture="picture.7"), *layout.pages[7:])
    printed = make(replace(layout, pages=pages))
    preview = LayPage(pages[6], SQUARE, preview_px=792)(book_inputs())
    shown = decoded(preview.files[0].data)
    assert difference(shown, raster(printed.files[0].data, 6)) < 1


@pytest.mark.parametrize("name", profiles.load())
def test_all_positions_fit_in_every_profile(name):
    profile = profiles.find(name)
    blocks = [
        text_block(place, place, width=0.3, style=TextStyle(size=14, outline=Outline())) for place in PLACES
    ]
    for kind in ("page", "front", "back"):
        result = lay(page(*blocks, kind=kind), profile)
        barcode = ["barcode_covered"] if kind == "back" and profile.cover.barcode else []
        assert [code for code in codes(result) if code != "picture_dpi"] == barcode
        assert decoded(result.files[0].data).width == pytest.approx(1080 * side_ratio(profile, kind), abs=1)


def side_ratio(profile, kind):
    trim = side_sheet(profile, kind).trim
    return min(1.0, trim.width / trim.height)


@pytest.mark.parametrize("place", PLACES)
def test_a_position_is_where_the_ink_is(place):
    """The dark letters on a white page are in the named third of it."""
    shown = lay(page(text_block("ink", place, width=0.3)), inputs={"picture": plain_picture("#ffffff")})
    left, top, right, bottom = (
        decoded(shown.files[0].data).convert("L").point(lambda level: 255 * (level < 120)).getbbox()
    )
    row, _, column = place.partition("-")
    thirds = {"top": 0, "left": 0, "middle": 1, "center": 1, "bottom": 2, "right": 2}
    assert ((top + bottom) / 2) // 360 == thirds[row]
    assert ((left + right) / 2) // 360 == thirds[column]


@pytest.mark.parametrize(
    ("text", "direction", "fonts"),
    [
        ("Їжачок та ґава їли кавун", "ltr", BUILT_IN_FONTS),
        ("كان يا ما كان في قديم الزمان", "rtl", FontFiles(regular="font.0", bold="font.1")),
        ("옛날 옛적에 바다 마을에", "ltr", FontFiles(regular="font.2")),
    ],
)
def test_scripts_are_set_in_the_given_fonts(text, direction, fonts):
    inputs = {"font.0": dejavu(), "font.1": dejavu("DejaVuSans-Bold"), "font.2": nanum()}
    block = text_block(text, direction=direction)
    assert codes(lay(page(block), fonts=fonts, inputs=inputs)) == []
    assert sorted(extracted(block, fonts, **inputs).split()) == sorted(text.split())


def test_no_line_ends_within_a_korean_word():
    words = ["바닷가마을에", "민준이가살았어요", "노래를불렀습니다"]
    fonts = FontFiles(regular="font.0")
    runs = (TextRun(f"{words[0]} {words[1][:2]}"), TextRun(f"{words[1][2:]} {words[2]}", True))
    found = extracted(TextBlock(runs, width=0.3, style=DARK, accent=DARK), fonts, **{"font.0": nanum()})
    assert found.split() == words
    assert len(found.splitlines()) > 1


def test_arabic_letters_are_joined():
    """Joined letters have other forms than single ones, so the word is narrower than its letters apart."""
    fonts = FontFiles(regular="font.0")
    with open_typesetter(fonts, {"font.0": dejavu()}, "ar") as setter:
        frame = page_sheet(SQUARE).frames[0]
        joined, apart = setter.measure(
            [
                (text_block("ببببب", "top-right", direction="rtl"), frame),
                (text_block("ب\u200cب\u200cب\u200cب\u200cب", "top-right", direction="rtl"), frame),
            ]
        )
    assert joined.ink_box.width < 0.8 * apart.ink_box.width


@pytest.mark.parametrize("place", ["top-left", "middle-center", "bottom-right"])
@pytest.mark.parametrize(
    ("text", "direction", "language"),
    [
        ("Once upon a time there was a house by the sea, and in it lived a child", "ltr", "en"),
        ("كان يا ما كان في قديم الزمان بيت قرب البحر وفيه طفل صغير", "rtl", "ar"),
    ],
)
def test_letters_are_printed_where_they_were_measured(place, text, direction, language):
    block = text_block(text, place, width=0.4, direction=direction)
    fonts, inputs = FontFiles(regular="font.0"), {"font.0": dejavu(), "picture": plain_picture("#ffffff")}
    sheet = page_sheet(SQUARE)
    with open_typesetter(fonts, inputs, language) as setter:
        (measured,) = setter.measure([(block, sheet.frames[0])])
    px = 1188
    shown = decoded(
        lay(page(block), fonts=fonts, inputs=inputs, language=language, preview_px=px).files[0].data
    )
    found = shown.convert("L").point(lambda level: 255 * (level < 128)).getbbox()
    scale = px / sheet.trim.width
    ink = measured.ink_box.move(-sheet.trim.left, -sheet.trim.top)
    expected = [edge * scale for edge in (ink.left, ink.top, ink.right, ink.bottom)]
    assert found == pytest.approx(expected, abs=3)
    assert measured.lines > 1


def test_lines_are_about_equally_long():
    text = "Among the flowers something glows, and something sniffles. I want to go home, whispers the star."
    first, *rest = extracted(text_block(text, width=0.9)).splitlines()
    assert len(rest) == 1
    assert abs(len(first) - len(rest[0])) < 15


HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            [*"#*$_`\\\"'{}[]()<>@=/~-+", "\u202e", "\u200b", "\ufeff", "\n", "\r", "😀", "\u2028"]
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=200,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE)
def test_any_name_is_set_as_text_or_is_a_finding(name):
    """Nothing in it is markup: it neither fails nor reaches a file, and what has no letter is told."""
    sheet = page_sheet(SQUARE)
    block = text_block(f"Dear {name}!", style=TextStyle(size=12))
    with open_typesetter(BUILT_IN_FONTS, {}, "en") as setter:
        blocks = tuple(setter.measure([(block, sheet.frames[0])]))
        pdf, missing = setter.lay([TextSheet(sheet.width, sheet.height, blocks)])
    text = pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_range()
    assert text.lstrip().startswith("Dear")
    assert missing <= set(name)
    plain = [letter for letter in name if letter.isascii() and letter.isalnum()]
    assert all(letter in text for letter in plain)


@pytest.mark.parametrize(
    "name",
    [
        '#read("/etc/passwd")',
        '#import "@preview/cetz:0.2.0"',
        "*bold* _it_ $x^2$ `raw`",
        '"; panic() //',
        "#set page(fill: red)",
        "\\u{41} \\ ~ --",
        "<label> @ref",
    ],
)
def test_markup_in_a_name_stays_text(name):
    found = extracted(text_block(f"Dear {name}"))
    assert found.split() == ["Dear", *name.split()]


def test_a_name_of_200_letters_is_told():
    result = lay(page(text_block("A" * 200)))
    assert "text_overflow" in codes(result)


def test_the_last_line_gets_a_second_word():
    sheet = page_sheet(SQUARE)
    words = [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ]
    with open_typesetter(BUILT_IN_FONTS, {}, "en") as setter:
        for count in range(3, len(words) + 1):
            block = text_block(" ".join(words[:count]), width=0.4)
            (measured,) = setter.measure([(block, sheet.frames[0])])
            assert not measured.has_widow


def test_an_outline_and_tall_accents_stay_in_the_safe_area():
    style = TextStyle(size=18, outline=Outline(width=3))
    accent = TextStyle(size=40)
    block = TextBlock((TextRun("A "), TextRun("Big", True)), "top-left", style=style, accent=accent)
    assert codes(lay(page(block))) == []


def test_a_work_survives_pickling():
    work = LayPage(page(text_block("Hello")), SQUARE)
    assert pickle.loads(pickle.dumps(work)) == work


def test_layers_are_resolved():
    typography = Typography(
        fonts=Fonts(), body=TextStyle(size=18), accent=TextStyle(size=27, colour="#aa0000")
    )
    layer = TextLayer(text={"en": "x"}, position="top-left", width=0.5, size=36, outline=Outline(width=2))
    (block,) = lay_blocks([layer], [[("Hello ", False), ("Юрко", True)]], typography)
    assert block.runs == (TextRun("Hello "), TextRun("Юрко", True))
    assert (block.style.size, block.accent.size) == (36, 54)
    assert block.accent.colour == "#aa0000"
    assert block.accent.outline == Outline(width=2)
    whole = TextLayer(text={"en": "x"}, style="accent", colour="#00aa00")
    (block,) = lay_blocks([whole], [[("Hello", False)]], typography)
    assert block.runs == (TextRun("Hello", True),)
    assert (block.style.size, block.style.colour, block.accent) == (27, "#00aa00", block.style)


def test_the_hash_of_a_text_is_stable():
    """An approval record holds it, so it must not change from release to release."""
    block = TextBlock(
        (TextRun("Hello "), TextRun("Юрко", True)),
        "top-left",
        0.5,
        (1.0, -2.0),
        TextStyle(size=22, shadow=Shadow(blur=2)),
        TextStyle(size=24, outline=Outline()),
    )
    fonts = FontFiles(regular="font.0")
    found = text_sha256(page(block), fonts, {"font.0": b"a font"})
    assert found[:12] == "ec1ab65dcea7"
    assert found == lay(page(block), fonts=fonts, inputs={"font.0": b"a font"}).values["textSha256"]


@pytest.mark.parametrize(
    "change",
    [
        {"runs": (TextRun("hello"),)},
        {"position": "top-left"},
        {"width": 0.9},
        {"offset": (0.0, 1.0)},
        {"style": TextStyle(size=21)},
        {"accent": TextStyle(size=21)},
        {"direction": "rtl"},
    ],
)
def test_the_hash_follows_every_part_of_a_text(change):
    block = {"runs": (TextRun("Hello"),), "style": DARK, "accent": DARK}
    first, second = TextBlock(**block), TextBlock(**{**block, **change})
    hashes = {text_sha256(page(each), BUILT_IN_FONTS, {}) for each in (first, second)}
    assert len(hashes) == 2


def test_the_hash_follows_the_fonts():
    block = page(text_block("Hello"))
    fonts = FontFiles(regular="font.0")
    hashes = {text_sha256(block, fonts, {"font.0": data}) for data in (b"one", b"other")}
    assert len({*hashes, text_sha256(block, BUILT_IN_FONTS, {})}) == 3


def test_half_of_a_surrogate_pair_does_no_harm():
    assert codes(lay(page(text_block("Dear \ud83d!")))) == []
