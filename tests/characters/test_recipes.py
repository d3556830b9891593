"""Plans of pictures: sizes, settings of styles, LoRAs, keys; all of them pure."""

import re
from dataclasses import replace
from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import ImageSpec
from imagemill.media.dominant_colour import KEYS as MEASURED
from imagemill.media.postprocess import PostProcess
from imagemill.products.characters import recipes
from imagemill.products.characters.plans import KEYS
from imagemill.products.characters.records import CharacterImage
from imagemill.products.characters.settings import CharacterSettings
from imagemill.recipes.base import Plan, PrepareContext, Prepared, Recipe
from tests.characters.support import EIGHT, LIA, LORA
from tests.conftest import SD1, SDXL

MAKERS = {
    "avatar": recipes.avatar,
    "sticker": recipes.sticker,
    "cover": recipes.cover,
    "scene": recipes.scene,
}
INPUTS: dict[str, dict[str, Any]] = {
    "avatar": {"character_id": "lia", "character": LIA},
    "sticker": {"character_id": "lia", "character": LIA, "emotion": "happy"},
    "cover": {"story_id": "tale", "title": "O farol", "synopsis": "praia", "characters": [LIA]},
    "scene": {"summary": "praia", "characters": [LIA], "width": 640, "height": 512},
}


class Shelf:
    """Has every model."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        del path, kind
        return Resource(parse(air), {"modelName": "Akane | Tale"})

    def default_checkpoint(self, path: str, family: str | None = None) -> Resource:
        del path
        assert family == "sdxl"
        return Resource(parse(SDXL))

    def picture(self, path: str, text: str) -> str:
        del path
        return f"inputs/{text}"


def maker(kind: str, tools: Any = None, **settings: Any) -> Recipe:
    studio = recipes.make_planner(CharacterSettings.model_validate(settings))
    return MAKERS[kind](studio, lambda _: tools)


def planned(
    kind: str, settings: dict[str, Any] | None = None, **changes: Any
) -> tuple[Plan, ImageSpec, PostProcess]:
    recipe = maker(kind, **settings or {})
    completed = recipe.complete(recipe.input.model_validate(INPUTS[kind] | changes), Shelf(), "")
    plan = recipe.plan(completed)
    assert isinstance(plan.work, ImageSpec)
    assert isinstance(plan.transform, PostProcess)
    return plan, plan.work, plan.transform


@pytest.mark.parametrize(
    ("kind", "size"),
    [("avatar", (768, 768)), ("sticker", (768, 1152)), ("cover", (1024, 1024)), ("scene", (640, 512))],
)
def test_each_type_has_its_size_and_is_rendered_alike(kind: str, size: tuple[int, int]):
    plan, spec, craft = planned(kind)
    assert (spec.width, spec.height) == plan.size == craft.size == size
    assert (spec.steps, spec.cfg_scale, spec.sampler, spec.scheduler) == (30, 7, "euler_ancestral", "karras")
    assert spec.model == SDXL
    assert spec.faces is (kind == "cover")


def test_a_style_may_be_rendered_otherwise():
    own = {"steps": 12, "sampler": "euler", "checkpoint": SD1, "scores": True}
    _, spec, _ = planned("avatar", {"styles": {"anime": own}})
    assert (spec.steps, spec.cfg_scale, spec.sampler, spec.model) == (12, 7, "euler", SD1)
    assert spec.prompt.startswith("score_9, score_8_up, score_7_up, masterpiece")
    _, other, _ = planned("avatar", {"styles": {"anime": own}}, character=LIA | {"style": "realista"})
    assert (other.steps, other.model) == (30, SDXL)
    assert other.prompt.startswith("masterpiece")


def test_what_is_complete_does_not_change_with_the_settings():
    recipe = maker("avatar", sampling={"steps": 10})
    completed = recipe.complete(recipe.input.model_validate(INPUTS["avatar"]), Shelf(), "")
    kept = recipe.input.model_validate(completed.model_dump(exclude_defaults=True))
    later = maker("avatar", sampling={"steps": 50}, checkpoint=SD1).plan(kept).work
    assert isinstance(later, ImageSpec)
    assert (later.steps, later.model, later.seed) == (10, SDXL, completed.seed)


def test_a_sticker_is_a_full_body_on_a_flat_colour_that_is_removed():
    plan, spec, craft = planned("sticker")
    assert spec.background == craft.key_colour == "#00ff00"
    assert "full body" in spec.prompt
    assert "green background" in spec.prompt
    assert (craft.trim_px, craft.thumbnail_px) == (5, 256)
    assert plan.keys == {
        "picture": "characters/{owner}/lia/stickers/happy_{ms}.webp",
        "thumbnail": "characters/{owner}/lia/stickers/happy_{ms}_thumbnail.webp",
    }
    assert plan.record == CharacterImage("lia", "sticker", "happy")


def test_colours_of_backgrounds_are_those_that_are_measured():
    assert {key.name: key.hex.lower() for key in MEASURED} == KEYS


@pytest.mark.parametrize("emotion", EIGHT)
def test_every_emotion_says_what_it_does(emotion: str):
    plain = planned("sticker", emotion="neutral")[1].prompt
    shown = planned("sticker", emotion=emotion)[1].prompt
    assert (shown == plain) is (emotion == "neutral")


def test_an_emotion_of_ones_own_needs_an_action():
    recipe = maker("sticker")
    with pytest.raises(ValueError, match="needs an action tag"):
        recipe.input.model_validate(INPUTS["sticker"] | {"emotion": "smug"})
    assert "smug grin" in planned("sticker", emotion="smug", action_tag="smug grin")[1].prompt


@pytest.mark.parametrize("id_", ["", "a/b", "..", "a b", "é", "x" * 65, "a\n", "{owner}"])
@pytest.mark.parametrize(("kind", "field"), [("avatar", "character_id"), ("cover", "story_id")])
def test_no_id_leaves_its_folder(kind: str, field: str, id_: str):
    with pytest.raises(ValueError, match=field):
        maker(kind).input.model_validate(INPUTS[kind] | {field: id_})


def test_up_to_four_loras_work_together():
    named = {"air": LORA, "name": "Akane | Tale"}
    loras = [{"air": LORA, "strength": strength} for strength in (0.5, 0.25, -1)]
    _, spec, _ = planned("avatar", character=LIA | {"loras": [named, *loras]})
    assert [network.strength for network in spec.networks] == [1.0, 0.5, 0.25, -1]
    assert "(Akane:1.2)" in spec.prompt
    with pytest.raises(ValueError, match="loras"):
        maker("avatar").input.model_validate(INPUTS["avatar"] | {"character": {"loras": loras * 2}})


@pytest.mark.parametrize("name", [{}, {"name": ""}])
def test_the_title_of_a_lora_is_not_the_name_of_the_character(name: dict[str, str]):
    _, spec, _ = planned("avatar", character=LIA | {"loras": [{"air": LORA, **name}]})
    assert "(Lia:1.2)" in spec.prompt
    assert "Akane" not in spec.prompt


@pytest.mark.parametrize(
    ("air", "reason"),
    [
        ("urn:air:sdxl:checkpoint:civitai:101055@128078", "is a checkpoint, not a LoRA"),
        ("urn:air:sdxl:embedding:civitai:1@2", "is a embedding, not a LoRA"),
        ("urn:air:sd1:lora:civitai:82098@87153", "is for sd1, but .* is sdxl"),
    ],
)
def test_a_lora_is_one_and_fits_the_checkpoint(air: str, reason: str):
    with pytest.raises(InvalidInput, match=reason) as refused:
        planned("cover", characters=[LIA, LIA | {"loras": [{"air": LORA}, {"air": air}]}])
    assert refused.value.errors[0].path == "characters[1].loras[1]"


def test_a_lora_of_a_finetune_fits_its_base():
    _, spec, _ = planned("avatar", character=LIA | {"loras": [{"air": "urn:air:pony:lycoris:civitai:1@2"}]})
    assert [network.air for network in spec.networks] == ["urn:air:pony:lycoris:civitai:1@2"]


@pytest.mark.parametrize("kind", ["avatar", "sticker", "cover", "scene"])
def test_nobody_is_drawn_as_a_stranger(kind: str):
    nobody = {"characters": [{}]} if kind in ("cover", "scene") else {"character": {}}
    with pytest.raises(InvalidInput, match="describe the character"):
        planned(kind, **nobody)


def test_two_people_keep_their_own_tags():
    twins = {"physical": "cabelo longo preto", "attire": "vestido vermelho", "gender": "mulher"}
    ana = twins | {"name": "Ana", "physical": "cabelo longo preto, olhos azuis"}
    bia = twins | {"name": "Bia", "physical": "cabelo longo preto, olhos verdes"}
    _, spec, _ = planned("cover", characters=[ana, bia])
    first, second = spec.prompt.partition("(Ana:1.2)")[2].split("(Bia:1.2)")
    for tags, eyes in ((first, "blue eyes"), (second, "green eyes")):
        assert {"black hair", "long hair", "red dress", eyes} <= set(tags.strip(", ").split(", "))


@pytest.mark.parametrize("kind", ["avatar", "cover", "scene"])
@pytest.mark.parametrize(
    ("style", "tag"),
    [("aquarela", "watercolor"), ("realista", "realistic"), ("art nouveau", "art nouveau")],
)
def test_a_style_is_translated(kind: str, style: str, tag: str):
    sheet = LIA | {"style": style}
    given = {"character": sheet} if kind == "avatar" else {"characters": [sheet]}
    assert re.search(rf"\(\(?{tag}", planned(kind, **given)[1].prompt)


def test_a_style_without_a_translation_is_reported():
    sheet = {"character": LIA | {"style": "xilogravura nordestina"}}
    ready, plan = prepared("avatar", Tools(), **sheet)
    assert "xilogravura nordestina" in ready.details["untranslated"]
    assert isinstance(plan.work, ImageSpec)
    assert "xilogravura" not in plan.work.prompt


def test_the_people_of_a_cover_are_its_characters_in_the_metadata():
    people = [LIA | {"name": "João"}, LIA | {"name": "Ana"}]
    assert planned("cover", characters=people)[2].character == "João, Ana"
    assert planned("scene", characters=people)[2].character == "João, Ana"


@pytest.mark.parametrize(
    ("ids", "folder"),
    [({"story_id": "7"}, "story.7"), ({"chat_id": "7"}, "chat.7"), ({"character_id": "7"}, "7")],
)
def test_a_scene_stays_with_its_chat_story_or_character(ids: dict[str, str], folder: str):
    plan, _, _ = planned("scene", **ids)
    assert plan.keys["picture"] == f"characters/{{owner}}/{folder}/scene/scene_{{ms}}.webp"
    assert isinstance(plan.record, CharacterImage)
    assert (plan.record.subject, plan.record.character_id) == (next(iter(ids)).removesuffix("_id"), "7")


def test_a_scene_belongs_to_one_of_them_or_to_none():
    assert planned("scene")[0].record is None
    with pytest.raises(ValueError, match="name one of story_id, character_id and chat_id"):
        planned("scene", story_id="7", chat_id="7")


def test_a_scene_is_of_whole_latents():
    with pytest.raises(ValueError, match="multiple of 8"):
        maker("scene").input.model_validate(INPUTS["scene"] | {"width": 641})


CONTEXT = PrepareContext("ann", lambda _: b"", lambda *_: [])


class Tools:
    """Answers as a test wants it."""

    def __init__(self, palette: Any = None, avatar: str | None = None, bad_outputs: int = 0) -> None:
        self.asked: list[str] = []
        self.bad_outputs = bad_outputs
        self._palette, self._avatar = palette, avatar

    def look(self, sheet: Any) -> Any:
        from imagemill.products.characters.prompts import glossary

        return replace(glossary.describe_appearance(sheet), by="llm")

    def scene(self, telling: Any) -> Any:
        from imagemill.products.characters.prompts import scenes

        return scenes.describe_scene(telling)

    def wish(self, text: str) -> Any:
        from imagemill.products.characters.prompts.wishes import describe_wish

        return describe_wish(text)

    def palette(self, source: str) -> Any:
        self.asked.append(source)
        return self._palette

    def avatar(self, character_id: str) -> str | None:
        return self._avatar


def prepared(kind: str, tools: Tools, **changes: Any) -> tuple[Prepared, Plan]:
    recipe = maker(kind, tools)
    assert recipe.prepare is not None
    completed = recipe.complete(recipe.input.model_validate(INPUTS[kind] | changes), Shelf(), "")
    ready = recipe.prepare(completed, CONTEXT)
    return ready, recipe.plan(ready.input)


def test_a_sticker_stands_out_from_the_avatar_there_is():
    from imagemill.media.palette import Palette

    tools = Tools(Palette("#3060c0", "orange", "#ff8000"), avatar="characters/ann/lia/avatar/avatar_1.webp")
    ready, plan = prepared("sticker", tools)
    assert tools.asked == ["characters/ann/lia/avatar/avatar_1.webp"]
    assert ready.details == {
        "translatedBy": ["llm"],
        "untranslated": [],
        "dominantColour": "#3060c0",
        "keyColour": "orange",
    }
    assert isinstance(plan.work, ImageSpec)
    assert plan.work.background == "#ff8000"
    assert "orange background" in plan.work.prompt


def test_a_sticker_without_any_picture_stands_on_green():
    ready, plan = prepared("sticker", Tools())
    assert ready.details["keyColour"] == "green"
    assert isinstance(plan.work, ImageSpec)
    assert plan.work.background == "#00ff00"


def test_a_sticker_is_retried_with_another_seed_and_the_remover_of_the_node():
    specs = [prepared("sticker", Tools(bad_outputs=count), seed=2**32 - 1)[1].work for count in (0, 1, 2)]
    assert all(isinstance(spec, ImageSpec) for spec in specs)
    assert [spec.seed for spec in specs if isinstance(spec, ImageSpec)] == [2**32 - 1, 7918, 15837]
    assert [spec.cutout for spec in specs if isinstance(spec, ImageSpec)] == [False, True, True]


def test_what_was_prepared_is_planned_again_alike():
    ready, plan = prepared("scene", Tools())
    recipe = maker("scene")
    again = recipe.plan(recipe.input.model_validate(ready.input.model_dump(exclude_defaults=True)))
    assert again.work == plan.work
