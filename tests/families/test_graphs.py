"""Each row of the table makes the graph of ComfyUI's own template, and one that 0.33 accepts."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from imagemill.domain.images import Control, ImageSpec, Network, Upscale, VideoLength
from imagemill.graphs.builder import build
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.families.availability import missing
from imagemill.graphs.families.rows import Variant
from imagemill.graphs.families.table import Family, built_in
from imagemill.graphs.graph import Graph
from imagemill.graphs.validate import reachable_ids
from tests.families.templates import Reduction, nodes_of, object_info, pictures_of, template

PICTURES = dict.fromkeys(("image", "mask", "map", *(f"reference-{n}" for n in range(16))), "picture.png")
NO_TEMPLATE = {
    "anima.turbo", "auraflow.base", "boogu.base", "boogu.edit-turbo", "flux1.dev", "flux1.krea",
    "flux1.schnell",
    "krea2.raw", "qwen-edit.rapid", "qwen.distilled", "qwen21.turbo", "sd1.base", "sd2.base", "sd3.turbo",
    "sdxl.distilled", "sdxl.v-prediction",
}  # fmt: skip
"""Variants of which there is no template, or another one: FLUX.1 samples with a guider as it always did."""

SWITCHED_OFF = ("image_qwen_image_edit_2509",)
"""Templates that come with the LoRA for fewer steps."""


def every_variant() -> Iterator[tuple[Family, str, Variant]]:
    for family in built_in():
        for name, variant in family.variants.items():
            yield family, name, variant


def spec_of(family: Family, name: str, references: int = 0, **changes: Any) -> ImageSpec:
    """A request with the defaults of a variant."""
    variant = family.variants[name]
    spec = ImageSpec(
        prompt="a fox",
        negative_prompt="blurry",
        model=f"urn:air:{family.name}:checkpoint:file:x",
        model_path=variant.files[0],
        family=family.name,
        variant=name,
        width=variant.size.width,
        height=variant.size.height,
        steps=variant.steps,
        cfg_scale=variant.default_cfg,
        sampler=variant.sampler,
        scheduler=variant.scheduler,
        seed=7,
        references=tuple(f"reference-{n}" for n in range(references)),
        size_of_reference=references > 0,
    )
    if variant.video is not None:
        spec = replace(spec, video=VideoLength(variant.video.length, variant.video.fps))
    if variant.needs_mask:
        spec = replace(spec, image="image", mask="mask")
    return replace(spec, **changes)


def made(spec: ImageSpec, catalogue: Catalogue | None = None) -> Graph:
    return build(spec, catalogue, prefix="ours/job/image", images=PICTURES)


def templates() -> Iterator[Any]:
    for family, name, variant in every_variant():
        for kind, title in (("template", variant.template), ("edit_template", variant.edit_template)):
            if title:
                yield pytest.param(family, name, title, kind, id=f"{family.name}.{name}-{title}")


@pytest.mark.parametrize(("family", "name", "title", "kind"), list(templates()))
def test_a_graph_has_the_nodes_values_and_links_of_its_template(
    family: Family, name: str, title: str, kind: str
) -> None:
    theirs, variant = template(title), family.variants[name]
    is_edit = kind == "edit_template" and variant.references is not None
    ours = made(spec_of(family, name, pictures_of(theirs) if is_edit else 0))
    if kind == "edit_template" and family.kind == "video":
        ours = made(spec_of(family, name, image="image"))
    expected, found = (
        Reduction(theirs, variant, is_off=title in SWITCHED_OFF).tree(),
        Reduction(ours, variant).tree(),
    )
    expected = _with_ours(title, expected)
    assert nodes_of(found) == nodes_of(expected)
    assert found == expected


def _with_ours(title: str, tree: Any) -> Any:
    """The template's tree with the values in which ours differs for a reason.

    LTX-Video's templates condition on 25 frames a second and play 24; and the one from a picture holds 0.15,
    the value of an input that meant noise and has since been replaced by a strength.
    """
    if not isinstance(tree, tuple):
        return tree
    if title.startswith("ltxv") and tree == ("fps", 24):
        return ("fps", 25.0)
    if title == "ltxv_image_to_video" and tree == ("strength", 0.15):
        return ("strength", 1.0)
    return tuple(_with_ours(title, each) for each in tree)


def test_the_variants_without_a_template_are_known() -> None:
    without = {
        f"{family.name}.{name}"
        for family, name, variant in every_variant()
        if not (variant.template or variant.edit_template)
    }
    assert without == NO_TEMPLATE


# Graphs that ComfyUI 0.33 accepts.


def files_of_everything() -> dict[str, list[str]]:
    """Folder -> the published files of every family, and one of each further kind."""
    found: dict[str, set[str]] = {name: set() for name in ("checkpoints", "diffusion_models", "vae")}
    found |= {"loras": {"ink.safetensors"}, "hypernetworks": {"thick.pt"}, "upscale_models": {"4x.pth"}}
    found |= {"text_encoders": set(), "controlnet": set(), "model_patches": set()}
    for _, _, variant in every_variant():
        folder = "checkpoints" if variant.loader == "checkpoint" else "diffusion_models"
        found[folder] |= set(variant.files)
        found["vae"] |= {variant.vae.name} if variant.vae is not None else set()
        encoder, second = variant.text_encoder, variant.second_model
        found["text_encoders"] |= {row.name for row in encoder.files} if encoder is not None else set()
        found["diffusion_models"] |= {second.name} if second is not None else set()
        for row in variant.controls:
            name = f"{row.match[0].strip('*').replace('*', '_')}_union_control.safetensors"
            found["controlnet" if row.loader == "ControlNetLoader" else "model_patches"].add(name)
    return {folder: sorted(names - {"pixel_space"}) for folder, names in found.items()}


@pytest.fixture(scope="module")
def everything() -> Catalogue:
    """A node of 0.33 with the files of every family."""
    return Catalogue.read(object_info(files_of_everything()), embeddings=[])


def requests(family: Family, name: str) -> Iterator[ImageSpec]:
    """What a variant can do, one request each."""
    variant = family.variants[name]
    needed = 1 if variant.needs_reference else 0
    yield spec_of(family, name, needed)
    yield spec_of(
        family, name, needed, count=2, cfg_scale=1.0, width=1016, height=712, size_of_reference=False
    )
    lora = Network("air", "lora", 0.7, None, "ink.safetensors")
    yield spec_of(family, name, needed, networks=(lora,), upscale=Upscale("air", "4x.pth"), guidance=3.0)
    if variant.references is not None:
        yield spec_of(family, name, variant.references.max, count=2)
    if variant.source:
        yield spec_of(family, name, needed, image="image", denoise=0.5)
    if variant.source and variant.mask:
        yield spec_of(family, name, needed, image="image", mask="mask", denoise=0.5, count=3)
    if variant.controls:
        control = Control("map", preprocessor="canny", weight=0.6)
        yield spec_of(family, name, needed, controls=(control, replace(control, preprocessor="")))


@pytest.mark.parametrize(
    ("family", "name"),
    [
        pytest.param(family, name, id=f"{family.name}.{name}")
        for family, name, variant in every_variant()
        if not variant.newer
    ],
)
def test_every_graph_of_a_row_is_one_that_the_node_accepts(
    everything: Catalogue, family: Family, name: str
) -> None:
    variant = family.variants[name]
    for spec in requests(family, name):
        if variant.needs_mask and spec.mask is None:
            continue
        graph = made(spec, everything)
        assert [fault.message for fault in everything.faults(graph)] == [], spec
        ends = [id_ for id_, each in graph.items() if each["class_type"].startswith("Save")]
        assert set(reachable_ids(graph, ends)) == set(graph), spec


def test_a_newer_family_needs_classes_or_types_that_0_33_does_not_have(everything: Catalogue) -> None:
    newer = {family.name for family, _, variant in every_variant() if variant.newer}
    assert newer == {"flux3-klein", "moss", "qwen21"}
    for family, _, variant in every_variant():
        lacking = missing(variant, everything, "checkpoint" if variant.loader == "checkpoint" else "separate")
        assert bool(lacking) == variant.newer, f"{family.name}: {lacking}"
