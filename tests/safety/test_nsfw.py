"""The classifier that runs an ONNX model, with a model made here: its score is the mean of the red plane."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from imagemill.domain.moderation import Verdict
from imagemill.media.pictures import PictureInfo
from imagemill.safety.gates import Picture
from imagemill.safety.nsfw import Nsfw

MEAN_RED = 123.0


def model(path: Path, *, planes_first: bool) -> Path:
    """Scores [1 - s, s], where s is the mean of red, as a part of 255."""
    import numpy

    shape = [1, 3, 224, 224] if planes_first else [1, 224, 224, 3]
    axes, channel = ([2, 3], 1) if planes_first else ([1, 2], 3)
    given = helper.make_tensor_value_info("data", TensorProto.FLOAT, shape)
    scores = helper.make_tensor_value_info("prob", TensorProto.FLOAT, [1, 2])
    constants = {
        "axes": numpy.array(axes, numpy.int64),
        "red": numpy.array([2], numpy.int64),
        "mean": numpy.array([MEAN_RED], numpy.float32),
        "whole": numpy.array([255], numpy.float32),
        "one": numpy.array([1], numpy.float32),
        "shape": numpy.array([1, 1], numpy.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["data", "axes"], ["means"], keepdims=1),
        helper.make_node("Gather", ["means", "red"], ["red_mean"], axis=channel),
        helper.make_node("Reshape", ["red_mean", "shape"], ["flat"]),
        helper.make_node("Add", ["flat", "mean"], ["back"]),
        helper.make_node("Div", ["back", "whole"], ["score"]),
        helper.make_node("Sub", ["one", "score"], ["rest"]),
        helper.make_node("Concat", ["rest", "score"], ["prob"], axis=1),
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "red", [given], [scores], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def picture(red: int, green: int = 0) -> Picture:
    """Of one colour; red only at the rim, which the model does not see, where ``green``."""

    def raster(width: int, height: int) -> bytes:
        assert (width, height) == (256, 256)
        return bytes([red, green, 7]) * (width * height)

    return Picture(b"", PictureInfo("image/png", 256, 256), raster)


@pytest.fixture(params=[True, False], ids=["planes first", "planes last"])
def classifier(request: Any, tmp_path: Path) -> Nsfw:
    return Nsfw(model(tmp_path / "m.onnx", planes_first=request.param), output=1, flag=0.5, block=0.85)


@pytest.mark.parametrize(
    ("red", "verdict"),
    [
        (0, Verdict.ALLOW),
        (120, Verdict.ALLOW),
        (130, Verdict.FLAG),
        (215, Verdict.FLAG),
        (220, Verdict.BLOCK),
    ],
)
def test_the_score_decides(classifier: Nsfw, red: int, verdict: Verdict):
    ruling = classifier.judge(picture(red, green=255 - red), None)
    assert ruling.verdict is verdict


def test_the_means_are_taken_off_and_red_is_the_last_plane(classifier: Nsfw):
    assert classifier.score(picture(102, green=255)) == pytest.approx(0.4, abs=1e-4)


def test_a_model_that_is_not_there_is_told_by_its_setting():
    with pytest.raises(ValueError, match="IMAGEMILL_SAFETY__NSFW_MODEL: "):
        Nsfw(Path("/nowhere.onnx"), output=1, flag=0.5, block=0.85)
