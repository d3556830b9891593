"""AIRs: every row of the contract's table, then the properties of any AIR."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.domain.air import (
    MAX_LENGTH,
    TYPES,
    Air,
    InvalidAir,
    family_of,
    parse,
    short_version,
    type_of_word,
)

SDXL = Air("civitai", "101055", "128078", "sdxl", "checkpoint")
ROWS = [
    ("urn:air:sdxl:checkpoint:civitai:101055@128078", SDXL),
    ("air:sdxl:checkpoint:civitai:101055@128078", SDXL),
    ("sdxl:checkpoint:civitai:101055@128078", SDXL),
    ("civitai:58390@62833", Air("civitai", "58390", "62833")),
    ("checkpoint:civitai:101055@128078", Air("civitai", "101055", "128078", None, "checkpoint")),
    ("LORA:civitai:1@2", Air("civitai", "1", "2", None, "lora")),
    (
        "urn:air:qwen:lora:civitai:1864281@2514310+2402203",
        Air("civitai", "1864281", "2514310", "qwen", "lora", file_id="2402203"),
    ),
    (
        "urn:air:qwen:lora:civitai:1864281@2514310+2402203.gguf",
        Air("civitai", "1864281", "2514310", "qwen", "lora", file_id="2402203", format="gguf"),
    ),
    (
        "urn:air:sdxl:checkpoint:civitai:101055@128078.safetensor",
        Air("civitai", "101055", "128078", "sdxl", "checkpoint", format="safetensor"),
    ),
    (
        "urn:air:other:other:civitai-r2:civitai-worker-assets@sam_vit_b_01ec64.pth",
        Air("civitai-r2", "civitai-worker-assets", "sam_vit_b_01ec64.pth", "other", "other"),
    ),
    (
        "urn:air:flux1:checkpoint:huggingface:org/name@main/file.safetensors",
        Air("huggingface", "org/name", "main/file.safetensors", "flux1", "checkpoint"),
    ),
    (
        "urn:air:oci:image:ghcr:org/x@sha256:abc",
        Air("ghcr", "org/x", "sha256:abc", "oci", "image"),
    ),
    ("urn:air:sd1:checkpoint:civitai:4384", Air("civitai", "4384", None, "sd1", "checkpoint")),
]


@pytest.mark.parametrize(("text", "parts"), ROWS, ids=[row[0] for row in ROWS])
def test_an_air_of_the_table_has_these_parts(text: str, parts: Air):
    assert parse(text) == parts


@pytest.mark.parametrize("text", [row[0] for row in ROWS])
def test_upper_case_names_the_same_resource(text: str):
    assert parse(text.upper()).key == parse(text).key


@pytest.mark.parametrize("text", [row[0] for row in ROWS])
def test_the_canonical_spelling_reads_back(text: str):
    air = parse(text)
    assert parse(str(air)) == air
    assert str(air).startswith("urn:air:")


def test_a_full_air_is_spelled_as_it_came():
    assert str(parse(ROWS[0][0])) == ROWS[0][0]
    assert str(parse(ROWS[7][0])) == ROWS[7][0]


def test_the_type_is_kept_in_lower_case():
    assert parse("URN:AIR:SDXL:CheckPoint:civitai:1@2").type == "checkpoint"


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_a_type_without_an_ecosystem_is_repaired(type_: str):
    air = parse(f"{type_}:civitai:1@2")
    assert (air.ecosystem, air.type) == (None, type_)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("@civitai/128078", "128078"),
        ("@CIVITAI/128078", "128078"),
        ("@civitai/", None),
        ("@civitai/12a", None),
        ("@civitai/128078 ", None),
        ("@civitai/١٢", None),
        ("@civitai/" + "1" * 20, None),
        ("civitai/128078", None),
        ("urn:air:sdxl:checkpoint:civitai:101055@128078", None),
    ],
)
def test_a_short_form_names_a_version(text: str, version: str | None):
    assert short_version(text) == version


def test_the_short_form_is_no_air():
    with pytest.raises(InvalidAir):
        parse("@civitai/128078")


GARBAGE = [
    "",
    " ",
    "dreamshaper",
    "dreamshaper.safetensors",
    "urn:air:",
    ":::::",
    "civitai:",
    "civitai:1@",
    "urn:air:sd1:lora:civitai:1@2 ",
    " urn:air:sd1:lora:civitai:1@2",
    "urn:air:sd1:lora:civitai:1@2\n",
    "urn:air:sd1:lora:civitai:1\x00@2",
    "\x00",
    "urn:air:sd1:lora:civitai:\uff11@2",
    "urn:air:sd1:löra:civitai:1@2",
    "urn:air:\u017fd1:lora:civitai:1@2",
    "urn:air:a:b:c:d:e:1@2",
    "x" * 10_000,
    "urn:air:" + "a:" * 5_000,
    "../../etc/passwd",
]


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: repr(text[:24]))
def test_garbage_is_refused_with_a_sentence(text: str):
    with pytest.raises(InvalidAir) as refused:
        parse(text)
    message = str(refused.value)
    assert len(message) < 300
    assert "AIR" in message


@given(st.text(max_size=600))
def test_any_text_is_an_air_or_refused(text: str):
    try:
        air = parse(text)
    except InvalidAir:
        return
    assert air.source
    assert air.id


def test_what_is_accepted_is_accepted_in_its_canonical_spelling_too():
    text = "civitai:" + "1" * (MAX_LENGTH - len("civitai:"))
    try:
        air = parse(text)
    except InvalidAir:
        return  # refused at once: nothing is stored that cannot be read back
    assert parse(str(air)) == air


WORD = st.text("abcXYZ019_-/", min_size=1, max_size=12)
NAME = st.text("abcXYZ019_-/.", min_size=1, max_size=12)
DIGITS = st.text("0123456789", min_size=1, max_size=9)
ANY_AIR = st.one_of(
    st.builds(
        Air,
        source=st.sampled_from(["huggingface", "civitai-r2", "ghcr", "orchestrator"]),
        id=NAME,
        version=st.none() | st.text("abcXYZ019_-/.=,%:", min_size=1, max_size=20),
        ecosystem=st.sampled_from(["sd1", "sdxl", "flux1", "Hidream-O1", "sd1.5"]),
        type=st.sampled_from(sorted(TYPES)),
    ),
    st.builds(
        Air,
        source=st.sampled_from(["civitai", "Civitai"]),
        id=DIGITS,
        version=DIGITS,
        ecosystem=st.none() | st.sampled_from(["sd1", "Pony"]),
        type=st.sampled_from(sorted(TYPES)),
        file_id=st.none() | DIGITS,
        format=st.none() | st.text("abcxyz019_-", min_size=1, max_size=12),
    ),
)


@given(ANY_AIR)
def test_a_written_air_reads_back(air: Air):
    assert parse(str(air)) == air


@given(ANY_AIR)
def test_airs_are_compared_without_case(air: Air):
    assert parse(str(air).upper()).key == air.key == parse(str(air).lower()).key


@given(
    ecosystem=st.none() | WORD,
    type_=st.none() | WORD,
    source=WORD,
    id_=NAME,
    version=st.none() | st.text("abcXYZ019_-/.=,%+:", min_size=1, max_size=20),
    prefix=st.sampled_from(["", "urn:air:", "air:", "URN:AIR:"]),
)
def test_whatever_is_read_is_written_and_read_alike(
    ecosystem: str | None, type_: str | None, source: str, id_: str, version: str | None, prefix: str
):
    parts = [part for part in (ecosystem, type_, source, id_) if part is not None]
    air = parse(prefix + ":".join(parts) + (f"@{version}" if version else ""))
    assert parse(str(air)) == air


@pytest.mark.parametrize(
    ("ecosystem", "family"),
    [
        ("sd1", "sd1"),
        ("sd15", "sd1"),
        ("SD1.5", "sd1"),
        ("SD_1_5", "sd1"),
        ("sdxl", "sdxl"),
        ("SDXL", "sdxl"),
        ("sdxl1", "sdxl"),
        ("sdxldistilled", "sdxl"),
        ("Pony", "sdxl"),
        ("Illustrious", "sdxl"),
        ("NoobAI", "sdxl"),
        ("flux1", "flux1"),
        ("fluxkrea", "flux1"),
        ("auraflow", "auraflow"),
        ("Something-New", "something-new"),
        ("", ""),
    ],
)
def test_an_ecosystem_belongs_to_a_family(ecosystem: str, family: str):
    assert family_of(ecosystem) == family


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("urn:air:sdxl:checkpoint:civitai:101055@128078", "sdxl/civitai/101055/128078.safetensors"),
        ("urn:air:pony:checkpoint:civitai:1@2", "sdxl/civitai/1/2.safetensors"),
        ("urn:air:sd1:model:civitai:1@2", "sd1/civitai/1/2.safetensors"),
        ("urn:air:sd1:lora:civitai:82098@87153", "lora/sd1/civitai/82098/87153.safetensors"),
        ("urn:air:sdxl:vae:civitai:1@2", "vae/civitai/1/2.safetensors"),
        ("urn:air:sdxl:checkpoint:civitai:1@2.gguf", "sdxl/civitai/1/2.gguf"),
        ("urn:air:other:other:civitai-r2:assets@sam.pth", "other/civitai-r2/assets/sam.pth"),
        (
            "urn:air:flux1:checkpoint:huggingface:org/name@main/file.safetensors",
            "flux1/huggingface/org/name/main/file.safetensors",
        ),
        ("urn:air:sd1:checkpoint:civitai:4384", "sd1/civitai/4384/model.safetensors"),
    ],
)
def test_a_resource_has_a_file_a_node_should_list(text: str, path: str):
    assert parse(text).path == path


def test_a_civitai_version_has_a_short_form():
    assert SDXL.short == "@civitai/128078"
    assert parse("urn:air:flux1:checkpoint:huggingface:org/name@main").short.startswith("urn:air:")
    assert parse("urn:air:sd1:checkpoint:civitai:4384").short == "urn:air:sd1:checkpoint:civitai:4384"


@pytest.mark.parametrize(
    "spelling",
    [
        "urn:air:sdxl:checkpoint:civitai:101055@128078",
        "sdxl:checkpoint:civitai:101055@128078",
        "URN:AIR:SDXL:Checkpoint:Civitai:101055@128078",
        "urn:air:sdxl:checkpoint:civitai:101055@128078.safetensors",
        "urn:air:sdxl:checkpoint:civitai:101055@128078.safetensor",
        "urn:air:sdxl:checkpoint:civitai:101055@128078+90072",
        "urn:air:sdxl:checkpoint:civitai:101055@128078+90072.SafeTensors",
        "urn:air:sdxl:diffusionmodel:civitai:101055@128078",
        "urn:air:sdxl:unet:civitai:101055@128078+90072",
        "urn:air:sdxl:model:civitai:101055@128078",
    ],
)
def test_a_version_of_civitai_is_one_resource_in_every_spelling(spelling: str):
    assert parse(spelling).key == SDXL.key
    assert parse(spelling).path.lower() == SDXL.path
    assert parse(spelling).is_checkpoint


@pytest.mark.parametrize(
    "other",
    [
        "urn:air:sdxl:lora:civitai:101055@128078",
        "urn:air:sdxl:checkpoint:civitai:101055@128079",
        "urn:air:sdxl:checkpoint:civitai:101056@128078",
        "urn:air:sdxl:checkpoint:civitai:101055@128078.gguf",
        "urn:air:sdxl:checkpoint:huggingface:101055@128078",
    ],
)
def test_another_version_type_source_or_format_is_another_resource(other: str):
    assert parse(other).key != SDXL.key


def test_the_id_of_a_file_is_kept_in_the_spelling():
    text = "urn:air:zimageturbo:diffusionmodel:civitai:2168935@2442439+2402203"
    assert str(parse(text)) == text
    assert parse(text).file_id == "2402203"


def test_of_another_source_a_file_is_a_resource_of_its_own():
    one, two = (f"urn:air:flux1:unet:huggingface:org/name@main/{n}.safetensors" for n in ("one", "two"))
    assert parse(one).key != parse(two).key


@pytest.mark.parametrize(
    ("word", "type_"),
    [
        ("Checkpoint", "checkpoint"),
        ("LORA", "lora"),
        ("Lora", "lora"),
        ("LoCon", "lycoris"),
        ("DoRA", "dora"),
        ("TextualInversion", "embedding"),
        ("textual_inversion", "embedding"),
        ("Embedding", "embedding"),
        ("embedding", "embedding"),
        ("Hypernetwork", "hypernet"),
        ("VAE", "vae"),
        ("Controlnet", "controlnet"),
        ("MotionModule", "motion"),
        ("AestheticGradient", "ag"),
        ("TextEncoder", "text_encoders"),
        ("Poses", "poses"),
    ],
)
def test_a_word_of_civitai_means_a_type(word: str, type_: str):
    assert type_of_word(word) == type_
