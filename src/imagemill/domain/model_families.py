"""The family of a model, guessed from the name and the size of its file."""

import re
from dataclasses import dataclass
from typing import Literal

FamilySource = Literal["air", "name", "size", "default"]
"""Where a family is from: the AIR, the file's name, its size, or `DEFAULT_FAMILY`, as nothing tells."""

DEFAULT_FAMILY = "sd1"
"""The family of a checkpoint whose file tells nothing: its graph fits all of Stable Diffusion 1, 2 and XL."""

_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FamilyGuess:
    family: str
    source: FamilySource


_BY_NAME: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"(?i)flux[._ -]?2", "flux2"),
        (r"(?i)flux|schnell", "flux1"),
        (r"(?i)qwen", "qwen"),
        (r"(?i)z[._ -]?image", "zimage"),
        (r"(?i)hi[._ -]?dream", "hidream"),
        (r"(?i)chroma", "chroma"),
        (r"(?i)hunyuan", "hyv1"),
        (r"(?i)(^|[^a-z])wan([^a-z]|$)", "wan"),
        (r"(?i)(^|[^a-z])ltxv?([^a-z]|$)", "ltxv"),
        (r"(?i)kolors", "kolors"),
        (r"(?i)pixart", "pixart"),
        (r"(?i)aura[._ -]?flow", "auraflow"),
        (r"(?i)cascade", "cascade"),
        (r"(?i)sd[._ -]?v?3|stable[._ -]?diffusion[._ -]?3", "sd3"),
        (r"(?i)sd[._ -]?v?1[._ -]?[45]|(^|[^0-9])v?1[._-]5([^0-9]|$)|sd[._ -]?1(?![0-9])", "sd1"),
        (r"(?i)sd[._ -]?xl|pony|illustrious|noob|animagine", "sdxl"),
        # "xl" as a word of its own or before a version: juggernautXL_v9, realvisxlV50, but no "xlarge".
        (r"(?i)xl(?![a-z])|xl(?=v?[0-9])|(?-i:XL)", "sdxl"),
        (r"(?i)sd[._ -]?v?2|v2[._-][01]|768[._-]?v", "sd2"),
        (r"(?i)dream[._ -]?shaper|deliberate|rev[._ -]?animated|anything[._ -]?v", "sd1"),
    )
)
"""Patterns of published names; the first that matches decides."""

_CHECKPOINT_SIZES = (
    (1.5, 2.4, "sd1"),  # 2.1 GB in half precision
    (3.9, 4.4, "sd1"),  # 4.3 GB in full precision
    (5.0, 5.4, "sd2"),
    (6.3, 7.3, "sdxl"),  # 6.9 GB in half precision
    (13.0, 14.0, "sdxl"),
    (16.9, 17.5, "flux1"),  # 17.2 GB: 8 bits, with text encoders
    (22.0, 24.5, "flux1"),
)
"""Bounds in GB (10^9 bytes) of published checkpoints, and their family."""


def guess_family(name: str, kind: str = "checkpoint", size: int | None = None) -> FamilyGuess:
    """Return the family that a file's name, else a checkpoint's size in bytes, suggests.

    Of another kind of model nothing is assumed: its family is empty.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    # A folder says what its files are: sdxl/anime.safetensors.
    for text in (base, name):
        for pattern, family in _BY_NAME:
            if pattern.search(text):
                return FamilyGuess(family, "name")
    if kind == "checkpoint" and size:
        for least, most, family in _CHECKPOINT_SIZES:
            if least * _GB <= size <= most * _GB:
                return FamilyGuess(family, "size")
    return FamilyGuess(DEFAULT_FAMILY if kind == "checkpoint" else "", "default")


BUILT = ("sdxl", "sd1", "sd2", "flux1")
"""The families that the recipes can render with, the one that a default model should have first."""

_SIDES = {"sd1": 512, "sd2": 768}


def native_side(family: str) -> int:
    """Return the side in pixels of the square pictures that a family was trained on."""
    return _SIDES.get(family, 1024) if family else 512
