"""The step types of a language model: captions, tags, better prompts, chats."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.steps.base import JobResult, ParsedStep, RecipeInput, StepType
from imagemill.dialects.civitai_v2.steps.fields import StepFields, read_fields
from imagemill.dialects.civitai_v2.steps.task_steps import (
    PictureText,
    as_picture,
    errors_of,
    values_output,
)
from imagemill.domain.errors import InvalidInput
from imagemill.recipes.tasks.language import MOST_MESSAGES, MOST_PICTURES, MOST_TOKENS
from imagemill.web.body_fields import Real, Whole, one_of


class CaptioningFields(StepFields):
    media_url: PictureText
    model: Annotated[str, one_of(("joy-caption", "ideogram4"))] = "joy-caption"
    temperature: Real = Field(0.5, ge=0, le=2, allow_inf_nan=False)
    max_new_tokens: Whole = Field(300, ge=1, le=4096)
    custom_instructions: str | None = Field(None, max_length=10_000)


def parse_captioning(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(CaptioningFields, raw, path)
    wanted = {
        "image": as_picture(given.media_url),
        "style": given.model,
        "temperature": given.temperature,
        "max_tokens": given.max_new_tokens,
        "instructions": given.custom_instructions or "",
    }
    names = {
        "image": "mediaUrl",
        "style": "model",
        "max_tokens": "maxNewTokens",
        "instructions": "customInstructions",
    }
    return ParsedStep(given.shown(), (RecipeInput("mediaCaptioning", wanted, names),))


class TaggingFields(StepFields):
    media_url: PictureText
    model: str | None = Field(None, max_length=100)
    threshold: Real = Field(0.35, ge=0, le=1, allow_inf_nan=False)
    prompt: str | None = Field(None, max_length=10_000)


def parse_tagging(raw: Any, path: str, services: Services) -> ParsedStep:
    """``model`` names a tagger of Civitai's; the vision model of this server does its work."""
    del services
    given = read_fields(TaggingFields, raw, path)
    wanted = {"image": as_picture(given.media_url), "threshold": given.threshold, "hint": given.prompt or ""}
    names = {"image": "mediaUrl", "hint": "prompt"}
    return ParsedStep(given.shown(), (RecipeInput("wdTagging", wanted, names),))


class EnhancementFields(StepFields):
    ecosystem: str = Field(min_length=1, max_length=64)
    prompt: str = Field(min_length=1, max_length=10_000)
    negative_prompt: str | None = Field(None, max_length=10_000)
    temperature: Real = Field(0.7, ge=0, le=1, allow_inf_nan=False)
    instruction: str | None = Field(None, max_length=10_000)
    images: list[PictureText] | None = Field(None, max_length=MOST_PICTURES)


def parse_enhancement(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(EnhancementFields, raw, path)
    wanted = {
        "ecosystem": given.ecosystem,
        "prompt": given.prompt,
        "negative_prompt": given.negative_prompt or "",
        "temperature": given.temperature,
        "instruction": given.instruction or "",
        "images": [as_picture(image) for image in given.images or ()],
    }
    return ParsedStep(given.shown(), (RecipeInput("promptEnhancement", wanted),))


class ImageUrlFields(StepFields):
    url: PictureText
    detail: Annotated[str, one_of(("auto", "low", "high"))] | None = None


class ContentPartFields(StepFields):
    """A text or a picture."""

    type: Annotated[str, one_of(("text", "image_url"))]
    text: str | None = None
    image_url: ImageUrlFields | None = None


class FunctionCallFields(StepFields):
    name: str
    arguments: str = ""


class ToolCallFields(StepFields):
    id: str
    type: Annotated[str, one_of(("function",))] = "function"
    function: FunctionCallFields


class MessageFields(StepFields):
    role: Annotated[str, one_of(("system", "user", "assistant", "tool"))]
    content: str | list[ContentPartFields] | None = None
    name: str | None = None
    refusal: str | None = Field(None, description="Has no effect.")
    reasoning_content: str | None = Field(None, alias="reasoning_content", description="Has no effect.")
    tool_calls: list[ToolCallFields] | None = Field(None, alias="tool_calls")
    tool_call_id: str | None = Field(None, alias="tool_call_id")


class FunctionFields(StepFields):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolFields(StepFields):
    type: Annotated[str, one_of(("function",))]
    function: FunctionFields


class JsonSchemaFields(StepFields):
    name: str
    description: str | None = None
    definition: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormatFields(StepFields):
    type: Annotated[str, one_of(("text", "json_object", "json_schema"))]
    json_schema: JsonSchemaFields | None = None


class ChatFields(StepFields):
    """The input of the step ``chatCompletion``: OpenAI's body, in camel case apart from two fields."""

    model: str = Field(max_length=200)
    messages: list[MessageFields] = Field(min_length=1, max_length=MOST_MESSAGES)
    temperature: Real | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: Real | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    max_tokens: Whole | None = Field(None, ge=1, le=MOST_TOKENS)
    n: Whole = Field(1, ge=1, le=8)
    stop: list[str] | None = Field(None, max_length=4)
    presence_penalty: Real | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: Real | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    seed: Whole | None = None
    user: str | None = Field(None, max_length=200, description="Is not passed on.")
    logprobs: bool | None = None
    top_logprobs: Whole | None = None
    chat_template_kwargs: dict[str, str | int | float | bool] | None = None
    tools: list[ToolFields] | None = Field(None, max_length=64)
    tool_choice: str | dict[str, Any] | None = Field(None, alias="tool_choice")
    modalities: list[str] | None = Field(None, max_length=10)
    image_config: dict[str, Any] | None = Field(None, alias="image_config")
    response_format: ResponseFormatFields | None = None


_UNSENT = {"user", "logprobs", "top_logprobs", "modalities", "image_config"}


def parse_chat(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(ChatFields, raw, path)
    if given.logprobs or given.top_logprobs:
        raise InvalidInput.at(f"{path}.logprobs", "are not supported; leave logprobs and topLogprobs out")
    if given.image_config is not None or any(each.lower() != "text" for each in given.modalities or ()):
        field = "image_config" if given.image_config is not None else "modalities"
        raise InvalidInput.at(f"{path}.{field}", "is not supported: a chat has no pictures as answers here")
    wanted = given.model_dump(exclude=_UNSENT, exclude_none=True)
    wanted["messages"] = [_message(each) for each in given.messages]
    if given.response_format is not None and given.response_format.json_schema is not None:
        schema = wanted["response_format"]["json_schema"]
        schema["schema"] = schema.pop("definition")
    names = {"tool_choice": "tool_choice"}
    return ParsedStep(given.shown(), (RecipeInput("chatCompletion", wanted, names),))


def _message(given: MessageFields) -> dict[str, Any]:
    message = given.model_dump(exclude={"refusal", "reasoning_content", "content"}, exclude_none=True)
    if isinstance(given.content, list):
        message["content"] = [_part(each) for each in given.content]
    elif given.content is not None:
        message["content"] = given.content
    return message


def _part(given: ContentPartFields) -> dict[str, Any]:
    """Return a part of a message for the recipe, which says what it lacks."""
    if given.type == "text":
        return {"type": "text"} | ({} if given.text is None else {"text": given.text})
    if given.image_url is None:
        return {"type": given.type}
    url = as_picture(given.image_url.url)
    return {"type": given.type, "image_url": {"url": url, "detail": given.image_url.detail}}


def chat_output(results: Sequence[JobResult]) -> Mapping[str, Any]:
    """Return the completion with the names of the API, which are in camel case outside of messages."""
    values = dict(results[0].values)
    if not values:
        return errors_of(results)
    values["choices"] = [
        {
            "index": choice["index"],
            "message": choice["message"],
            "finishReason": choice.get("finish_reason"),
        }
        for choice in values["choices"]
    ]
    if (usage := values.get("usage")) is not None:
        values["usage"] = {
            "promptTokens": usage["prompt_tokens"],
            "completionTokens": usage["completion_tokens"],
            "totalTokens": usage["total_tokens"],
        }
    return values


STEPS: tuple[StepType, ...] = (
    StepType("chatCompletion", parse_chat, chat_output),
    StepType("mediaCaptioning", parse_captioning, values_output),
    StepType("promptEnhancement", parse_enhancement, values_output),
    StepType("wdTagging", parse_tagging, values_output),
)
