"""Inputs of the character recipes. The same models hold a request, the complete and the prepared input."""

from abc import abstractmethod
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from imagemill.domain.images import MAX_SEED
from imagemill.products.characters.prompts.scenes import EMOTIONS
from imagemill.products.characters.prompts.types import (
    Appearance,
    CharacterSheet,
    Gender,
    SceneDescription,
    Source,
    StoryContext,
)
from imagemill.products.characters.settings import LARGEST_SIDE, SIDE_STEP, SMALLEST_SIDE

ID = r"[A-Za-z0-9_\-]{1,64}"
"""Pattern of the id of a character or a story; the id becomes part of blob keys."""
EMOTION = r"[a-z0-9][a-z0-9_\-]{0,31}"
MOST_LORAS = 4
LONGEST_TEXT = 4000
"""Maximum number of characters in a text of a user."""
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Short = Annotated[str, Field(max_length=200)]
Strength = Annotated[float, Field(ge=-4, le=4, allow_inf_nan=False)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LoraInput(_Input):
    air: str = Field(max_length=512)
    name: str = Field("", max_length=200, description="Name in the prompt; by default the registered name.")
    strength: Strength = Field(1.0, description="Strength on the model and on the text encoder.")
    path: str | None = Field(None, description="The LoRA's file on a node; set when the job is accepted.")


class SheetFields(_Input):
    """The texts that describe a character, in any language."""

    name: Short = ""
    gender: Short = ""
    species: Short = ""
    physical: Text = ""
    attire: Text = ""
    style: Short = ""
    description: Text = ""


class CharacterInput(SheetFields):
    loras: list[LoraInput] = Field(default=[], max_length=MOST_LORAS)

    @property
    def sheet(self) -> CharacterSheet:
        lora = next((lora.name for lora in self.loras if lora.name), "")
        return CharacterSheet(**self.model_dump(include=set(SheetFields.model_fields)), lora=lora)


class AppearanceInput(_Input):
    """An `Appearance` in its stored form."""

    gender: Gender = "unknown"
    physical: list[str] = []
    attire: list[str] = []
    style: list[str] = []
    untranslated: list[str] = []
    by: Source = "glossary"
    problem: str = ""

    @classmethod
    def of(cls, look: Appearance) -> Self:
        return cls(
            gender=look.gender,
            physical=list(look.physical),
            attire=list(look.attire),
            style=list(look.style),
            untranslated=list(look.untranslated),
            by=look.by,
            problem=look.problem,
        )

    @property
    def look(self) -> Appearance:
        return Appearance(
            self.gender,
            tuple(self.physical),
            tuple(self.attire),
            tuple(self.style),
            tuple(self.untranslated),
            self.by,
            self.problem,
        )


class SceneDescriptionInput(_Input):
    """A `SceneDescription` in its stored form."""

    tags: list[str] = []
    description: str = ""
    untranslated: list[str] = []
    by: Source = "glossary"
    problem: str = ""

    @classmethod
    def of(cls, setting: SceneDescription) -> Self:
        return cls(
            tags=list(setting.tags),
            description=setting.description,
            untranslated=list(setting.untranslated),
            by=setting.by,
            problem=setting.problem,
        )

    @property
    def setting(self) -> SceneDescription:
        return SceneDescription(
            tuple(self.tags), self.description, tuple(self.untranslated), self.by, self.problem
        )


class PictureInput(_Input):
    """The fields of all character recipes. Without a prepared appearance, the glossary's is used."""

    seed: int | None = Field(
        None, ge=-1, le=MAX_SEED, description="Seed; -1 or absent draws one when the job is accepted."
    )
    model: str | None = Field(None, description="The checkpoint's AIR; set when the job is accepted.")
    model_path: str | None = Field(
        None, description="The checkpoint's file on a node; set when the job is accepted."
    )
    steps: int | None = Field(None, ge=1, le=150)
    cfg_scale: float | None = Field(None, ge=0, le=30, allow_inf_nan=False)
    sampler: str | None = Field(None, pattern="^[a-z0-9_]{1,40}$", description="ComfyUI's sampler name.")
    scheduler: str | None = Field(None, pattern="^[a-z0-9_]{1,40}$", description="ComfyUI's scheduler name.")


class CharacterPictureInput(PictureInput):
    """Input of a picture of one character."""

    character_id: str = Field(pattern=f"^(?:{ID})$")
    character: CharacterInput = CharacterInput()
    reference: str | None = Field(None, description="A picture of the character: data URL or URL.")
    look: AppearanceInput | None = Field(
        None, description="The translated appearance; set when the job is rendered."
    )

    @property
    def request(self) -> str:
        """The user's text besides the character sheet."""
        return ""


class AvatarInput(CharacterPictureInput):
    prompt: Text = ""

    @property
    def request(self) -> str:
        return self.prompt


class StickerInput(CharacterPictureInput):
    emotion: str = Field(pattern=f"^(?:{EMOTION})$")
    action_tag: Short = Field(
        "", description="The character's action; required for an emotion that is not built in."
    )
    custom_instructions: Text = ""
    key_colour: str = Field(
        "",
        pattern="^(|red|orange|green|blue|magenta)$",
        description="Chroma key colour of the background; by default green.",
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.emotion not in EMOTIONS and not self.action_tag.strip():
            known = ", ".join(EMOTIONS)
            raise ValueError(f"emotion {self.emotion!r} needs an action tag, as it is not one of {known}")
        return self

    @property
    def request(self) -> str:
        return self.custom_instructions


class StoryPictureInput(PictureInput):
    """Input of a picture of a story."""

    characters: list[CharacterInput] = Field(default=[], max_length=8)
    looks: list[AppearanceInput] = Field(
        default=[], description="The translated appearances; set when the job is rendered."
    )
    setting: SceneDescriptionInput | None = Field(
        None, description="The translated scene; set when the job is rendered."
    )

    @property
    @abstractmethod
    def story(self) -> StoryContext:
        """The part of the story that the picture shows."""


class CoverInput(StoryPictureInput):
    story_id: str = Field(pattern=f"^(?:{ID})$")
    title: str = Field(min_length=1, max_length=200)
    synopsis: str = Field(min_length=1, max_length=LONGEST_TEXT)

    @property
    def story(self) -> StoryContext:
        return StoryContext(
            self.title, self.synopsis, characters=tuple(each.sheet for each in self.characters)
        )


class SceneInput(StoryPictureInput):
    summary: str = Field(min_length=1, max_length=LONGEST_TEXT)
    messages: list[Text] = Field(default=[], max_length=20)
    place: Short = ""
    mood: Short = ""
    width: int = Field(1024, ge=SMALLEST_SIDE, le=LARGEST_SIDE)
    height: int = Field(1024, ge=SMALLEST_SIDE, le=LARGEST_SIDE)

    @property
    def story(self) -> StoryContext:
        sheets = tuple(each.sheet for each in self.characters)
        return StoryContext("", self.summary, tuple(self.messages), sheets, self.place, self.mood)

    @field_validator("width", "height")
    @classmethod
    def _whole_latents(cls, side: int) -> int:
        if side % SIDE_STEP:
            raise ValueError(f"is {side}; use a multiple of {SIDE_STEP}")
        return side
