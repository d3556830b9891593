"""What a server lists is read, however damaged, and files are found under other spellings."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import InvalidCatalogue
from tests.workflows.object_info import LORAS, combo, listed, loaders, node


def test_both_spellings_of_a_choice_are_read(catalogue: Catalogue) -> None:
    assert catalogue.options("LoraLoader", "lora_name") == tuple(LORAS)
    assert catalogue.options("ImageToMask", "channel") == ("red", "green")
    assert catalogue.options("Resize", "way") == ("to a size", "by a factor")


def test_what_is_no_choice_has_no_options(catalogue: Catalogue) -> None:
    assert catalogue.options("KSampler", "steps") is None
    assert catalogue.options("KSampler", "no such input") is None
    assert catalogue.options("NoSuchClass", "x") is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("sd1\\Fox.safetensors", "sd1\\Fox.safetensors"),
        ("sd1/Fox.safetensors", "sd1\\Fox.safetensors"),
        ("SD1/fox.SAFETENSORS", "sd1\\Fox.safetensors"),
        ("elsewhere/owl.safetensors", "sdxl/owl.safetensors"),
        ("owl.safetensors", "sdxl/owl.safetensors"),
        ("owl", None),
        ("absent.safetensors", None),
        ("", None),
    ],
)
def test_a_file_is_found_as_the_node_spells_it(catalogue: Catalogue, wanted: str, found: str | None) -> None:
    assert catalogue.file("CheckpointLoaderSimple", "ckpt_name", wanted) == found


def test_a_base_name_that_two_files_share_finds_neither() -> None:
    shared = Catalogue.read({"VAELoader": node({"vae_name": listed("a/x.pt", "b/x.pt")}, "VAE")})
    assert shared.file("VAELoader", "vae_name", "x.pt") is None
    assert shared.file("VAELoader", "vae_name", "b\\X.pt") == "b/x.pt"


def test_a_base_name_that_countless_models_have_finds_none() -> None:
    one = Catalogue.read({"VAELoader": node({"vae_name": listed("kl/model.safetensors")}, "VAE")})
    assert one.file("VAELoader", "vae_name", "other/model.safetensors") is None
    assert one.file("VAELoader", "vae_name", "KL/model.safetensors") == "kl/model.safetensors"


def test_files_of_a_kind_are_found_in_whichever_loader_lists_them(catalogue: Catalogue) -> None:
    assert catalogue.find("checkpoint", "flux1-dev.safetensors") == "flux1-dev.safetensors"
    assert catalogue.find("checkpoint", "owl.safetensors") == "sdxl/owl.safetensors"
    assert catalogue.find("upscaler", "4x.pth") == "4x.pth"
    assert catalogue.find("lora", "owl.safetensors") is None
    assert catalogue.find("file", "pastel.safetensors") == "pastel.safetensors"


def test_uploaded_pictures_are_no_model_files(catalogue: Catalogue) -> None:
    assert not catalogue.lists_files("LoadImage", "image")
    assert catalogue.file("LoadImage", "image", "old.png") is None


def test_embeddings_are_known_only_when_told() -> None:
    silent = Catalogue.read(loaders())
    told = Catalogue.read(loaders(), embeddings=["style\\mono"])
    assert silent.embedding("anything.pt") == "anything.pt"
    assert told.embedding("style/Mono.pt") == "style\\mono"
    assert told.embedding("other.pt") is None


def test_a_class_that_cannot_be_read_is_there_all_the_same() -> None:
    damaged = Catalogue.read(loaders() | {"Odd": 7, "Odder": {"input": ["x"]}, "Empty": {}})
    assert {"Odd", "Odder", "Empty", "VAELoader"} <= damaged.classes
    graph = {"1": {"class_type": "Odder", "inputs": {"x": 1}}}
    assert [fault.kind for fault in damaged.faults(graph)] == ["no_output"]


@pytest.mark.parametrize("garbage", [None, [], "x", 3, {}, {"a": None}, {"a": [1]}, {1: {}}])
def test_what_lists_no_class_at_all_is_refused_with_one_error(garbage: object) -> None:
    with pytest.raises(InvalidCatalogue, match="no node class that can be read"):
        Catalogue.read(garbage)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KNOWN_WORDS = st.sampled_from(["required", "optional", "COMBO", "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"])
DECLARATION = st.lists(KNOWN_WORDS | JSON, max_size=3) | JSON
SECTIONS = st.dictionaries(
    st.sampled_from(["required", "optional"]), st.dictionaries(st.text(max_size=3), DECLARATION)
)
DESCRIPTION = st.fixed_dictionaries({"input": SECTIONS | JSON, "output": JSON, "output_node": JSON})


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["A", "B"]), DESCRIPTION | JSON, min_size=1), JSON)
def test_any_description_is_read_or_refused_with_one_error(info: dict[str, Any], value: Any) -> None:
    read: Catalogue | None = None
    try:
        read = Catalogue.read(info)
    except InvalidCatalogue:
        described = [content for content in info.values() if isinstance(content, dict)]
        assert not any(isinstance(content.get("input"), dict) for content in described)
    if read is not None:
        graph = {"1": {"class_type": "A", "inputs": {"a": value, "b": ["1", 0]}}}
        assert all(fault.message for fault in read.faults(graph))


def test_a_choice_without_options_is_not_held_against_a_value() -> None:
    asked_later = Catalogue.read({"A": node({"a": ["COMBO", {}], "b": combo()}, is_output=True)})
    assert asked_later.options("A", "a") is None
    assert asked_later.faults({"1": {"class_type": "A", "inputs": {"a": "x", "b": "y"}}}) == []
