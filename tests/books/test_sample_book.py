"""The sample book that the package brings."""

from io import BytesIO

import pytest
from PIL import Image

from imagemill.products.books.book_catalogue import SAMPLE_FOLDER, BookCatalogue, write_problem
from imagemill.products.books.book_checks import check_folder, illustrations, text_layers
from imagemill.products.books.book_manifest import Page
from imagemill.products.books.texts import Child, Gender, fill_plain
from tools.sample_book import story
from tools.sample_book.manifest import manifest as written_manifest

SAMPLE = SAMPLE_FOLDER / story.SLUG
BOOK = BookCatalogue([]).get(story.SLUG)
MOST_BYTES = 8 * 2**20


def kind(page: Page) -> str:
    face, text = bool(BOOK.manifest.faces(page)), bool(page.text_layers)
    return {(True, True): "both", (True, False): "face", (False, True): "text", (False, False): "neither"}[
        face, text
    ]


def test_it_has_no_problems_and_no_warnings():
    (check,) = check_folder(SAMPLE)
    assert [write_problem(each) for each in (*check.problems, *check.warnings)] == []


def test_it_has_24_pages_of_four_kinds_and_10_with_a_face():
    kinds = [kind(page) for page in BOOK.manifest.pages]
    assert len(kinds) == 24
    assert set(kinds) == {"both", "face", "text", "neither"}
    assert sum(each in {"both", "face"} for each in kinds) == 10


def test_three_pages_of_the_preview_have_a_face():
    faces = [page.page_num for page in BOOK.manifest.preview_pages if BOOK.manifest.faces(page)]
    assert faces == [1, 4, 7]
    assert len(BOOK.manifest.preview_pages) == 4


def test_it_has_title_dedication_and_end():
    assert [page.kind for page in BOOK.manifest.fill] == ["title", "dedication", "end", "blank"]
    assert BOOK.manifest.covers.spine.text


def test_the_reference_sheet_shows_the_hero_three_times():
    faces = BOOK.manifest.faces(BOOK.manifest.reference)
    assert [each.id for each in faces] == ["hero"] * 3
    assert all(each.box for each in faces)


def test_pictures_have_print_size_and_are_small_files():
    pictures = [each for each in BOOK.files.values() if each.pixels]
    assert {each.pixels for each in pictures} == {(2551, 2551)}
    assert len(pictures) == 30
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= MOST_BYTES


def test_its_manifest_is_that_of_the_drawings():
    """If it fails, run: python -m tools.sample_book"""
    assert (SAMPLE / "book.toml").read_text(encoding="utf-8") == written_manifest()


@pytest.mark.parametrize("language", BOOK.manifest.languages)
def test_each_text_reads_well_for_each_child(language: str):
    for child in (Child("Max", 1, Gender.BOY), Child("Оксана", 4, Gender.GIRL), Child("Kim", 12)):
        for _, layer in text_layers(BOOK.manifest):
            text = fill_plain(layer.text[language], child, language)
            assert "{" not in text
            assert "  " not in text
            assert len(text) < 260


def test_texts_differ_from_the_picture_beneath():
    """The contrast is that of the WCAG, at least 4.5 in the bands where texts are laid."""
    for page in BOOK.manifest.pages:
        for layer in page.text_layers:
            with Image.open(BytesIO(BOOK.read(page.base))) as picture:
                grey = picture.convert("L").resize((100, 100))
            band = (12, 8, 88, 22) if layer.position.startswith("top") else (12, 81, 88, 92)
            text = Image.new("RGB", (1, 1), layer.colour or BOOK.manifest.typography.body.colour)
            ink = luminance(text.convert("L").tobytes()[0])
            for value in spread(grey.crop(band)):
                dark, light = sorted((ink, luminance(value)))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (page.page_num, value)


def luminance(grey: int) -> float:
    share = grey / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def spread(grey: Image.Image) -> tuple[int, int]:
    """The brightness that 2 and 98 of 100 pixels stay below."""
    values = sorted(grey.tobytes())
    return values[len(values) // 50], values[-len(values) // 50]


def test_a_face_has_skin_at_its_box_and_none_around():
    for place, illustration in illustrations(BOOK.manifest):
        for each in BOOK.manifest.faces(illustration):
            assert each.box is not None
            with Image.open(BytesIO(BOOK.read(illustration.base))) as picture:
                small = picture.convert("RGB").resize((1000, 1000))
            middle = (each.box.x + each.box.width * 0.4) * 1000, (each.box.y + each.box.height * 0.62) * 1000
            assert is_skin(small, middle), place
            for across in (-0.08, 1.08):
                hair = (
                    (each.box.x + each.box.width * across) * 1000,
                    (each.box.y + each.box.height * 0.3) * 1000,
                )
                assert not is_skin(small, hair), place


def is_skin(picture: Image.Image, at: tuple[float, float]) -> bool:
    pixel = picture.getpixel((int(at[0]), int(at[1])))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    return red > 170 and red > green + 15 > blue + 15


def test_the_folder_has_nothing_else():
    assert {path.name for path in SAMPLE_FOLDER.iterdir()} == {story.SLUG, "photo.jpg"}
    assert {path.name for path in SAMPLE.iterdir()} == {
        "book.toml",
        *(f"{scene}.webp" for scene in story.SCENES),
    }
