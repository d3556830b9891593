"""Every setting in words: its name, what it takes, its default, what it is for, and what holds now."""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_json, to_jsonable_python

from imagemill.bootstrap.settings_check import given_names
from imagemill.config import PROFILES, Settings, aliases, setting_names
from imagemill.domain.dataclass import dataclass
from imagemill.setting_names import ALIASES, FIXED, PREFIX
from imagemill.settings import JsonSetting, SecretUrl, SettingsGroup, mask_url

FIRST_PAGE = (
    "PROFILE",
    "HOST",
    "PORT",
    "PUBLIC_URL",
    "DATA_DIR",
    "DATABASE_URL",
    "BROKER_URL",
    "S3__BUCKET",
    "S3__ENDPOINT",
    "S3__ACCESS_KEY_ID",
    "S3__SECRET_ACCESS_KEY",
    "COMFYUI__URLS",
    "FAL__KEY",
    "AUTH__ADMIN_KEY",
    "CREDITS__ENABLED",
    "QUOTA__ENABLED",
    "LOG_FORMAT",
)
"""Settings that a new installation may need."""
EXPERT = [
    "DATABASE_POOLER",
    "DATABASE_DIRECT_URL",
    "FSYNC",
    "REDIS_URL",
    "SCHEDULER_POLL_MS",
    "SWEEP_S",
    "LEADER_LEASE_S",
    "AUTH__REMEMBER_S",
    "AUTH__PASSWORD_MEMORY_MB",
    "AUTH__JWT_ALGORITHM",
    "AUTH__JWT_FORMER_KEYS",
    "CORS__CONTRACT_ORIGINS",
    "JOB__RETRY_BASE_S",
    "JOB__LEASE_S",
    "JOB__REATTACH_S",
    "JOB__HEARTBEAT_S",
    "JOB__AFFINITY_BOUND_S",
    "JOB__FAIR_HORIZON_S",
    "JOB__LOAD_S",
    "LIMIT__IMAGE_PIXELS",
    "LIMIT__STREAMS",
    "SAFETY__CLASSIFIERS",
    "SAFETY__NSFW_OUTPUT",
    "QUOTA__ROLES",
    "QUOTA__REFUSE_LATE",
    "WEBHOOK__TIMEOUT_S",
    "WEBHOOK__TRIES",
    "WEBHOOK__RETRY_BASE_S",
    "CELERY__SOFT_TIME_LIMIT_S",
    "CELERY__MAX_TASKS_PER_CHILD",
    "CELERY__POLL_S",
    "CELERY__QUORUM_QUEUES",
    "CELERY__EVENTS",
    "RESOURCES__STRICT",
    "RESOURCES__SEED",
    "CIVITAI__RESULT_SHAPE",
    "FAL_API__RUN_S",
    "BLOBS__SEARCH_S",
    "S3__SESSION_TOKEN",
    "S3__PATH_STYLE",
    "S3__VERIFY_TLS",
    "S3__CA_FILE",
    "S3__CONDITIONAL_PUT",
    "S3__CHECKSUMS",
    "COMFYUI__RESIDENT_MODELS",
    "COMFYUI__HEALTH_S",
    "FAL__PRIORITY",
    "FAL__HOST",
    "FAL__CA_FILE",
    "SIMULATOR__JITTER",
    "SIMULATOR__MEMORY_MB",
    "SIMULATOR__RESIDENT_MODELS",
    "SIMULATOR__LABELS",
    "SIMULATOR__MODELS",
]
"""Settings that are seldom changed; all others are for tuning."""

_HEAD = """\
# All settings of Imagemill with their defaults. Copy what you change to .env, without its first #.
# An empty value means the default. Lists are comma-separated, or JSON. Written by: imagemill settings --env
"""
_PAGE = """\
# Settings

<!-- Written by `imagemill settings --markdown`; change src/imagemill/config.py instead. -->

Settings are read once, at start: from options of the command line, then the environment, then the
file `.env`, then the file `imagemill.toml`, both in the folder the command is started in, then the
[profile](#profiles). The first source that sets a value wins.

`imagemill settings` shows what differs from the defaults and where it comes from, `imagemill
settings --all` shows all settings, and `imagemill settings explain NAME` explains one; a part of a
name, such as `LEASE`, is enough. Passwords and other secrets are hidden.

In `imagemill.toml` names are in lower case and without the prefix, and groups are tables:
`IMAGEMILL_JOB__LEASE_S` is `lease_s` below `[job]`. In the environment a list is comma-separated or
JSON, an empty value means the default, and `none` means no value. A wrong value ends the start with
a line that names it.

This page has three parts: the [first page](#first-page) with what a new installation may have to
set, [tuning](#tuning), and settings for [experts](#expert). At its end are the [former
settings](#former-settings)."""
_PROFILES = """
## Profiles

`imagemill serve --profile dev`, or `IMAGEMILL_PROFILE=dev`, changes some defaults together. What
you set yourself still wins. `imagemill settings --profile dev` shows the result.

- **dev**, for development on one machine: readable log lines, no key needed on loopback, and a
  simulator that takes its time, so that progress can be seen. Callbacks and webhooks may reach this
  machine. A stop waits for 2 s only.
- **ci**, for automated tests: a simulator that renders at once with a fixed seed, short waits for
  retries, polling and stops, cheap password hashes, and JSON log lines. Do not use it where
  passwords matter.
- **realistic**, for clients that show progress or wait: a simulator with the times of a consumer
  GPU, about 3 s for 20 steps and 5 s for a load. Otherwise as dev.
- **fleet**, for processes on several machines: JSON log lines. It requires PostgreSQL in
  `IMAGEMILL_DATABASE_URL` and a broker in `IMAGEMILL_BROKER_URL`, and does not start without them.
- **public**, for a server on the internet behind a reverse proxy on the same machine: every caller
  needs a key, quotas are on, only the host of `IMAGEMILL_PUBLIC_URL` is accepted, and web pages of
  other origins are not. It requires `IMAGEMILL_PUBLIC_URL` with `https://`, and does not start
  without it."""
_FORMER = """
## Former settings

These names are still read, so that an upgrade breaks nothing.

| former name | what it does now |
|---|---|"""


@dataclass(frozen=True, slots=True)
class Described:
    """``group``, ``default`` and ``takes`` may be empty."""

    name: str
    group: str
    takes: str
    default: str
    purpose: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting(Described):
    """A setting with the value that holds now. ``source`` is in words: "environment, as PORT"."""

    value: str
    source: str
    is_changed: bool
    in_toml: str


def described() -> list[Described]:
    """All settings, in the order of the code."""
    others = aliases()
    return [
        Described(
            name=name,
            group=_group(name),
            takes=_takes(field),
            default=_plain(field.get_default(call_default_factory=True)),
            purpose=field.description or "",
            aliases=tuple(others.get(name, ())),
        )
        for name, field in setting_names()
    ]


def current(settings: Settings, options: Mapping[str, Any]) -> list[Setting]:
    """All settings as they hold now. ``options``: what was given on the command line."""
    given = given_names()
    now = dict(_values(settings, PREFIX))
    found: list[Setting] = []
    for each in described():
        source = _source(each, settings, options, given)
        value = now[each.name]
        default = "" if source == "default" else each.default
        found.append(
            Setting(
                each.name,
                each.group,
                each.takes,
                each.default,
                each.purpose,
                each.aliases,
                value=value,
                source=source,
                is_changed=source != "default" and value != default,
                in_toml=_in_toml(each.name),
            )
        )
    return found


def _source(
    each: Described, settings: Settings, options: Mapping[str, Any], given: Mapping[str, Sequence[str]]
) -> str:
    path = each.name.removeprefix(PREFIX).lower().split("__")
    if path[0] in options:
        return f"option --{path[0].replace('_', '-')}"
    for place, names in given.items():
        name = _name_in(each.name, names)
        if name is not None:
            return place if name == each.name else f"{place}, as {name}"
    preset: Any = PROFILES.get(settings.profile or "", {})
    for part in path:
        preset = preset.get(part) if isinstance(preset, Mapping) else None
    return "default" if preset is None else f"profile {settings.profile}"


def _name_in(setting: str, names: Sequence[str]) -> str | None:
    """The name by which a source sets a setting: its own, an alias, its group's (as JSON), or a field's."""
    group = setting.rpartition("__")[0]
    candidates = [setting, *(alias for alias, name in ALIASES.items() if name == setting), group]
    if (name := next((name for name in candidates if name in names), None)) is not None:
        return name
    fields = (name for name in names if ALIASES.get(name, name).startswith(f"{setting}__"))
    return next(fields, None)


def find(wanted: str, settings: Sequence[Setting]) -> list[Setting] | str:
    """The settings that a name or a part of one means, or a sentence that says why there are none."""
    name = wanted.strip().upper().replace(".", "__").replace("-", "_")
    whole = name if name.startswith(PREFIX) else PREFIX + name
    for asked in (name, whole):
        setting = ALIASES.get(asked, asked)
        if found := [each for each in settings if f"{setting}__".startswith(f"{each.name}__")]:
            return found
        if asked in FIXED:
            return f"{asked} is no setting any more; its value is always {FIXED[asked]}"
    part = name.removeprefix(PREFIX)
    if found := [each for each in settings if part and part in each.name.removeprefix(PREFIX)]:
        return found
    short = {each.name.removeprefix(PREFIX): each.name for each in settings}
    ends = {name.rpartition("__")[2]: whole for name, whole in short.items()}
    near = [
        *(short[close] for close in difflib.get_close_matches(part, short, n=3, cutoff=0.6)),
        *(ends[close] for close in difflib.get_close_matches(part, ends, n=3, cutoff=0.7)),
    ]
    meant = ", ".join(dict.fromkeys(near))
    return f"there is no setting {wanted!r}" + (
        f"; did you mean {meant}?" if meant else "; imagemill settings --all shows all"
    )


def setting_json(setting: Setting) -> dict[str, Any]:
    """A setting as ``explain --json`` prints it."""
    return {
        "name": setting.name,
        "description": setting.purpose,
        "value": setting.value,
        "default": setting.default,
        "source": setting.source,
        "takes": setting.takes,
        "aliases": list(setting.aliases),
        "toml": setting.in_toml,
    }


def as_json(settings: Settings) -> Any:
    """The values of all settings, nested as the groups are, without secrets."""
    return _without_secrets(settings.model_dump())


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _without_secrets(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(each) for each in value]
    if isinstance(value, SecretStr):
        return str(value)
    plain = to_jsonable_python(value)
    return mask_url(plain) if isinstance(plain, str) else plain


def _values(model: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, SettingsGroup):
            yield from _values(value, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", _plain(value)


def _in_toml(name: str) -> str:
    group, _, last = name.removeprefix(PREFIX).lower().rpartition("__")
    return f"[{group}] {last} = ..." if group else f"{last} = ..."


def env_file() -> str:
    lines = [_HEAD]
    group = ""
    for each in described():
        if each.group != group:
            group = each.group
            lines.append(f"# --- {_title(group)}\n")
        also = f" Also read as {', '.join(each.aliases)}." if each.aliases else ""
        takes = f" ({each.takes})" if each.takes else ""
        lines.append(f"# {each.purpose}{takes}{also}\n#{each.name}={each.default}\n")
    return "\n".join(lines)


def markdown() -> str:
    every = {each.name.removeprefix(PREFIX): each for each in described()}
    first = [every[name] for name in FIRST_PAGE]
    expert = [each for name, each in every.items() if name in EXPERT]
    tuning = [each for name, each in every.items() if name not in (*FIRST_PAGE, *EXPERT)]
    lines = [_PAGE, "## First page\n", *_table(first), _PROFILES]
    for title, part in (("Tuning", tuning), ("Expert", expert)):
        lines.append(f"## {title}")
        for group in dict.fromkeys(each.group for each in part):
            lines.append(f"\n### {title}: {_title(group) if group else 'Server'}\n")
            lines.extend(_table([each for each in part if each.group == group]))
        lines.append("")
    lines.append(_FORMER.strip("\n"))
    merged = {old: new for old, new in ALIASES.items() if old.startswith(PREFIX)}
    lines.extend(f"| `{old}` | sets `{new}` |" for old, new in merged.items())
    lines.extend(f"| `{old}` | nothing: the value is always {value} |" for old, value in FIXED.items())
    return "\n".join(lines) + "\n"


def _table(part: Sequence[Described]) -> Iterator[str]:
    yield "| setting | default | takes | what it is for |\n|---|---|---|---|"
    for each in part:
        also = f"<br>also `{'`, `'.join(each.aliases)}`" if each.aliases else ""
        default = f"`{each.default}`" if each.default else ""
        cells = (f"`{each.name}`{also}", default, each.takes, each.purpose)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _group(name: str) -> str:
    return name.removeprefix(PREFIX).rpartition("__")[0].lower()


def _title(group: str) -> str:
    return (Settings.model_fields[group].description or group).rstrip(".")


def _plain(value: Any) -> str:
    """Return a value in the form of an environment variable."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, JsonSetting):
        return to_json(value.model_dump(exclude_defaults=True)).decode()
    if isinstance(value, (tuple, list)):
        if any(isinstance(item, BaseModel) for item in value):
            return to_json(value).decode()
        return ",".join(mask_url(str(item)) for item in value)
    if isinstance(value, Mapping):
        return to_json(value).decode()
    return mask_url(str(value.value if isinstance(value, Enum) else value))


def _takes(field: FieldInfo) -> str:
    """``integer, from 1 to 64``."""
    kind, optional = _kind(field.annotation)
    return ", ".join(part for part in (kind, _bounds(field.metadata), "or none" if optional else "") if part)


def _kind(annotation: Any) -> tuple[str, bool]:
    """Return the name of a type and whether the value may be absent."""
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
    if origin is Mapping or (isinstance(annotation, type) and issubclass(annotation, JsonSetting)):
        return "JSON object", False
    known = {str: "text", SecretStr: "secret", SecretUrl: "URL", Path: "path"}
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
