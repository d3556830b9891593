"""Print ``docs/book-manifest.md``, the reference of a book's manifest, from its model.

``python tools/book_manifest_page.py > docs/book-manifest.md``
"""

import ast
import json
import re
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from inspect import cleandoc, getsource
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from imagemill.products.books import book_manifest
from imagemill.products.books.book_checks import MANIFEST_FILES
from imagemill.products.books.book_manifest import BookManifest
from imagemill.products.books.plurals import RULES
from imagemill.products.books.texts import GENDER_WORDS, MOST_NAME_LETTERS

TREE = ast.parse(getsource(book_manifest))
NAMED = {
    "Slug": "name of small letters, digits and hyphens",
    "CharacterId": "name of small letters, digits, `_` and `-`",
    "Language": "language code",
    "Colour": "colour, such as `#1d1d1b`",
    "FilePath": "file of the book's folder",
    "Words": "text, at most 2000 characters",
    "Texts": "texts by language",
    "Position": "`top`, `middle` or `bottom`, a hyphen, and `left`, `center` or `right`",
}
"""The words for the types that ``book_manifest`` names."""

HEAD = f"""\
# Reference of the book manifest

<!-- Written by `python tools/book_manifest_page.py`; change the docstrings of
src/imagemill/products/books/book_manifest.py instead. -->

A book is a folder with `{MANIFEST_FILES[0]}` or `{MANIFEST_FILES[1]}` and the files that it names. The
folder has the name of the book. [Publish a book](publishers.md) shows how to write one. Required fields must
be given; an unknown field is an error.

Files are named relative to the folder, with `/`. Pictures are PNG, JPEG or WebP, upright, in the book's
ratio, with the bleed included. Lengths of text are points (1/72 inch). Boxes are fractions of a picture:
`x = 0.5` is its middle.
"""

TEXTS = f"""\
## Texts

A text is written once for each language of the book: `text.en = "..."`, `text.uk = "..."`.

| in a text | becomes |
|---|---|
| `{{child_name}}` | the child's name (at most {MOST_NAME_LETTERS} characters); nothing in it is markup |
| `{{child_age}}` | the age in years |
| `{{child_gender}}` | boy, girl or child, in the text's language ({", ".join(sorted(GENDER_WORDS))}) |
| `{{gender:he\\|she\\|they}}` | the form for a boy, a girl, and any child |
| `{{age:year\\|years}}` | the form for the age; their number and order is that of the language, see below |
| `**words**` | words in the accent |
| `{{{{`, `}}}}` | a brace |

A line break in a text breaks the line. Prompts are English, and may use all of this but `{{child_name}}`: a
name is not sent to a model.

Forms by age, as the Unicode CLDR names them:

| languages | forms |
|---|---|
"""


def page() -> str:
    models = list(reachable(BookManifest))
    sections = [HEAD, *(section(model) for model in models), TEXTS + "\n".join(plural_rows()) + "\n"]
    return "\n".join(sections)


def reachable(
    model: type[BaseModel], seen: dict[type[BaseModel], None] | None = None
) -> Iterator[type[BaseModel]]:
    """Yield a model and all models that its fields hold, each once."""
    seen = {} if seen is None else seen
    if model in seen:
        return
    seen[model] = None
    yield model
    for field in model.model_fields.values():
        for inner in inner_models(field.annotation):
            yield from reachable(inner, seen)


def inner_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from inner_models(argument)


def title(model: type[BaseModel]) -> str:
    words = re.findall(r"[A-Z][a-z]+", model.__name__)
    return {"BookManifest": "Book"}.get(model.__name__, " ".join(words).capitalize())


def anchor(model: type[BaseModel]) -> str:
    return title(model).lower().replace(" ", "-")


def section(model: type[BaseModel]) -> str:
    lines = [
        f"## {title(model)}",
        "",
        flat(model.__doc__ or ""),
        "",
        "| field | is | default | meaning |",
        "|---|---|---|---|",
    ]
    texts = {name: text for each in reversed(model.__mro__) for name, text in meanings(each).items()}
    lines += [
        " | ".join(("", f"`{name}`", *row(field, texts.get(name, "")), "")).strip()
        for name, field in model.model_fields.items()
    ]
    return "\n".join(lines) + "\n"


def meanings(model: type) -> dict[str, str]:
    """Return the docstrings of the fields that a class of the manifest declares itself."""
    classes = {each.name: each for each in TREE.body if isinstance(each, ast.ClassDef)}
    body = classes[model.__name__].body if model.__module__ == book_manifest.__name__ else []
    return {
        field.target.id: cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def row(field: FieldInfo, meaning: str) -> tuple[str, str, str]:
    return kind(field.annotation, field.metadata), default(field), flat(meaning)


def flat(text: str) -> str:
    """Return a docstring in one line; double backticks become single ones."""
    return re.sub(r"\s+", " ", text.replace("``", "`")).strip().replace("|", "\\|")


def kind(annotation: Any, metadata: list[Any]) -> str:
    """Return the words for a type, with its limits."""
    for name, words in NAMED.items():
        if same(annotation, metadata, getattr(book_manifest, name)):
            return words
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(arguments[0], list(arguments[1:]))
    if origin in (Union, types.UnionType):
        return kind(next(each for each in arguments if each is not type(None)), metadata)
    if origin is Literal:
        return "one of " + ", ".join(f"`{each}`" for each in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {plural(arguments[0])}{limits(metadata)}"
    if origin is tuple:
        return f"list of {len(arguments)} numbers"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{kind(arguments[1], [])} by {kind(arguments[0], [])}"
    return simple(annotation) + limits(metadata)


def same(annotation: Any, metadata: list[Any], named: Any) -> bool:
    if annotation == named:
        return True
    return get_origin(named) is Annotated and get_args(named) == (annotation, *metadata)


def simple(annotation: Any) -> str:
    if issubclass(annotation, BaseModel):
        return f"[{title(annotation)}](#{anchor(annotation)})"
    if issubclass(annotation, Enum):
        return "one of " + ", ".join(f"`{each.value}`" for each in annotation)
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}[annotation]


def plural(annotation: Any) -> str:
    words = kind(annotation, [])
    return {"language code": "language codes"}.get(words, words)


def limits(metadata: list[Any]) -> str:
    found: list[str] = []
    for each in metadata:
        match each:
            case annotated_types.Ge(ge=least):
                found.append(f"from {least}")
            case annotated_types.Gt(gt=least):
                found.append(f"above {least}")
            case annotated_types.Le(le=most):
                found.append(f"to {most}")
            case annotated_types.MaxLen(max_length=most):
                found.append(f"at most {most}")
            case annotated_types.MinLen(min_length=least):
                found.append(f"at least {least}")
            case StringConstraints(pattern=str(pattern)):
                found.append({r"^[1-9][0-9]?:[1-9][0-9]?$": "such as `4:3`"}[pattern])
            case StringConstraints(max_length=int(most)):
                found.append(f"at most {most} characters")
            case _:
                pass
    return "".join(f" {each}" if each.startswith(("from", "above", "to")) else f", {each}" for each in found)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or value in ((), "", {}):
        return ""
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, Enum):
        value = value.value
    return f"`{json.dumps(value)}`"


def plural_rows() -> Iterator[str]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for language, rule in sorted(RULES.items()):
        groups.setdefault(rule.names, []).append(language)
    for names, languages in sorted(groups.items(), key=lambda group: (len(group[0]), group[0])):
        yield f"| {', '.join(languages)} | {', '.join(names)} |"
    yield "| others | one form, or two: for 1 and for all other numbers |"


if __name__ == "__main__":
    print(page(), end="")
