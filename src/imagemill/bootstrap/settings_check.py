"""Checks settings; the messages contain no secrets."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from imagemill.config import ENV_FILE, TOML_FILE, aliases, setting_names
from imagemill.setting_names import ALIASES, FIXED, PREFIX
from imagemill.settings import SecretUrl, mask_url

CLIENT_NAMES = frozenset({"IMAGEMILL_URL", "IMAGEMILL_TOKEN"})
"""Variables of the client commands: the server's address and a token."""


UNREAD = {
    "MONGODB_": "there is no MongoDB here: the data is in SQLite, or in PostgreSQL with DATABASE_URL",
    "REDIS_HOST": "write one address: CELERY_BROKER_URL, or IMAGEMILL_REDIS_URL",
    "REDIS_PORT": "write one address: CELERY_BROKER_URL, or IMAGEMILL_REDIS_URL",
    "REDIS_PASSWORD": "write it into an address: CELERY_BROKER_URL, or IMAGEMILL_REDIS_URL",
    "REDIS_URL": "write CELERY_BROKER_URL, or IMAGEMILL_REDIS_URL",
    "R2_PUBLIC_URL": "write IMAGEMILL_CHARACTERS__PUBLIC_BASE_URL",
    "NODE_ENV": "choose a profile: IMAGEMILL_PROFILE",
    "HF_HOME": "it belongs into deploy/.env, for the service vision of Compose",
    "INSIGHTFACE_HOME": "write INSIGHTFACE_MODELS into deploy/.env, for the service comfyui of Compose",
    "QWEN_MODEL_ID": "it belongs into deploy/.env, for the service vision of Compose; for another one write "
    "IMAGEMILL_LANGUAGE_MODEL__VISION_MODEL",
}
"""Beginnings of names that the systems read which Imagemill takes the place of, and what to do instead."""

_GENERAL = ("REDIS_", "NODE_ENV", "HF_HOME")
"""Names that the environment often has for other programs."""


def variables() -> Iterator[str]:
    """The names in the environment, ``.env`` and ``imagemill.toml``, as environment names."""
    for names in given_names().values():
        yield from names


def given_names() -> dict[str, list[str]]:
    """The names that each source sets, as environment names; in the environment those of other programs, too.

    Raises `OSError` or `ValueError` for a file that cannot be read.
    """
    found = {"environment": [name.upper() for name, value in os.environ.items() if value]}
    if Path(ENV_FILE).is_file():
        from dotenv import dotenv_values

        found[ENV_FILE] = [name.upper() for name, value in dotenv_values(ENV_FILE).items() if value]
    if Path(TOML_FILE).is_file():
        table = tomllib.loads(Path(TOML_FILE).read_text(encoding="utf-8"))
        found[TOML_FILE] = list(_flat(table, PREFIX))
    return found


def _unread_names(given: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    """Yield the names that no setting reads, with what to do instead.

    ``given``: source -> names. Of the environment only those that no other program is likely to have.
    """
    for source, names in given.items():
        for name in sorted(names):
            advice = next((text for start, text in UNREAD.items() if name.startswith(start)), None)
            if advice is not None and (source != "environment" or not name.startswith(_GENERAL)):
                yield name, advice


def ignored_variables() -> list[str]:
    """A sentence for each given variable that has no effect. Raises `OSError` or `ValueError` for a file."""
    given = given_names()
    unread = [f"{name} is not read: {advice}" for name, advice in _unread_names(given)]
    return unknown_variables(name for names in given.values() for name in names) + unread


_LEAVES = frozenset(name for name, _ in setting_names())


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in table.items():
        whole = f"{prefix}{name.upper()}"
        if isinstance(value, Mapping) and whole not in _LEAVES:
            yield from _flat(value, f"{whole}__")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield whole


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """A sentence for each variable that looks like a setting of ours and is none, or is one no more."""
    names = [name for name, _ in setting_names()]
    known = [*names, *(alias for alias in ALIASES if alias.startswith(PREFIX))]
    groups = {name.rpartition("__")[0] for name in known}
    combined = tuple(f"{name}__" for name in names)
    lines: list[str] = []
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or upper in groups or upper in CLIENT_NAMES:
            continue
        if upper in FIXED:
            lines.append(f"{name} is ignored: it is no setting any more, its value is always {FIXED[upper]}")
        elif not upper.startswith(combined):
            near = difflib.get_close_matches(upper, known, n=1, cutoff=0.85)
            lines.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def format_errors(error: ValidationError) -> list[str]:
    """A sentence for each wrong setting, with the name it was set by and no secret."""
    others = aliases()
    fields = dict(setting_names())
    lines: list[str] = []
    for fault in error.errors():
        reason = fault["msg"].removeprefix("Value error, ")
        path = [str(part).upper() for part in fault["loc"]]
        shown = "__".join(path)
        shown = shown if shown.startswith(PREFIX) else f"{PREFIX}{shown}"
        setting = next((name for name in fields if shown == name or shown.startswith(f"{name}__")), "")
        also = f" (or {', '.join(others[shown])})" if shown in others else ""
        if not setting and fault["type"] == "value_error":
            lines.append(reason)  # of several settings, which it names
        elif fault["type"] == "extra_forbidden":
            lines.extend(unknown_variables([shown]) or [f"{shown} is not a setting"])
        elif not setting or holds_secret(fields[setting].annotation):
            lines.append(f"{shown}{also}: {reason}{_masked_input(fields.get(setting), fault['input'])}")
        else:
            lines.append(f"{shown}{also}: {reason} (it is {_shown(fault['input'])})")
    return lines


def holds_secret(annotation: Any) -> bool:
    """Whether a type is, or contains, one whose values are never shown."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr):
        return True
    return any(map(holds_secret, get_args(annotation)))


def _masked_input(field: FieldInfo | None, value: Any) -> str:
    """A URL without its password; nothing of other secrets, nor of whole groups, which may hold some."""
    is_url = field is not None and SecretUrl in _types(field.annotation)
    if not is_url or not isinstance(value, (str, SecretUrl)):
        return ""
    text = value.get_secret_value() if isinstance(value, SecretUrl) else value
    return f" (it is {_shown(text)})" if "://" in text else ""


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def _shown(value: Any) -> str:
    text = repr(mask_url(value)) if isinstance(value, str) else mask_url(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
