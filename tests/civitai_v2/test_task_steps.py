"""The step types that need no checkpoint, and those of a language model: inputs, jobs and outputs."""

from typing import Any

import pytest

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.steps import language_steps, task_steps
from imagemill.dialects.civitai_v2.steps.base import JobResult, StepType
from imagemill.dialects.civitai_v2.steps.registry import step_types
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import GraphSpec, TaskSpec
from tests.civitai_v2.support import PATH, PIXEL, SD1, parsed, prepared, refused

STEPS: dict[str, StepType] = {step.name: step for step in (*task_steps.STEPS, *language_steps.STEPS)}
BLOB = {"type": "image", "id": "A.png", "available": True, "url": "http://host/A.png?exp=1&sig=2"}


PNG = {"output": {"format": "png"}}


def region(x1: float, y1: float, x2: float, y2: float) -> dict[str, float]:
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


def task_of(services: Services, name: str, **input_: Any) -> TaskSpec:
    (draft,) = prepared(STEPS[name], services, **input_)
    recipe = services.recipes[draft.recipe]
    work = recipe.plan(recipe.input.model_validate(draft.input)).work
    assert isinstance(work, TaskSpec)
    assert draft.queue == "tasks"
    return work


def graph_of(services: Services, name: str, **input_: Any) -> dict[str, Any]:
    (draft,) = prepared(STEPS[name], services, **input_)
    recipe = services.recipes[draft.recipe]
    work = recipe.plan(recipe.input.model_validate(draft.input)).work
    assert isinstance(work, GraphSpec)
    return dict(work.graph)


def output_of(name: str, *blobs: dict[str, Any], values: Any = None, error: str = "") -> Any:
    return STEPS[name].output([JobResult(blobs, values or {}, error)])


def test_all_are_registered() -> None:
    assert set(STEPS) <= set(step_types())
    assert len(STEPS) == 13


def test_an_echo_gives_its_message_back(services: Services) -> None:
    assert task_of(services, "echo", message="hello").arguments == {"message": "hello"}
    assert output_of("echo", values={"message": "hello"}) == {"message": "hello"}


@pytest.mark.parametrize("text", [PIXEL, PIXEL.partition(",")[2]])
def test_an_upload_is_a_text_in_base64_with_or_without_a_head(services: Services, text: str) -> None:
    step = STEPS["imageUpload"].parse(text, PATH, services)
    assert step.input == text
    assert step.jobs[0].input == {"image": PIXEL}
    with pytest.raises(InvalidInput, match="should be a text"):
        STEPS["imageUpload"].parse({"image": text}, PATH, services)
    assert output_of("imageUpload", BLOB) == {"blob": BLOB}


def test_a_conversion_has_the_defaults_of_its_format(services: Services) -> None:
    step = parsed(STEPS["convertImage"], services, image=PIXEL, output={"format": "WebP"})
    assert step.input == {
        "image": PIXEL,
        "output": {"format": "webp", "quality": 85, "lossless": False, "hideMetadata": False},
    }
    work = task_of(
        services,
        "convertImage",
        image=PIXEL,
        transforms=[
            {"type": "resize", "targetWidth": 320},
            {"type": "resize"},
            {
                "type": "Blur",
                "blur": 20,
                "mode": "Exclude",
                "regions": [{"x1": -5, "y1": 0, "x2": 9.5, "y2": 9}],
            },
        ],
        output={"format": "gif", "maxFrames": 100_000, "hideMetadata": True},
        public=True,
    )
    assert work.arguments == {
        "steps": [
            {"width": 320},
            {"radius": 20, "outside": True, "regions": [{"x1": 0.0, "y1": 0.0, "x2": 9.5, "y2": 9.0}]},
        ],
        "format": "gif",
        "quality": 85,
        "lossless": False,
        "most_frames": 256,
        "hide_metadata": True,
    }
    assert output_of("convertImage", BLOB) == {"blob": BLOB}


@pytest.mark.parametrize(
    ("input_", "field"),
    [
        ({}, "output"),
        ({"output": {"format": "bmp"}}, "output"),
        ({"output": {"format": "png", "quality": 5}}, "output.quality"),
        ({"output": {"format": "jpeg", "quality": 0}}, "output.quality"),
        ({"output": {"format": "png"}, "transforms": [{"type": "rotate"}]}, "transforms[0]"),
        (
            {"output": {"format": "png"}, "transforms": [{"type": "resize", "targetWidth": 0}]},
            "transforms[0].targetWidth",
        ),
        ({"output": {"format": "png"}, "transforms": [{"type": "blur", "blur": 101}]}, "transforms[0].blur"),
        (
            {
                "output": {"format": "png"},
                "transforms": [
                    {"type": "blur", "blur": 1, "regions": [{"x1": 9, "y1": 0, "x2": 3, "y2": 9}]}
                ],
            },
            "transforms[0].regions[0]",
        ),
        ({"output": {"format": "png"}, "extra": 1}, "extra"),
    ],
)
def test_wrong_conversions_are_refused(services: Services, input_: dict[str, Any], field: str) -> None:
    assert list(refused(STEPS["convertImage"], services, image=PIXEL, **input_)) == [field]


def test_an_upscaler_has_civitais_default(services: Services) -> None:
    step = parsed(STEPS["imageUpscaler"], services, image=PIXEL)
    assert step.input == {
        "image": PIXEL,
        "model": "urn:air:other:upscaler:civitai:147759@164821",
        "numberOfRepeats": 1,
    }
    graph = graph_of(services, "imageUpscaler", image=PIXEL, numberOfRepeats=3)
    classes = [node["class_type"] for node in graph.values()]
    assert classes.count("ImageUpscaleWithModel") == 3
    assert graph["2"]["inputs"]["model_name"] == "remacri_original.safetensors"
    assert list(refused(STEPS["imageUpscaler"], services, image=PIXEL, numberOfRepeats=4)) == [
        "numberOfRepeats"
    ]
    assert list(refused(STEPS["imageUpscaler"], services, image=PIXEL, model=SD1)) == ["model"]


def test_a_removed_background_is_under_both_names() -> None:
    assert output_of("imageBackgroundRemoval", BLOB) == {"image": BLOB, "blob": BLOB}
    assert output_of("imageBackgroundRemoval", error="no subject") == {"errors": ["no subject"]}


def test_a_control_picture_has_the_options_of_its_kind(services: Services) -> None:
    work = task_of(
        services, "preprocessImage", kind="Canny", image=PIXEL, lowThreshold=50, preprocessorType="x"
    )
    assert work.arguments == {"kind": "canny", "resolution": 512, "options": {"low_threshold": 50}}
    graph = graph_of(services, "preprocessImage", kind="mlsd", image=PIXEL, distanceThreshold=0.5)
    assert graph["2"]["class_type"] == "M-LSDPreprocessor"
    assert graph["2"]["inputs"] == {
        "image": ["1", 0],
        "resolution": 512,
        "score_threshold": 0.1,
        "dist_threshold": 0.5,
    }
    shown = parsed(STEPS["preprocessImage"], services, kind="teed", image=PIXEL, safeSteps=3, x=None).input
    assert shown == {"kind": "teed", "image": PIXEL, "resolution": 512, "safeSteps": 3}


@pytest.mark.parametrize(
    ("input_", "field"),
    [
        ({"kind": "sketch"}, "kind"),
        ({"kind": "canny", "coarse": "enable"}, "coarse"),
        ({"kind": "canny", "low_threshold": 5}, "low_threshold"),
        ({"kind": "canny", "highThreshold": 900}, "highThreshold"),
        ({"kind": "canny", "resolution": 63}, "resolution"),
    ],
)
def test_wrong_control_pictures_are_refused(services: Services, input_: dict[str, Any], field: str) -> None:
    assert list(refused(STEPS["preprocessImage"], services, image=PIXEL, **input_)) == [field]


def test_hashes_are_made_of_the_media_url(services: Services) -> None:
    work = task_of(services, "mediaHash", mediaUrl=PIXEL, hashTypes=["PerceptualDct", "perceptual"])
    assert work.arguments == {"types": ["perceptualDct", "perceptual"]}
    assert list(refused(STEPS["mediaHash"], services, mediaUrl=PIXEL)) == ["hashTypes"]
    assert list(refused(STEPS["mediaHash"], services, mediaUrl="nonsense", hashTypes=["perceptual"])) == [
        "image"
    ]
    assert output_of("mediaHash", values={"hashes": {"perceptual": "ff"}}) == {"hashes": {"perceptual": "ff"}}


def test_an_archive_has_its_url_once_it_is_there(services: Services) -> None:
    step = parsed(
        STEPS["blobArchive"], services, entries=[{"blobId": "AB.png"}], archiveName="my pictures.zip"
    )
    assert step.jobs[0].input == {
        "entries": [{"image": "blob:AB.png", "name": "AB.png"}],
        "format": "zip",
        "name": "my pictures.zip",
    }
    assert list(refused(STEPS["blobArchive"], services, entries=[])) == ["entries"]
    blob = {**BLOB, "urlExpiresAt": "2026-11-29T00:00:00Z"}
    values = {"entryCount": 1, "format": "zip", "name": "my pictures.zip"}
    assert output_of("blobArchive", blob, values=values) == {
        "url": "http://host/archive/1.2.A.png?filename=my+pictures.zip",
        "entryCount": 1,
        "format": "zip",
        "expiresAt": "2026-11-29T00:00:00Z",
    }
    assert output_of("blobArchive", {"id": "A.zip", "available": False}) == {}


def test_a_prepared_resource_says_when_and_where(services: Services) -> None:
    (draft,) = prepared(STEPS["prepareResource"], services, resource=SD1)
    assert draft.lane.model == SD1
    values = {"resource": SD1, "preparedAt": "2026-11-29T01:02:03+00:00", "provider": "attic"}
    assert output_of("prepareResource", values=values) == {**values, "preparedAt": "2026-11-29T01:02:03Z"}


# Language models


def test_tags_have_a_threshold_and_any_name_of_a_tagger(services: Services) -> None:
    step = STEPS["wdTagging"].parse({"mediaUrl": PIXEL, "model": "wd14-vit.v1"}, "steps[0].input", services)
    assert step.input["threshold"] == 0.35
    (job,) = step.jobs
    assert (job.recipe, job.input["threshold"], job.names["image"]) == ("wdTagging", 0.35, "mediaUrl")
    assert list(refused(STEPS["wdTagging"], services, mediaUrl=PIXEL, threshold=2)) == ["threshold"]


def test_captions_and_prompts_have_their_defaults(services: Services) -> None:
    step = parsed(STEPS["mediaCaptioning"], services, mediaUrl=PIXEL)
    assert step.input == {
        "mediaUrl": PIXEL,
        "model": "joy-caption",
        "temperature": 0.5,
        "maxNewTokens": 300,
    }
    step = parsed(STEPS["promptEnhancement"], services, ecosystem="flux", prompt="a fox")
    assert step.input == {"ecosystem": "flux", "prompt": "a fox", "temperature": 0.7}
    (message,) = refused(STEPS["promptEnhancement"], services, ecosystem="flux", prompt="a fox").values()
    assert "IMAGEMILL_LANGUAGE_MODEL__BASE_URL" in message


def test_a_chat_is_read_in_camel_case(services: Services) -> None:
    input_ = {
        "model": "tiny",
        "messages": [
            {"role": "System", "content": "Be short."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "imageUrl": {"url": PIXEL}},
                ],
            },
            {"role": "tool", "content": "42", "tool_call_id": "t-1"},
        ],
        "topP": 0.5,
        "maxTokens": 10,
        "tool_choice": "auto",
        "tools": [{"type": "function", "function": {"name": "paint", "parameters": {"camelCase": 1}}}],
        "responseFormat": {"type": "json_schema", "jsonSchema": {"name": "a", "schema": {"someKey": 1}}},
        "user": "me",
    }
    wanted = parsed(STEPS["chatCompletion"], services, **input_).jobs[0].input
    services.recipes["chatCompletion"].input.model_validate(wanted)
    assert (wanted["top_p"], wanted["max_tokens"], wanted["tool_choice"]) == (0.5, 10, "auto")
    assert wanted["messages"][0] == {"role": "system", "content": "Be short."}
    assert wanted["messages"][1]["content"][1]["image_url"]["url"] == PIXEL
    assert wanted["messages"][2]["tool_call_id"] == "t-1"
    assert wanted["response_format"]["json_schema"]["schema"] == {"someKey": 1}
    assert wanted["tools"][0]["function"]["parameters"] == {"camelCase": 1}
    assert "user" not in wanted


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "image"]}, "modalities"),
        ({"image_config": {"n": 1}}, "image_config"),
        ({"topLogprobs": 2}, "logprobs"),
        ({"n": 9}, "n"),
        ({"max_completion_tokens": 9}, "max_completion_tokens"),
    ],
)
def test_what_a_chat_cannot_do_is_refused(services: Services, changes: dict[str, Any], field: str) -> None:
    messages = [{"role": "user", "content": "hello"}]
    assert list(refused(STEPS["chatCompletion"], services, model="tiny", messages=messages, **changes)) == [
        field
    ]


def test_a_completion_is_answered_in_camel_case() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": []}
    values = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "parsed": {"a": 1},
    }
    assert output_of("chatCompletion", values=values) == {
        **values,
        "choices": [{"index": 0, "message": message, "finishReason": "stop"}],
        "usage": {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3},
    }
