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
from imagemill.products.characters.prompts.wishes import Wish
from imagemill.products.characters.records import Subject
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
    model_config = ConfigDict(extra="forbid", defer_build=True)


class LoraInput(_Input):
    air: str = Field(max_length=512)
    name: str = Field("", max_length=200, description="Name in the prompt; by default the character's name.")
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
        """The texts of the sheet. A LoRA's name replaces the character's only where the client gave it."""
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


class WishInput(_Input):
    """A `Wish` in its stored form."""

    tags: list[str] = []
    untranslated: list[str] = []
    by: Source = "glossary"
    problem: str = ""

    @classmethod
    def of(cls, wish: Wish) -> Self:
        return cls(
            tags=list(wish.tags), untranslated=list(wish.untranslated), by=wish.by, problem=wish.problem
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
    wish: WishInput | None = Field(
        None, description="The translated prompt or instructions; set when the job is rendered."
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
    cutout: bool = Field(
        False, description="Whether the node removes the background, if it can; set for a retry."
    )
    action: WishInput | None = Field(
        None, description="The translated action tag; set when the job is rendered."
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

    story_id: str | None = Field(None, pattern=f"^(?:{ID})$")
    character_id: str | None = Field(None, pattern=f"^(?:{ID})$")
    chat_id: str | None = Field(None, pattern=f"^(?:{ID})$")
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

    @property
    def owned_by(self) -> tuple[Subject, str] | None:
        """The kind and the id of what the picture belongs to, so that it stays when the job is deleted."""
        named = self._named()
        return named[0] if named else None

    def _named(self) -> list[tuple[Subject, str]]:
        ids: dict[Subject, str | None] = {
            "story": self.story_id,
            "chat": self.chat_id,
            "character": self.character_id,
        }
        return [(subject, id_) for subject, id_ in ids.items() if id_ is not None]

    @model_validator(mode="after")
    def _belongs_once(self) -> Self:
        if len(self._named()) > 1:
            raise ValueError("name one of story_id, character_id and chat_id, as the picture is kept with it")
        return self


class CoverInput(StoryPictureInput):
    title: Short = ""
    synopsis: Text = ""

    @model_validator(mode="after")
    def _has_subject(self) -> Self:
        if self.chat_id is not None or self.owned_by is None:
            raise ValueError("a cover needs story_id or character_id")
        if self.story_id is not None and not (self.title.strip() and self.synopsis.strip()):
            raise ValueError("the cover of a story needs title and synopsis")
        return self

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
