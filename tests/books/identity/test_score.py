"""The score tells children apart on drawn pages, and says None where there is no face."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.likeness import cosine_score, distance_score
from imagemill.products.books.identity.rasters import write_jpeg, write_png
from imagemill.products.books.identity.score import score_face
from tests.books.drawn_pages import PAGES, PLAIN, SHEET, draw_page
from tests.books.drawn_photos import photo
from tests.books.proof_identity import crop_of, picture_of, separate

PLACES = tuple((target.box, target.tilt) for target in SHEET.targets if target.box is not None)
HEAD = PAGES[1].targets[0]


def score(page_of: int, sheet_of: int, **options) -> float | None:
    page = picture_of(PAGES[1], crop_of(page_of), seed=3)
    sheet = picture_of(SHEET, crop_of(sheet_of), seed=9)
    return score_face(page, HEAD.box, sheet, tilt=HEAD.tilt, reference_faces=PLACES, **options)


def test_the_right_child_has_a_higher_score_than_any_other():
    """Six photos on two pages; ``python -m tests.books.proof_identity`` does 20 on 5."""
    found = separate((0, 3, 4, 8, 12, 15), (PAGES[1], PAGES[3]))
    assert len(found.right) == 12
    assert len(found.wrong) == 60
    assert not found.lost
    assert np.mean(found.right) > np.mean(found.wrong) + 0.2


def test_a_page_is_scored_against_the_sheet():
    right, wrong = score(5, 5), score(5, 4)
    assert right is not None
    assert wrong is not None
    assert 0 <= wrong < right <= 1
    assert right > 0.7


def test_the_same_picture_scores_one():
    picture = photo(5)
    assert score_face(picture, None, picture) == pytest.approx(1)


def test_without_a_box_the_largest_face_of_the_page_is_scored():
    assert (score_face(photo(5), None, crop_of(5)) or 0) > 0.9
    assert (score_face(photo(5), None, crop_of(4)) or 0) < 0.7


def test_a_page_without_a_face_has_no_score():
    assert score_face(draw_page(PLAIN), None, photo(5)) is None


def test_a_flat_place_has_no_score():
    """The transfer has painted nothing there: that is a finding, no bad score and no good one."""
    blank = write_jpeg(np.full((500, 500, 3), 200, np.uint8), 90)
    assert score_face(blank, Box(x=0.3, y=0.3, width=0.3, height=0.3), photo(5)) is None


def test_a_reference_without_a_face_has_no_score():
    assert score_face(photo(5), None, draw_page(PLAIN)) is None


def test_a_drawn_face_that_no_detector_finds_is_aligned_by_box_and_tilt():
    drawn = score_face(draw_page(PAGES[1]), HEAD.box, photo(5), tilt=HEAD.tilt)
    assert drawn is not None
    assert drawn < (score(5, 5) or 0) - 0.2, "the face that was drawn beneath is another one"


def test_the_curve_of_distances():
    def at(distance: float) -> float:
        return distance_score(np.zeros(128), np.eye(128)[0] * distance)

    assert [at(d) for d in (0, 0.45, 0.9, 1.5)] == pytest.approx([1, 0.5, 0, 0])


def test_the_curve_of_cosines():
    def at(cosine: float) -> float:
        return cosine_score(np.array((1.0, 0)), np.array((cosine, (1 - cosine**2) ** 0.5)))

    assert [at(c) for c in (1, 0.363, -0.5)] == pytest.approx([1, 0.5, 0], abs=1e-6)


def model(folder: Path, name: str, side: int = 112) -> Path:
    """An ONNX file of the shape of face models; its answer is the picture in 7 x 7 cells, less their mean."""
    given = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side])
    answer = helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, 147])
    cells = side // 7
    nodes = [
        helper.make_node(
            "AveragePool", [name], ["cells"], kernel_shape=[cells, cells], strides=[cells, cells]
        ),
        helper.make_node("Reshape", ["cells", "shape"], ["row"]),
        helper.make_node("ReduceMean", ["row"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["row", "mean"], ["fc1"]),
    ]
    shape = numpy_helper.from_array(np.array([1, 147], np.int64), "shape")
    graph = helper.make_graph(nodes, "faces", [given], [answer], [shape])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    file = folder / f"{name}.onnx"
    file.write_bytes(built.SerializeToString())
    onnx.checker.check_model(built)
    return file


@pytest.mark.parametrize("name", ["data", "input.1"])
def test_an_operators_onnx_file_takes_the_place_of_dlibs(tmp_path: Path, name: str):
    file = model(tmp_path, name)
    picture = photo(5)
    assert score_face(picture, None, picture, model=file) == pytest.approx(1)
    right, wrong = score(5, 5, model=file), score(5, 4, model=file)
    assert right is not None
    assert wrong is not None
    assert right > wrong


def test_an_onnx_file_of_another_shape_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"takes \[1, 3, 224, 224\]; give one for 3 x 112 x 112"):
        score_face(photo(5), None, photo(5), model=model(tmp_path, "data", side=224))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path):
    file = tmp_path / "faces.onnx"
    file.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"faces\.onnx cannot be loaded"):
        score_face(photo(5), None, photo(5), model=file)


def test_a_place_outside_the_picture_does_no_harm():
    tiny = write_png(np.zeros((3, 3, 3), np.uint8))
    assert score_face(tiny, Box(x=0.9, y=0.9, width=0.1, height=0.1), photo(5), tilt=80) is None
