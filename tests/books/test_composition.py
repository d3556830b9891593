"""The work of a page: its layout together with the identity score."""

from importlib.resources import files
from pathlib import Path

import pytest

from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.composition import ComposePage, ScoredFace
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.page_layouts import PageLayout
from imagemill.products.books.layout.works import LayPage
from tests.books.support import picture

PAGE = LayPage(PageLayout(number=3, picture="picture"), profiles.load()["square-8-25in"])
PLAIN = {"picture": picture(2551, "JPEG"), "reference": picture(600, "JPEG")}


def test_a_face_that_is_not_found_is_a_finding_and_no_score():
    made = ComposePage(PAGE, (ScoredFace(None, 0.0, ()),))(PLAIN)
    (finding,) = made.values["findings"]
    assert made.values["score"] is None
    assert (finding["code"], finding["page"], finding["level"]) == ("face_not_scored", 3, "warning")


def test_a_page_without_faces_has_no_such_finding():
    assert ComposePage(PAGE)(PLAIN).values == {"score": None, "findings": []}


def test_an_embedding_model_that_cannot_be_used_is_named(tmp_path: Path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"no model")
    photo = (files("imagemill.products.books") / "sample" / "photo.jpg").read_bytes()
    box = Box(x=0.3, y=0.35, width=0.4, height=0.4)
    work = ComposePage(PAGE, (ScoredFace(box, 0.0, ((box, 0.0),)),), model)
    with pytest.raises(
        BackendError, match=r"IMAGEMILL_BOOKS__EMBEDDING_MODEL: the embedding model model\.onnx"
    ) as failed:
        work({"picture": photo, "reference": photo})
    assert failed.value.failure is FailureCode.BACKEND_REJECTED
