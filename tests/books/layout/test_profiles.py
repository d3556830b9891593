"""Print profiles: those of the package, an operator's own, and their errors."""

import tomllib
from pathlib import Path

import pytest

from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.frames import picture_pixels
from imagemill.products.books.layout.profiles import SpineRules
from tests.books.layout.support import PRINT_PX, SQUARE

EXAMPLE = (profiles.PACKAGED / "square-8-25in.toml").read_text()


def write(folder: Path, text: str, name: str = "own.toml") -> Path:
    (folder / name).write_text(text)
    return folder


def own(**changes: str) -> str:
    """The square profile by the name ``own``, with parts of its text replaced."""
    text = EXAMPLE.replace('slug = "square-8-25in"', 'slug = "own"')
    for old, new in changes.items():
        key = old.replace("__", ".")
        line = next(line for line in text.splitlines() if line.startswith(f"{key} ="))
        text = text.replace(line, f"{key} = {new}")
    return text


def test_the_package_has_profiles_of_five_products():
    assert sorted(profiles.load()) == [
        "gelato-20cm-hard",
        "kdp-8-5in",
        "lulu-8-5in",
        "prodigi-9in-hard",
        "square-8-25in",
    ]


def test_each_figure_that_matters_has_a_source_and_a_doubt():
    for profile in profiles.load().values():
        told = {path for figure in profile.figures for path in figure.fields}
        for path in ("page.bleed", "pages.least", "cover.spine.per_page"):
            parts = path.split(".")
            starts = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
            assert starts & told, f"{profile.slug}: {path}"
        assert all(figure.source and figure.doubt for figure in profile.figures)


def test_the_square_page_is_that_of_2551_pixels():
    assert picture_pixels(SQUARE) == (PRINT_PX - 1, PRINT_PX - 1)
    assert (SQUARE.page.width, SQUARE.safe_box) == (209.55, (9.525, 9.525, 190.5, 190.5))


def test_a_picture_of_a_hard_cover_is_larger_than_one_of_a_page():
    hard = profiles.find("prodigi-9in-hard")
    assert picture_pixels(hard, "front") > picture_pixels(hard, "page")
    assert picture_pixels(hard, "front") == picture_pixels(hard, "back")


def test_an_operators_folder_adds_and_replaces(tmp_path):
    write(tmp_path, own(product='"Mine"'))
    write(tmp_path, EXAMPLE.replace("safe = 9.525", "safe = 12.0"), "square-8-25in.toml")
    loaded = profiles.load(tmp_path)
    assert len(loaded) == 6
    assert loaded["own"].product == "Mine"
    assert profiles.find("square-8-25in", tmp_path).page.safe == 12
    assert profiles.find("square-8-25in").page.safe == 9.525


def test_a_broken_profile_does_not_hinder_others(tmp_path):
    write(tmp_path, "slug =", "broken.toml")
    write(tmp_path, own())
    assert profiles.find("own", tmp_path).slug == "own"
    assert profiles.find("kdp-8-5in", tmp_path).shop == "Amazon KDP"
    with pytest.raises(InvalidInput, match=r"broken\.toml: cannot be read as TOML"):
        profiles.find("broken", tmp_path)


def test_a_slug_reaches_no_other_file(tmp_path):
    (tmp_path / "inner").mkdir()
    write(tmp_path, own())
    with pytest.raises(NotFound, match="own"):
        profiles.find("../own", tmp_path / "inner")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (own(safe="-1"), "own.toml: page.safe: should be at least 0"),
        (own(width='"wide"'), "own.toml: page.width: should be a number"),
        (own(safe="120"), "own.toml: page.safe leaves no room for text"),
        (own(multiple="0"), "own.toml: pages.multiple: should be at least 1"),
        (own(most="10"), "own.toml: pages: most is below least"),
        (own(kind='"leather"'), "own.toml: cover.kind: should be soft or hard"),
        (own(spine="{ }"), "own.toml: cover.spine: needs either per_page or table"),
        (
            own(spine="{ table = [[40, 6.0], [20, 3.0]] }"),
            "own.toml: cover.spine: table: the pages must rise",
        ),
        (own(dated='"yesterday"'), "own.toml: dated: should be a date"),
        (EXAMPLE, "own.toml: slug: should be own, as the file's name"),
        (own() + '\n[[figures]]\nfields = ["page.depth"]\nsource = "x"', "there is no field page.depth"),
        (own() + "\ncolour = 1", "own.toml: figures[1].colour: is not a field here"),
        ("slug = ", "own.toml: cannot be read as TOML"),
        ("x = 1\n" * 20_000, "own.toml: is larger than 64 KiB"),
    ],
)
def test_errors_name_file_and_field(tmp_path, text, message):
    with pytest.raises(InvalidInput) as caught:
        profiles.load(write(tmp_path, text))
    assert message in str(caught.value)


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "own.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match=r"own\.toml: cannot be read"):
        profiles.load(tmp_path)


def test_a_missing_folder_and_an_unknown_profile_are_told(tmp_path):
    with pytest.raises(InvalidInput, match="is not a folder"):
        profiles.load(tmp_path / "none")
    with pytest.raises(NotFound, match="no print profile octavo; use one of gelato"):
        profiles.find("octavo")


def test_a_table_gives_the_width_of_the_next_row():
    spine = SpineRules(table=((24, 6.0), (80, 9.5)))
    assert [spine.width(pages) for pages in (20, 24, 25, 80, 200)] == [6, 6, 9.5, 9.5, 9.5]
    assert SpineRules(per_page=0.1, added=1).width(24) == pytest.approx(3.4)


def test_profiles_are_plain_toml():
    for file in profiles.PACKAGED.glob("*.toml"):
        assert tomllib.loads(file.read_text())["slug"] == file.stem
