"""AIRs made from file names, and the sizes of families."""

import pytest

from imagemill.domain.air import InvalidAir, file_air, parse
from imagemill.domain.model_families import native_side


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
