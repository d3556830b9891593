"""The recipes of characters: avatar, sticker, cover and scene."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from imagemill.domain.air import Resource
from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.errors import BackendError, InvalidInput
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import MAX_SEED, ImageSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.graphs.builder import LORA_TYPES
from imagemill.media.palette import Palette
from imagemill.media.transforms import check_pixels
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
    WishInput,
)
from imagemill.products.characters.plans import CharacterPlanner, styled
from imagemill.products.characters.prompts.scenes import EMOTIONS
from imagemill.products.characters.prompts.types import (
    Appearance,
    CharacterSheet,
    SceneDescription,
    StoryContext,
)
from imagemill.products.characters.prompts.wishes import Wish
from imagemill.products.characters.settings import CharacterSettings, StyleSettings
from imagemill.recipes.base import Plan, PrepareContext, Prepared, Recipe, ResourceResolver


class Tools(Protocol):
    """The tools for preparing an input; see `imagemill.products.characters.preparation.JobTools`."""

    def look(self, sheet: CharacterSheet) -> Appearance:
        """Return a character in words that a checkpoint understands."""
        ...

    def scene(self, story: StoryContext) -> SceneDescription:
        """Return a moment of a story in such words."""
        ...

    def wish(self, text: str) -> Wish:
        """Return a user's own words for a picture in such words."""
        ...

    @property
    def bad_outputs(self) -> int:
        """The number of failures so far, if the last attempt delivered an unusable picture; else 0."""
        ...

    def palette(self, source: str) -> Palette:
        """Return the colours of an input picture. Raises `BackendError`, and `StorageError`."""
        ...

    def avatar(self, character_id: str) -> str | None:
        """Return the source of the active avatar that the job's owner has of a character."""
        ...


NOBODY = "is empty: describe the character, or a stranger would be drawn"
ToolsOf = Callable[[PrepareContext], Tools]

_SEED_STEP = 7919
"""Added to the seed of a sticker for each unusable picture; seeds near each other are often all in use."""
SET = "stickerSet"
"""Name of the price for a sticker in a set of all eight."""
_SET_RATE = Rate(base=2.5)
"""20 credits for all eight stickers."""


def avatar(planner: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe("avatar", AvatarInput, planner, planner.avatar, Rate(base=5), tools, _prepare_avatar)


def sticker(planner: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe(
        "sticker",
        StickerInput,
        planner,
        planner.sticker,
        Rate(base=3),
        tools,
        _prepare_sticker,
        rates={SET: _SET_RATE},
    )


def cover(planner: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe(
        "cover",
        CoverInput,
        planner,
        planner.cover,
        Rate(base=8),
        tools,
        _prepare_story,
        prompt_field="synopsis",
    )


def scene(planner: CharacterPlanner, tools: "ToolsOf") -> Recipe:
    return _recipe(
        "scene",
        SceneInput,
        planner,
        planner.scene,
        Rate(base=5),
        tools,
        _prepare_story,
        prompt_field="summary",
    )


def make_planner(settings: CharacterSettings, *, has_language_model: bool = False) -> CharacterPlanner:
    """Return the planner. Raises `ValueError` when the background removal model cannot be used."""
    if settings.cutout_model is None:
        return CharacterPlanner(settings, None, has_language_model)
    check_pixels("IMAGEMILL_CHARACTERS__CUTOUT_MODEL")
    from imagemill.media.cutout import load_model  # it loads NumPy

    cutout = load_model(settings.cutout_model, "IMAGEMILL_CHARACTERS__CUTOUT_MODEL")
    return CharacterPlanner(settings, cutout, has_language_model)


_SUMMARIES = {
    "avatar": "A portrait of a character from its description.",
    "sticker": "A sticker of a character with an emotion, on a transparent background.",
    "cover": "The cover of a story with its characters.",
    "scene": "A picture of a moment in a story.",
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "avatar": {"character_id": "mia", "character": {"name": "Mia", "physical": "red hair, green eyes"}},
    "sticker": {
        "character_id": "mia",
        "character": {"name": "Mia", "physical": "red hair, green eyes"},
        "emotion": "happy",
    },
    "cover": {
        "story_id": "island",
        "title": "The island",
        "synopsis": "Mia finds a lighthouse on an island.",
    },
    "scene": {"summary": "Mia stands before a lighthouse at dusk.", "place": "an island"},
}


def _recipe(
    name: str,
    model: type[PictureInput],
    planner: CharacterPlanner,
    plan: Callable[[Any], Plan],
    rate: Rate,
    tools: "ToolsOf",
    prepare: Callable[[Any, "Tools"], Prepared],
    *,
    rates: dict[str, Rate] | None = None,
    prompt_field: str = "character",
) -> Recipe:
    def complete(input_: PictureInput, resolver: ResourceResolver, path: str) -> PictureInput:
        if isinstance(input_, StickerInput):
            check_pixels("a sticker")
        elif isinstance(input_, AvatarInput) and input_.reference:
            check_pixels("an avatar by a reference")
        _check_described(input_, path)
        return complete_picture(planner.settings, input_, resolver, path)

    def get_texts(input_: PictureInput) -> PromptTexts:
        work = plan(input_).work
        prompt = work.prompt if isinstance(work, ImageSpec) else ""
        return PromptTexts(prompt, extra_text="\n".join(_user_texts(input_)))

    return Recipe(
        name=name,
        input=model,
        complete=complete,
        plan=plan,
        model=lambda input_: input_.model.lower(),
        rate=rate,
        get_texts=get_texts,
        prepare=lambda input_, context: prepare(input_, tools(context)),
        rates=rates or {},
        prompt_field=prompt_field,
        summary=_SUMMARIES[name],
        example=_EXAMPLES[name],
    )


def _check_described(input_: PictureInput, path: str) -> None:
    """Raise `InvalidInput` for a picture of a character of whom nothing is known."""
    if isinstance(input_, CharacterPictureInput):
        shown = isinstance(input_, AvatarInput) and bool(input_.reference)
        if not shown and input_.character == CharacterInput():
            raise InvalidInput.at(f"{path}character", NOBODY)
    elif isinstance(input_, StoryPictureInput) and CharacterInput() in input_.characters:
        index = input_.characters.index(CharacterInput())
        raise InvalidInput.at(f"{path}characters[{index}]", NOBODY)


def complete_picture(
    settings: CharacterSettings, input_: PictureInput, resolver: ResourceResolver, path: str
) -> PictureInput:
    """Complete an input from the settings, so that later changes of the settings do not affect the job."""
    sampling = settings.sampling
    own = settings.styles.get(_style(input_).strip().lower(), StyleSettings())
    named = own.checkpoint or settings.checkpoint
    checkpoint = (
        resolver.resource(f"{path}model", named, kind="checkpoint")
        if named
        else resolver.default_checkpoint(f"{path}model", "sdxl")
    )
    update: dict[str, Any] = {
        "model": str(checkpoint.air),
        "model_path": checkpoint.path,
        "steps": input_.steps or own.steps or sampling.steps,
        "cfg_scale": next(
            value for value in (input_.cfg_scale, own.cfg_scale, sampling.cfg_scale) if value is not None
        ),
        "sampler": input_.sampler or own.sampler or sampling.sampler,
        "scheduler": input_.scheduler or own.scheduler or sampling.scheduler,
        "seed": random_below(MAX_SEED + 1) if input_.seed is None or input_.seed < 0 else input_.seed,
    }
    if isinstance(input_, CharacterPictureInput):
        update["character"] = _resolve_loras(input_.character, checkpoint, resolver, f"{path}character.")
        if input_.reference:
            update["reference"] = resolver.picture(f"{path}reference", input_.reference)
    if isinstance(input_, StoryPictureInput):
        update["characters"] = [
            _resolve_loras(each, checkpoint, resolver, f"{path}characters[{index}].")
            for index, each in enumerate(input_.characters)
        ]
    return input_.model_copy(update=update)


def _style(input_: PictureInput) -> str:
    if isinstance(input_, CharacterPictureInput):
        return input_.character.style
    found = input_.characters if isinstance(input_, StoryPictureInput) else ()
    return next((each.style for each in found if each.style), "")


def _resolve_loras(
    character: CharacterInput, checkpoint: Resource, resolver: ResourceResolver, path: str
) -> CharacterInput:
    loras = [
        _lora(each, checkpoint, resolver, f"{path}loras[{index}]")
        for index, each in enumerate(character.loras)
    ]
    return character.model_copy(update={"loras": loras})


def _lora(lora: LoraInput, checkpoint: Resource, resolver: ResourceResolver, path: str) -> LoraInput:
    resource = resolver.resource(path, lora.air)
    check_lora(path, resource)
    family, wanted = resource.family, checkpoint.family
    if family and wanted and family != wanted:
        raise InvalidInput.at(
            path, f"{resource.air} is for {family}, but {checkpoint.air} is {wanted}: it would have no effect"
        )
    return lora.model_copy(update={"air": str(resource.air), "path": resource.path})


def check_lora(path: str, resource: Resource) -> None:
    """Raise `InvalidInput` for a model that is no LoRA."""
    if resource.air.type not in (None, *LORA_TYPES):
        raise InvalidInput.at(path, f"{resource.air} is a {resource.air.type}, not a LoRA")


def _user_texts(input_: PictureInput) -> list[str]:
    """Return all texts of the user, unchanged."""
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


def _look(character: CharacterInput, tools: Tools) -> AppearanceInput:
    return AppearanceInput.of(styled(tools.look(character.sheet), character.style))


def _prepare_avatar(input_: AvatarInput, tools: Tools) -> Prepared:
    look = _look(input_.character, tools)
    wish = WishInput.of(tools.wish(input_.request))
    details = _translation_details([look, *([wish] if input_.request.strip() else [])])
    if input_.reference:
        details["dominantColour"] = tools.palette(input_.reference).dominant
    return Prepared(input_.model_copy(update={"look": look, "wish": wish}), details)


def _prepare_sticker(input_: StickerInput, tools: Tools) -> Prepared:
    """Translate the texts, and choose the key colour by the reference or the character's present avatar."""
    look = _look(input_.character, tools)
    wish, action = WishInput.of(tools.wish(input_.request)), WishInput.of(tools.wish(input_.action_tag))
    if input_.emotion not in EMOTIONS and not action.tags:
        raise BackendError(
            FailureCode.BAD_INPUT,
            f"the action of {input_.emotion!r} could not be translated; describe it in English",
        )
    wanted = [each for each, text in ((wish, input_.request), (action, input_.action_tag)) if text.strip()]
    details = _translation_details([look, *wanted])
    update: dict[str, Any] = {"look": look, "wish": wish, "action": action}
    reference = input_.reference or tools.avatar(input_.character_id)
    if reference:
        palette = tools.palette(reference)
        details["dominantColour"] = palette.dominant
        update |= {"key_colour": input_.key_colour or palette.key_name}
    if tools.bad_outputs:
        # The same seed would give the same background, which could not be removed.
        seed = ((input_.seed or 0) + tools.bad_outputs * _SEED_STEP) % (MAX_SEED + 1)
        update |= {"seed": seed, "cutout": True}
    ready = input_.model_copy(update=update)
    return Prepared(ready, details | {"keyColour": ready.key_colour or "green"})


def _prepare_story(input_: StoryPictureInput, tools: Tools) -> Prepared:
    looks = [_look(each, tools) for each in input_.characters]
    setting = SceneDescriptionInput.of(tools.scene(input_.story))
    update = {"looks": looks, "setting": setting}
    return Prepared(input_.model_copy(update=update), _translation_details([*looks, setting]))


def _translation_details(
    found: Iterable[AppearanceInput | SceneDescriptionInput | WishInput],
) -> dict[str, Any]:
    """Return the source of the translations, the words without one, and a problem if there was one."""
    known = list(found)
    unknown = [word for each in known for word in each.untranslated]
    details: dict[str, Any] = {
        "translatedBy": sorted({each.by for each in known}),
        "untranslated": list(dict.fromkeys(unknown)),
    }
    problems = sorted({each.problem for each in known if each.problem})
    return details | ({"translationProblem": problems[0]} if problems else {})


def recipes(settings: CharacterSettings, tools: ToolsOf, *, has_language_model: bool = False) -> list[Recipe]:
    """Return all character recipes. Raises ValueError; see `make_planner`."""
    planner = make_planner(settings, has_language_model=has_language_model)
    return [make(planner, tools) for make in (avatar, sticker, cover, scene)]
