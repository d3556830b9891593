"""The contract of all ways of putting a face onto a page."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagemill.backends.base import RenderCanceled, RenderControl
from imagemill.domain.errors import BackendError, ImagemillError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import PageSpec
from imagemill.media.layout import InvalidImage
from imagemill.products.books.identity.base import FaceTarget, PictureRequest
from imagemill.products.books.identity.masks import face_area
from imagemill.products.books.identity.rasters import read_pixels, resized, write_jpeg
from tests.backends.comfyui.support import pace, until
from tests.books.drawn_pages import PAGES, SHEET, draw_page
from tests.books.drawn_photos import photo
from tests.books.identity.makers import CHOICES, Maker, maker_of
from tests.service.build import png as red

SIZE = (640, 640)
Picture = NDArray[np.uint8]


@pytest.fixture(scope="module", params=list(CHOICES))
def maker(request: pytest.FixtureRequest) -> Iterator[Maker]:
    with maker_of(CHOICES[request.param]) as built:
        yield built


def page_request(**changes: Any) -> PictureRequest:
    values: dict[str, Any] = {
        "base": draw_page(PAGES[0]),
        "targets": PAGES[0].targets,
        "faces": {"hero": photo(1)},
        "size": SIZE,
        "seed": 1,
        "reference": draw_page(SHEET),
        "prompt": "a child in a meadow",
        "people": {"hero": "a girl of 5 years, red hair"},
    }
    return PictureRequest(**(values | changes))


def pixels(data: bytes) -> Picture:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def unchanged_blocks(targets: tuple[FaceTarget, ...], base: bytes) -> NDArray[np.bool_]:
    """True for each pixel of a block of the JPEG that no mask touches."""
    page = resized(read_pixels(base), SIZE)
    touched = np.zeros(page.shape[:2], bool)
    for target in targets:
        area = face_area(page, target)
        touched[area.part] |= area.alpha > 0
    blocks = touched.reshape(SIZE[1] // 8, 8, SIZE[0] // 8, 8).any(axis=(1, 3))
    return ~np.kron(blocks, np.ones((8, 8), bool))


def test_the_picture_is_a_jpeg_of_print_size(maker: Maker) -> None:
    made = Image.open(io.BytesIO(maker.make(page_request())))
    assert (made.format, made.mode, made.size) == ("JPEG", "RGB", SIZE)
    assert made.info["dpi"] == (300, 300)


def test_only_the_place_of_the_face_changes(maker: Maker) -> None:
    request = page_request()
    made = pixels(maker.make(request))
    printed = pixels(write_jpeg(resized(read_pixels(request.base), SIZE), 95))
    outside = unchanged_blocks(request.targets, request.base)
    assert (made[outside] == printed[outside]).all()
    inside = np.abs(made.astype(int) - printed.astype(int))[~outside]
    assert inside.mean() > 3
    assert outside.mean() > 0.8


def test_two_seeds_give_two_pictures(maker: Maker) -> None:
    one, other = (pixels(maker.make(page_request(seed=seed))) for seed in (1, 2))
    inside = ~unchanged_blocks(PAGES[0].targets, draw_page(PAGES[0]))
    assert np.abs(one.astype(int) - other.astype(int))[inside].mean() > 1


def test_the_same_request_gives_the_same_picture(maker: Maker) -> None:
    assert maker.make(page_request()) == maker.make(page_request())


def test_another_child_gives_another_picture(maker: Maker) -> None:
    one, other = (pixels(maker.make(page_request(faces={"hero": photo(who)}))) for who in (1, 2))
    inside = ~unchanged_blocks(PAGES[0].targets, draw_page(PAGES[0]))
    assert np.abs(one.astype(int) - other.astype(int))[inside].mean() > 1


def test_a_mask_of_another_size_is_scaled_to_the_page(maker: Maker) -> None:
    mask = Image.new("L", (100, 100))
    mask.paste(255, (38, 28, 62, 56))
    file = io.BytesIO()
    mask.save(file, "PNG")
    target = FaceTarget("hero", mask=file.getvalue())
    request = page_request(targets=(target,))
    made = pixels(maker.make(request))
    printed = pixels(write_jpeg(resized(read_pixels(request.base), SIZE), 95))
    outside = unchanged_blocks((target,), request.base)
    assert (made[outside] == printed[outside]).all()
    assert (made[~outside] != printed[~outside]).any()


def test_two_children_on_a_page(maker: Maker) -> None:
    left, right = SHEET.targets[0], replace(SHEET.targets[1], character="friend")
    request = page_request(
        base=draw_page(SHEET), targets=(left, right), faces={"hero": photo(1), "friend": photo(2)}
    )
    made = pixels(maker.make(request))
    printed = pixels(write_jpeg(resized(read_pixels(request.base), SIZE), 95))
    for target in (left, right):
        inside = ~unchanged_blocks((target,), request.base)
        assert np.abs(made.astype(int) - printed.astype(int))[inside].mean() > 3


def test_the_reference_sheet_needs_no_reference(maker: Maker) -> None:
    request = page_request(base=draw_page(SHEET), targets=SHEET.targets, reference=None)
    made = Image.open(io.BytesIO(maker.make(request)))
    assert (made.format, made.size) == ("JPEG", SIZE)


def test_nothing_is_kept(maker: Maker) -> None:
    maker.make(page_request())
    assert maker.kept() == {}


def test_a_mask_that_is_no_picture_is_refused(maker: Maker) -> None:
    target = FaceTarget("hero", mask=b"no picture")
    with pytest.raises(ImagemillError) as refused:
        maker.make(page_request(targets=(target,)))
    assert isinstance(refused.value, InvalidImage | BackendError)
    assert maker.kept() == {}


def test_a_child_without_a_photo_is_refused(maker: Maker) -> None:
    with pytest.raises(BackendError, match="hero") as refused:
        maker.make(page_request(faces={}))
    assert refused.value.failure is FailureCode.BAD_INPUT


def test_a_canceled_picture_leaves_nothing(maker: Maker) -> None:
    if maker.node is not None:
        pace(maker.node, step_s=0.2)
    asked, watch = maker.order(maker.mode.plan(page_request(size=(2551, 2551)))), RenderControl()
    reference = maker.backend.send(asked)
    stopping = threading.Timer(0.2, watch.stop)
    stopping.start()
    with pytest.raises(RenderCanceled):
        maker.backend.follow(asked, reference, watch)
    until(lambda: maker.kept() == {}, "nothing is left of it")
    if maker.node is not None:
        pace(maker.node, step_s=0.0)


def test_an_outline_is_of_the_same_kind_and_names_no_child(maker: Maker) -> None:
    outline, plan = maker.mode.outline(SIZE), maker.mode.plan(page_request())
    assert type(outline.work) is type(plan.work)
    assert (outline.queue, outline.model) == (plan.queue, plan.model)
    assert outline.data == {}
    assert "red hair" not in repr(outline.work)
    assert maker.backend.unsupported_reason(outline.work) is None
    if not isinstance(outline.work, PageSpec):
        assert set(maker.backend.requirements(outline.work)) == set(maker.backend.requirements(plan.work))


def test_a_picture_of_2551_pixels(maker: Maker) -> None:
    made = Image.open(io.BytesIO(maker.make(page_request(size=(2551, 2551)))))
    assert made.size == (2551, 2551)


def test_a_base_in_another_format(maker: Maker) -> None:
    assert pixels(maker.make(page_request(base=red(300, 300)))).shape == (640, 640, 3)
