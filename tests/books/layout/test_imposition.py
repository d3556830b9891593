"""The order of pages and the filling of a block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.imposition import arrange, block_count
from imagemill.products.books.layout.page_layouts import PageLayout
from tests.books.layout.support import SQUARE, text_block

GELATO = profiles.find("gelato-20cm-hard")
FILL = {
    "title": PageLayout(0, kind="title", before=True, blocks=(text_block("T"),)),
    "dedication": PageLayout(0, kind="dedication", before=True, blocks=(text_block("D"),)),
    "end": PageLayout(0, kind="end", blocks=(text_block("E"),)),
    "blank": PageLayout(0, kind="blank"),
}


def kinds(pages: int, fill: str, profile=SQUARE) -> list[str]:
    own = [PageLayout(number, f"picture.{number}") for number in range(1, pages + 1)]
    block, _ = arrange(profile, own, [FILL[name] for name in fill.split()])
    return [str(page.number) if page.kind == "page" else page.kind for page in block]


def codes(pages: int, fill: str = "", profile=SQUARE) -> list[str]:
    own = [PageLayout(number, f"picture.{number}") for number in range(1, pages + 1)]
    _, findings = arrange(profile, own, [FILL[name] for name in fill.split()])
    return [finding.code.value for finding in findings]


def test_a_book_of_the_right_length_is_not_filled():
    assert kinds(24, "title dedication end blank") == [str(number) for number in range(1, 25)]


@pytest.mark.parametrize(
    ("pages", "fill", "before", "after"),
    [
        (22, "title dedication end blank", ["title", "dedication"], []),
        (20, "title dedication end blank", ["title", "dedication"], ["end", "blank"]),
        (21, "title dedication end blank", ["title", "dedication"], ["end"]),
        # the page before the first one of the book keeps its side
        (22, "title end", ["title", "blank"], []),
        (20, "title end", ["title", "blank"], ["end", "blank"]),
        (23, "end", [], ["end"]),
        (25, "end title", [], ["end"]),
        (22, "end blank", [], ["end", "blank"]),
    ],
)
def test_pages_are_filled_in_the_order_of_the_manifest(pages, fill, before, after):
    own = [str(number) for number in range(1, pages + 1)]
    assert kinds(pages, fill) == [*before, *own, *after]


def test_the_cover_is_counted_where_the_shop_counts_it():
    assert block_count(GELATO, 20) == 24
    assert block_count(GELATO, 25) == 26
    assert block_count(SQUARE, 25) == 26
    assert block_count(SQUARE, 1) == 24


def test_too_many_pages_and_too_many_empty_ones_are_told():
    assert codes(300) == []
    assert codes(301) == ["page_count"]
    assert codes(22) == []
    assert codes(20) == ["blank_pages"]
    assert codes(20, "end title dedication") == []
    assert codes(20, profile=profiles.find("lulu-8-5in")) == []
    assert codes(40, profile=GELATO) == []
    assert codes(41, profile=GELATO) == ["page_count"]


@given(
    st.integers(1, 120),
    st.lists(st.sampled_from(sorted(FILL)), max_size=12),
    st.sampled_from([*profiles.load().values()]),
)
def test_every_block_has_a_count_of_the_shop_and_the_pages_in_order(pages, fill, profile):
    found = kinds(pages, " ".join(fill), profile)
    assert len(found) == block_count(profile, pages)
    counted = len(found) + (4 if profile.pages.counted == "block_and_cover" else 0)
    assert counted % profile.pages.multiple == 0
    assert counted >= profile.pages.least
    own = [kind for kind in found if kind.isdigit()]
    assert own == [str(number) for number in range(1, pages + 1)]
    first = found.index("1")
    assert first % 2 == 0 or len(found) - pages == 1
