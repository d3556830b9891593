"""The family of a model, by what is known of it: the order of the sources, and each of them."""

import pytest

from imagemill.graphs.families.finding import FoundFamily, ModelFacts, find_family
from imagemill.graphs.families.table import Families, built_in
from imagemill.graphs.file_metadata import FileMetadata

TABLE = built_in()
EVERYTHING = {
    "ecosystem": "chroma",
    "base_model": "Flux.1 D",
    "metadata": FileMetadata(architecture="qwen-image", base_model="sdxl_base_v1-0"),
    "file": "anima/anima-base-v1.0.safetensors",
    "size": 2_132_625_894,
}


def found(**facts: object) -> tuple[str, str]:
    got = find_family(TABLE, ModelFacts(**facts))  # pyright: ignore[reportArgumentType]
    return got.name, got.source


def test_the_sources_have_an_order():
    """Each of them decides as long as no earlier one does."""
    facts = dict(EVERYTHING)
    order: list[tuple[str, str]] = []
    for source in (*EVERYTHING, ""):
        order.append(found(**facts))
        facts.pop(source, None)
    assert order == [
        ("chroma", "air"),
        ("flux1", "registry"),
        ("qwen", "metadata"),
        ("anima", "name"),
        ("sd1", "size"),
        ("", "unknown"),
    ]


@pytest.mark.parametrize(
    ("ecosystem", "family"),
    [
        ("sd1", "sd1"),
        ("SD1", "sd1"),
        ("sdxl1", "sdxl"),
        ("pony", "sdxl"),
        ("illustrious", "sdxl"),
        ("noobai", "sdxl"),
        ("sdxldistilled", "sdxl"),
        ("fluxkrea", "flux1"),
        ("flux", "flux1"),
        ("zimageturbo", "zimage"),
        ("sd3_5m", "sd3"),
        ("flux1kontext", "flux1-kontext"),
    ],
)
def test_several_ecosystems_are_one_family(ecosystem: str, family: str):
    assert found(ecosystem=ecosystem) == (family, "air")


def test_an_ecosystem_without_a_row_is_no_other_family():
    got = find_family(TABLE, ModelFacts(ecosystem="hyv1", file="sdxl_base.safetensors"))
    assert got == FoundFamily("hyv1", "air", None)


@pytest.mark.parametrize("ecosystem", ["", "other", "unknown"])
def test_an_ecosystem_that_says_nothing_leaves_it_to_the_next_source(ecosystem: str):
    assert found(ecosystem=ecosystem, base_model="Pony") == ("sdxl", "registry")


def test_a_base_model_without_a_row_is_no_other_family():
    assert found(base_model="Kolors", file="kolors_sdxl.safetensors") == ("kolors", "registry")


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("stable-diffusion-v1", "sd1"),
        ("stable-diffusion-v1/lora", "sd1"),
        ("stable-diffusion-v2-768-v", "sd2"),
        ("stable-diffusion-xl-v1-base/lora", "sdxl"),
        ("stable-diffusion-3-medium", "sd3"),
        ("flux-1-dev/lora", "flux1"),
        ("Flux.1-Kontext-dev", "flux1-kontext"),
        ("lumina-2", "lumina"),
        ("qwen-image-edit", "qwen-edit"),
        ("z-image", "zimage"),
        ("wan2.1/lora", "wan21"),
    ],
)
def test_an_architecture_tells_the_family(architecture: str, family: str):
    assert found(metadata=FileMetadata(architecture=architecture)) == (family, "metadata")


@pytest.mark.parametrize(
    ("base_model", "family"),
    [("sd_v1", "sd1"), ("sd_v2", "sd2"), ("sdxl_base_v1-0", "sdxl"), ("sd3m", "sd3"), ("flux1d", "flux1")],
)
def test_the_base_model_of_a_lora_tells_the_family(base_model: str, family: str):
    assert found(metadata=FileMetadata(base_model=base_model)) == (family, "metadata")


def test_metadata_of_no_known_model_leave_it_to_the_name():
    assert found(metadata=FileMetadata("mystery-9"), file="z_image_turbo_bf16.safetensors") == (
        "zimage",
        "name",
    )


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("dreamshaper_8.safetensors", "sd1"),
        ("v1-5-pruned-emaonly.safetensors", "sd1"),
        ("realisticVisionV60_sd15.safetensors", "sd1"),
        ("sd_xl_base_1.0.safetensors", "sdxl"),
        ("juggernautXL_v9.safetensors", "sdxl"),
        ("realvisxlV50_v50Bakedvae.safetensors", "sdxl"),
        ("ponyDiffusionV6XL.safetensors", "sdxl"),
        ("waiNSFWIllustrious_v110.safetensors", "sdxl"),
        ("anime\\sdxl\\mix_7.safetensors", "sdxl"),
        ("flux1-dev-fp8.safetensors", "flux1"),
        ("flux2_dev.safetensors", "flux2"),
        ("v2-1_768-ema-pruned.safetensors", "sd2"),
        ("sd3.5_large.safetensors", "sd3"),
        ("qwen_image_fp8_e4m3fn.safetensors", "qwen"),
        ("wan2.2_ti2v_5B_fp16.safetensors", "wan22-5b"),
        ("z_image_turbo_bf16.safetensors", "zimage"),
        ("mymix.safetensors", ""),
    ],
)
def test_a_published_name_tells_the_family(name: str, family: str):
    assert found(file=name) == (family, "name" if family else "unknown")


def test_the_folder_of_a_file_counts_where_its_name_says_nothing():
    assert found(file="sdxl/mymix.safetensors") == ("sdxl", "name")
    assert found(file="sdxl\\mymix.safetensors") == ("sdxl", "name")


@pytest.mark.parametrize(
    ("size", "family"),
    [
        (2_132_625_894, "sd1"),
        (4_265_380_512, "sd1"),
        (6_938_078_334, "sdxl"),
        (17_246_524_772, "flux1"),
        # Lumina 2, SD 3.5 Medium and Stable Cascade: no size that only one family has.
        (5_200_000_000, ""),
        (7_180_000_000, ""),
        (None, ""),
    ],
)
def test_a_size_counts_where_only_one_family_has_it(size: int | None, family: str):
    assert found(file="mymix.safetensors", size=size)[0] == family


@pytest.mark.parametrize(
    ("facts", "variant"),
    [
        ({"ecosystem": "flux1", "file": "flux1-schnell.safetensors"}, "schnell"),
        ({"ecosystem": "flux1", "title": "FLUX Schnell", "file": "a.safetensors"}, "schnell"),
        ({"ecosystem": "zimageturbo", "file": "a.safetensors"}, "turbo"),
        ({"base_model": "Flux.1 S", "file": "a.safetensors"}, "schnell"),
        ({"base_model": "SDXL Lightning", "file": "a.safetensors"}, "distilled"),
        ({"base_model": "ZImageTurbo", "file": "a.safetensors"}, "turbo"),
        ({"metadata": FileMetadata("flux-1-schnell"), "file": "a.safetensors"}, "schnell"),
        ({"file": "a.safetensors", "size": 6_938_078_334}, "base"),
    ],
)
def test_the_variant_is_what_the_most_exact_name_says(facts: dict[str, object], variant: str):
    assert find_family(TABLE, ModelFacts(**facts)).variant == variant  # pyright: ignore[reportArgumentType]


def test_a_row_that_a_user_added_is_found():
    own = Families(lambda: {each.name: each for each in TABLE if each.name == "anima"})
    assert find_family(own, ModelFacts(file="anima.safetensors")).name == "anima"
    assert find_family(own, ModelFacts(file="sdxl.safetensors")).source == "unknown"
