"""The steps ``comfy`` and ``customComfy``: spellings of graphs, models in them, and outputs."""

from typing import Any

import pytest

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.steps.base import JobResult
from imagemill.dialects.civitai_v2.steps.comfy_steps import STEPS
from imagemill.domain.air import Resource, parse
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import GraphSpec
from imagemill.domain.jobs import Draft
from tests.civitai_v2.support import LORA, SD1, parsed, prepared, refused, work_of

COMFY, CUSTOM = STEPS
EMBEDDING = "urn:air:sd1:embedding:civitai:7808@9208"


def graph(*, camel: bool = False, seed: int = 5) -> dict[str, Any]:
    """A text-to-image graph; in camel case its links are two numbers or strings, as the API types them."""
    kind, meta = ("classType", "meta") if camel else ("class_type", "_meta")

    def node(class_type: str, **inputs: Any) -> dict[str, Any]:
        return {kind: class_type, "inputs": inputs, meta: {"title": class_type}}

    link = (lambda id_, output: [int(id_), output]) if camel else (lambda id_, output: [id_, output])
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=SD1),
        "2": node("CLIPTextEncode", text="a fox", clip=link("1", 1)),
        "3": node("CLIPTextEncode", text="fog", clip=link("1", 1)),
        "4": node("EmptyLatentImage", width=512, height=512, batch_size=1),
        "5": node(
            "KSampler",
            seed=seed,
            steps=20,
            cfg=7,
            sampler_name="dpmpp_2_ancestral",
            scheduler="normal",
            denoise=1,
            model=link("1", 0),
            positive=link("2", 0),
            negative=link("3", 0),
            latent_image=link("4", 0),
        ),
        "6": node("VAEDecode", samples=link("5", 0), vae=link("1", 2)),
        "7": node("SaveImage", filename_prefix="x", images=link("6", 0), format="jpeg"),
    }


def sent(services: Services, draft: Draft) -> GraphSpec:
    work = work_of(services, draft)
    assert isinstance(work, GraphSpec)
    return work


@pytest.mark.parametrize("camel", [False, True])
def test_both_spellings_of_a_graph_are_rendered(services: Services, camel: bool):
    (draft,) = prepared(COMFY, services, comfyWorkflow=graph(camel=camel))
    work = sent(services, draft)
    assert work.models == (SD1,)
    assert work.graph["1"]["inputs"]["ckpt_name"] == "sd1/civitai/4384/128713.safetensors"
    assert work.graph["5"]["inputs"]["model"] == ["1", 0]
    assert work.graph["5"]["inputs"]["sampler_name"] == "dpm_2_ancestral"
    assert "format" not in work.graph["7"]["inputs"]
    assert draft.input["format"] == "jpeg"


def test_the_changed_mark_of_a_node_is_ignored(services: Services):
    given = graph(camel=True)
    given["4"]["isChanged"] = ["x"]
    (draft,) = prepared(COMFY, services, comfyWorkflow=given)
    assert set(sent(services, draft).graph["4"]) == {"class_type", "inputs", "_meta"}


def test_the_defaults_are_shown_and_metadata_is_kept(services: Services):
    step = parsed(COMFY, services, comfyWorkflow=graph(), imageMetadata="{}", useSpineComfy=True)
    assert (step.input["quantity"], step.input["imageMetadata"]) == (1, "{}")
    assert step.input["comfyWorkflow"] == graph()


def test_pictures_of_one_graph_have_seeds_in_a_row(services: Services):
    drafts = prepared(COMFY, services, comfyWorkflow=graph(seed=5), quantity=3)
    assert [sent(services, draft).seed for draft in drafts] == [5, 6, 7]


def test_an_embedding_in_a_prompt_is_found_by_its_air(services: Services):
    given = graph()
    given["2"]["inputs"]["text"] = f"a fox, embedding:{EMBEDDING}"
    services.registry.register(Resource(parse(EMBEDDING)))
    (draft,) = prepared(COMFY, services, comfyWorkflow=given)
    text = sent(services, draft).graph["2"]["inputs"]["text"]
    assert text == "a fox, embedding:embedding/civitai/7808/9208.safetensors"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"comfyWorkflow": {}}, "comfyWorkflow"),
        ({"comfyWorkflow": None}, "comfyWorkflow"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 101}, "quantity"),
        ({"workflow": {}}, "workflow"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(services: Services, wrong: dict[str, Any], field: str):
    assert list(refused(COMFY, services, **{"comfyWorkflow": graph(), **wrong})) == [field]


def test_a_node_without_a_class_is_named(services: Services):
    with pytest.raises(InvalidInput, match=r"node '4' has no class_type"):
        prepared(COMFY, services, comfyWorkflow={**graph(), "4": {"inputs": {}}})


def test_the_output_has_all_files_of_all_jobs():
    one, two = {"id": "A-0.png", "available": True}, {"id": "A-1.png", "available": True}
    results = [JobResult((one, two), {}), JobResult((), {}, "out of memory")]
    assert COMFY.output(results) == {"blobs": [one, two]}


# customComfy


def test_a_custom_graph_with_its_resources_is_rendered(services: Services):
    resources = [SD1, LORA, "urn:air:comfy:nodepack:comfyregistry:impact-pack@8.1"]
    step = parsed(CUSTOM, services, resources=resources, workflow=graph(), sessionId="s", minVramGb=24)
    assert (step.input["trace"], step.input["resources"]) == ("none", resources)
    (draft,) = prepared(CUSTOM, services, resources=resources, workflow=graph())
    assert sent(services, draft).models == (SD1,)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"resources": ["urn:air:sdxl:lora:civitai:1@424242"]}, "resources[0]"),
        ({"resources": [SD1, "nothing"]}, "resources[1]"),
        ({"resources": None}, "resources"),
        ({"trace": "all"}, "trace"),
        ({"minVramGb": -1}, "minVramGb"),
        ({"sessionOwnerApiToken": "x"}, "sessionOwnerApiToken"),
    ],
)
def test_a_wrong_value_of_a_custom_graph_is_refused(services: Services, wrong: dict[str, Any], field: str):
    assert list(refused(CUSTOM, services, **{"resources": [SD1], "workflow": graph(), **wrong})) == [field]


def test_the_usage_is_what_the_run_took():
    file = {"id": "A.png", "available": True}
    running = JobResult((), {}, started_at=10 * SECOND)
    done = JobResult((file,), {}, started_at=10 * SECOND, finished_at=14 * SECOND, cost=8.0)
    assert CUSTOM.output([running]) == {"blobs": [], "tempBlobs": []}
    assert CUSTOM.output([done]) == {
        "blobs": [file],
        "tempBlobs": [],
        "usage": {
            "buzzPerSecond": 2.0,
            "runtimeSeconds": 4.0,
            "estimatedCost": 8.0,
            "startedAt": "1970-01-01T00:00:10.0000000Z",
            "computedAt": "1970-01-01T00:00:14.0000000Z",
        },
    }
