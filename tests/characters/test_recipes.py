"""Plans of pictures: sizes, settings of styles, LoRAs, keys; all of them pure."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from imagemill.domain.images import ImageSpec
from imagemill.media.dominant_colour import KEYS as MEASURED
from imagemill.media.postprocess import PostProcess
from imagemill.products.characters import recipes
from imagemill.products.characters.plans import KEYS
from imagemill.products.characters.records import CharacterImage
from imagemill.products.characters.settings import CharacterSettings
from imagemill.recipes.base import Plan, PrepareContext, Prepared, Recipe
from tests.characters.support import EIGHT, LIA
from tests.conftest import LORA, SD1, SDXL

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
    loras = [{"air": LORA, "strength": strength} for strength in (1.0, 0.5, 0.25, -1)]
    _, spec, _ = planned("avatar", character=LIA | {"loras": loras})
    assert [network.strength for network in spec.networks] == [1.0, 0.5, 0.25, -1]
    assert "(Akane:1.2)" in spec.prompt
    with pytest.raises(ValueError, match="loras"):
        maker("avatar").input.model_validate(INPUTS["avatar"] | {"character": {"loras": loras * 2}})


def test_a_scene_is_of_whole_latents():
    with pytest.raises(ValueError, match="multiple of 8"):
        maker("scene").input.model_validate(INPUTS["scene"] | {"width": 641})


CONTEXT = PrepareContext("ann", lambda _: b"", lambda *_: [])


class Tools:
    """Answers as a test wants it."""

    def __init__(self, palette: Any = None, avatar: str | None = None) -> None:
        self.asked: list[str] = []
        self._palette, self._avatar = palette, avatar

    def look(self, sheet: Any) -> Any:
        from imagemill.products.characters.prompts import glossary

        return replace(glossary.describe_appearance(sheet), by="llm")

    def scene(self, telling: Any) -> Any:
        from imagemill.products.characters.prompts import scenes

        return scenes.describe_scene(telling)

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


def test_what_was_prepared_is_planned_again_alike():
    ready, plan = prepared("scene", Tools())
    recipe = maker("scene")
    again = recipe.plan(recipe.input.model_validate(ready.input.model_dump(exclude_defaults=True)))
    assert again.work == plan.work
