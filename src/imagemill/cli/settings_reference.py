"""Every setting in words: its name, what it takes, its default and what it is for."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from imagemill.config import PREFIX, Settings, aliases, setting_names

_HEAD = """\
# Every setting of Imagemill with its default. Copy this file to .env and uncomment what you change.
# An empty value means the default. Lists are comma-separated, or JSON. Written by `imagemill settings --env`.
"""
_PAGE = """\
# Settings

<!-- Written by `imagemill settings --markdown`; change src/imagemill/config.py instead. -->

Settings are read once, at start: from options of the command line, then the environment, then a file
`.env`, then a file `imagemill.toml`, both in the folder it is started in. Whatever comes first wins.
`imagemill settings` shows what holds now.

In `imagemill.toml` names are small and without the prefix, and groups are tables: `IMAGEMILL_JOB__LEASE_S`
is `lease_s` below `[job]`. In the environment a list is comma-separated or JSON, an empty value means the
default, and `none` means no value. A wrong value ends the start with a line that names it.
"""


@dataclass(frozen=True, slots=True)
class Described:
    """``group`` and ``default`` are empty for none."""

    name: str
    group: str
    takes: str
    default: str
    purpose: str
    also: str


def described() -> list[Described]:
    """In the order of the code."""
    others = aliases()
    return [
        Described(
            name=name,
            group=name.removeprefix(PREFIX).rpartition("__")[0].lower(),
            takes=_takes(field),
            default=_plain(field.get_default(call_default_factory=True)),
            purpose=field.description or "",
            also="`, `".join(others.get(name, ())),
        )
        for name, field in setting_names()
    ]


def values(settings: Settings) -> dict[str, str]:
    """What holds now, by environment name."""
    return dict(_values(settings, PREFIX))


def _values(model: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _values(value, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", _plain(value)


def env_file() -> str:
    lines = [_HEAD]
    group = ""
    for each in described():
        if each.group != group:
            group = each.group
            lines.append(f"# --- {_title(group)}\n")
        also = f" Also read as {each.also}." if each.also else ""
        takes = f" ({each.takes})" if each.takes else ""
        lines.append(f"# {each.purpose}{takes}{also}\n#{each.name}={each.default}\n")
    return "\n".join(lines)


def markdown() -> str:
    lines = [_PAGE]
    group: str | None = None
    for each in described():
        if each.group != group:
            group = each.group
            lines.append(f"\n## {_title(group) if group else 'The server'}\n")
            lines.append("| setting | default | takes | what it is for |\n|---|---|---|---|")
        also = f"<br>also `{each.also}`" if each.also else ""
        default = f"`{each.default}`" if each.default else ""
        cells = (f"`{each.name}`{also}", default, each.takes, each.purpose)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _title(group: str) -> str:
    return (Settings.model_fields[group].description or group).rstrip(".")


def _plain(value: Any) -> str:
    """As one writes it in an environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, (tuple, list)):
        if any(isinstance(item, BaseModel) for item in value):
            return to_json(value).decode()
        return ",".join(map(str, value))
    return str(value.value) if isinstance(value, Enum) else str(value)


def _takes(field: FieldInfo) -> str:
    """``integer, from 1 to 64``."""
    kind, optional = _kind(field.annotation)
    return ", ".join(part for part in (kind, _bounds(field.metadata), "or none" if optional else "") if part)


def _kind(annotation: Any) -> tuple[str, bool]:
    """What a type is called, and whether there may be no value."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(annotation)), False
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        optional = len(options) < len(get_args(annotation))
        return " or ".join(filter(None, dict.fromkeys(_kind(option)[0] for option in options))), optional
    if origin in (tuple, list):
        item = get_args(annotation)[0]
        is_model = isinstance(item, type) and issubclass(item, BaseModel)
        return ("JSON list" if is_model else "list"), False
    if origin is dict:
        return "JSON object", False
    known = {str: "text", SecretStr: "secret", Path: "path"}
    known |= {bool: "true or false", int: "integer", float: "number"}
    return known.get(annotation, ""), False


def _bounds(metadata: list[Any]) -> str:
    low = high = ""
    for bound in metadata:
        if isinstance(bound, annotated_types.Ge):
            low = f"from {_plain(bound.ge)}"
        elif isinstance(bound, annotated_types.Gt):
            low = f"above {_plain(bound.gt)}"
        elif isinstance(bound, annotated_types.Le):
            high = f"to {_plain(bound.le)}"
        elif isinstance(bound, annotated_types.Lt):
            high = f"below {_plain(bound.lt)}"
    return " ".join(part for part in (low, high) if part)
