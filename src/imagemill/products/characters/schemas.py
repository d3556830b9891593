"""Bodies of the requests for pictures of characters."""

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED
from imagemill.products.characters.inputs import ID, LONGEST_TEXT, MOST_LORAS, SheetFields, Short, Text
from imagemill.products.characters.settings import LARGEST_SIDE, SIDE_STEP, SMALLEST_SIDE
from imagemill.web.body_fields import Real, Whole
from imagemill.web.routing import RequestModel

Id = Annotated[str, Field(pattern=f"^(?:{ID})$", description="1 to 64 of A-Z, a-z, 0-9, - and _.")]
Side = Annotated[
    Whole, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE, multiple_of=SIDE_STEP, description="Pixels.")
]
_SHEET = "The default is the stored sheet; without one, `character` is required."
MOST_EMOTIONS = 16
"""The most emotions of one set: twice the number of the built-in ones."""
_LIA: dict[str, Any] = {
    "name": "Lia",
    "gender": "female",
    "physical": "long red hair, green eyes, freckles",
    "attire": "white summer dress",
}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class CharacterLora(RequestModel):
    air: str = Field(max_length=512, description="The AIR of the LoRA, or the short form @civitai/{version}.")
    name: Short | None = Field(
        None, description="The name the prompt gives it; up to a |. The default is the registered name."
    )
    strength: Real = Field(
        1.0, ge=-4, le=4, allow_inf_nan=False, description="The weight on the model and the text encoder."
    )


class Character(RequestModel, SheetFields):
    """The sheet of a character, in any language."""

    lora: str | CharacterLora | list[str | CharacterLora] | None = Field(
        None, description=f"At most {MOST_LORAS} LoRAs."
    )


class CastMember(Character):
    """A character in a picture of a story: a sheet, or the id of a stored one."""

    character_id: Id | None = Field(
        None, description="A stored character; its sheet is used if none is given here."
    )


class SheetBody(RequestModel):
    """A character's sheet to be stored."""

    model_config = _example(character=_LIA)

    character: Character


class RenderOptions(RequestModel):
    """Options of every request."""

    seed: Whole | None = Field(None, ge=-1, le=MAX_SEED, description="With -1 or none, a seed is drawn.")
    reuse: bool = Field(
        False,
        description="Answer from the pictures of an equal request, where this server allows it; an absent "
        "seed counts as equal.",
    )


class AvatarRequest(RenderOptions):
    model_config = _example(characterId="lia", prompt="smiling, at the beach", character=_LIA)

    character_id: Id
    prompt: Text = ""
    character: Character | None = Field(None, description=_SHEET)
    reference_image_url: str | None = Field(None, min_length=1, description="A URL, a data URL or blob:key.")


class StickerRequest(RenderOptions):
    model_config = _example(characterId="lia", emotion="happy", character=_LIA)

    character_id: Id
    emotion: Short = Field(
        description="One of the eight, in English, Portuguese or Spanish, or one of your own."
    )
    action_tag: Short | None = Field(
        None, description="The action shown; it is required for an emotion of your own."
    )
    custom_instructions: Text = ""
    character: Character | None = Field(None, description=_SHEET)
    reference_image_url: str | None = Field(
        None,
        min_length=1,
        description="The picture whose colours are kept off the background; by default the active avatar.",
    )


class Emotion(RequestModel):
    emotion: Short
    action_tag: Short | None = None


class StickersRequest(RenderOptions):
    model_config = _example(characterId="lia", emotions=["happy", "sad"], character=_LIA)

    character_id: Id
    emotions: list[str | Emotion] | None = Field(
        None, min_length=1, max_length=MOST_EMOTIONS, description="The default is all eight."
    )
    custom_instructions: Text = ""
    character: Character | None = Field(None, description=_SHEET)


_COVER: dict[str, Any] = {
    "title": "The Lighthouse",
    "synopsis": "A keeper finds a message in a bottle and rows out at night.",
    "characters": [_LIA],
}


class CoverFields(RenderOptions):
    title: Short = Field("", description="Required for a story.")
    synopsis: Text = Field("", description="Required for a story.")
    characters: list[CastMember] = Field(default=[], max_length=8)


class CoverRequest(CoverFields):
    """The cover of a story or of a character."""

    model_config = _example(storyId="lighthouse", **_COVER)

    story_id: Id | None = None
    character_id: Id | None = Field(
        None, description="Instead of `storyId`; `characters` is then by default the character alone."
    )


class StoryCoverRequest(CoverFields):
    model_config = _example(**_COVER)

    story_id: Id | None = Field(None, description="The same id as in the path.")


class StoryMessage(RequestModel):
    author: Short = ""
    text: Text = ""


class Context(RequestModel):
    summary: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    messages: list[Text | StoryMessage] = Field(
        default=[], max_length=20, description="The latest messages of the conversation."
    )
    characters: list[CastMember] = Field(max_length=8)
    place: Short
    mood: Short


class SceneRequest(RenderOptions):
    model_config = _example(
        context={
            "summary": "Lia rows towards the lighthouse at night.",
            "messages": [{"author": "Lia", "text": "I can see the light!"}],
            "characters": [_LIA],
            "place": "a rowing boat on the sea",
            "mood": "tense",
        },
        width=1024,
        height=768,
        chatId="lia-and-me",
    )

    context: Context
    chat_id: Id | None = Field(
        None, description="The picture stays in the list of this chat. At most one of the three ids."
    )
    story_id: Id | None = Field(None, description="The picture stays in the list of this story.")
    character_id: Id | None = Field(None, description="The picture stays in the list of this character.")
    width: Side | None = None
    height: Side | None = None


def checked_id(path: str, text: str) -> str:
    """Raises `InvalidInput`."""
    if not re.fullmatch(ID, text):
        raise InvalidInput.at(path, f"is {text[:40]!r}; write 1 to 64 of A-Z, a-z, 0-9, - and _")
    return text
