"""Backgrounds of any kind are removed by a model, with one made here: its answer is the red plane."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from imagemill.media.cutout import cut_out, load_model
from imagemill.media.layout import InvalidImage
from imagemill.media.postprocess import PostProcess
from imagemill.media.transforms import TransformContext

FACTS = TransformContext("job-1", 1, 0, None, "", "")


@cache
def model(side: int = 320) -> bytes:
    """Of u2netp's shape, with a second output, as it has seven."""
    given = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, side, side])
    first = helper.make_tensor_value_info("1959", TensorProto.FLOAT, [1, 1, side, side])
    second = helper.make_tensor_value_info("1960", TensorProto.FLOAT, [1, 1, side, side])
    nodes = [
        helper.make_node("Gather", ["input.1", "red"], ["1959"], axis=1),
        helper.make_node("Neg", ["1959"], ["1960"]),
    ]
    stored = [numpy_helper.from_array(np.array([0], np.int64), "red")]
    graph = helper.make_graph(nodes, "red", [given], [first, second], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return made.SerializeToString()


def scene() -> Image.Image:
    """Something red before what no key would remove."""
    levels = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    levels[..., 0] = 0
    image = Image.fromarray(levels)
    ImageDraw.Draw(image).ellipse((100, 60, 300, 240), fill=(250, 20, 20))
    return image


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("side", [320, 64])
def test_what_the_model_takes_for_background_is_clear(side: int):
    out = np.asarray(cut_out(scene(), model(side)))
    assert tuple(out[150, 200]) == (250, 20, 20, 255)
    assert not out[5, 5].any()
    assert 0.23 < (out[..., 3] > 128).mean() < 0.25  # the ellipse's part is 0.24


def test_no_background_shines_out_of_the_soft_edge():
    out = np.asarray(cut_out(scene(), model(64))).astype(int)
    soft = (out[..., 3] > 20) & (out[..., 3] < 230)
    assert soft.sum() > 500
    assert out[soft][:, 1:3].max() < 60


def test_it_is_part_of_finishing_and_the_way_out_where_there_is_no_flat_background():
    for key in (None, "#00ff00"):
        (made,) = PostProcess(cutout=model(), key_colour=key, trim_px=2)(png(scene()), FACTS)
        assert made.width in range(200, 212)
    with pytest.raises(InvalidImage, match="no flat background"):
        PostProcess(key_colour="#00ff00")(png(scene()), FACTS)


def test_a_picture_without_a_subject_is_refused():
    image = Image.new("RGB", (100, 100), (0, 0, 50))
    image.paste((0, 90, 50), (0, 0, 50, 100))
    with pytest.raises(InvalidImage, match="has nothing left"):
        PostProcess(cutout=model())(png(image), FACTS)


def test_what_is_no_such_model_is_told():
    with pytest.raises(ValueError, match="cannot be loaded"):
        cut_out(scene(), b"no model")
    flat = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "flat", [flat], [out])
    other = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    with pytest.raises(ValueError, match="planes first"):
        cut_out(scene(), other.SerializeToString())


def test_a_setting_that_names_no_model_is_told_by_its_name(tmp_path: Path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=r"THE_SETTING names .*, which is not a file"):
        load_model(path, "THE_SETTING")
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"THE_SETTING names .* cannot be loaded"):
        load_model(path, "THE_SETTING")
    path.write_bytes(model())
    assert load_model(path, "THE_SETTING") == model()
