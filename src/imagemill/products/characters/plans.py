"""Render plans of character and story pictures, from complete inputs."""

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
_REFERENCE = "reference"
"""Name of the reference picture among the inputs of a render."""


_describe = lru_cache(maxsize=_REMEMBERED)(glossary.describe_appearance)
_describe_scene = lru_cache(maxsize=_REMEMBERED)(scenes.describe_scene)


@dataclass(frozen=True, slots=True)
class CharacterPlanner:
    """Makes plans from an installation's settings. ``cutout`` is a model that removes backgrounds."""

    settings: CharacterSettings
    cutout: bytes | None = None

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
            pony=self.uses_scores(input_.character.style),
        )
        spec = self._spec(input_, prompt, STICKER, input_.character.loras, background=KEYS[name])
        transform = self._post_process(prompt, STICKER, input_.character.name, key=KEYS[name])
        return Plan(
            work=spec,
            outputs=1,
            size=STICKER,
            transform=transform,
            keys=_keys(input_.character_id, "stickers", input_.emotion),
            record=CharacterImage(input_.character_id, "sticker", input_.emotion),
        )

    def cover(self, input_: CoverInput) -> Plan:
        prompt = templates.cover(
            _scene_of(input_), _people(input_), style=_style(input_), pony=self.uses_scores(_style(input_))
        )
        faces = self.settings.sampling.detail_faces
        spec = self._spec(input_, prompt, COVER, _loras(input_.characters), faces=faces)
        return Plan(
            work=spec,
            outputs=1,
            size=COVER,
            transform=self._post_process(prompt, COVER, input_.title),
            keys=_keys(input_.story_id, "cover", "cover"),
            record=CharacterImage(input_.story_id, "cover"),
        )

    def scene(self, input_: SceneInput) -> Plan:
        prompt = templates.scene(
            _scene_of(input_), _people(input_), style=_style(input_), pony=self.uses_scores(_style(input_))
        )
        size = (input_.width, input_.height)
        spec = self._spec(input_, prompt, size, _loras(input_.characters))
        return Plan(work=spec, outputs=1, size=size, transform=self._post_process(prompt, size, ""))

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
    ) -> ImageSpec:
        sampling = self.settings.sampling
        model = input_.model or self.settings.checkpoint
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


def _keys(id_: str, folder: str, name: str) -> Mapping[Role, str]:
    """Return the blob keys; the input's patterns have checked the parts."""
    place = f"characters/{{owner}}/{id_}/{folder}/{name}"
    return {"picture": f"{place}_{{ms}}.webp", "thumbnail": f"{place}_{{ms}}_thumbnail.webp"}


def _person(input_: CharacterPictureInput) -> Person:
    sheet = input_.character.sheet
    look = input_.look.look if input_.look is not None else _describe(sheet)
    return Person(look, sheet.name, sheet.lora)


def _extra(input_: CharacterPictureInput) -> tuple[str, ...]:
    return glossary.user_tags(input_.request)[0] if input_.request else ()


def _people(input_: StoryPictureInput) -> tuple[Person, ...]:
    looks: Iterable[AppearanceInput | None] = input_.looks or [None] * len(input_.characters)
    return tuple(
        Person(_describe(each.sheet) if look is None else look.look, each.name, each.sheet.lora)
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
