"""Prompts: exact order, balanced weights, nothing of a user's that weighs."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill.domain.errors import InvalidInput
from imagemill.products.characters.prompts.glossary import describe_appearance, user_tags
from imagemill.products.characters.prompts.scenes import (
    ACTIONS,
    EMOTIONS,
    MOST_SCENERY,
    actions,
    describe_scene,
)
from imagemill.products.characters.prompts.templates import (
    COLOURS,
    MOST_EXTRAS,
    Person,
    avatar,
    chroma,
    cover,
    scene,
    sticker,
)
from imagemill.products.characters.prompts.translator import parse_appearance, parse_scene
from imagemill.products.characters.prompts.types import (
    MOST_TAGS,
    Appearance,
    CharacterSheet,
    SceneDescription,
    StoryContext,
)

ANN = Person(
    Appearance("female", ("red hair", "green eyes"), ("blue dress",), ("anime style",)),
    "Ann",
    "Ann_v2|anntrigger",
)
MOST_PROMPT = 3000
text = st.text(max_size=120) | st.sampled_from(
    [
        "(((",
        ")))",
        "(a:9)",
        "[x]",
        "{y|z}",
        "<lora:evil:2>",
        "a\\",
        "\\(",
        "BREAK",
        "\x00\u202e",
        "vestido azul",
    ]
)
sheets = st.builds(CharacterSheet, *([text] * 8))


def test_an_avatar_has_the_fixed_order():
    assert avatar(ANN, pony=True).positive == (
        "score_9, score_8_up, score_7_up, masterpiece, best quality, ultra-detailed, cinematic lighting, "
        "(anime style), (close-up portrait:1.2), (detailed face:1.1), looking at viewer, headshot, solo, "
        "1girl, (Ann_v2:1.2), red hair, green eyes, blue dress"
    )


def test_a_sticker_has_the_fixed_order():
    assert sticker(ANN, actions("happy"), chroma("green", "#00ff00"), pony=True).positive == (
        "score_9, score_8_up, score_7_up, masterpiece, best quality, ultra-detailed, solo, full body, "
        "(Ann_v2:1.2), 1girl, red hair, green eyes, blue dress, happy, bright smile, open mouth, "
        "cheerful pose, simple background, (flat solid green background:1.3), #00FF00 background, chroma key"
    )


def test_scores_are_for_the_family_that_knows_them():
    assert "score_" not in avatar(ANN).positive
    assert avatar(ANN).positive.startswith("masterpiece, ")


@pytest.mark.parametrize(
    "words",
    [
        *(
            "multiple people",
            "grid",
            "chibi",
            "clone",
            "cropped",
            "(low quality:1.2)",
            "watermark",
            "signature",
        ),
        *("text", "speech bubble", "bad anatomy", "bad hands", "extra limbs"),
    ],
)
def test_portraits_and_stickers_rule_out_what_spoils_them(words: str):
    for prompt in (avatar(ANN), sticker(ANN, (), chroma("blue", "#0000FF"))):
        assert words in prompt.negative.split(", ")


def test_only_an_avatar_rules_out_the_full_body():
    assert avatar(ANN).negative.endswith("full body, wide angle")
    assert "full body" not in sticker(ANN, (), chroma("red", "#FF0000")).negative


def test_nobody_in_particular_still_makes_a_prompt():
    prompt = avatar(Person(Appearance()))
    assert "1person" in prompt.positive
    assert "()" not in prompt.positive
    assert ":1.2), ," not in prompt.positive


def test_names_carry_no_weights_of_their_own():
    prompt = avatar(Person(Appearance(), "Ann (x:2), [bold], <lora:evil:3>")).positive
    assert prompt.endswith("(Ann \\(x 2\\) bold lora evil 3:1.2)")


@pytest.mark.parametrize(
    ("name", "shown", "lost"),
    [
        ("Rem Dragneel", "(Rem Dragneel:1.2)", ()),
        ("Ann, nude", "(Ann:1.2)", ("nude",)),
        ("Loli Ann", "(Ann:1.2)", ("Loli",)),
        ("Ana pelada", "", ("Ana", "pelada")),
        ("Ana, 12 anos", "", ("Ana", "12", "anos")),
        ("Ann 12 years old", "", ("Ann", "12", "years", "old")),
    ],
)
def test_names_pass_the_filter_of_tags(name: str, shown: str, lost: tuple[str, ...]):
    assert shown in avatar(Person(Appearance(physical=("elf",)), name)).positive
    assert all(word not in avatar(Person(Appearance(), name)).positive for word in lost)
    assert describe_appearance(CharacterSheet(name=name)).untranslated == lost


@pytest.mark.parametrize("tag", ["12 years old", "thirteen years old", "15yo", "nude", "teenager"])
def test_tags_of_a_model_pass_the_same_filter(tag: str):
    sheet = CharacterSheet(physical="cabelo azul")
    answer = {"gender": "female", "physical": ["blue hair", tag], "attire": [], "style": []}
    seen = parse_appearance(answer, sheet, describe_appearance(sheet))
    assert seen is not None
    assert seen.physical == ("blue hair",)
    found = parse_scene({"tags": [tag, "forest"], "description": f"A person, {tag}."}, SceneDescription())
    assert found is not None
    assert (found.tags, found.description) == (("forest",), "")


def test_tags_with_parentheses_are_escaped():
    painted = Person(Appearance(physical=("bow (weapon)",), style=("watercolor (medium)",)))
    assert "(watercolor \\(medium\\))" in avatar(painted).positive
    assert avatar(painted).positive.endswith("bow \\(weapon\\)")


def test_a_cover_counts_its_people_and_carries_no_lettering():
    man = Person(Appearance("male", ("beard",)), "Rui")
    prompt = cover(describe_scene(StoryContext(title="Noite na floresta")), [ANN, man])
    assert "1girl, 1boy, (Ann_v2:1.2), red hair" in prompt.positive
    assert "forest" in prompt.positive.split(", ")
    assert "text" in prompt.negative.split(", ")
    assert "multiple people" not in prompt.negative
    assert "Noite" not in prompt.positive


def test_a_scene_is_reduced_to_what_can_be_seen():
    telling = StoryContext(
        summary="Eles se abraçam na chuva e choram",
        place="praia, guedelhoque",
        mood="melancólico",
        messages=("oi",),
    )
    seen = describe_scene(telling)
    assert seen.tags == ("beach", "melancholic", "hug", "rain")
    assert seen.untranslated == ("guedelhoque",)
    assert "beach, melancholic, hug, rain" in scene(seen).positive


def test_a_described_scene_tells_its_description():
    told = SceneDescription(("beach",), "two people (hugging:9) in the rain")
    assert scene(told, [ANN]).positive.endswith("beach, two people \\(hugging:9\\) in the rain")


def test_there_are_eight_emotions_each_with_its_actions():
    assert EMOTIONS == ("happy", "sad", "angry", "surprised", "neutral", "thinking", "shy", "waving")
    assert len(set(ACTIONS.values())) == 8
    assert actions(" Happy ") == ACTIONS["happy"]


def test_a_custom_emotion_needs_an_action():
    with pytest.raises(InvalidInput) as caught:
        actions("dizzy")
    assert [error.path for error in caught.value.errors] == ["actionTag"]
    assert actions("dizzy", "spinning eyes, stumbling") == ("spinning eyes", "stumbling")
    assert actions("happy", "jumping")[0] == "jumping"
    with pytest.raises(InvalidInput, match="emotion"):
        actions("  ", "jumping")


def test_a_background_to_be_keyed_out_has_a_name_and_a_code():
    assert all(f"solid {name} background" in chroma(name, "#123abc") for name in COLOURS)
    with pytest.raises(InvalidInput, match="red, orange, green, blue, magenta"):
        chroma("teal", "#00FFFF")
    with pytest.raises(InvalidInput, match="#00FF00"):
        chroma("green", "lime")


@settings(max_examples=150, deadline=None)
@given(sheet=sheets, action=text, job_request=text)
def test_any_sheet_makes_bounded_prompts_with_balanced_weights(
    sheet: CharacterSheet, action: str, job_request: str
):
    seen = describe_appearance(sheet)
    assert len(seen.tags) <= MOST_TAGS
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9 ()-]*", tag) for tag in seen.tags)
    person = Person(seen, sheet.name, sheet.lora)
    extra = user_tags(job_request)[0]
    backdrop = chroma("green", "#00FF00")
    drawn = [
        avatar(person, extra=extra),
        avatar(person, extra=[job_request, action] * MOST_EXTRAS, pony=True),
        sticker(person, acted(action), backdrop, extra=[job_request]),
    ]
    for prompt in drawn:
        check(prompt.positive)


@settings(max_examples=100, deadline=None)
@given(st.builds(StoryContext, text, text, st.tuples(text, text), st.tuples(sheets), text, text), text)
def test_any_story_makes_bounded_prompts_with_balanced_weights(telling: StoryContext, description: str):
    seen = describe_scene(telling)
    assert len(seen.tags) <= MOST_SCENERY
    people = [Person(describe_appearance(sheet), sheet.name, sheet.lora) for sheet in telling.characters]
    told = SceneDescription(seen.tags, description)
    for prompt in (cover(seen, people), scene(told, people * 4)):
        check(prompt.positive)


def acted(action: str) -> tuple[str, ...]:
    try:
        return actions("dizzy", action)
    except InvalidInput:
        return ()


def check(prompt: str) -> None:
    assert "masterpiece" in prompt
    assert len(prompt) <= MOST_PROMPT
    assert prompt.isprintable()
    bare = re.sub(r"\\[()]", "", prompt)
    assert "\\" not in bare
    depth = 0
    for sign in bare:
        depth += (sign == "(") - (sign == ")")
        assert depth in (0, 1)
    assert depth == 0
    weights = re.findall(r"\([^()]*:([^():]*)\)", bare)
    assert set(weights) <= {"1.1", "1.2", "1.3"}
    assert not re.search(r"[\[\]{}<>|]", bare)
