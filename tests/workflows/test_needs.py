"""What work needs is said in words, and each node says whether it has it."""

from dataclasses import replace

import pytest

from imagemill.domain.images import Control, GraphSpec, Network, Upscale
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.families.table import built_in
from imagemill.graphs.model_files import find_installed_controlnet
from imagemill.graphs.requirements import Requirement, requirements_of
from tests.workflows.build import FOX, node, simple_graph


def test_a_request_needs_its_files() -> None:
    spec = replace(
        FOX,
        networks=(
            Network("a", "lora", path="sdxl/x.safetensors"),
            Network("b", "embedding", path="neg.pt"),
            Network("c", "lora", path="sdxl/x.safetensors"),
        ),
        controls=(Control("map", "air", "canny.safetensors"),),
        upscale=Upscale("air", "4x.pth"),
    )
    assert [str(need) for need in requirements_of(spec)] == [
        "checkpoint sd1/Fox.safetensors",
        "ControlNet canny.safetensors",
        "embedding neg.pt",
        "LoRA sdxl/x.safetensors",
        "upscaler 4x.pth",
    ]


def test_a_graph_needs_its_classes_and_the_files_its_loaders_name() -> None:
    graph = simple_graph() | {
        "20": node(
            "PowerLora",
            model=["21", 0],
            lora_1={"on": True, "lora": "a.safetensors"},
            lora_2={"on": False, "lora": "b"},
        ),
        "21": node("StyleLoader", model=["4", 0], style_name="pastel.safetensors"),
        "22": node("Fetch", file="https://example.org/x.safetensors", clip=["4", 1]),
    }
    graph["3"]["inputs"]["model"] = ["20", 0]
    needs = requirements_of(GraphSpec(graph))
    assert Requirement("class", "PowerLora") in needs
    files = [str(need) for need in needs if need.kind != "class"]
    assert files == ["checkpoint sd1\\Fox.safetensors", "file pastel.safetensors", "LoRA a.safetensors"]
    assert str(Requirement("class", "PowerLora")) == "node class PowerLora"


def test_a_graph_needs_no_file_of_a_node_that_is_not_executed_but_its_class() -> None:
    unused = node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="gone.safetensors")
    needs = requirements_of(GraphSpec(simple_graph() | {"20": unused}))
    assert [str(need) for need in needs if need.kind != "class"] == ["checkpoint sd1\\Fox.safetensors"]
    assert Requirement("class", "LoraLoader") in needs


@pytest.mark.parametrize(
    ("need", "met"),
    [
        (Requirement("checkpoint", "sd1/fox.safetensors"), True),
        (Requirement("checkpoint", "flux1-dev.safetensors"), True),
        (Requirement("checkpoint", "ink.safetensors"), False),
        (Requirement("lora", "paper.safetensors"), True),
        (Requirement("vae", "AE.safetensors"), True),
        (Requirement("controlnet", "canny.safetensors"), True),
        (Requirement("upscaler", "8x.pth"), False),
        (Requirement("hypernet", "thick.pt"), True),
        (Requirement("embedding", "easynegative.safetensors"), True),
        (Requirement("embedding", "other.pt"), False),
        (Requirement("class", "KSampler"), True),
        (Requirement("class", "PowerLora"), False),
        (Requirement("companions", "flux1-dev.safetensors"), True),
        (Requirement("companions", "flux1-all.safetensors"), True),
        (Requirement("companions", "gone.safetensors"), False),
    ],
)
def test_a_need_is_met_by_what_the_node_lists(catalogue: Catalogue, need: Requirement, met: bool) -> None:
    assert need.met_by(catalogue) is met


def test_flux_in_a_file_of_its_own_needs_what_goes_with_it() -> None:
    spec = replace(FOX, family="flux1", model_path="flux1-dev.safetensors")
    assert str(requirements_of(spec)[-1]) == "text encoders and VAE for flux1-dev.safetensors"
    named = replace(spec, networks=(Network("a", "clip", path="clip_l.safetensors"),))
    assert [need.kind for need in requirements_of(named)] == ["checkpoint", "text_encoder"]


def test_a_need_is_read_back_from_its_key() -> None:
    need = Requirement("lora", "a:b/c.safetensors")
    assert Requirement.from_key(need.key) == need
    for odd in ("", "lora", "nothing:x"):
        with pytest.raises(ValueError, match="is not a requirement"):
            Requirement.from_key(odd)


def test_a_control_without_a_model_needs_one_for_its_kind_and_family() -> None:
    (need,) = (
        n
        for n in requirements_of(replace(FOX, controls=(Control("map", preprocessor="Canny"),)))
        if n.kind == "control"
    )
    assert str(need) == "ControlNet for canny sd1"


@pytest.mark.parametrize(
    ("listed", "purpose", "chosen"),
    [
        (("diffusers_xl_canny.safetensors", "control_v11p_sd15_canny.pth"), "canny sd1", 1),
        (("diffusers_xl_canny.safetensors", "control_v11p_sd15_canny.pth"), "canny sdxl", 0),
        (("flux-canny.safetensors", "my_canny.safetensors"), "canny sd1", 1),
        (("flux-canny.safetensors",), "canny sd1", None),
        (("control_v11p_sd15_depth.pth",), "canny sd1", None),
        ((), "canny sd1", None),
    ],
)
def test_a_node_s_own_controlnet_is_told_by_its_name(
    listed: tuple[str, ...], purpose: str, chosen: int | None
) -> None:
    loader = {"input": {"required": {"control_net_name": [list(listed)]}}, "output": ["CONTROL_NET"]}
    catalogue = Catalogue.read({"ControlNetLoader": loader})
    assert find_installed_controlnet(purpose, catalogue, built_in()) == (
        None if chosen is None else listed[chosen]
    )
    assert Requirement("control", purpose).met_by(catalogue) is (chosen is not None)
