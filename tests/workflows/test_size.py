"""The pictures, pixels and steps of a graph, as ComfyUI would render it."""

from typing import Any

import pytest

from imagemill.domain.images import GraphSpec, RenderSize
from imagemill.graphs.graph import Graph
from imagemill.graphs.size import measure
from tests.workflows.build import FOX, node, simple_graph


def size(graph: Graph) -> RenderSize:
    return measure(GraphSpec(graph))


def batch(**latent: Any) -> Graph:
    graph = simple_graph()
    graph["5"]["inputs"] |= latent
    return graph


SIMPLE = RenderSize(512 * 640 / 1e6, 20, 1)
DOZEN = RenderSize(512 * 640 / 1e6, 20, 12)


def test_a_request_has_its_own_numbers() -> None:
    assert measure(FOX) == RenderSize(512 * 768 / 1e6, 20, 1)


@pytest.mark.parametrize("count", [12, "12", 12.0, " 12 ", ["30", 0]])
def test_a_batch_counts_however_it_is_written(count: Any) -> None:
    assert size(simple_graph()) == SIMPLE
    assert size(batch(batch_size=count) | {"30": node("PrimitiveInt", value=12)}) == DOZEN


def test_sides_and_steps_count_however_they_are_written() -> None:
    graph = batch(width="1024", height=["30", 0]) | {"30": node("PrimitiveFloat", value=2048.0)}
    graph["3"]["inputs"]["steps"] = "40"
    assert size(graph) == RenderSize(1024 * 2048 / 1e6, 40, 1)


def test_repeated_latents_count() -> None:
    graph = batch(batch_size=3) | {"30": node("RepeatLatentBatch", samples=["5", 0], amount="4")}
    graph["3"]["inputs"]["latent_image"] = ["30", 0]
    assert size(graph) == DOZEN


def test_pictures_that_are_joined_are_added_up() -> None:
    graph = batch(batch_size=6) | {"30": node("ImageBatch", image1=["8", 0], image2=["8", 0])}
    graph["9"]["inputs"]["images"] = ["30", 0]
    assert size(graph) == DOZEN


def test_a_large_batch_counts_even_if_few_of_it_are_saved() -> None:
    graph = batch(batch_size=12) | {"30": node("ImageFromBatch", image=["8", 0], batch_index=0, length=1)}
    graph["9"]["inputs"]["images"] = ["30", 0]
    assert size(graph) == DOZEN


def test_all_pictures_that_are_saved_count_and_previews_do_not() -> None:
    graph = batch(batch_size=3) | {
        "30": node("ImageInvert", image=["8", 0]),
        "31": node("SaveImage", images=["30", 0], filename_prefix="x"),
        "32": node("PreviewImage", images=["8", 0]),
    }
    assert size(graph).quantity == 6


def test_previews_count_where_nothing_is_saved() -> None:
    graph = batch(batch_size=3)
    graph["9"]["class_type"] = "PreviewImage"
    assert size(graph).quantity == 3


def test_nodes_that_are_not_executed_are_free() -> None:
    unused = {
        "30": node("EmptyLatentImage", width=4096, height=4096, batch_size=64),
        "31": node("KSampler", **simple_graph()["3"]["inputs"] | {"latent_image": ["30", 0], "steps": 1000}),
        "32": node("VAEDecode", samples=["31", 0], vae=["4", 2]),
    }
    assert size(simple_graph() | unused) == SIMPLE


def test_a_saver_of_an_unknown_pack_is_not_free() -> None:
    graph = batch(batch_size=12)
    graph["9"]["class_type"] = "Image Keeper (pack)"
    small = {
        "40": node("EmptyImage", width=64, height=64, batch_size=1),
        "41": node("SaveImage", images=["40", 0], filename_prefix="x"),
    }
    assert size(graph | small) == DOZEN


@pytest.mark.parametrize(("factor", "times"), [(2, 4), (1.5, 2.25), ("half", 1), (1e9, 256)])
def test_a_picture_that_is_enlarged_counts_as_it_becomes(factor: Any, times: float) -> None:
    graph = simple_graph() | {"30": node("ImageScaleBy", image=["8", 0], scale_by=factor)}
    graph["9"]["inputs"]["images"] = ["30", 0]
    assert size(graph).megapixels == pytest.approx(times * SIMPLE.megapixels)


def test_sizes_that_a_text_encoder_is_told_are_no_pictures() -> None:
    graph = simple_graph()
    told = {"width": 4096, "height": 4096, "target_width": 4096, "text_g": "a", "text_l": "a"}
    graph["6"] = node("CLIPTextEncodeSDXL", clip=["4", 1], **told)
    assert size(graph) == SIMPLE


@pytest.mark.parametrize("width", [0, -512, 2**40, "wide", None, True, ["5", 0], 0.5])
def test_a_size_that_cannot_be_read_is_assumed(width: Any) -> None:
    assert size(batch(width=width)).megapixels == 1.0


def test_circles_and_damaged_nodes_end() -> None:
    graph: Graph = {
        "1": node("RepeatLatentBatch", samples=["2", 0], amount=64),
        "2": node("RepeatLatentBatch", samples=["1", 0], amount=64),
        "3": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    assert size(graph).megapixels == 1.0
    assert size({"1": {"class_type": "SaveImage", "inputs": {"images": ["9", 0]}}}).quantity == 1
    assert size({}) == RenderSize(1.0, 0, 1)


def test_repeats_of_repeats_stay_a_number() -> None:
    graph = simple_graph()
    for number in range(100, 200):
        source = ["5", 0] if number == 100 else [str(number - 1), 0]
        graph[str(number)] = node("RepeatLatentBatch", samples=source, amount=4096)
    graph["3"]["inputs"]["latent_image"] = ["199", 0]
    assert size(graph).quantity == 10**9
