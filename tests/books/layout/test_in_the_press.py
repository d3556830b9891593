"""The works in a confined process of the press."""

import pickle
from collections.abc import Iterator

import pytest

from imagemill.backends.press.pool import Answer, Order, PressPool
from imagemill.media.page_work import PageWork
from imagemill.products.books.layout.page_layouts import FontFiles
from imagemill.products.books.layout.works import LayBook, LayPage, LayProof, ProofPage
from tests.books.layout.support import SQUARE, book, book_inputs, dejavu, page, picture, text_block


@pytest.fixture(scope="module")
def press() -> Iterator[PressPool]:
    pool = PressPool(1)
    yield pool
    pool.close()


def run(press: PressPool, work: PageWork, inputs: dict[str, bytes]) -> tuple[Answer, list[str]]:
    notes: list[str] = []
    order = Order("layout", pickle.dumps(work), inputs, 60)
    return press.run(
        order, lambda: None, lambda done, total, note: notes.append(f"{done}/{total} {note}")
    ), notes


def test_a_page_with_a_font_of_its_own_is_laid(press):
    work = LayPage(page(text_block("كان يا ما كان", direction="rtl")), SQUARE, FontFiles(regular="font.0"))
    inputs = {"picture": picture(), "font.0": dejavu()}
    answer, _ = run(press, work, inputs)
    here = work(inputs)
    assert answer.files == [here.files[0].data]
    assert answer.head["values"] == here.values


def test_a_book_is_made_with_progress(press):
    answer, notes = run(press, LayBook(book()), book_inputs())
    assert [len(file) > 100_000 for file in answer.files] == [True] * 3
    assert notes[0] == "1/26 page 1"
    assert notes[-1] == "26/26 the front cover"


def test_a_proof_sheet_is_made(press):
    answer, _ = run(
        press, LayProof("A", (ProofPage("page 1", "preview"),), SQUARE, "2026-11-29"), {"preview": picture()}
    )
    assert answer.files[0].startswith(b"%PDF")
