"""Requests become graphs of core nodes that hold against what a node declares."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from imagemill.domain.images import SAMPLERS, Control, ImageSpec, Network, Sampler, Upscale
from imagemill.graphs.builder import build, picture_names, unsupported_reason
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import MissingFile, Unsupported
from imagemill.graphs.graph import Graph, titles
from imagemill.graphs.validate import reachable_ids
from tests.workflows.build import FOX, PICTURES, only, source
from tests.workflows.object_info import object_info

FLUX = replace(FOX, family="flux1", model_path="flux1-dev.safetensors", cfg_scale=3.5)
CHECKPOINTS = {
    "sd1": FOX,
    "sdxl": replace(FOX, family="sdxl", model_path="owl.safetensors"),
    "flux as checkpoint": replace(FLUX, model_path="flux1-all.safetensors"),
    "flux by separate loaders": FLUX,
}
CANNY = Control("map", "air", "canny.safetensors", "Canny", 0.8, 0.1, 0.9)
MAP = Control("pose", "air", "x/Canny.safetensors")


def network(kind: str, path: str, strength: float = 1.0, trigger: str | None = None) -> Network:
    return Network(f"urn:air:sd1:{kind}:civitai:1@1", kind, strength, trigger, path)


INK, PAPER = network("lora", "ink.safetensors", 0.5), network("dora", "paper.safetensors", -1.5)
EVERYTHING = (
    INK,
    PAPER,
    network("lycoris", "line.safetensors"),
    network("vae", "sd-vae.pt"),
    network("hypernet", "thick.pt", 0.7),
    network("embedding", "easynegative.pt"),
)


def made(spec: ImageSpec, catalogue: Catalogue | None) -> Graph:
    return build(spec, catalogue, prefix="ours/job/image", images=PICTURES)


def every_request() -> Iterator[ImageSpec]:
    for spec, (image, mask), networks, controls, upscale, skip, width in product(
        CHECKPOINTS.values(),
        ((None, None), ("source", None), ("source", "mask")),
        ((), EVERYTHING),
        ((), (CANNY, MAP)),
        (None, Upscale("air", "4x.pth")),
        (0, 2),
        (512, 500),
    ):
        yield replace(
            spec, image=image, mask=mask, networks=networks, controls=controls, upscale=upscale,
            clip_skip=skip, width=width, count=2, denoise=0.6,
        )  # fmt: skip


def test_every_combination_makes_a_graph_without_fault_and_without_loose_ends(catalogue: Catalogue) -> None:
    count = 0
    for spec in every_request():
        graph = made(spec, catalogue)
        assert [fault.message for fault in catalogue.faults(graph)] == []
        assert set(reachable_ids(graph, ["9"])) == set(graph)
        count += 1
    assert count == 4 * 3 * 2 * 2 * 2 * 2 * 2


def test_a_plain_request_keeps_its_numbers(catalogue: Catalogue) -> None:
    graph = made(FOX, catalogue)
    sampler = only(graph, "KSampler")
    assert (sampler["seed"], sampler["steps"], sampler["cfg"], sampler["denoise"]) == (42, 20, 7.0, 1.0)
    assert source(graph, sampler, "positive")["inputs"]["text"] == "a fox"
    assert source(graph, sampler, "negative")["inputs"]["text"] == "blurry"
    assert only(graph, "EmptyLatentImage") == {"width": 512, "height": 768, "batch_size": 1}
    assert only(graph, "CheckpointLoaderSimple") == {"ckpt_name": "sd1\\Fox.safetensors"}
    assert only(graph, "SaveImage")["filename_prefix"] == "ours/job/image"
    assert {"Positive prompt", "Negative prompt", "Sampler", "Save"} <= set(titles(graph).values())


@pytest.mark.parametrize("row", SAMPLERS, ids=lambda row: row.v1)
def test_each_row_of_the_scheduler_table_reaches_the_sampler(catalogue: Catalogue, row: Sampler) -> None:
    asked = {"sampler": row.sampler, "scheduler": row.scheduler}
    sampler = only(made(replace(FOX, **asked), catalogue), "KSampler")
    assert (sampler["sampler_name"], sampler["scheduler"]) == (row.sampler, row.scheduler)
    flux = made(replace(FLUX, **asked), catalogue)
    assert only(flux, "KSamplerSelect")["sampler_name"] == row.sampler
    spacing = "simple" if row.scheduler == "normal" else row.scheduler
    assert only(flux, "BasicScheduler")["scheduler"] == spacing


def test_loras_are_chained_on_the_model_and_the_text_encoder(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, networks=(INK, PAPER)), catalogue)
    last = source(graph, only(graph, "KSampler"), "model")
    assert last["inputs"]["lora_name"] == "style/paper.safetensors"
    assert (last["inputs"]["strength_model"], last["inputs"]["strength_clip"]) == (-1.5, -1.5)
    first = source(graph, last["inputs"], "model")
    assert first is source(graph, last["inputs"], "clip")
    assert first["inputs"]["lora_name"] == "ink.safetensors"
    assert source(graph, first["inputs"], "model")["class_type"] == "CheckpointLoaderSimple"
    for encode in (node for node in graph.values() if node["class_type"] == "CLIPTextEncode"):
        assert source(graph, encode["inputs"], "clip") is last


def test_loras_of_flux_act_on_both_of_its_parts(catalogue: Catalogue) -> None:
    graph = made(replace(FLUX, networks=(INK,)), catalogue)
    lora = only(graph, "LoraLoader")
    assert source(graph, lora, "model")["class_type"] == "UNETLoader"
    assert source(graph, lora, "clip")["class_type"] == "DualCLIPLoader"
    for taker in ("BasicScheduler", "BasicGuider"):
        assert source(graph, only(graph, taker), "model")["class_type"] == "LoraLoader"


def test_sixty_four_loras_take_no_other_node_s_place(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, networks=(INK,) * 64, clip_skip=2, controls=(CANNY,)), catalogue)
    assert sum(node["class_type"] == "LoraLoader" for node in graph.values()) == 64
    assert catalogue.faults(graph) == []


def test_clip_skip_comes_after_the_loras_and_before_both_prompts(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, clip_skip=2, networks=(INK,)), catalogue)
    skip = only(graph, "CLIPSetLastLayer")
    assert skip["stop_at_clip_layer"] == -2
    assert source(graph, skip, "clip")["class_type"] == "LoraLoader"
    for encode in (node for node in graph.values() if node["class_type"] == "CLIPTextEncode"):
        assert source(graph, encode["inputs"], "clip")["class_type"] == "CLIPSetLastLayer"


@pytest.mark.parametrize(("spec", "skip"), [(FOX, 0), (FOX, 1), (FLUX, 2)])
def test_no_layer_is_skipped_where_none_should_be(catalogue: Catalogue, spec: ImageSpec, skip: int) -> None:
    graph = made(replace(spec, clip_skip=skip), catalogue)
    assert all(node["class_type"] != "CLIPSetLastLayer" for node in graph.values())


def test_an_own_vae_encodes_and_decodes(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, image="source", networks=(network("vae", "sd-vae.pt"),)), catalogue)
    for taker in ("VAEDecode", "VAEEncode"):
        assert source(graph, only(graph, taker), "vae")["inputs"] == {"vae_name": "sd-vae.pt"}


def test_a_hypernetwork_acts_after_the_loras(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, networks=(network("hypernet", "thick.pt", 0.7), INK)), catalogue)
    hypernetwork = source(graph, only(graph, "KSampler"), "model")["inputs"]
    assert (hypernetwork["hypernetwork_name"], hypernetwork["strength"]) == ("thick.pt", 0.7)
    assert source(graph, hypernetwork, "model")["class_type"] == "LoraLoader"


@pytest.mark.parametrize("spec", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_source_is_fitted_encoded_and_drawn_anew_in_part(catalogue: Catalogue, spec: ImageSpec) -> None:
    graph = made(replace(spec, image="source", denoise=0.6, count=3), catalogue)
    assert only(graph, "LoadImage") == {"image": "in/source.png"}
    scale = only(graph, "ImageScale")
    assert (scale["width"], scale["height"], scale["crop"]) == (512, 768, "center")
    assert only(graph, "RepeatLatentBatch")["amount"] == 3
    is_flux = spec.family == "flux1"
    assert only(graph, "BasicScheduler" if is_flux else "KSampler")["denoise"] == 0.6
    latent = source(graph, only(graph, "SamplerCustomAdvanced" if is_flux else "KSampler"), "latent_image")
    assert latent["class_type"] == "RepeatLatentBatch"


def test_inpaint_draws_where_the_mask_is_white(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, image="source", mask="mask"), catalogue)
    masked = source(graph, only(graph, "KSampler"), "latent_image")
    assert masked["class_type"] == "SetLatentNoiseMask"
    mask = source(graph, masked["inputs"], "mask")
    assert (mask["class_type"], mask["inputs"]["channel"]) == ("ImageToMask", "red")
    fitted = source(graph, mask["inputs"], "image")
    assert (fitted["inputs"]["width"], fitted["inputs"]["height"]) == (512, 768)
    assert source(graph, fitted["inputs"], "image")["inputs"] == {"image": "in/mask.png"}


def test_a_size_that_latents_cannot_have_is_drawn_larger_and_cropped(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, width=500, height=333), catalogue)
    latent, crop = only(graph, "EmptyLatentImage"), only(graph, "ImageCrop")
    assert (latent["width"], latent["height"]) == (504, 336)
    assert (crop["width"], crop["height"], crop["x"], crop["y"]) == (500, 333, 2, 1)
    assert source(graph, only(graph, "SaveImage"), "images")["class_type"] == "ImageCrop"


def test_the_finished_picture_is_upscaled(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, width=500, upscale=Upscale("air", "up/4x.pth")), catalogue)
    upscale = source(graph, only(graph, "SaveImage"), "images")["inputs"]
    assert source(graph, upscale, "upscale_model")["inputs"] == {"model_name": "4x.pth"}
    assert source(graph, upscale, "image")["class_type"] == "ImageCrop"


def test_control_nets_are_chained_on_both_prompts(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, controls=(CANNY, MAP)), catalogue)
    sampler = only(graph, "KSampler")
    last = source(graph, sampler, "positive")
    assert (sampler["positive"][1], sampler["negative"][1]) == (0, 1)
    assert last is source(graph, sampler, "negative")
    assert source(graph, last["inputs"], "image")["class_type"] == "ImageScale"
    first = source(graph, last["inputs"], "positive")["inputs"]
    assert (first["strength"], first["start_percent"], first["end_percent"]) == (0.8, 0.1, 0.9)
    assert source(graph, first, "image")["class_type"] == "Canny"
    assert source(graph, first, "positive")["inputs"]["text"] == "a fox"
    assert source(graph, first, "negative")["inputs"]["text"] == "blurry"


def test_a_control_net_of_flux_sees_the_map_by_the_vae_and_keeps_the_guidance(catalogue: Catalogue) -> None:
    graph = made(replace(FLUX, controls=(CANNY,)), catalogue)
    applied = only(graph, "ControlNetApplyAdvanced")
    assert source(graph, applied, "vae")["class_type"] == "VAELoader"
    assert source(graph, applied, "positive")["class_type"] == "FluxGuidance"
    assert (
        source(graph, only(graph, "BasicGuider"), "conditioning")["class_type"] == "ControlNetApplyAdvanced"
    )


def test_a_preprocessor_that_is_no_core_node_is_refused_with_the_remedy(catalogue: Catalogue) -> None:
    spec = replace(FOX, controls=(replace(CANNY, preprocessor="DepthZoe"),))
    with pytest.raises(Unsupported, match=r"DepthZoe is not a core node.*finished control map"):
        made(spec, catalogue)
    assert unsupported_reason(spec) is not None
    assert unsupported_reason(FOX) is None


def test_a_mask_without_a_source_is_refused() -> None:
    assert unsupported_reason(replace(FOX, mask="mask")) == "`mask` needs a source image to draw into"


def test_the_pictures_a_request_needs_are_named_once() -> None:
    spec = replace(FOX, image="source", mask="mask", controls=(CANNY, replace(MAP, image="source")))
    assert picture_names(spec) == ("source", "mask", "map")


@pytest.mark.parametrize(
    ("guidance", "cfg", "told"), [(2.5, 7.0, 2.5), (None, 4.0, 4.0), (None, 0.0, 3.5), (0.0, 4.0, 0.0)]
)
def test_the_guidance_of_flux_is_its_own_or_the_cfg_or_the_usual(
    catalogue: Catalogue, guidance: float | None, cfg: float, told: float
) -> None:
    graph = made(replace(FLUX, guidance=guidance, cfg_scale=cfg), catalogue)
    assert only(graph, "FluxGuidance")["guidance"] == told


def test_schnell_is_drawn_without_guidance(catalogue: Catalogue) -> None:
    graph = made(replace(FLUX, model_path="flux1-schnell.safetensors"), catalogue)
    assert all(node["class_type"] != "FluxGuidance" for node in graph.values())
    assert source(graph, only(graph, "BasicGuider"), "conditioning")["class_type"] == "CLIPTextEncode"


def test_the_form_follows_where_the_node_lists_the_model(catalogue: Catalogue) -> None:
    checkpoint = made(CHECKPOINTS["flux as checkpoint"], catalogue)
    assert only(checkpoint, "CheckpointLoaderSimple")["ckpt_name"] == "flux1-all.safetensors"
    separate = made(FLUX, catalogue)
    assert only(separate, "UNETLoader")["unet_name"] == "flux1-dev.safetensors"
    encoders = only(separate, "DualCLIPLoader")
    assert (encoders["clip_name1"], encoders["clip_name2"]) == (
        "clip_l.safetensors",
        "t5xxl_fp16.safetensors",
    )
    assert only(separate, "VAELoader")["vae_name"] == "ae.safetensors"


def with_files(**lists: list[str]) -> Catalogue:
    """The catalogue with other files in DualCLIPLoader (``encoders``) and VAELoader (``vaes``)."""
    info = object_info()
    encoders, vaes = lists.get("encoders"), lists.get("vaes")
    for name in ("clip_name1", "clip_name2") if encoders is not None else ():
        info["DualCLIPLoader"]["input"]["required"][name] = [encoders]
    if vaes is not None:
        info["VAELoader"]["input"]["required"]["vae_name"] = [vaes]
    return Catalogue.read(info)


def test_fp8_is_taken_where_it_is_all_there_is() -> None:
    few = with_files(
        encoders=["t5\\t5xxl_fp8.safetensors", "CLIP-L.safetensors"], vaes=["flux2-vae.pt", "x_ae_flux.sft"]
    )
    encoders = only(made(FLUX, few), "DualCLIPLoader")
    assert (encoders["clip_name1"], encoders["clip_name2"]) == (
        "CLIP-L.safetensors",
        "t5\\t5xxl_fp8.safetensors",
    )
    assert only(made(FLUX, few), "VAELoader")["vae_name"] == "x_ae_flux.sft"


@pytest.mark.parametrize(
    ("lists", "missing"),
    [
        ({"encoders": ["t5xxl.safetensors"]}, "text encoder clip_l"),
        ({"encoders": ["clip_l.safetensors"]}, "text encoder t5xxl"),
        ({"vaes": ["flux2-vae.safetensors", "sdxl.vae.pt"]}, "VAE ae"),
    ],
)
def test_a_text_encoder_or_vae_that_flux_lacks_is_named(lists: dict[str, list[str]], missing: str) -> None:
    with pytest.raises(MissingFile, match=missing):
        made(FLUX, with_files(**lists))


def test_text_encoders_and_vae_that_the_request_names_are_taken(catalogue: Catalogue) -> None:
    named = (
        network("text_encoders", "t5xxl_fp8_e4m3fn.safetensors"),
        network("clip", "CLIP_L.safetensors"),
        network("vae", "sd-vae.pt"),
    )
    graph = made(replace(FLUX, networks=named), catalogue)
    encoders = only(graph, "DualCLIPLoader")
    assert (encoders["clip_name1"], encoders["clip_name2"]) == (
        "clip_l.safetensors",
        "t5xxl_fp8_e4m3fn.safetensors",
    )
    assert only(graph, "VAELoader")["vae_name"] == "sd-vae.pt"


@pytest.mark.parametrize(
    ("change", "kind", "wanted"),
    [
        ({"model_path": "gone.safetensors"}, "checkpoint", "gone.safetensors"),
        ({"networks": (network("lora", "gone.safetensors"),)}, "lora", "gone.safetensors"),
        ({"networks": (network("vae", "gone.pt"),)}, "vae", "gone.pt"),
        ({"networks": (network("hypernet", "gone.pt"),)}, "hypernet", "gone.pt"),
        ({"networks": (network("embedding", "gone.pt"),)}, "embedding", "gone.pt"),
        ({"controls": (replace(MAP, model_path="gone.pt"),)}, "controlnet", "gone.pt"),
        ({"upscale": Upscale("air", "gone.pth")}, "upscaler", "gone.pth"),
    ],
)
def test_a_file_the_node_lacks_is_named(
    catalogue: Catalogue, change: dict[str, Any], kind: str, wanted: str
) -> None:
    with pytest.raises(MissingFile) as caught:
        made(replace(FOX, **change), catalogue)
    assert (caught.value.kind, caught.value.wanted) == (kind, wanted)


def test_a_diffusion_model_alone_is_no_checkpoint_of_other_families(catalogue: Catalogue) -> None:
    with pytest.raises(Unsupported, match="without text encoders"):
        made(replace(FOX, model_path="flux1-dev.safetensors"), catalogue)


def test_an_unknown_family_is_drawn_from_its_checkpoint(catalogue: Catalogue) -> None:
    graph = made(replace(FOX, family="sd2"), catalogue)
    assert only(graph, "CheckpointLoaderSimple")["ckpt_name"] == "sd1\\Fox.safetensors"


def test_without_a_catalogue_names_are_taken_as_they_are() -> None:
    spec = replace(FOX, networks=EVERYTHING, controls=(CANNY,), model_path="any/where.ckpt")
    graph = made(spec, None)
    assert only(graph, "CheckpointLoaderSimple") == {"ckpt_name": "any/where.ckpt"}
    assert graph["4"]["inputs"]["text"] == "a fox, embedding:easynegative"
    flux = replace(FLUX, model_path="unet/civitai/1/2.safetensors")
    assert only(made(flux, None), "UNETLoader")["unet_name"] == "unet/civitai/1/2.safetensors"


@pytest.mark.parametrize("family", ["kolors", "seedream", "hyv1", "foo"])
@pytest.mark.parametrize("known", [True, False])
def test_a_family_that_is_not_in_the_table_is_refused_with_the_way(
    catalogue: Catalogue, family: str, known: bool
) -> None:
    spec = replace(FOX, family=family)
    assert f"family {family} " in (unsupported_reason(spec) or "")
    with pytest.raises(Unsupported, match="as a workflow"):
        made(spec, catalogue if known else None)


def test_a_model_without_a_family_is_refused() -> None:
    assert "names no family" in (unsupported_reason(replace(FOX, family="")) or "")
