"""Render plans of character and story pictures, from complete inputs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from imagemill.domain.air import EXAMPLE, parse
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import ImageSpec, Network
from imagemill.media.postprocess import PostProcess
from imagemill.media.transforms import Role
from imagemill.products.characters.inputs import (
    MOST_LORAS,
    AppearanceInput,
    AvatarInput,
    CharacterInput,
    CharacterPictureInput,
    CoverInput,
    LoraInput,
    PictureInput,
    SceneInput,
    StickerInput,
    StoryPictureInput,
)
from imagemill.products.characters.prompts import glossary, sanitize, scenes, templates
from imagemill.products.characters.prompts.templates import Person, Prompt
from imagemill.products.characters.prompts.types import Appearance, CharacterSheet
from imagemill.products.characters.prompts.wishes import describe_wish
from imagemill.products.characters.records import CharacterImage, Subject
from imagemill.products.characters.settings import CharacterSettings
from imagemill.recipes.base import Plan

AVATAR, STICKER, COVER = (768, 768), (768, 1152), (1024, 1024)
"""Width and height in pixels."""
TRIM_PX = 5
"""Margin around the subject of a sticker, in pixels."""
KEYS = {
    "green": "#00ff00",
    "red": "#ff0000",
    "orange": "#ff8000",
    "blue": "#0000ff",
    "magenta": "#ff00ff",
}
"""Chroma key colours by the names in prompts, as in `imagemill.media.dominant_colour`."""
_REMEMBERED = 128
"""Number of cached translations: a set of stickers uses the same sheet repeatedly, at 4 ms each."""
_MOST_ACTIONS = 6
_ROMANCE = re.compile(r"(?:ura|ad[oa]|ista|ic[oa]|in[oa]|eir[oa]|an[oa]|os[oa]|dade|idad)s?$")
"""Endings of Portuguese and Spanish words that names of styles such as "art deco" do not have."""
_REFERENCE = "reference"
"""Name of the reference picture among the inputs of a render."""


def styled(look: Appearance, style: str) -> Appearance:
    """Return the look with the style as it was written if it has no translation but seems to be English.

    Otherwise the style is among the untranslated words.
    """
    if look.style or not style.strip():
        return look
    tag = sanitize.as_tag(style)
    if tag and not any(sanitize.is_foreign(word) or _ROMANCE.search(word) for word in tag.split()):
        return replace(look, style=(tag,))
    return replace(look, untranslated=sanitize.distinct((*look.untranslated, sanitize.shown(style))))


@lru_cache(maxsize=_REMEMBERED)
def describe(sheet: CharacterSheet) -> Appearance:
    return styled(glossary.describe_appearance(sheet), sheet.style)


_describe_scene = lru_cache(maxsize=_REMEMBERED)(scenes.describe_scene)


@dataclass(frozen=True, slots=True)
class CharacterPlanner:
    """Makes plans from an installation's settings. ``cutout`` is a model that removes backgrounds."""

    settings: CharacterSettings
    cutout: bytes | None = None
    has_language_model: bool = False
    """Whether a worker may translate what the glossary cannot."""

    def avatar(self, input_: AvatarInput) -> Plan:
        prompt = templates.avatar(
            _person(input_), extra=_extra(input_), pony=self.uses_scores(input_.character.style)
        )
        spec = self._spec(input_, prompt, AVATAR, input_.character.loras, source=input_.reference)
        return Plan(
            work=spec,
            outputs=1,
            size=AVATAR,
            inputs={_REFERENCE: input_.reference} if input_.reference else {},
            transform=self._post_process(prompt, AVATAR, input_.character.name),
            keys=_keys("character", input_.character_id, "avatar", "avatar"),
            record=CharacterImage(input_.character_id, "avatar"),
        )

    def sticker(self, input_: StickerInput) -> Plan:
        name = input_.key_colour or "green"
        prompt = templates.sticker(
            _person(input_),
            self._actions(input_),
            templates.chroma(name, KEYS[name]),
            extra=_extra(input_),
            pony=self.uses_scores(input_.character.style),
        )
        loras = input_.character.loras
        spec = self._spec(input_, prompt, STICKER, loras, background=KEYS[name], cutout=input_.cutout)
        transform = self._post_process(prompt, STICKER, input_.character.name, key=KEYS[name])
        return Plan(
            work=spec,
            outputs=1,
            size=STICKER,
            transform=transform,
            keys=_keys("character", input_.character_id, "stickers", input_.emotion),
            record=CharacterImage(input_.character_id, "sticker", input_.emotion),
        )

    def cover(self, input_: CoverInput) -> Plan:
        prompt = templates.cover(_scene_of(input_), _people(input_), pony=self.uses_scores(_style(input_)))
        faces = self.settings.sampling.detail_faces
        spec = self._spec(input_, prompt, COVER, _loras(input_.characters), faces=faces)
        return Plan(
            work=spec,
            outputs=1,
            size=COVER,
            transform=self._post_process(prompt, COVER, _names(input_)),
            **_kept(input_, "cover"),
        )

    def scene(self, input_: SceneInput) -> Plan:
        prompt = templates.scene(_scene_of(input_), _people(input_), pony=self.uses_scores(_style(input_)))
        size = (input_.width, input_.height)
        spec = self._spec(input_, prompt, size, _loras(input_.characters))
        transform = self._post_process(prompt, size, _names(input_))
        return Plan(work=spec, outputs=1, size=size, transform=transform, **_kept(input_, "scene"))

    def preview(self, sheet: CharacterSheet) -> tuple[Appearance, Prompt]:
        """Return a sheet in tags, by the glossary, and the prompt of its avatar."""
        look = describe(sheet)
        person = Person(look, sheet.name, sheet.lora)
        return look, templates.avatar(person, pony=self.uses_scores(sheet.style))

    def _actions(self, input_: StickerInput) -> tuple[str, ...]:
        if input_.action is not None:
            built_in = scenes.ACTIONS.get(input_.emotion, ())
            return sanitize.distinct((*input_.action.tags, *built_in))[:_MOST_ACTIONS]
        try:
            return scenes.actions(input_.emotion, input_.action_tag)
        except InvalidInput:
            if self.has_language_model:
                return (input_.emotion,)
            raise

    def uses_scores(self, style: str) -> bool:
        """Whether prompts of this style contain the quality tags of the Pony family."""
        own = self.settings.styles.get(style.strip().lower())
        return self.settings.sampling.scores if own is None or own.scores is None else own.scores

    def _spec(
        self,
        input_: PictureInput,
        prompt: Prompt,
        size: tuple[int, int],
        loras: Sequence[LoraInput],
        *,
        source: str | None = None,
        background: str | None = None,
        faces: bool = False,
        cutout: bool = False,
    ) -> ImageSpec:
        sampling = self.settings.sampling
        # The texts are checked before the model is chosen, and do not depend on it.
        model = input_.model or EXAMPLE
        air = parse(model)
        return ImageSpec(
            prompt=prompt.positive,
            negative_prompt=prompt.negative,
            model=model,
            model_path=input_.model_path or air.path,
            family=air.family,
            width=size[0],
            height=size[1],
            steps=input_.steps or sampling.steps,
            cfg_scale=sampling.cfg_scale if input_.cfg_scale is None else input_.cfg_scale,
            sampler=input_.sampler or sampling.sampler,
            scheduler=input_.scheduler or sampling.scheduler,
            seed=input_.seed or 0,
            networks=tuple(Network(each.air, "lora", each.strength, None, each.path) for each in loras),
            image=_REFERENCE if source else None,
            denoise=sampling.reference_denoise if source else 1.0,
            background=background,
            faces=faces,
            cutout=cutout,
        )

    def _post_process(
        self, prompt: Prompt, size: tuple[int, int], character: str, *, key: str | None = None
    ) -> PostProcess:
        settings = self.settings
        return PostProcess(
            size=size,
            quality=settings.quality,
            most_bytes=settings.size_target_kb * 1024 if settings.size_target_kb else None,
            key_colour=key,
            cutout=self.cutout if key else None,
            trim_px=TRIM_PX if key else None,
            thumbnail_px=settings.thumbnail_px,
            keep_original=settings.keep_original,
            metadata=settings.metadata,
            prompt=prompt.positive,
            character=character,
        )


_FOLDERS: Mapping[Subject, str] = {"character": "", "story": "story.", "chat": "chat."}
"""Beginnings of folders. No id has a full stop, so that no story shares the folder of a character."""


def _keys(subject: Subject, id_: str, folder: str, name: str) -> Mapping[Role, str]:
    """Return the blob keys; the input's patterns have checked the parts."""
    place = f"characters/{{owner}}/{_FOLDERS[subject]}{id_}/{folder}/{name}"
    return {"picture": f"{place}_{{ms}}.webp", "thumbnail": f"{place}_{{ms}}_thumbnail.webp"}


def _kept(input_: StoryPictureInput, type_: str) -> dict[str, Any]:
    """Return the keys and the record of a picture; none for a scene that belongs to nothing."""
    if input_.owned_by is None:
        return {}
    subject, id_ = input_.owned_by
    return {
        "keys": _keys(subject, id_, type_, type_),
        "record": CharacterImage(id_, type_, subject=subject),
    }


def _names(input_: StoryPictureInput) -> str:
    return ", ".join(each.name for each in input_.characters if each.name)


def _person(input_: CharacterPictureInput) -> Person:
    sheet = input_.character.sheet
    look = input_.look.look if input_.look is not None else describe(sheet)
    return Person(look, sheet.name, sheet.lora)


def _extra(input_: CharacterPictureInput) -> tuple[str, ...]:
    return tuple(input_.wish.tags) if input_.wish is not None else describe_wish(input_.request).tags


def words_without_tags(input_: PictureInput) -> tuple[str, ...]:
    """Return the words of a complete input for which the glossary has no tag."""
    found: list[str] = []
    match input_:
        case CharacterPictureInput():
            found += describe(input_.character.sheet).untranslated
            found += describe_wish(input_.request).untranslated
            if isinstance(input_, StickerInput):
                found += describe_wish(input_.action_tag).untranslated
        case StoryPictureInput():
            for each in input_.characters:
                found += describe(each.sheet).untranslated
            found += _describe_scene(input_.story).untranslated
        case _:
            pass
    return sanitize.distinct(found)


def _people(input_: StoryPictureInput) -> tuple[Person, ...]:
    looks: Iterable[AppearanceInput | None] = input_.looks or [None] * len(input_.characters)
    return tuple(
        Person(describe(each.sheet) if look is None else look.look, each.name, each.sheet.lora)
        for each, look in zip(input_.characters, looks, strict=True)
    )


def _scene_of(input_: StoryPictureInput) -> templates.SceneDescription:
    return input_.setting.setting if input_.setting is not None else _describe_scene(input_.story)


def _style(input_: StoryPictureInput) -> str:
    return next((each.style for each in input_.characters if each.style), "")


def _loras(characters: Iterable[CharacterInput]) -> list[LoraInput]:
    """Return the LoRAs of all characters, each once, at most `MOST_LORAS`, as more do not work together."""
    found = {lora.air: lora for each in characters for lora in each.loras}
    return list(found.values())[:MOST_LORAS]
