"""The recipe preprocessImage: control pictures on the CPU, and graphs for a node pack."""

import io
import json
from typing import Any

import pytest
from PIL import Image, ImageDraw

from imagemill.graphs.picture_graphs import PREPROCESSORS
from imagemill.media.control_maps import KINDS, ControlMap, Kind
from imagemill.recipes.tasks import preprocess
from imagemill.recipes.tasks.preprocess import ALL_KINDS, PreprocessImage
from imagemill.testing.recipes import AnyResource
from tests.conftest import Server
from tests.tasks.support import data_url, encoded, painted, picture_of, refused, run
from tests.tasks.test_convert import CONTEXT


def scene() -> bytes:
    picture = Image.new("RGB", (300, 200), (240, 230, 90))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((60, 40, 139, 159), fill=(10, 20, 60))
    draw.ellipse((180, 60, 259, 139), fill=(200, 40, 40))
    return encoded(picture)


def made(kind: Kind, data: bytes | None = None, resolution: int = 200, **options: Any) -> Image.Image:
    (file,) = ControlMap(kind, resolution, **options)(scene() if data is None else data, CONTEXT)
    return Image.open(io.BytesIO(file.data))


def plan_of(kind: str, **options: Any) -> dict[str, Any]:
    """The graph's node of a preprocessor."""
    input_ = PreprocessImage(kind=kind, image="https://example.com/fox.png", resolution=768, options=options)
    work = preprocess.plan(preprocess.complete(input_, AnyResource(), "")).work
    return work.graph["2"]  # type: ignore[union-attr]


def test_there_are_37_kinds_of_which_5_need_no_node() -> None:
    assert len(ALL_KINDS) == 37
    assert KINDS == ("binary", "canny", "color", "shuffle", "tile")
    assert not set(KINDS) & set(PREPROCESSORS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shorter_side_has_the_resolution(server: Server, kind: str) -> None:
    job = run(server, "preprocessImage", kind=kind, image=data_url(scene()), resolution=128)
    picture = picture_of(server, job)
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (192, 128))
    assert job["queue"] == "tasks"


def test_edges_are_white_lines_one_pixel_wide_where_the_levels_change() -> None:
    edges = made("canny").convert("L")
    assert set(edges.tobytes()) == {0, 255}
    rows = [edges.getpixel((x, 100)) for x in range(300)]
    inside = [x for x, level in enumerate(rows) if level]
    assert len(inside) == 4
    for found, wanted in zip(inside, (60, 139, 180, 259), strict=True):
        assert abs(found - wanted) <= 1
    assert edges.getpixel((100, 100)) == 0


def test_a_flat_picture_has_no_edges() -> None:
    assert made("canny", encoded(Image.new("RGB", (64, 64), (90, 90, 90))), 64).getextrema() == ((0, 0),) * 3


def test_a_weak_edge_is_kept_only_where_it_continues_a_strong_one() -> None:
    step = encoded(painted(64, 64, lambda x, _: (130, 130, 130) if x < 32 else (160, 160, 160)))
    assert made("canny", step, 64).getextrema()[0] == (0, 0)
    assert made("canny", step, 64, low_threshold=50, high_threshold=100).getextrema()[0] == (0, 255)
    # Above, the same edge is stronger, and the weak part below it continues the strong one.
    joined = encoded(
        painted(64, 64, lambda x, y: (130,) * 3 if x < 32 else ((255,) * 3 if y < 20 else (160,) * 3))
    )
    lower = made("canny", joined, 64).crop((24, 30, 40, 60))
    assert lower.getextrema()[0] == (0, 255)


def test_dark_parts_are_white_in_a_binary_picture() -> None:
    picture = made("binary")
    assert [picture.getpixel(at) for at in ((100, 100), (10, 10))] == [(255,) * 3, (0,) * 3]
    # The level of the red disc is 92.
    assert picture.getpixel((220, 100)) == (255,) * 3
    assert made("binary", bin_threshold=80).getpixel((220, 100)) == (0,) * 3


def test_colours_are_cells_of_64_pixels() -> None:
    bands = painted(256, 128, lambda x, y: (x % 256, 2 * y % 256, (x + y) % 256))
    picture = made("color", encoded(bands), 128)
    for x in range(0, 256, 64):
        for y in range(0, 128, 64):
            assert len(set(picture.crop((x, y, x + 64, y + 64)).get_flattened_data())) == 1
    assert len(set(picture.get_flattened_data())) > 4


def test_a_tile_loses_its_detail_but_not_its_colours() -> None:
    fine = encoded(painted(64, 64, lambda x, y: (255,) * 3 if (x + y) % 2 else (0,) * 3))
    low, high = made("tile", fine, 64).convert("L").getextrema()
    assert isinstance(low, int)
    assert isinstance(high, int)
    assert 110 < low <= high < 145
    halved = made("tile", pyr_up_iterations=1)
    assert halved.getpixel((100, 100)) == (10, 20, 60)


def test_shuffling_keeps_the_colours_and_moves_the_content() -> None:
    first, second, other = made("shuffle"), made("shuffle"), made("shuffle", seed=4)
    assert first.tobytes() == second.tobytes() != other.tobytes()
    assert first.tobytes() != Image.open(io.BytesIO(scene())).tobytes()
    colours = {(240, 230, 90), (10, 20, 60), (200, 40, 40)}
    kept = sum(pixel in colours for pixel in first.get_flattened_data())
    assert kept > 0.8 * 300 * 200


@pytest.mark.parametrize("kind", sorted(PREPROCESSORS))
def test_other_kinds_are_graphs_of_the_pack(kind: str) -> None:
    node = plan_of(kind)
    assert node["class_type"] == PREPROCESSORS[kind].class_type
    assert node["inputs"]["image"] == ["1", 0]
    assert node["inputs"]["resolution"] == 768
    json.dumps(node)


def test_classes_get_the_inputs_without_which_they_fail() -> None:
    assert plan_of("hed")["inputs"]["safe"] == "enable"
    assert plan_of("lineart-realistic")["inputs"]["coarse"] == "disable"
    assert plan_of("mlsd")["inputs"]["score_threshold"] == 0.1
    assert plan_of("hed", safe="disable")["inputs"]["safe"] == "disable"


def test_options_have_the_names_and_values_of_the_pack() -> None:
    assert plan_of("dwpose", detect_hand=False)["inputs"]["detect_hand"] == "disable"
    assert plan_of("leres-depth", remove_nearest=2)["inputs"]["rm_nearest"] == 2.0
    assert plan_of("anyline", merge_with_lineart="lineart_realistic")["inputs"]["merge_with_lineart"] == (
        "lineart_realisitic"
    )
    assert plan_of("densepose", colormap="Parula (CivitAI)")["inputs"]["cmap"] == "Parula (CivitAI)"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("canny", {"low_threshold": 300}, "should be a whole number from 0 to 255"),
        ("canny", {"low_threshold": "high"}, "should be a whole number from 0 to 255"),
        ("canny", {"coarse": "enable"}, "is no option of canny, which has low_threshold, high_threshold"),
        ("color", {"seed": 1}, "is no option of color, which has no options"),
        ("dwpose", {"detect_hand": "yes"}, "should be true or false"),
        ("hed", {"safe": "maybe"}, "should be one of enable, disable"),
    ],
)
def test_wrong_options_are_refused(server: Server, kind: str, options: dict[str, Any], message: str) -> None:
    errors = refused(server, "preprocessImage", kind=kind, image=data_url(scene()), options=options)
    assert errors == {f"input.options.{next(iter(options))}": [message]}


def test_an_unknown_kind_is_refused_with_all_there_are(server: Server) -> None:
    (message,) = refused(server, "preprocessImage", kind="sketch", image=data_url(scene()))["input.kind"]
    assert message.startswith("is 'sketch', which is not one of animal-pose, anyline")
