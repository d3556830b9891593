"""Civitai's names of base models."""

import pytest

from imagemill.domain.base_models import family_of_base_model, find_base_model


@pytest.mark.parametrize(
    ("name", "ecosystem", "family"),
    [
        ("SD 1.5", "sd1", "sd1"),
        ("SD 1.5 LCM", "sd1", "sd1"),
        ("SD 2.1 768", "sd2", "sd2"),
        ("SDXL 1.0", "sdxl", "sdxl"),
        ("sdxl 1.0", "sdxl", "sdxl"),
        ("SDXL_1.0", "sdxl", "sdxl"),
        ("SDXL Lightning", "sdxl", "sdxl"),
        ("SDXL Distilled", "sdxldistilled", "sdxl"),
        ("Pony", "sdxl", "sdxl"),
        ("Illustrious", "sdxl", "sdxl"),
        ("NoobAI", "sdxl", "sdxl"),
        ("Pony V7", "auraflow", "auraflow"),
        ("SD 3.5 Medium", "sd3_5m", "sd3"),
        ("Flux.1 D", "flux1", "flux1"),
        ("Flux.1 S", "flux1", "flux1"),
        ("Flux.1 Krea", "fluxkrea", "flux1"),
        ("Flux.1 Kontext", "flux1kontext", "flux1kontext"),
        ("Flux.2 D", "flux2", "flux2"),
        ("Flux.2 Klein 4B-base", "flux2", "flux2-klein"),
        ("ZImageTurbo", "zimageturbo", "zimageturbo"),
        ("ZImageBase", "zimagebase", "zimagebase"),
        ("Qwen", "qwen", "qwen"),
        ("Anima", "anima", "anima"),
        ("Chroma", "chroma", "chroma"),
        ("HiDream", "hidream", "hidream"),
        ("HiDream-O1", "hidream-o1", "hidream-o1"),
        ("Lumina", "lumina", "lumina"),
        ("Wan Video 2.2 TI2V-5B", "wanvideo22-ti2v-5b", "wanvideo22-ti2v-5b"),
        ("LTXV 2.3", "ltxv23", "ltxv23"),
    ],
)
def test_a_base_model_has_an_ecosystem_and_a_family(name: str, ecosystem: str, family: str):
    found = find_base_model(name)
    assert found is not None
    assert (found.ecosystem, family_of_base_model(name)) == (ecosystem, family)


@pytest.mark.parametrize("name", ["", "Other", "Upscaler", "My own model", "flux", "sd"])
def test_other_names_have_no_family(name: str):
    assert family_of_base_model(name) is None
