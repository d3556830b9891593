"""The recipes of characters: avatar, sticker, cover and scene."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.images import MAX_SEED, ImageSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.media.palette import Palette
from imagemill.products.characters.inputs import (
    AppearanceInput,
    AvatarInput,
    CharacterInput,
    CharacterPictureInput,
    CoverInput,
    LoraInput,
    PictureInput,
    SceneDescriptionInput,
    SceneInput,
    StickerInput,
    StoryPictureInput,
)
from imagemill.products.characters.plans import CharacterPlanner
from imagemill.products.characters.prompts import glossary
from imagemill.products.characters.prompts.types import (
    Appearance,
    CharacterSheet,
    SceneDescription,
    StoryContext,
)
from imagemill.products.characters.settings import CharacterSettings, StyleSettings
from imagemill.recipes.base import Plan, PrepareContext, Prepared, Recipe, ResourceResolver


class Tools(Protocol):
    """What preparing a job needs; `imagemill.products.characters.preparation.JobTools` is the real one."""

    def look(self, sheet: CharacterSheet) -> Appearance:
        """Return a character in words that a checkpoint understands."""
        ...

    def scene(self, telling: StoryContext) -> SceneDescription:
        """Return a moment of a story in such words."""
        ...

    def palette(self, source: str) -> Palette:
        """Return the colours of an input picture. Raises `BackendError`, and `StorageError`."""
        ...

    def avatar(self, character_id: str) -> str | None:
        """Return the source of the active avatar that the job's owner has of a character."""
        ...


ToolsOf = Callable[[PrepareContext], Tools]

SET = "stickerSet"
"""The occasion a sticker of all eight is priced for."""
_SET_RATE = Rate(base=2.5)
"""20 for all eight."""


def avatar(studio: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe("avatar", AvatarInput, studio, studio.avatar, Rate(base=5), tools, _prepare_avatar)


def sticker(studio: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe(
        "sticker",
        StickerInput,
        studio,
        studio.sticker,
        Rate(base=3),
        tools,
        _prepare_sticker,
        rates={SET: _SET_RATE},
    )


def cover(studio: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe(
        "cover", CoverInput, studio, studio.cover, Rate(base=8), tools, _prepare_many, worded_by="synopsis"
    )


def scene(studio: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe(
        "scene", SceneInput, studio, studio.scene, Rate(base=5), tools, _prepare_many, worded_by="summary"
    )


def planner(settings: CharacterSettings) -> CharacterPlanner:
    """Raises ValueError for a file of ``cutout_model`` that is no model of backgrounds."""
    if settings.cutout_model is None:
        return CharacterPlanner(settings)
    from imagemill.media.cutout import loaded  # it loads NumPy

    return CharacterPlanner(settings, loaded(settings.cutout_model, "IMAGEMILL_CHARACTERS__CUTOUT_MODEL"))


def _recipe(
    name: str,
    model: type[PictureInput],
    studio: CharacterPlanner,
    plan: Callable[[Any], Plan],
    rate: Rate,
    tools: "ToolsOf",
    prepare: Callable[[Any, "Tools"], Prepared],
    *,
    rates: dict[str, Rate] | None = None,
    worded_by: str = "character",
) -> Recipe:
    def complete(input_: PictureInput, resolver: ResourceResolver, path: str) -> PictureInput:
        return completed(studio.settings, input_, resolver, path)

    def wording(input_: PictureInput) -> PromptTexts:
        work = plan(input_).work
        prompt = work.prompt if isinstance(work, ImageSpec) else ""
        return PromptTexts(prompt, extra_text="\n".join(_written(input_)))

    return Recipe(
        name=name,
        input=model,
        complete=complete,
        plan=plan,
        model=lambda input_: (input_.model or studio.settings.checkpoint).lower(),
        rate=rate,
        get_texts=wording,
        prepare=lambda input_, context: prepare(input_, tools(context)),
        rates=rates or {},
        prompt_field=worded_by,
    )


def completed(
    settings: CharacterSettings, input_: PictureInput, resolver: ResourceResolver, path: str
) -> PictureInput:
    """What is decided now stays decided, whatever the settings are when it is rendered."""
    own = settings.styles.get(_style(input_).strip().lower(), StyleSettings())
    checkpoint = resolver.resource(f"{path}model", own.checkpoint or settings.checkpoint, kind="checkpoint")
    update: dict[str, Any] = {
        "model": str(checkpoint.air),
        "model_path": checkpoint.path,
        "steps": input_.steps or own.steps or settings.steps,
        "cfg_scale": next(
            value for value in (input_.cfg_scale, own.cfg_scale, settings.cfg_scale) if value is not None
        ),
        "sampler": input_.sampler or own.sampler or settings.sampler,
        "scheduler": input_.scheduler or own.scheduler or settings.scheduler,
        "seed": random_below(MAX_SEED + 1) if input_.seed is None or input_.seed < 0 else input_.seed,
    }
    if isinstance(input_, CharacterPictureInput):
        update["character"] = _resolved(input_.character, resolver, f"{path}character.")
        if input_.reference:
            update["reference"] = resolver.picture(f"{path}reference", input_.reference)
    if isinstance(input_, StoryPictureInput):
        update["characters"] = [
            _resolved(each, resolver, f"{path}characters[{index}].")
            for index, each in enumerate(input_.characters)
        ]
    return input_.model_copy(update=update)


def _style(input_: PictureInput) -> str:
    if isinstance(input_, CharacterPictureInput):
        return input_.character.style
    found = input_.characters if isinstance(input_, StoryPictureInput) else ()
    return next((each.style for each in found if each.style), "")


def _resolved(character: CharacterInput, resolver: ResourceResolver, path: str) -> CharacterInput:
    loras = [_lora(each, resolver, f"{path}loras[{index}]") for index, each in enumerate(character.loras)]
    return character.model_copy(update={"loras": loras})


def _lora(lora: LoraInput, resolver: ResourceResolver, path: str) -> LoraInput:
    resource = resolver.resource(path, lora.air)
    name = lora.name or str(resource.body.get("modelName") or "")
    return lora.model_copy(update={"air": str(resource.air), "path": resource.path, "name": name})


def _written(input_: PictureInput) -> list[str]:
    """All that somebody wrote, as they wrote it."""
    found: list[str] = []
    sheets = (
        [input_.character] if isinstance(input_, CharacterPictureInput) else getattr(input_, "characters", [])
    )
    for each in sheets:
        found += [each.name, each.gender, each.species, each.physical, each.attire, each.style]
        found.append(each.description)
    match input_:
        case AvatarInput():
            found.append(input_.prompt)
        case StickerInput():
            found += [input_.emotion, input_.action_tag, input_.custom_instructions]
        case CoverInput():
            found += [input_.title, input_.synopsis]
        case SceneInput():
            found += [input_.summary, *input_.messages, input_.place, input_.mood]
        case _:
            pass
    return [text for text in found if text]


def _prepare_avatar(input_: AvatarInput, tools: Tools) -> Prepared:
    look = AppearanceInput.of(tools.look(input_.character.sheet))
    told = _told([look], input_.wish)
    if input_.reference:
        told["dominantColour"] = tools.palette(input_.reference).dominant
    return Prepared(input_.model_copy(update={"look": look}), told)


def _prepare_sticker(input_: StickerInput, tools: Tools) -> Prepared:
    """The background is told from the reference, or from the avatar the character has now."""
    look = AppearanceInput.of(tools.look(input_.character.sheet))
    told, update = _told([look], input_.wish), {"look": look}
    reference = input_.reference or tools.avatar(input_.character_id)
    if reference:
        palette = tools.palette(reference)
        told["dominantColour"] = palette.dominant
        update |= {"key_colour": input_.key_colour or palette.key_name}
    ready = input_.model_copy(update=update)
    return Prepared(ready, told | {"keyColour": ready.key_colour or "green"})


def _prepare_many(input_: StoryPictureInput, tools: Tools) -> Prepared:
    looks = [AppearanceInput.of(tools.look(each.sheet)) for each in input_.characters]
    setting = SceneDescriptionInput.of(tools.scene(input_.telling))
    update = {"looks": looks, "setting": setting}
    return Prepared(input_.model_copy(update=update), _told([*looks, setting]))


def _told(found: Iterable[AppearanceInput | SceneDescriptionInput], job_request: str = "") -> dict[str, Any]:
    """By whom it was translated, and what was not."""
    known = list(found)
    unknown = [word for each in known for word in each.untranslated]
    unknown += glossary.user_tags(job_request)[1] if job_request else ()
    told: dict[str, Any] = {
        "translatedBy": sorted({each.by for each in known}),
        "untranslated": list(dict.fromkeys(unknown)),
    }
    problems = sorted({each.problem for each in known if each.problem})
    return told | ({"translationProblem": problems[0]} if problems else {})


def recipes(settings: CharacterSettings, tools: ToolsOf) -> list[Recipe]:
    """Return all of them. Raises ValueError; see `planner`."""
    studio = planner(settings)
    return [make(studio, tools) for make in (avatar, sticker, cover, scene)]
