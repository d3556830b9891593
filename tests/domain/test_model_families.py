"""The family that a file's name or size suggests, and AIRs made from file names."""

import pytest

from imagemill.domain.air import InvalidAir, file_air, parse
from imagemill.domain.model_families import guess_family, native_side

NAMES = {
    "dreamshaper_8.safetensors": "sd1",
    "v1-5-pruned-emaonly.safetensors": "sd1",
    "realisticVisionV60_sd15.safetensors": "sd1",
    "sd_xl_base_1.0.safetensors": "sdxl",
    "juggernautXL_v9.safetensors": "sdxl",
    "realvisxlV50_v50Bakedvae.safetensors": "sdxl",
    "ponyDiffusionV6XL.safetensors": "sdxl",
    "waiNSFWIllustrious_v110.safetensors": "sdxl",
    "anime\\sdxl\\mix_7.safetensors": "sdxl",
    "flux1-dev-fp8.safetensors": "flux1",
    "flux2_dev.safetensors": "flux2",
    "v2-1_768-ema-pruned.safetensors": "sd2",
    "sd3.5_large.safetensors": "sd3",
    "qwen_image_fp8_e4m3fn.safetensors": "qwen",
    "wan2.2_ti2v_5B_fp16.safetensors": "wan",
}


@pytest.mark.parametrize(("name", "family"), NAMES.items())
def test_a_published_name_tells_the_family(name: str, family: str):
    guess = guess_family(name)
    assert (guess.family, guess.source) == (family, "name")


@pytest.mark.parametrize(
    ("size", "family", "source"),
    [
        (2_132_625_894, "sd1", "size"),
        (4_265_097_012, "sd1", "size"),
        (6_938_078_334, "sdxl", "size"),
        (23_802_932_552, "flux1", "size"),
        (900_000_000, "sd1", "default"),
        (None, "sd1", "default"),
    ],
)
def test_where_the_name_tells_nothing_the_size_does(size: int | None, family: str, source: str):
    guess = guess_family("mymix.safetensors", "checkpoint", size)
    assert (guess.family, guess.source) == (family, source)


def test_the_size_of_a_lora_tells_nothing():
    guess = guess_family("lines.safetensors", "lora", 2_132_625_894)
    assert (guess.family, guess.source) == ("", "default")
    assert parse(str(file_air("lines.safetensors", "lora", guess.family))).type == "lora"


@pytest.mark.parametrize(
    "name",
    [
        "dreamshaper_8.safetensors",
        "SDXL/juggernaut XL v9 (full).safetensors",
        "画风 模型~1.safetensors",
        "a+b@3.ckpt",
        "sub\\model:x.safetensors",
    ],
)
def test_the_air_of_a_file_leads_back_to_the_file(name: str):
    made = file_air(name, "checkpoint", "sdxl")
    again = parse(str(made))
    assert (again.family, again.type, again.source) == ("sdxl", "checkpoint", "file")
    assert again.path == name.replace("\\", "/")
    assert parse(made.key).path.casefold() == again.path.casefold()


def test_two_files_have_two_airs():
    assert (
        file_air("my mix.ckpt", "checkpoint", "sd1").key != file_air("my-mix.ckpt", "checkpoint", "sd1").key
    )


def test_a_name_too_long_for_an_air_is_refused():
    with pytest.raises(InvalidAir, match="shorter name"):
        file_air("画" * 200 + ".safetensors", "checkpoint", "sd1")


def test_the_side_of_a_picture_follows_the_family():
    assert [native_side(family) for family in ("sd1", "sd2", "sdxl", "flux1", "")] == [
        512,
        768,
        1024,
        1024,
        512,
    ]
