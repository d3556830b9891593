"""The recipes of a language model: ``mediaCaptioning``, ``wdTagging``, ``promptEnhancement`` and
``chatCompletion``."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.credits import Rate
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import TaskSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.tasks.simple import EXAMPLE_PICTURE, IMAGE, no_model
from imagemill.recipes.unions import branch, told_by

MOST_PICTURES = 8
MOST_MESSAGES = 200
MOST_CHARACTERS = 200_000
"""Most characters of all messages of a chat."""
MOST_TOKENS = 32_768
_TEXT = 10_000


class MediaCaption(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)
    style: Literal["joy-caption", "ideogram4"] = Field(
        "joy-caption", description="A description as text, or as JSON with the places of what is shown."
    )
    temperature: float = Field(0.5, ge=0, le=2, allow_inf_nan=False)
    max_tokens: int = Field(300, ge=1, le=4096, description="Longest caption in tokens.")
    instructions: str = Field("", max_length=_TEXT, description="What the caption should do besides.")


def _complete_caption(input_: MediaCaption, resolver: ResourceResolver, path: str) -> MediaCaption:
    return input_.model_copy(update={"image": resolver.picture(f"{path}image", input_.image)})


def _plan_caption(input_: MediaCaption) -> Plan:
    arguments = input_.model_dump(exclude={"image"})
    return Plan(TaskSpec("mediaCaptioning", arguments), outputs=0, inputs={"image": input_.image})


class ImageTags(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)
    threshold: float = Field(
        0.35, ge=0, le=1, allow_inf_nan=False, description="Least confidence of a tag, from 0 to 1."
    )
    hint: str = Field("", max_length=_TEXT, description="What is known of the picture, such as its prompt.")


def _complete_tags(input_: ImageTags, resolver: ResourceResolver, path: str) -> ImageTags:
    return input_.model_copy(update={"image": resolver.picture(f"{path}image", input_.image)})


def _plan_tags(input_: ImageTags) -> Plan:
    arguments = input_.model_dump(exclude={"image"})
    return Plan(TaskSpec("wdTagging", arguments), outputs=0, inputs={"image": input_.image})


class PromptEnhancement(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    ecosystem: str = Field(
        min_length=1, max_length=64, description="The model family it is for, such as sdxl or flux1."
    )
    prompt: str = Field(min_length=1, max_length=_TEXT)
    negative_prompt: str = Field("", max_length=_TEXT)
    temperature: float = Field(0.7, ge=0, le=1, allow_inf_nan=False)
    instruction: str = Field("", max_length=_TEXT, description="How the prompt is to be improved.")
    images: list[str] = Field(
        default=[], max_length=MOST_PICTURES, description="Pictures that the prompt should resemble."
    )


def _complete_prompt(input_: PromptEnhancement, resolver: ResourceResolver, path: str) -> PromptEnhancement:
    images = [resolver.picture(f"{path}images[{index}]", image) for index, image in enumerate(input_.images)]
    return input_.model_copy(update={"images": images})


def _plan_prompt(input_: PromptEnhancement) -> Plan:
    arguments = input_.model_dump(exclude={"images"}) | {"pictures": len(input_.images)}
    inputs = {f"image-{index}": image for index, image in enumerate(input_.images)}
    return Plan(TaskSpec("promptEnhancement", arguments), outputs=0, inputs=inputs)


def _replace_prompts(input_: PromptEnhancement, texts: PromptTexts) -> PromptEnhancement:
    return input_.model_copy(update={"prompt": texts.prompt, "negative_prompt": texts.negative})


class ChatText(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    type: Literal["text"]
    text: str


class ChatPictureUrl(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    url: str = Field(min_length=1, description=IMAGE)
    detail: Literal["auto", "low", "high"] | None = None


class ChatPicture(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    type: Literal["image_url"]
    image_url: ChatPictureUrl


_ChatPart = Annotated[
    Annotated[ChatText, branch("text")] | Annotated[ChatPicture, branch("image_url")],
    told_by("type", "text", "image_url"),
]


class ChatFunctionCall(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: str = Field(max_length=64)
    arguments: str = Field(max_length=_TEXT, description="JSON.")


class ChatToolCall(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    id: str = Field(max_length=200)
    type: Literal["function"] = "function"
    function: ChatFunctionCall


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[_ChatPart] | None = None
    name: str | None = Field(None, max_length=64)
    tool_calls: list[ChatToolCall] | None = Field(None, max_length=64)
    tool_call_id: str | None = Field(None, max_length=200)


class ChatFunction(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: str = Field(max_length=64)
    description: str | None = Field(None, max_length=_TEXT)
    parameters: dict[str, Any] | None = Field(None, description="JSON schema.")
    strict: bool | None = None


class ChatTool(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    type: Literal["function"]
    function: ChatFunction


class ChatJsonSchema(BaseModel):
    model_config = ConfigDict(
        extra="forbid", protected_namespaces=(), populate_by_name=True, defer_build=True
    )

    name: str = Field(max_length=64)
    description: str | None = Field(None, max_length=_TEXT)
    definition: dict[str, Any] = Field(alias="schema", description="JSON schema.")
    strict: bool | None = None


class ChatFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: ChatJsonSchema | None = None


class ChatCompletion(BaseModel):
    """The body of an OpenAI chat completion, without streaming."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    model: str = Field(
        "", max_length=200, description="A language model of this server; absent: the one there is."
    )
    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    n: int = Field(1, ge=1, le=8, description="Number of answers.")
    stop: list[str] | None = Field(None, max_length=4)
    presence_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-(2**53), le=2**53)
    tools: list[ChatTool] | None = Field(None, max_length=64)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    response_format: ChatFormat | None = None
    chat_template_kwargs: dict[str, str | int | float | bool] | None = Field(
        None, max_length=20, description="Values for the model's chat template, where the endpoint has one."
    )


def _complete_chat(input_: ChatCompletion, resolver: ResourceResolver, path: str) -> ChatCompletion:
    pictures = 0
    characters = sum(len(text) for text in _texts(input_))
    if characters > MOST_CHARACTERS:
        raise InvalidInput.at(
            f"{path}messages", f"have {characters} characters; at most {MOST_CHARACTERS} are accepted"
        )
    messages: list[ChatMessage] = []
    for index, message in enumerate(input_.messages):
        where = f"{path}messages[{index}]"
        _check_message(message, where)
        parts: list[ChatText | ChatPicture] = []
        for number, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if isinstance(part, ChatPicture):
                pictures += 1
                place = f"{where}.content[{number}].image_url.url"
                if pictures > MOST_PICTURES:
                    raise InvalidInput.at(place, f"is one picture too many: at most {MOST_PICTURES} are read")
                url = ChatPictureUrl(
                    url=resolver.picture(place, part.image_url.url), detail=part.image_url.detail
                )
                part = ChatPicture(type="image_url", image_url=url)
            parts.append(part)
        messages.append(message.model_copy(update={"content": parts}) if parts else message)
    return input_.model_copy(update={"messages": messages})


def _check_message(message: ChatMessage, path: str) -> None:
    """Raise `InvalidInput` for what its role cannot have, which endpoints refuse without a reason."""
    if message.role == "tool" and not message.tool_call_id:
        raise InvalidInput.at(f"{path}.tool_call_id", "is required of a message with the role tool")
    if not message.content and not message.tool_calls:
        raise InvalidInput.at(f"{path}.content", "is required")
    has_picture = isinstance(message.content, list) and any(
        isinstance(part, ChatPicture) for part in message.content
    )
    if has_picture and message.role != "user":
        raise InvalidInput.at(
            f"{path}.content", f"has a picture, and a {message.role} message has texts only"
        )


def _texts(input_: ChatCompletion) -> Iterator[str]:
    for message in input_.messages:
        if isinstance(message.content, str):
            yield message.content
        for part in message.content if isinstance(message.content, list) else ():
            if isinstance(part, ChatText):
                yield part.text
        yield from (call.function.arguments for call in message.tool_calls or ())
    for tool in input_.tools or ():
        yield tool.function.description or ""


def _plan_chat(input_: ChatCompletion) -> Plan:
    return Plan(
        TaskSpec("chatCompletion", input_.model_dump(mode="json", by_alias=True, exclude_none=True)),
        outputs=0,
    )


def _answer_texts(values: Mapping[str, Any]) -> PromptTexts:
    messages = [choice["message"] for choice in values["choices"]]
    names = ("content", "refusal", "reasoning_content")
    texts = [message[name] for message in messages for name in names if message.get(name)]
    calls = [
        call["function"]["arguments"] for message in messages for call in message.get("tool_calls") or ()
    ]
    return PromptTexts("\n".join((*texts, *calls)))


def media_captioning(settings: Any) -> Recipe:
    """Return the recipe; it has an example where there is a model that reads pictures."""
    return Recipe(
        name="mediaCaptioning",
        input=MediaCaption,
        complete=_complete_caption,
        plan=_plan_caption,
        model=no_model,
        rate=Rate(base=1.0),
        get_texts=lambda input_: PromptTexts(input_.instructions),
        prompt_field="instructions",
        output_texts=lambda values: PromptTexts(values["caption"]),
        summary="A description of a picture, by a vision model.",
        example={"image": EXAMPLE_PICTURE} if settings.language_model.vision_model else None,
    )


def tagging(settings: Any) -> Recipe:
    """Return the recipe; it has an example where there is a model that reads pictures."""
    return Recipe(
        name="wdTagging",
        input=ImageTags,
        complete=_complete_tags,
        plan=_plan_tags,
        model=no_model,
        rate=Rate(base=1.0),
        get_texts=lambda input_: PromptTexts(input_.hint),
        prompt_field="hint",
        output_texts=lambda values: PromptTexts(", ".join(values["tags"])),
        summary="Tags of what a picture shows, with their confidence, by a vision model.",
        example={"image": EXAMPLE_PICTURE} if settings.language_model.vision_model else None,
    )


def prompt_enhancement(settings: Any) -> Recipe:
    """Return the recipe; it has an example where there is a language model."""
    return Recipe(
        name="promptEnhancement",
        input=PromptEnhancement,
        complete=_complete_prompt,
        plan=_plan_prompt,
        model=no_model,
        rate=Rate(base=1.0),
        get_texts=lambda input_: PromptTexts(input_.prompt, input_.negative_prompt, input_.instruction),
        replace_texts=_replace_prompts,
        prompt_field="prompt",
        output_texts=lambda values: PromptTexts(
            "\n".join((values["enhancedPrompt"], *values["recommendations"])),
            values.get("enhancedNegativePrompt") or "",
        ),
        summary="A better prompt for a model family, with what was wrong, by a language model.",
        example=_example(settings, {"ecosystem": "sdxl", "prompt": "a fox in the snow"}),
    )


def chat_completion(settings: Any) -> Recipe:
    """Return the recipe; it has an example where there is a language model."""
    return Recipe(
        name="chatCompletion",
        input=ChatCompletion,
        complete=_complete_chat,
        plan=_plan_chat,
        model=no_model,
        rate=Rate(base=1.0),
        get_texts=lambda input_: PromptTexts("\n".join(_texts(input_))),
        prompt_field="messages",
        output_texts=_answer_texts,
        summary="An answer of the language model to a conversation.",
        example=_example(settings, {"messages": [{"role": "user", "content": "Name three colours."}]}),
    )


def _example(settings: Any, example: Mapping[str, Any]) -> Mapping[str, Any] | None:
    has_model: Callable[[str], Any] = lambda name: getattr(settings.language_model, name)  # noqa: E731
    return example if has_model("model") or has_model("vision_model") else None
