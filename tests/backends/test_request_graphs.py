"""A kept graph that is filled in is the graph that would be built, whatever a request asks for."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill.backends.simulator import request_graphs
from imagemill.backends.simulator.graphs import parts_of
from imagemill.backends.simulator.request_graphs import RequestGraphs, request_of
from imagemill.domain.images import Control, ImageSpec, Network, RemoteCall, Upscale, VideoLength
from imagemill.graphs.errors import Unsupported
from imagemill.graphs.families.table import built_in

FOX = ImageSpec("a fox", "blurry", "urn:air:sd1:checkpoint:civitai:1@2", "sd1.safetensors", "sd1",
                64, 64, 8, 7.0, "euler", "normal", 1)  # fmt: skip
LORA = Network("urn:air:sd1:lora:civitai:3@4", "lora", 0.7, "foxy", "lora.safetensors")
EMBEDDING = Network("urn:air:sd1:embedding:civitai:5@6", "embedding", 1.2, "furry", "tail.pt")
CHANGES: dict[str, Any] = {
    "model": "urn:air:sd1:checkpoint:civitai:1@9",
    "model_path": "other.safetensors",
    "family": "sdxl",
    "width": 72,
    "height": 80,
    "steps": 9,
    "cfg_scale": 1.0,
    "sampler": "lcm",
    "scheduler": "karras",
    "clip_skip": 2,
    "count": 3,
    "networks": (LORA, EMBEDDING),
    "image": "image",
    "mask": "mask",
    "denoise": 0.4,
    "controls": (Control("control-0", preprocessor="canny"), Control("control-1", preprocessor="pose")),
    "upscale": Upscale("urn:air:other:upscaler:civitai:7@8", "esrgan.pth"),
    "guidance": 3.5,
    "format": "webp",
    "background": "#00ff00",
    "faces": True,
    "cutout": True,
    "variant": "turbo",
    "references": ("reference-0", "reference-1"),
    "size_of_reference": True,
    "video": VideoLength(25, 24.0),
    "remote": RemoteCall("vendor/model", {"quality": "high"}),
}


def texts(spec: ImageSpec) -> Iterator[ImageSpec]:
    """The same request with other prompts and seeds, which have words of its networks or none."""
    for number, prompt in enumerate(("a fox", "", "a FOXY fox, furry", "embedding:tail, the prompt")):
        yield replace(spec, prompt=prompt, negative_prompt=prompt[::2], seed=2**64 - 1 - number)


def outcome(make: Callable[[], Mapping[str, Any]]) -> str:
    """The graph as JSON, or why there is none."""
    try:
        return json.dumps(make())
    except Unsupported as refused:
        return f"refused: {refused}"


def assert_same_as_built(graphs: RequestGraphs, spec: ImageSpec) -> None:
    built = outcome(lambda: request_of(spec))
    assert outcome(lambda: graphs.graph_of(spec).graph) == built
    if not built.startswith("refused"):
        assert graphs.graph_of(spec).parts == parts_of(json.loads(built))


def test_the_changes_are_those_of_all_fields() -> None:
    """A new field of requests must be in this list, so that it is tested to make another graph."""
    varying = {"prompt", "negative_prompt", "seed"}
    assert set(CHANGES) | varying == {field.name for field in fields(ImageSpec)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_request_that_differs_in_anything_has_its_own_graph(name: str) -> None:
    graphs = RequestGraphs(built_in())
    # A mask needs a source, and the size of a reference needs one.
    base = replace(FOX, image="image") if name in ("mask", "denoise") else FOX
    for spec in (base, replace(base, **{name: CHANGES[name]}), base):
        for each in texts(spec):
            assert_same_as_built(graphs, each)


@pytest.mark.parametrize("family", built_in().names())
def test_graphs_of_all_families_are_filled_in_as_they_are_built(family: str) -> None:
    graphs = RequestGraphs(built_in())
    for change in (
        {},
        {"video": VideoLength(25, 24.0)},
        {"image": "image", "denoise": 0.5},
        {"image": "image", "mask": "mask"},
        {"references": ("reference-0",)},
        {"networks": (LORA,), "cfg_scale": 1.0},
    ):
        for each in texts(replace(FOX, family=family, **change)):
            assert_same_as_built(graphs, each)


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=40),
    st.text(max_size=40),
    st.integers(0, 2**64 - 1),
    st.lists(st.sampled_from([LORA, EMBEDDING]), max_size=2),
)
def test_any_prompts_and_seeds_are_filled_in(
    prompt: str, negative: str, seed: int, networks: list[Network]
) -> None:
    graphs = RequestGraphs(built_in())
    spec = replace(FOX, networks=tuple(networks))
    graphs.graph_of(spec)
    assert_same_as_built(graphs, replace(spec, prompt=prompt, negative_prompt=negative, seed=seed))


def test_graphs_that_were_given_stay_as_they_are() -> None:
    graphs = RequestGraphs(built_in())
    first = graphs.graph_of(FOX)
    before = json.dumps(first.graph)
    graphs.graph_of(replace(FOX, prompt="a dog", seed=5))
    assert json.dumps(first.graph) == before


def test_a_bounded_number_of_graphs_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_graphs, "MOST_KEPT", 4)
    graphs = RequestGraphs(built_in())
    for steps in range(1, 12):
        assert_same_as_built(graphs, replace(FOX, steps=steps))
    assert len(graphs._kept) <= 4  # pyright: ignore[reportPrivateUsage]
