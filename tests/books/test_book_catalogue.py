"""The catalogue reads books, checks them, and notices changes."""

import json
import os
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.products.books.book_catalogue import BookCatalogue, write_problem
from imagemill.products.books.book_checks import check_folder, read_folder
from tests.books.folders import PICTURE, Manifest, manifest, picture, touch_later, write


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def catalogue(folder: Path, clock: Clock | None = None, *, sample: bool = False) -> BookCatalogue:
    return BookCatalogue([folder], sample=sample, clock=clock or Clock())


def problems(folder: Path) -> list[str]:
    return [write_problem(each) for each in read_folder(folder, folder.name).problems]


def test_a_book_is_read_with_its_files(tmp_path: Path):
    write(tmp_path / "moon")
    books = catalogue(tmp_path)
    book = books.get("moon")
    assert [each.slug for each in books.books()] == ["moon"]
    assert book.manifest.title["uk"] == "Місяць"
    assert book.read("page.png") == PICTURE
    assert book.files["page.png"].pixels == (1700, 1700)
    assert books.problems() == {}


def test_a_toml_manifest_is_read_like_a_json_one(tmp_path: Path):
    text = """
slug = "sun"
title.en = "Sun"
languages = ["en"]
characters = [{ id = "hero" }]
reference.base = "sheet.png"
covers.front.base = "page.png"
covers.back.base = "page.png"
[[pages]]
page_num = 1
base = "page.png"
"""
    write(tmp_path / "sun", text)
    assert catalogue(tmp_path).get("sun").manifest.pages[0].base == "page.png"


@pytest.mark.parametrize("slug", ["moon2", "../moon", "", "MOON", "moon/", "moon\0", "a" * 500])
def test_a_book_that_does_not_exist(tmp_path: Path, slug: str):
    write(tmp_path / "moon")
    with pytest.raises(NotFound, match="does not exist"):
        catalogue(tmp_path).get(slug)


def test_only_files_that_the_manifest_names_are_read(tmp_path: Path):
    folder = write(tmp_path / "moon")
    (folder / "notes.txt").write_text("secret")
    book = catalogue(tmp_path).get("moon")
    for path in ("notes.txt", "../moon/page.png", "/etc/passwd", "book.json", "./page.png"):
        with pytest.raises(NotFound, match="names no file"):
            book.read(path)


def test_the_digest_changes_with_the_manifest_and_with_each_file(tmp_path: Path):
    folder = write(tmp_path / "moon")
    first = read_folder(folder, "moon").digest
    assert read_folder(folder, "moon").digest == first
    (folder / "sheet.png").write_bytes(picture(colour="#112233"))
    second = read_folder(folder, "moon").digest
    write(folder, change=lambda book: book["title"].update(en="The moon"))
    assert len({first, second, read_folder(folder, "moon").digest}) == 3


def test_a_file_that_has_changed_is_not_read_as_the_old_one(tmp_path: Path):
    folder = write(tmp_path / "moon")
    book = catalogue(tmp_path).get("moon")
    (folder / "page.png").write_bytes(picture(colour="#112233"))
    with pytest.raises(Conflict, match=r"page\.png of the book moon"):
        book.read("page.png")
    (folder / "page.png").unlink()
    with pytest.raises(Conflict, match="does not exist"):
        book.read("page.png")


def test_a_change_is_noticed_after_a_second_without_a_restart(tmp_path: Path):
    clock = Clock()
    folder = write(tmp_path / "moon")
    books = catalogue(tmp_path, clock)
    first = books.get("moon")
    touch_later(folder / "page.png", picture(colour="#112233"))
    clock.now += 0.5
    assert books.get("moon") is first
    clock.now += 1
    second = books.get("moon")
    assert second.digest != first.digest
    assert second.read("page.png") == picture(colour="#112233")
    clock.now += 5
    assert books.get("moon") is second


def test_a_new_book_appears_and_a_deleted_one_goes(tmp_path: Path):
    clock = Clock()
    folder = write(tmp_path / "moon")
    books = catalogue(tmp_path, clock)
    assert len(books.books()) == 1
    write(tmp_path / "star")
    (folder / "book.json").unlink()
    clock.now += 60
    assert [each.slug for each in books.books()] == ["star"]
    with pytest.raises(NotFound):
        books.get("moon")


def test_a_broken_change_keeps_the_last_good_version(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    clock = Clock()
    folder = write(tmp_path / "moon")
    good = (folder / "book.json").read_text()
    books = catalogue(tmp_path, clock)
    first = books.get("moon")
    touch_later(folder / "book.json", good.replace('"pages": [', '"pages": [7, '))
    clock.now += 60
    assert books.get("moon") is first
    assert [each.path for each in books.problems()["moon"]] == ["pages[0]"]
    assert "book moon has 1 problems, so its last good version stays: pages[0]" in caplog.text
    touch_later(folder / "book.json", good, step=2)
    clock.now += 60
    assert books.get("moon").digest == first.digest
    assert books.problems() == {}


def test_a_book_that_was_never_good_is_not_offered(tmp_path: Path):
    clock = Clock()
    folder = write(tmp_path / "moon")
    (folder / "page.png").unlink()
    books = catalogue(tmp_path, clock)
    assert books.books() == ()
    with pytest.raises(NotFound, match="the book moon has problems; `imagemill books check` lists them"):
        books.get("moon")
    touch_later(folder / "page.png", PICTURE)
    clock.now += 60
    assert books.get("moon").slug == "moon"


def test_of_two_folders_the_first_counts_and_the_sample_is_there(tmp_path: Path):
    write(tmp_path / "a" / "moon", change=lambda book: book["title"].update(en="First"))
    write(tmp_path / "b" / "moon", change=lambda book: book["title"].update(en="Second"))
    books = BookCatalogue([tmp_path / "a", tmp_path / "missing", tmp_path / "b"])
    assert books.get("moon").manifest.title["en"] == "First"
    assert books.slugs() == ("little-star", "moon")


def test_many_threads_read_a_book_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "moon")
    reads: list[str] = []

    def count(folder: Path, slug: str) -> Any:
        reads.append(slug)
        return read_folder(folder, slug)

    monkeypatch.setattr("imagemill.products.books.book_catalogue.read_folder", count)
    books = catalogue(tmp_path)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(books.get("moon"))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert reads == ["moon"]
    assert len({id(each) for each in found}) == 1
    assert len(found) == 8


def change(path: str, value: object) -> Callable[[Manifest], object]:
    """Set a value by its path, such as ``pages.0.base``."""
    *parents, last = path.split(".")

    def apply(book: Manifest) -> None:
        place: Any = book
        for each in parents:
            place = place[int(each)] if isinstance(place, list) else place[each]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("slug", "sun", "slug: is sun, but the folder is named moon"),
        ("languages", ["en", "uk", "en"], "languages: names en twice"),
        ("title", {"en": "Moon"}, "title: is missing in uk"),
        ("title.pl", "Księżyc", "title.pl: is in a language that `languages` does not name: pl"),
        ("characters.1.id", "hero", "characters: has two characters with the id hero"),
        ("characters.1.role", "hero", "characters: has 2 characters with the role hero"),
        ("characters.0.needs_photo", False, "characters: has nobody with needs_photo"),
        ("characters.0.ages", [9, 3], "characters[0].ages: the youngest age is above the oldest"),
        ("pages.0.characters.0.id", "dog", "pages[0].characters[0].id: is dog; the book has hero, cat"),
        ("pages.1.characters", [{"id": "cat"}, {"id": "cat"}], "pages[1].characters: names cat twice"),
        ("pages.1.page_num", 1, "pages[1].page_num: is 1; pages stand in order and count from 1, so it is 2"),
        ("pages.1.page_num", 5, "pages[1].page_num: is 5"),
        ("pages.1.availability", {"preview": False, "full": False}, "pages[1].availability: is neither"),
        ("pages.0.text_layers.0.position", "left", "pages[0].text_layers[0].position: "),
        ("pages.0.text_layers.0.text.en", "Hi {nme}", "pages[0].text_layers[0].text.en: {nme} is unknown"),
        ("pages.0.text_layers.0.text.uk", "{age:рік}", "pages[0].text_layers[0].text.uk: has 1 forms by age"),
        ("pages.0.text_layers.0.text.uk", "こんにちは", "has the letter こ, which the built-in font lacks"),
        ("pages.0.prompt", "{child_name} runs", "pages[0].prompt: has {child_name}; the name of a child"),
        ("pages.0.prompt", "{gender:a|b}", "pages[0].prompt: {gender:a|b} has 2 forms"),
        ("pages.0.characters.0.box.width", 0.9, "pages[0].characters[0].box: reaches beyond the picture"),
        ("pages.0.characters.0.tilt", 200, "pages[0].characters[0].tilt: "),
        ("fill.0.base", "page.png", "fill[0]: is blank, so it has neither a base nor a text"),
        ("ratio", "4:3", "reference.base: sheet.png has 1700 x 1700 pixels, which is not the ratio 4:3"),
        ("pages.1.base", "none.png", "pages[1].base: none.png does not exist in the book's folder"),
        ("pages.1.base", "book.json", "pages[1].base: book.json "),
        ("pages.1.base", "../moon/page.png", "pages[1].base: "),
        ("pages.1.base", "/etc/hostname", "pages[1].base: "),
        ("pages.1.base", "a\\b.png", "pages[1].base: "),
        ("pages.1.base", "sub/../page.png", "pages[1].base: "),
        ("pages.0.characters.0.mask", "none.png", "pages[0].characters[0].mask: none.png does not exist"),
        ("typography", {"by_language": {"ar": {}}}, "typography.by_language.ar: is not one of the book's"),
        (
            "typography",
            {"fonts": {"regular": "page.png"}},
            "typography.fonts.regular: page.png is no TrueType",
        ),
        ("style", {"checkpoint": "a", "workflow": "b"}, "style: names a checkpoint and a workflow"),
        ("pges", [], "pges: is not a field of this object; did you mean 'pages'?"),
    ],
)
def test_a_problem_names_its_place(tmp_path: Path, path: str, value: object, problem: str):
    folder = write(tmp_path / "moon", change=change(path, value))
    found = problems(folder)
    assert any(problem in each for each in found), found
    assert catalogue(tmp_path).books() == ()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (picture(1000), "has 1000 x 1000 pixels; the profile square-8-25in needs at least 1700 x 1700"),
        (picture(40), "too small to print"),
        (PICTURE[:-20], "cannot be decoded: the file ends before the picture does"),
        (b"GIF89a" + bytes(100), "GIF"),
        (b"", "page.png "),
    ],
)
def test_a_picture_that_cannot_be_printed(tmp_path: Path, data: bytes, problem: str):
    folder = write(tmp_path / "moon")
    (folder / "page.png").write_bytes(data)
    found = problems(folder)
    assert any(problem in each for each in found), found


def test_a_turned_photo_is_refused(tmp_path: Path):
    folder = write(tmp_path / "moon", change=change("pages.1.base", "turned.jpg"))
    image, exif, buffer = Image.new("RGB", (1700, 1700)), Image.Exif(), BytesIO()
    exif[0x0112] = 6
    image.save(buffer, "JPEG", exif=exif)
    (folder / "turned.jpg").write_bytes(buffer.getvalue())
    assert problems(folder) == [
        "pages[1].base: turned.jpg is turned by its EXIF orientation; save it upright"
    ]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path):
    (tmp_path / "outside.png").write_bytes(PICTURE)
    folder = write(tmp_path / "books" / "moon", change=change("pages.1.base", "link.png"))
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    assert problems(folder) == [
        "pages[1].base: link.png is outside of the book's folder; copy it into the folder"
    ]
    (folder / "link.png").unlink()
    (folder / "link.png").symlink_to("page.png")
    assert problems(folder) == []
    (folder / "link.png").unlink()
    (folder / "link.png").symlink_to("link.png")
    assert problems(folder)[0].startswith("pages[1].base: link.png cannot be read")


def test_a_pipe_does_not_block(tmp_path: Path):
    folder = write(tmp_path / "moon", change=change("pages.1.base", "pipe.png"))
    os.mkfifo(folder / "pipe.png")
    assert problems(folder) == ["pages[1].base: pipe.png is not a regular file"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("slug = ", "book.toml cannot be read: "),
        ("a" + ".a" * 200_000 + " = 1", "a key has more than 30 dots"),
        ('"a"' + ' . "a"' * 100_000 + " = 1", "a key has more than 30 dots"),
        ("a = " + "[" * 5000, "book.toml cannot be read: "),
        ("a = " + "[" * 60 + "]" * 60, "has more than 16 objects within each other"),
        (
            "\n".join(f"[{'.'.join('abcdefgh'[at % 8] for at in range(20))}.k{n}]" for n in range(50)),
            "has more than 16",
        ),
        ("# " + "x" * 2**20, "at most 1048576 are read"),
    ],
)
def test_a_hostile_manifest_is_refused(tmp_path: Path, text: str, problem: str):
    folder = write(tmp_path / "moon", text)
    found = problems(folder)
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", "7", '{"slug": ' + "9" * 6000 + "}", "\ufeff{", '{"slug": NaN}', "\udcff"]
)
def test_a_hostile_json_manifest_is_refused(tmp_path: Path, text: str):
    folder = write(tmp_path / "moon")
    (folder / "book.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert problems(folder)


def test_two_manifests_in_a_folder_are_refused(tmp_path: Path):
    folder = write(tmp_path / "moon")
    (folder / "book.toml").write_text('slug = "moon"')
    assert problems(folder) == ["the folder has book.toml and book.json; keep one of them"]


def test_a_font_for_a_language_is_read(tmp_path: Path):
    from matplotlib import get_data_path

    def add(book: Manifest) -> None:
        book["languages"].append("ar")
        for texts in (book["title"], book["pages"][0]["text_layers"][0]["text"]):
            texts["ar"] = "قمر"
        book["typography"] = {"by_language": {"ar": {"family": "DejaVu Sans", "regular": "fonts/dejavu.ttf"}}}

    folder = write(tmp_path / "moon", change=add)
    assert problems(folder) == [
        "typography.by_language.ar.regular: fonts/dejavu.ttf does not exist in the book's folder"
    ]
    (folder / "fonts").mkdir()
    font = (Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf").read_bytes()
    (folder / "fonts" / "dejavu.ttf").write_bytes(font)
    assert problems(folder) == []
    warnings = [write_problem(each) for each in check_folder(folder)[0].warnings]
    assert not [each for each in warnings if "family" in each]
    write(
        folder, change=lambda book: (add(book), book["typography"]["by_language"]["ar"].update(family="Noto"))
    )
    warnings = [write_problem(each) for each in check_folder(folder)[0].warnings]
    place = "typography.by_language.ar.family"
    assert f"{place}: is Noto, but fonts/dejavu.ttf is of the family DejaVu Sans" in warnings
    (folder / "fonts" / "dejavu.ttf").write_bytes(font[:3000])
    assert problems(folder) == ["typography.by_language.ar.regular: fonts/dejavu.ttf is a damaged font"]


def test_a_thousand_books_are_listed_and_unchanged_ones_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = picture(1700)
    source = tmp_path / "page.png"
    source.write_bytes(page)
    for number in range(1000):
        folder = tmp_path / "books" / f"book-{number}"
        folder.mkdir(parents=True)
        for name in ("page.png", "sheet.png"):
            os.link(source, folder / name)
        (folder / "book.json").write_text(json.dumps(manifest(folder.name)))
    clock = Clock()
    books = catalogue(tmp_path / "books", clock)
    assert len(books.books()) == 1000
    reads: list[str] = []
    monkeypatch.setattr(
        "imagemill.products.books.book_catalogue.read_folder",
        lambda folder, slug: reads.append(slug) or read_folder(folder, slug),
    )
    clock.now += 3600
    touch_later(tmp_path / "books" / "book-7" / "book.json", json.dumps(manifest("book-7")))
    assert len(books.books()) == 1000
    assert reads == ["book-7"]


def test_checking_a_folder_finds_what_is_weak(tmp_path: Path):
    def weaken(book: Manifest) -> None:
        book["pages"][0]["availability"]["preview"] = False
        book["pages"][0]["characters"][0]["box"]["width"] = 0.05
        book["fill"] = []

    folder = write(tmp_path / "moon", change=weaken)
    (folder / "old.png").write_bytes(b"x")
    (check,) = check_folder(folder)
    assert check.problems == ()
    written = [write_problem(each) for each in check.warnings]
    assert "pages[0].base: page.png has 1700 x 1700 pixels; 2551 x 2551 print sharply" not in written
    assert "pages[0].base: page.png has 1700 x 1700 pixels; 2550 x 2550 print sharply" in written
    assert "pages[0].characters[0].box: is 85 pixels wide; below 300 a face is hard to recognise" in written
    assert (
        "reference.characters[0]: has neither a box nor a mask; the face is searched for in the picture"
        in written
    )
    assert "pages: has no page with a face in the preview, which parents decide by" in written
    assert "pages: has 2 pages; the profile square-8-25in needs 24; add some, or `fill`" in written
    assert "the manifest names no old.png" in written


def test_checking_a_folder_decodes_pictures_and_masks(tmp_path: Path):
    broken = bytearray(PICTURE)
    at = broken.index(b"IDAT") + 40
    broken[at : at + 20] = b"\xff" * 20

    def add(book: Manifest) -> None:
        book["pages"][1]["base"] = "broken.png"
        book["pages"][0]["characters"][0]["mask"] = "mask.png"

    folder = write(tmp_path / "moon", change=add)
    (folder / "broken.png").write_bytes(bytes(broken))
    (folder / "mask.png").write_bytes(picture(200, "#000000"))
    (check,) = check_folder(tmp_path)
    written = [write_problem(each) for each in check.problems]
    assert any(each.startswith("pages[1].base: broken.png cannot be decoded") for each in written), written
    assert "pages[0].characters[0].mask: mask.png has no white area, so no face could be put there" in written


def test_checking_needs_a_book(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"has no book.toml or book.json, and no folder with one"):
        check_folder(tmp_path)
    with pytest.raises(InvalidInput, match=r"has no book.toml"):
        check_folder(tmp_path / "none")
