"""The manifest of the sample book, written from its story and the faces that the scenes draw."""

import json
from collections.abc import Iterator

from tools.sample_book import story
from tools.sample_book.people import FacePlace

REFERENCE_PROMPT = (
    "character sheet of a {child_age}-year-old {child_gender} in a yellow raincoat and a red scarf: "
    "front view, three-quarter view, full figure"
)

HEAD = """\
# The sample book. Pictures, boxes and this file are written by `python -m tools.sample_book`.
slug = "{slug}"
title = {title}
description = {description}
languages = ["en", "uk"]
ratio = "1:1"

[[characters]]
id = "hero"
role = "hero"
ages = [1, 9]

[[characters]]
id = "fox"
role = "pet"
needs_photo = false

[style]
words = "soft gouache picture book illustration, warm light, painted paper, rounded shapes"
negative_words = "photograph, 3d render, text, watermark"

[typography.body]
size = 21.0
leading = 1.32

[typography.accent]
size = 23.0
colour = "#ffd978"
"""


def manifest() -> str:
    return "\n".join((_head(), *_outside(), *_pages(), *_fill()))


def _head() -> str:
    return HEAD.format(
        slug=story.SLUG, title=_texts(story.texts("title")), description=_texts(story.texts("description"))
    )


def _texts(texts: story.Texts) -> str:
    pairs = (f"{language} = {_quoted(text)}" for language, text in texts.items())
    return f"{{ {', '.join(pairs)} }}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _layer(table: str, texts: story.Texts, *more: str) -> str:
    return "\n".join(
        (
            f"[[{table}.text_layers]]",
            *(f"text.{key} = {_quoted(text)}" for key, text in texts.items()),
            *more,
            "",
        )
    )


def _faces(faces: list[FacePlace]) -> str:
    lines = ["characters = ["]
    for face in faces:
        box = f"x = {face.x}, y = {face.y}, width = {face.width}, height = {face.height}"
        tilt = f", tilt = {float(face.tilt)}" if face.tilt else ""
        lines.append(f'  {{ id = "hero", box = {{ {box} }}{tilt} }},')
    return "\n".join((*lines, "]"))


def _illustration(scene: str, prompt: str) -> Iterator[str]:
    yield f'base = "{scene}.webp"'
    _, faces = story.draw(scene)
    if faces:
        yield _faces(faces)
        yield f"prompt = {_quoted(prompt)}"


def _outside() -> Iterator[str]:
    """The reference sheet, the covers and the spine."""
    yield "\n".join(("[reference]", *_illustration("reference", REFERENCE_PROMPT), ""))
    clothes = "in a yellow raincoat and a red scarf"
    prompt = f"a {{child_age}}-year-old {{child_gender}} {clothes} holds a glowing star at night"
    yield "\n".join(("[covers.front]", *_illustration("front", prompt), ""))
    yield _layer(
        "covers.front",
        story.texts("cover"),
        'position = "top-center"',
        'style = "accent"',
        "size = 35.0",
        *_tone(light=False, colour="#ffe6a6"),
    )
    yield "\n".join(("[covers.back]", *_illustration("back", ""), ""))
    yield _layer(
        "covers.back",
        story.texts("blurb"),
        'position = "middle-center"',
        "width = 0.78",
        "offset = [0.0, -50.0]",
        *_tone(light=False),
    )
    yield "\n".join(
        (
            "[covers.spine]",
            f"text = {_texts(story.texts('title'))}",
            'colour = "#ffe6a6"',
            'background = "#1d2560"',
            "",
        )
    )


def _tone(*, light: bool, colour: str = "") -> list[str]:
    if light:
        return [f'colour = "{colour or "#3a2a24"}"']
    return [
        f'colour = "{colour or "#fff6e0"}"',
        'shadow = { x = 0.0, y = 1.0, blur = 3.0, colour = "#0b1030" }',
    ]


def _pages() -> Iterator[str]:
    for number, page in enumerate(story.PAGES, 1):
        lines = ["[[pages]]", f"page_num = {number}", *_illustration(page.scene, page.prompt)]
        if page.preview:
            lines.append("availability = { preview = true }")
        yield "\n".join((*lines, ""))
        if page.texts:
            yield _layer(
                "pages", page.texts, f'position = "{page.place}"', "width = 0.9", *_tone(light=page.light)
            )


def _fill() -> Iterator[str]:
    yield _fill_page("title", "before")
    yield _layer(
        "fill", story.texts("title"), *_top(70), 'style = "accent"', "size = 30.0", *_tone(light=True)
    )
    yield _layer("fill", story.texts("title_line"), *_top(130), *_tone(light=True))
    yield _fill_page("dedication", "before")
    yield _layer(
        "fill", story.texts("dedication"), *_top(90), 'style = "accent"', "size = 26.0", *_tone(light=True)
    )
    yield _fill_page("end", "after")
    yield _layer(
        "fill",
        story.texts("the_end"),
        'position = "middle-center"',
        "offset = [0.0, 20.0]",
        'style = "accent"',
        "size = 40.0",
        *_tone(light=False, colour="#ffe6a6"),
    )
    yield "\n".join(("[[fill]]", 'kind = "blank"', ""))


def _fill_page(kind: str, place: str) -> str:
    return "\n".join(("[[fill]]", f'kind = "{kind}"', f'place = "{place}"', f'base = "{kind}.webp"', ""))


def _top(points: float) -> tuple[str, str]:
    return 'position = "top-center"', f"offset = [0.0, {float(points)}]"
