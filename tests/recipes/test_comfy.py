"""The ``comfy`` recipe: what becomes of a client's graph when it is accepted."""

from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import GraphSpec
from imagemill.media.postprocess import ConvertFormat
from imagemill.recipes import comfy
from imagemill.recipes.comfy import Comfy

SDXL = "urn:air:sdxl:checkpoint:civitai:101055@128078"
LORA = "urn:air:sdxl:lora:civitai:82098@87153"


class Shelf:
    """Has every model."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        return Resource(parse(SDXL if air == "@civitai/128078" else air))

    def picture(self, path: str, text: str) -> str:
        if text.endswith(".exe"):
            raise InvalidInput.at(path, "is no picture")
        return f"kept {text}"


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def completed(graph: dict[str, Any], **more: Any) -> Comfy:
    return comfy.complete(Comfy(graph=graph, **more), Shelf(), "params.")


def test_airs_become_files_wherever_they_stand():
    accepted = completed(
        {
            "1": node("CheckpointLoaderSimple", ckpt_name="@civitai/128078"),
            "2": node("Power Lora Loader (rgthree)", lora_1={"on": True, "lora": LORA, "strength": 0.8}),
        }
    )
    assert accepted.graph["1"]["inputs"]["ckpt_name"] == "sdxl/civitai/101055/128078.safetensors"
    assert accepted.graph["2"]["inputs"]["lora_1"] == {
        "on": True, "lora": "lora/sdxl/civitai/82098/87153.safetensors", "strength": 0.8,
    }  # fmt: skip
    assert accepted.checkpoint == SDXL


def test_a_checkpoint_named_by_its_file_counts_for_the_choice_of_a_node():
    accepted = completed({"1": node("CheckpointLoaderSimple", ckpt_name="SD1/Own.safetensors")})
    assert accepted.checkpoint == "file:SD1/Own.safetensors"
    assert comfy.RECIPE.model(accepted) == "file:sd1/own.safetensors"


def test_a_graph_without_a_checkpoint_needs_none():
    accepted = completed({"1": node("EmptyImage", width=64), "2": node("SaveImage", images=["1", 0])})
    assert accepted.checkpoint == ""


def test_both_spellings_of_a_node_are_read():
    accepted = completed({"1": {"classType": "EmptyImage", "inputs": {}, "meta": {"title": "Blank"}}})
    assert accepted.graph == {"1": {"class_type": "EmptyImage", "inputs": {}, "_meta": {"title": "Blank"}}}


def test_a_seed_word_becomes_the_seed():
    accepted = completed({"1": node("KSampler", seed="{seed}", note="seed {seed}")}, seed=7)
    assert accepted.graph["1"]["inputs"] == {"seed": 7, "note": "seed 7"}
    assert accepted.seed == 7


@pytest.mark.parametrize("seed", [None, -1])
def test_a_seed_that_is_not_given_is_drawn_and_told(seed: int | None):
    accepted = completed({"1": node("KSampler", seed="{seed}")}, seed=seed)
    assert accepted.graph["1"]["inputs"]["seed"] == accepted.seed
    assert accepted.seed is not None
    assert 0 <= accepted.seed < 2**32


def test_the_graph_s_own_seed_is_kept_told_and_moved_on_for_more_pictures():
    graph = {"1": node("KSampler", seed=100), "2": node("RandomNoise", noise_seed=5)}
    assert completed(graph).seed == 100
    third = completed(graph, number=2)
    assert third.graph["1"]["inputs"]["seed"] == 102
    assert third.graph["2"]["inputs"]["noise_seed"] == 7
    assert third.seed == 102


@pytest.mark.parametrize("value", [5, 5.0, "5", ["2", 0]])
def test_pictures_of_one_graph_have_seeds_of_their_own_however_they_are_written(value: Any):
    graph = {"1": node("KSampler", seed=value), "2": node("PrimitiveInt", value=5)}
    made = [completed(graph, number=number) for number in range(3)]
    assert [each.seed for each in made] == [5, 6, 7]
    assert len({str(each.graph) for each in made}) == 3


def test_pictures_that_would_be_the_same_one_are_refused():
    graph = {"1": node("KSampler", seed=["2", 0]), "2": node("MathExpression", a=1, b=2, expression="a+b")}
    assert completed(graph).seed is None
    assert "computed" in refusal(graph, "params.workflow['1'].inputs.seed", number=1)


@pytest.mark.parametrize("seed", [156680208700286, 2**53 + 1, 2**64 - 1])
def test_large_seeds_are_used_and_told_exactly(seed: int):
    literal = completed({"1": node("KSampler", seed=seed)})
    given = completed({"1": node("KSampler", seed="{seed}")}, seed=seed)
    for accepted in (literal, given):
        assert (accepted.seed, accepted.graph["1"]["inputs"]["seed"]) == (seed, seed)


def test_a_seed_that_no_node_takes_is_refused():
    where = "params.workflow['1'].inputs.seed"
    assert "largest seed" in refusal({"1": node("KSampler", seed=2**64)}, where)
    assert "largest seed" in refusal({"1": node("KSampler", seed=str(2**64))}, where)
    assert "picture 2" in refusal({"1": node("KSampler", seed=2**64 - 1)}, where, number=1)
    assert str(2**64 - 1) in refusal({"1": node("KSampler", seed="{seed}")}, "params.seed", seed=2**64)


def test_a_seed_without_effect_is_refused():
    graph = {"1": node("KSampler", seed=100)}
    assert completed(graph, seed=100).seed == 100
    assert completed(graph, seed=-1).seed == 100
    assert "{seed}" in refusal(graph, "params.seed", seed=7)


def refusal(graph: dict[str, Any], path: str, **more: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        completed(graph, **more)
    assert [error.path for error in refused.value.errors] == [path]
    return refused.value.errors[0].message


CLIP = ["9", 1]


def test_words_become_their_values_in_any_case():
    texts = {"text": "a {Animal} in {PLACE}", "clip": CLIP}
    graph = {"1": node("CLIPTextEncode", **texts), "2": node("X", width="{width}")}
    accepted = completed(
        graph, variables={"animal": "fox", "place": "a {width} m {red|blue} box", "Width": 640}
    )
    assert accepted.graph["1"]["inputs"]["text"] == "a fox in a {width} m {red|blue} box"
    assert accepted.graph["2"]["inputs"]["width"] == 640


@pytest.mark.parametrize("name", ["steps", "promt", "prompt_2"])
def test_a_value_that_no_word_takes_is_refused(name: str):
    graph = {"1": node("CLIPTextEncode", text="{prompt} at {place}", clip=CLIP)}
    values = {"prompt": "a fox", "place": "sea", name: 4}
    assert "it has {place}, {prompt}" in refusal(graph, f"params.variables.{name}", variables=values)


def test_a_word_without_a_value_is_refused_where_it_would_be_drawn():
    where = "params.workflow['1'].inputs.text"
    graph = {"1": node("CLIPTextEncode", text="a {promt}", clip=CLIP)}
    assert "send `promt`" in refusal(graph, where)
    assert completed({"1": node("CLIPTextEncode", text="a {red|blue} {} box", clip=CLIP)})


def test_braces_that_a_node_reads_itself_stay():
    graph = {
        "1": node("StringFormat", f_string="{a} of {b}", a="x"),
        "2": node("Ask", text="answer as {json}"),
    }
    assert completed(graph).graph == graph
    described = {**graph, "3": node("X", text="{style}")}
    where = "params.workflow['2'].inputs.text"
    assert "{json}" in refusal(described, where, variables={"style": "ink"})


@pytest.mark.parametrize("variables", [{"seed": 5}, {"Place": "a", "place": "b"}])
def test_names_of_values_that_are_ambiguous_are_refused(variables: dict[str, Any]):
    graph = {"1": node("KSampler", seed="{seed}", note="{place}")}
    assert refusal(graph, "params.variables", variables={"place": "sea", **variables})


SOURCES = ["https://example.org/a.png", "data:image/png;base64,AAAA", "blob:0123.png", "HTTP://example.org/b"]


@pytest.mark.parametrize("source", SOURCES)
def test_pictures_that_loaders_name_by_url_are_inputs(source: str):
    graph = {
        "1": node("LoadImage", image=source),
        "2": node("LoadImageMask", image="here.png", channel="red"),
    }
    accepted = completed(graph)
    assert accepted.graph["1"]["inputs"]["image"] == "{picture_1}"
    assert accepted.graph["2"]["inputs"]["image"] == "here.png"
    assert accepted.pictures == {"picture_1": f"kept {source}"}
    assert comfy.plan(accepted).inputs == accepted.pictures


def test_a_picture_that_is_refused_is_told_by_its_node():
    where = "params.workflow['8'].inputs.image"
    assert refusal({"8": node("LoadImage", image="https://example.org/a.exe")}, where) == "is no picture"
    many = {str(number): node("LoadImage", image=SOURCES[0]) for number in range(33)}
    assert "at most 32" in refusal(many, "params.workflow['32'].inputs.image")


def test_a_text_that_would_become_a_picture_s_name_is_refused():
    graph = {"1": node("LoadImage", image=SOURCES[0]), "2": node("X", text="{prompt}")}
    assert completed(graph, variables={"prompt": "a {picture_1} frame"})
    where = "params.variables.prompt"
    for text in ("{picture_1}", "{seed}", "{job_id}"):
        assert "stands for another" in refusal(graph, where, variables={"prompt": text})


@pytest.mark.parametrize(
    ("graph", "path", "message"),
    [
        ({}, "params.workflow", "is empty"),
        ({"nodes": [], "links": []}, "params.workflow", "UI format"),
        ({"7": {"inputs": {}}}, "params.workflow['7']", "class_type"),
    ],
)
def test_what_is_no_graph_is_refused_at_its_node(graph: dict[str, Any], path: str, message: str):
    with pytest.raises(InvalidInput) as refused:
        completed(graph)
    assert refused.value.errors[0].path == path
    assert message in refused.value.errors[0].message


def test_a_graph_too_large_is_refused():
    with pytest.raises(InvalidInput, match="the maximum is 2000"):
        completed({str(number): node("X") for number in range(2001)})


def test_the_plan_is_the_graph_and_its_checkpoint():
    accepted = completed({"1": node("CheckpointLoaderSimple", ckpt_name=SDXL)})
    work = comfy.plan(accepted).work
    assert isinstance(work, GraphSpec)
    assert (work.graph, work.models) == (accepted.graph, (SDXL,))


EMBEDDING = "urn:air:sd1:embedding:civitai:7808@9208"
EMBEDDING_FILE = "embedding/civitai/7808/9208.safetensors"


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        (f"a fox, embedding:{EMBEDDING}, soft light", f"a fox, embedding:{EMBEDDING_FILE}, soft light"),
        (f"(embedding:{EMBEDDING}:1.2)", f"(embedding:{EMBEDDING_FILE}:1.2)"),
        (f"bad, embedding:{EMBEDDING}.", f"bad, embedding:{EMBEDDING_FILE}."),
        (f"Embedding:air:{EMBEDDING[8:]} embedding:own", f"embedding:{EMBEDDING_FILE} embedding:own"),
        ("embedding:easynegative", "embedding:easynegative"),
    ],
)
def test_embeddings_in_prompts_are_named_by_their_files(text: str, becomes: str):
    accepted = completed({"1": node("CLIPTextEncode", text=text, clip=["2", 1])})
    assert accepted.graph["1"]["inputs"]["text"] == becomes


def test_another_model_is_no_embedding():
    with pytest.raises(
        InvalidInput, match=r"\['1'\]\.inputs\.text: names .* as an embedding, which is a lora"
    ):
        completed({"1": node("CLIPTextEncode", text=f"embedding:{LORA}", clip=["2", 1])})


@pytest.mark.parametrize(
    ("loader", "name"),
    [
        ("VAELoader", "vae_name"),
        ("UpscaleModelLoader", "model_name"),
        ("SAMLoader", "model_name"),
        ("UltralyticsDetectorProvider", "model_name"),
        ("BiRefNetRMBG", "model"),
        ("UNETLoader", "unet_name"),
        ("CLIPLoader", "clip_name"),
    ],
)
def test_airs_become_files_in_every_loader(loader: str, name: str):
    accepted = completed({"1": node(loader, **{name: "urn:air:other:other:civitai-r2:assets@some_file.pth"})})
    assert accepted.graph["1"]["inputs"][name] == "other/civitai-r2/assets/some_file.pth"


@pytest.mark.parametrize(
    ("old", "new"),
    [("dpmpp_2", "dpm_2"), ("dpmpp_2_ancestral", "dpm_2_ancestral"), ("plms", "ddim"), ("euler", "euler")],
)
def test_old_names_of_samplers_become_those_of_comfyui(old: str, new: str):
    accepted = completed({"1": node("KSampler", sampler_name=old), "2": node("CLIPTextEncode", text=old)})
    assert accepted.graph["1"]["inputs"]["sampler_name"] == new
    assert accepted.graph["2"]["inputs"]["text"] == old


@pytest.mark.parametrize(("given", "kept"), [("JPG", "jpeg"), ("webP", "webp"), ("png", "png")])
def test_the_format_of_a_save_node_is_that_of_the_pictures(given: str, kept: str):
    accepted = completed({"1": node("SaveImage", images=["2", 0], format=given)})
    assert accepted.graph["1"]["inputs"] == {"images": ["2", 0]}
    assert comfy.plan(accepted).transform == ConvertFormat(kept)


def test_save_nodes_of_two_formats_are_refused():
    with pytest.raises(
        InvalidInput, match=r"\['2'\]\.inputs\.format: is webp, and another SaveImage has png"
    ):
        completed({"1": node("SaveImage", format="png"), "2": node("SaveImage", format="webp")})


def test_an_unknown_format_is_refused():
    with pytest.raises(InvalidInput, match=r"format: is 'tiff'; write png, jpeg or webp"):
        completed({"1": node("SaveImage", format="tiff")})


def test_without_a_format_pictures_stay_as_the_node_made_them():
    assert comfy.plan(completed({"1": node("SaveImage", images=["2", 0])})).transform is None
