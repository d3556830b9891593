"""What the API of characters reads."""

import re
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED
from imagemill.products.characters.inputs import ID, LONGEST_TEXT, MOST_LORAS, SheetFields, Short, Text
from imagemill.products.characters.settings import LARGEST_SIDE, SIDE_STEP, SMALLEST_SIDE
from imagemill.web.http import Real, Whole, json_body
from imagemill.web.problems import field_errors

_Model = TypeVar("_Model", bound=BaseModel)

Id = Annotated[str, Field(pattern=f"^(?:{ID})$", description="1 to 64 of A-Z, a-z, 0-9, - and _.")]
Side = Annotated[Whole, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE, multiple_of=SIDE_STEP)]
MOST_EMOTIONS = 16
"""Of one set: twice as many as there are of our own."""


class CharacterModel(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )


class CharacterLora(CharacterModel):
    air: str = Field(max_length=512, description="Its AIR, or the short form @civitai/{version}.")
    name: Short | None = Field(
        None, description="What the prompt calls it; up to a |. Default: as registered."
    )
    strength: Real = Field(1.0, ge=-4, le=4, allow_inf_nan=False, description="On model and text encoder.")


class Character(CharacterModel, SheetFields):
    """The sheet of a character, in any language."""

    lora: str | CharacterLora | list[str | CharacterLora] | None = Field(
        None, description=f"At most {MOST_LORAS}."
    )


class RenderOptions(CharacterModel):
    """What every request may say."""

    seed: Whole | None = Field(None, ge=-1, le=MAX_SEED, description="-1 or absent: drawn.")
    reuse: bool = Field(
        False,
        description="Answer from an equal request's pictures, where this server allows it; no seed: one.",
    )


class AvatarRequest(RenderOptions):
    character_id: Id
    prompt: Text = ""
    character: Character | None = None
    reference_image_url: str | None = Field(None, min_length=1, description="A URL, a data URL or blob:key.")


class StickerRequest(RenderOptions):
    character_id: Id
    emotion: Short
    action_tag: Short | None = Field(None, description="What it does; needed for an emotion of your own.")
    custom_instructions: Text = ""
    character: Character | None = None
    reference_image_url: str | None = Field(
        None, min_length=1, description="Whose colours it has; absent: the active avatar's."
    )


class Emotion(CharacterModel):
    emotion: Short
    action_tag: Short | None = None


class StickersRequest(RenderOptions):
    character_id: Id
    emotions: list[str | Emotion] | None = Field(
        None, min_length=1, max_length=MOST_EMOTIONS, description="Default: all eight."
    )
    custom_instructions: Text = ""
    character: Character | None = None


class CoverFields(RenderOptions):
    title: Annotated[str, Field(min_length=1, max_length=200)]
    synopsis: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    characters: list[Character] = Field(default=[], max_length=8)


class CoverRequest(CoverFields):
    story_id: Id


class StoryCoverRequest(CoverFields):
    story_id: Id | None = Field(None, description="As the path says.")


class StoryMessage(CharacterModel):
    author: Short = ""
    text: Text = ""


class Context(CharacterModel):
    summary: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    messages: list[Text | StoryMessage] = Field(default=[], max_length=20)
    characters: list[Character] = Field(max_length=8)
    place: Short
    mood: Short


class SceneRequest(RenderOptions):
    context: Context
    width: Side | None = None
    height: Side | None = None


async def read(request: Request, model: type[_Model]) -> tuple[_Model, Any]:
    """The body, and as it was sent. Raises `InvalidInput`."""
    body = await json_body(request)
    try:
        return model.model_validate(body), body
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model)) from error


def checked_id(path: str, text: str) -> str:
    """Raises `InvalidInput`."""
    if not re.fullmatch(ID, text):
        raise InvalidInput.at(path, f"is {text[:40]!r}; write 1 to 64 of A-Z, a-z, 0-9, - and _")
    return text
