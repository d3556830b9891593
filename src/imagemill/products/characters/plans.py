"""From a complete input of a character to the plan of its render."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from imagemill.domain.air import parse
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
from imagemill.products.characters.prompts import glossary, scenes, templates
from imagemill.products.characters.prompts.templates import Person, Prompt
from imagemill.products.characters.records import CharacterImage
from imagemill.products.characters.settings import CharacterSettings
from imagemill.recipes.base import Plan

AVATAR, STICKER, COVER = (768, 768), (768, 1152), (1024, 1024)
"""Width and height in pixels."""
TRIM_PX = 5
"""Left around the subject of a sticker."""
KEYS = {
    "green": "#00ff00",
    "red": "#ff0000",
    "orange": "#ff8000",
    "blue": "#0000ff",
    "magenta": "#ff00ff",
}
"""Background colours by the names that prompts use, as in `imagemill.media.dominant_colour`."""
_REMEMBERED = 128
"""Sheets whose words are known: a set of stickers asks for the same again and again, 4 ms each."""
_REFERENCE = "reference"
"""Name of the reference picture among the inputs of a render."""


_look = lru_cache(maxsize=_REMEMBERED)(glossary.look)
_scene = lru_cache(maxsize=_REMEMBERED)(scenes.setting)


@dataclass(frozen=True, slots=True)
class CharacterPlanner:
    """Plans by an installation's settings. ``cutout``: a model that removes backgrounds."""

    settings: CharacterSettings
    cutout: bytes | None = None

    def avatar(self, input_: AvatarInput) -> Plan:
        prompt = templates.avatar(
            _person(input_), extra=_extra(input_), pony=self.scores(input_.character.style)
        )
        spec = self._spec(input_, prompt, AVATAR, input_.character.loras, source=input_.reference)
        return Plan(
            work=spec,
            outputs=1,
            size=AVATAR,
            inputs={_REFERENCE: input_.reference} if input_.reference else {},
            transform=self._finish(prompt, AVATAR, input_.character.name),
            keys=_keys(input_.character_id, "avatar", "avatar"),
            record=CharacterImage(input_.character_id, "avatar"),
        )

    def sticker(self, input_: StickerInput) -> Plan:
        name = input_.key_colour or "green"
        prompt = templates.sticker(
            _person(input_),
            scenes.actions(input_.emotion, input_.action_tag),
            templates.chroma(name, KEYS[name]),
            extra=_extra(input_),
            pony=self.scores(input_.character.style),
        )
        spec = self._spec(input_, prompt, STICKER, input_.character.loras, background=KEYS[name])
        craft = self._finish(prompt, STICKER, input_.character.name, key=KEYS[name])
        return Plan(
            work=spec,
            outputs=1,
            size=STICKER,
            transform=craft,
            keys=_keys(input_.character_id, "stickers", input_.emotion),
            record=CharacterImage(input_.character_id, "sticker", input_.emotion),
        )

    def cover(self, input_: CoverInput) -> Plan:
        prompt = templates.cover(
            _setting(input_), _people(input_), style=_style(input_), pony=self.scores(_style(input_))
        )
        faces = self.settings.detail_faces
        spec = self._spec(input_, prompt, COVER, _loras(input_.characters), faces=faces)
        return Plan(
            work=spec,
            outputs=1,
            size=COVER,
            transform=self._finish(prompt, COVER, input_.title),
            keys=_keys(input_.story_id, "cover", "cover"),
            record=CharacterImage(input_.story_id, "cover"),
        )

    def scene(self, input_: SceneInput) -> Plan:
        prompt = templates.scene(
            _setting(input_), _people(input_), style=_style(input_), pony=self.scores(_style(input_))
        )
        size = (input_.width, input_.height)
        spec = self._spec(input_, prompt, size, _loras(input_.characters))
        return Plan(work=spec, outputs=1, size=size, transform=self._finish(prompt, size, ""))

    def scores(self, style: str) -> bool:
        own = self.settings.styles.get(style.strip().lower())
        return self.settings.scores if own is None or own.scores is None else own.scores

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
    ) -> ImageSpec:
        settings = self.settings
        model = input_.model or settings.checkpoint
        air = parse(model)
        return ImageSpec(
            prompt=prompt.positive,
            negative_prompt=prompt.negative,
            model=model,
            model_path=input_.model_path or air.path,
            family=air.family,
            width=size[0],
            height=size[1],
            steps=input_.steps or settings.steps,
            cfg_scale=settings.cfg_scale if input_.cfg_scale is None else input_.cfg_scale,
            sampler=input_.sampler or settings.sampler,
            scheduler=input_.scheduler or settings.scheduler,
            seed=input_.seed or 0,
            networks=tuple(Network(each.air, "lora", each.strength, None, each.path) for each in loras),
            image=_REFERENCE if source else None,
            denoise=settings.reference_denoise if source else 1.0,
            background=background,
            faces=faces,
        )

    def _finish(
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


def _keys(id_: str, folder: str, name: str) -> Mapping[Role, str]:
    """Of parts that the input's own patterns have checked."""
    place = f"characters/{{owner}}/{id_}/{folder}/{name}"
    return {"picture": f"{place}_{{ms}}.webp", "thumbnail": f"{place}_{{ms}}_thumbnail.webp"}


def _person(input_: CharacterPictureInput) -> Person:
    sheet = input_.character.sheet
    look = input_.look.look if input_.look is not None else _look(sheet)
    return Person(look, sheet.name, sheet.lora)


def _extra(input_: CharacterPictureInput) -> tuple[str, ...]:
    return glossary.user_tags(input_.wish)[0] if input_.wish else ()


def _people(input_: StoryPictureInput) -> tuple[Person, ...]:
    looks: Iterable[AppearanceInput | None] = input_.looks or [None] * len(input_.characters)
    return tuple(
        Person(_look(each.sheet) if look is None else look.look, each.name, each.sheet.lora)
        for each, look in zip(input_.characters, looks, strict=True)
    )


def _setting(input_: StoryPictureInput) -> templates.SceneDescription:
    return input_.setting.setting if input_.setting is not None else _scene(input_.telling)


def _style(input_: StoryPictureInput) -> str:
    return next((each.style for each in input_.characters if each.style), "")


def _loras(characters: Iterable[CharacterInput]) -> list[LoraInput]:
    """Of all of them together, each once, as many as work together."""
    found = {lora.air: lora for each in characters for lora in each.loras}
    return list(found.values())[:MOST_LORAS]
