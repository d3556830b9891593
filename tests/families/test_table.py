"""The table of model families: how rows are read, found and replaced."""

from pathlib import Path

import pytest

from imagemill.graphs.families.rows import FileRow, matches, normalise_name
from imagemill.graphs.families.table import Families, InvalidFamilies, built_in, load_families
from tools.families_page import page

OWN = """
[rabbit]
title = "Rabbit"
ecosystems = ["rabbit"]
match = ["*rabbit*"]
extends = "zimage.turbo"
steps = 6
"""


def written(folder: Path, text: str) -> Families:
    (folder / "families.toml").write_text(text, encoding="utf-8")
    return load_families(folder)


@pytest.mark.parametrize(
    ("name", "family", "variant"),
    [
        ("flux2_dev_fp8mixed.safetensors", "flux2", "base"),
        ("Flux.2-Klein-4B.safetensors", "flux2-klein", "4b"),
        ("flux-2-klein-base-9b-fp8.safetensors", "flux2-klein", "9b-base"),
        ("flux-2-klein-9b-kv-fp8.safetensors", "flux2-klein", "9b-kv"),
        ("flux1-dev.safetensors", "flux1", "dev"),
        ("flux1-schnell.safetensors", "flux1", "schnell"),
        ("flux1-krea-dev_fp8_scaled.safetensors", "flux1", "krea"),
        ("flux1-dev-kontext_fp8_scaled.safetensors", "flux1-kontext", "base"),
        ("z_image_turbo_bf16.safetensors", "zimage", "turbo"),
        ("ZImage/photo_v3.safetensors", "zimage", "base"),
        ("qwen_image_edit_2511_fp8mixed.safetensors", "qwen-edit", "2511"),
        ("qwen_image_edit_2509_fp8_e4m3fn.safetensors", "qwen-edit", "2509"),
        ("qwen_image_2512_fp8_e4m3fn.safetensors", "qwen", "2512"),
        ("qwen_image_2.1_int8_convrot.safetensors", "qwen21", "base"),
        ("anima-base-v1.0.safetensors", "anima", "base"),
        ("animagine-xl-3.1.safetensors", "sdxl", "base"),
        ("ponyDiffusionV6XL.safetensors", "sdxl", "base"),
        ("ponyDiffusionV7.safetensors", "auraflow", "base"),
        ("realvisxlV50_lightning.safetensors", "sdxl", "distilled"),
        ("sd_xl_turbo_1.0_fp16.safetensors", "sdxl", "sdxl-turbo"),
        ("Chroma1-HD-fp8mixed.safetensors", "chroma", "base"),
        ("chroma-radiance-x0.safetensors", "chroma-radiance", "base"),
        ("hidream_o1_image_dev_fp8_scaled.safetensors", "hidream-o1", "dev"),
        ("sd3.5_large_turbo.safetensors", "sd3", "turbo"),
        ("v1-5-pruned-emaonly.ckpt", "sd1", "base"),
        ("wan2.2_ti2v_5B_fp16.safetensors", "wan22-5b", "base"),
        ("ltx-video-2b-v0.9.5.safetensors", "ltxv", "base"),
    ],
)
def test_published_names_tell_family_and_variant(name: str, family: str, variant: str) -> None:
    found = built_in().guess(name)
    assert found is not None
    assert (found.family.name, found.variant_name) == (family, variant)


@pytest.mark.parametrize("name", ["mystery.safetensors", "xlarge.safetensors", "monochrome.safetensors", ""])
def test_a_name_that_tells_nothing_is_of_no_family(name: str) -> None:
    assert built_in().guess(name) is None


@pytest.mark.parametrize(
    ("ecosystem", "names", "family", "variant"),
    [
        ("sdxl", (), "sdxl", "base"),
        ("Pony", (), "sdxl", "base"),
        ("sdxldistilled", ("civitai/1/2.safetensors",), "sdxl", "distilled"),
        ("zimageturbo", ("civitai/1/2.safetensors",), "zimage", "turbo"),
        ("zimagebase", (), "zimage", "base"),
        ("flux2", ("civitai/1/2.safetensors",), "flux2", "base"),
        ("flux2", ("civitai/1/2.safetensors", "Flux.2 Klein 4B-base"), "flux2-klein", "4b-base"),
        ("qwen", (), "qwen", "2512"),
        ("qwen", ("qwen-image-edit-2511-fp8.safetensors",), "qwen-edit", "2511"),
        ("fluxkrea", (), "flux1", "krea"),
        ("flux1", (), "flux1", "dev"),
        ("flux1", ("flux1-dev-kontext_fp8_scaled.safetensors",), "flux1-kontext", "base"),
        ("chroma", ("chroma-radiance-x0.safetensors",), "chroma-radiance", "base"),
        ("flux2-klein", (), "flux2-klein", "4b"),
    ],
)
def test_an_ecosystem_and_the_names_of_a_model_choose_family_and_variant(
    ecosystem: str, names: tuple[str, ...], family: str, variant: str
) -> None:
    found = built_in().find(ecosystem, *names)
    assert found is not None
    assert (found.family.name, found.variant_name) == (family, variant)


def test_a_named_variant_wins_and_an_unknown_ecosystem_is_none() -> None:
    found = built_in().find("zimage", "z_image_bf16.safetensors", variant="turbo")
    assert found is not None
    assert found.variant_name == "turbo"
    assert built_in().find("seedream") is None
    assert built_in().find("") is None


def test_every_row_has_what_a_node_needs_of_it() -> None:
    names = [family.name for family in built_in()]
    assert len(names) == len(set(names)) == 39
    for family in built_in():
        for key, variant in family.variants.items():
            where = f"{family.name}.{key}"
            assert variant.license, where
            assert variant.files, where
            assert variant.loader == "checkpoint" or (variant.text_encoder and variant.vae), where
            assert (variant.video is not None) == (family.kind == "video"), where
            for file in variant.files:
                found = built_in().guess(file)
                assert found is not None, file
                assert (found.family.name, found.variant_name) == (family.name, key), file


def test_the_files_of_a_row_are_found_by_their_published_names() -> None:
    for family in built_in():
        for variant in family.variants.values():
            beside = [*(variant.text_encoder.files if variant.text_encoder else ()), variant.vae]
            for file in filter(None, [*beside, variant.second_model]):
                assert file.choose(("a.safetensors", file.name)) == file.name
                assert any(matches((each,), normalise_name(file.name)) for each in file.patterns), file.name


def test_patterns_are_tried_in_order_and_exclusions_hold() -> None:
    row = FileRow(name="ae.safetensors", match=("*_ae_*", "*flux*", "!*flux2*"))
    assert row.choose(("my_flux.sft", "x_ae_y.sft")) == "x_ae_y.sft"
    assert row.choose(("flux2-vae.safetensors",)) is None
    assert row.choose(("sub\\AE.safetensors", "x_ae_y.sft")) == "sub\\AE.safetensors"


def test_a_row_of_the_data_folder_extends_a_variant(tmp_path: Path) -> None:
    table = written(tmp_path, OWN)
    found = table.guess("Rabbit_v2.safetensors")
    assert found is not None
    assert found.title == "Rabbit"
    assert (found.variant.steps, found.variant.cfg, found.variant.latent.node) == (
        6,
        1.0,
        "EmptySD3LatentImage",
    )
    assert found.variant.template == ""
    assert table.get("zimage") == built_in().get("zimage")
    assert next(iter(table)).name == "rabbit"


def test_a_row_with_a_known_name_replaces_it(tmp_path: Path) -> None:
    table = written(tmp_path, '[sd1]\ntitle = "Mine"\nloader = "checkpoint"\nmatch = ["*mine*"]\n')
    assert [family.name for family in table].count("sd1") == 1
    replaced = table.get("sd1")
    assert replaced is not None
    assert (replaced.title, replaced.ecosystems) == ("Mine", ())


def test_without_a_file_the_table_is_the_package_s(tmp_path: Path) -> None:
    assert load_families(tmp_path) is built_in()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x]\ntitle = 'X'\nsteps = 0\n", r"families\.toml: x\.steps should be at least 1"),
        ("[x]\ntitle = 'X'\ncolour = 1\n", r"x\.colour is not a field here"),
        ("[x]\nsteps = 4\n", r"x\.title is required"),
        ("[x]\ntitle = 'X'\n[x.variants.fast]\ncfg = 'high'\n", r"x\.variants\.fast\.cfg should be a number"),
        (
            "[x]\ntitle = 'X'\nlatent = { node = 'N', a = '$colour' }\n",
            r"x\.latent a is '\$colour', which is none of",
        ),
        ("[x]\ntitle = 'X'\nextends = 'nowhere'\n", r"x\.extends is 'nowhere', which is no other row"),
        ("[x]\ntitle = 'X'\nextends = 'zimage.slow'\n", r"x\.extends is 'zimage.slow'"),
        ("[x]\ntitle = 'X'\nextends = 'y'\n[y]\ntitle = 'Y'\nextends = 'x'\n", r"extends is"),
        ("x = 1\n", r"x should be a table"),
        ("[x\n", r"is no TOML"),
        (
            "[x]\ntitle = 'X'\ntext_encoder = { loader = 'DualCLIPLoader', files = [{ name = 'a' }] }\n",
            r"x\.text_encoder DualCLIPLoader takes 2 files, not 1",
        ),
        ("[x]\ntitle = 'X'\nsampling = { kind = 'guided' }\n", r"x\.sampling guider goes with kind"),
        (
            "[x]\ntitle = 'X'\nvariants = []\n[y]\ntitle = 'Y'\nvariants = 3\n",
            r"y\.variants should be tables",
        ),
        ("['X Y']\ntitle = 'X'\n", r"X Y\.name"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_row_and_field(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InvalidFamilies, match=message):
        written(tmp_path, text)


def test_the_page_of_the_documentation_is_the_table() -> None:
    """If it fails, run: python tools/families_page.py > docs/model-families.md"""
    written_page = Path(__file__).parents[2] / "docs" / "model-families.md"
    assert written_page.read_text(encoding="utf-8") == page()
