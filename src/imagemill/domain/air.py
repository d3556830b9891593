"""AIR, the Artificial Intelligence Resource name: ``urn:air:{ecosystem}:{type}:{source}:{id}[@{version}]``.

An AIR is accepted as clients write it (prefixes optional, any case, a file id, a format), stored in one
canonical spelling, and compared without case. The short form ``@civitai/{version}`` names a model version
only; the model registry expands it. A model that has no AIR of its own gets one from its file
(`file_air`). `Resource` is a registered model with its AIR and metadata.
"""

import re
from collections.abc import Mapping
from dataclasses import field, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from imagemill.domain.dataclass import dataclass

MAX_LENGTH = 512
MAX_TYPE = 64

_WORD = r"[a-z0-9_\-/]+"
_PATTERN = re.compile(
    rf"""
    (?:urn:)?(?:air:)?
    (?:(?P<ecosystem>[a-z0-9_\-/.]+):)?
    (?:(?P<type>{_WORD}):)?
    (?P<source>{_WORD}):
    (?P<id>[a-z0-9_\-/.]+)
    (?:@(?P<version>[a-z0-9_\-/.=,%+:]+))?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_VERSION = re.compile(r"[0-9]{1,19}", re.ASCII)
_SHORT = re.compile(r"@civitai/([0-9]{1,19})", re.IGNORECASE | re.ASCII)
_FILE_ID = re.compile(r"(?P<version>.+)\+(?P<file_id>[0-9]+)(?:\.(?P<format>[a-z0-9_\-]+))?", re.I | re.A)
_CIVITAI_FORMAT = re.compile(r"(?P<version>[0-9]+)\.(?P<format>[a-z0-9_\-]+)", re.IGNORECASE | re.ASCII)

_USUAL_FORMATS = ("safetensors", "safetensor")
"""Formats that add nothing to an AIR, as nearly all files have them."""

TYPES = frozenset(
    {
        "checkpoint",
        "lora",
        "lycoris",
        "dora",
        "embedding",
        "hypernet",
        "vae",
        "controlnet",
        "upscaler",
        "motion",
        "ag",
        "unet",
        "diffusionmodel",
        "text_encoders",
        "textencoder",
        "clip",
        "clipvision",
        "visionlanguage",
        "model",
        "repository",
        "diffuser",
        "nodepack",
        "image",
        "other",
        "unknown",
    }
)

CHECKPOINT_TYPES = frozenset({"checkpoint", "model", "unet", "diffusionmodel", "diffuser"})
"""Types that mean a checkpoint: clients of Civitai derive the word from the kind of file."""

_TYPE_WORDS = {
    "textualinversion": "embedding",
    "hypernetwork": "hypernet",
    "locon": "lycoris",
    "motionmodule": "motion",
    "aestheticgradient": "ag",
    "textencoder": "text_encoders",
    "textencoders": "text_encoders",
}
"""Names of types in Civitai's other interfaces, in lower case without separators -> type of an AIR."""

_FAMILIES = {
    **dict.fromkeys(("sd1", "sd1.5", "sd15", "sd_1_5"), "sd1"),
    **dict.fromkeys(("sdxl", "sdxl1", "sdxldistilled", "pony", "illustrious", "noobai"), "sdxl"),
    **dict.fromkeys(("flux", "flux1", "fluxkrea"), "flux1"),
}

NO_FAMILY = ("", "other", "unknown", "comfy", "oci")
"""Ecosystems that say nothing about the family."""
_RELATED = (
    frozenset({"flux1", "flux1kontext", "flux1-kontext", "flux1-fill", "chroma", "chroma-radiance"}),
    frozenset({"zimage", "zimageturbo", "zimagebase"}),
    frozenset({"sd3", "sd3_5m"}),
    frozenset({"qwen", "qwen-edit", "qwen-layered"}),
    frozenset({"flux2", "flux2-klein"}),
)
"""Families whose LoRAs are made for each other, or cannot be told apart by their AIRs."""

FILE = "file"
"""The source of an AIR that names a model by its file on the nodes, as `file_air` makes it."""
_FILE_ID_WORD = re.compile(r"[a-z0-9_\-/.]+", re.IGNORECASE | re.ASCII)
_NOT_OF_AN_ID = re.compile(r"[^a-z0-9_\-/.]+", re.IGNORECASE | re.ASCII)

EXAMPLE = "urn:air:sdxl:checkpoint:civitai:101055@128078"


class InvalidAir(ValueError):
    """The text is not an AIR; the message has an example of one."""


@dataclass(frozen=True, slots=True)
class Air:
    source: str
    id: str
    version: str | None = None
    ecosystem: str | None = None
    type: str | None = None
    file_id: str | None = None
    format: str | None = None

    def __str__(self) -> str:
        kind = [part for part in (self.ecosystem, self.type) if part]
        text = ":".join(["urn", "air", *kind, self.source, self.id])
        if self.version:
            text += f"@{self.version}"
        if self.file_id:
            text += f"+{self.file_id}"
        return f"{text}.{self.format}" if self.format else text

    @property
    def key(self) -> str:
        """The spelling under which two AIRs are the same resource.

        A version of Civitai's is one resource, whichever of its files an AIR names and whichever word for a
        checkpoint it has.
        """
        if not self.is_civitai_version:
            return str(self).lower()
        kind = "checkpoint" if self.type in CHECKPOINT_TYPES else self.type
        suffix = None if self._has_usual_format else self.format
        return str(replace(self, type=kind, file_id=None, format=suffix)).lower()

    @property
    def _has_usual_format(self) -> bool:
        return self.format is not None and self.format.lower() in _USUAL_FORMATS

    @property
    def is_civitai_version(self) -> bool:
        """Whether it names a version of a model on Civitai."""
        return self.source.lower() == "civitai" and _VERSION.fullmatch(self.version or "") is not None

    @property
    def is_checkpoint(self) -> bool:
        """Whether it may name a checkpoint; so may an AIR without a type."""
        return self.type is None or self.type in CHECKPOINT_TYPES

    @property
    def short(self) -> str:
        """``@civitai/{version}`` where there is such a form, else the canonical one."""
        return f"@civitai/{self.version}" if self.is_civitai_version else str(self)

    @property
    def family(self) -> str:
        """The model family, which selects the pipeline: sd1, sdxl, flux1, or the ecosystem itself."""
        return family_of(self.ecosystem or "")

    @property
    def path(self) -> str:
        """The file a node is expected to list, unless the resource names its own."""
        if self.source.lower() == FILE:
            return unquote(self.version) if self.version else self.id
        kind = (self.type or "other").lower()
        extension = self.format.lower() if self.format and not self._has_usual_format else "safetensors"
        name = self.version or "model"
        if "." not in name.rsplit("/", 1)[-1]:
            name = f"{name}.{extension}"
        path = f"{self.source}/{self.id}/{name}"
        if kind in CHECKPOINT_TYPES:
            return f"{self.family}/{path}"
        if kind == "lora":
            return f"lora/{self.family}/{path}"
        return f"{kind}/{path}"


def type_of_word(word: str) -> str:
    """Return the type of an AIR that a word for it means, in any case: Checkpoint, LoCon, TextualInversion.

    An unknown word is returned in lower case.
    """
    lowered = word.strip().lower()
    return _TYPE_WORDS.get(re.sub(r"[\s_-]+", "", lowered), lowered)


def family_of(ecosystem: str) -> str:
    lowered = ecosystem.lower()
    return _FAMILIES.get(lowered, lowered)


def takes_networks_of(family: str, other: str) -> bool:
    """Whether a LoRA, an embedding or a ControlNet of ``other`` may have an effect on a model of ``family``.

    True where one of the two says nothing.
    """
    if family == other or family in NO_FAMILY or other in NO_FAMILY:
        return True
    if family.startswith("wan") and other.startswith("wan"):
        return True
    return any({family, other} <= related for related in _RELATED)


def file_air(name: str, kind: str, ecosystem: str) -> Air:
    """Return the AIR of a model that is known by its file only. Raises `InvalidAir` for a name too long.

    ``urn:air:sd1:checkpoint:file:dreamshaper_8.safetensors``; a name with characters that an id cannot have
    is repeated as the version, percent-encoded.
    """
    name = name.replace("\\", "/")
    if _FILE_ID_WORD.fullmatch(name):
        made = Air(FILE, name, None, ecosystem or None, kind)
    else:
        version = quote(name, safe="/").replace("~", "%7E")
        made = Air(FILE, _NOT_OF_AN_ID.sub("-", name).strip("-") or "model", version, ecosystem or None, kind)
    if len(str(made)) > MAX_LENGTH:
        raise InvalidAir(f"{_shown(name)} is too long for an AIR; give the file a shorter name")
    return made


def short_version(text: str) -> str | None:
    """Return the version in a short form such as ``@civitai/128078``, or None when the text is not one."""
    match = _SHORT.fullmatch(text)
    return match[1] if match else None


@lru_cache(maxsize=1024)
def parse(text: str) -> Air:
    """Parse a full AIR; the short form is not one. Raises `InvalidAir`."""
    if len(text) > MAX_LENGTH:
        raise InvalidAir(f"an AIR has at most {MAX_LENGTH} characters, this one has {len(text)}")
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise InvalidAir(f"{_shown(text)} is not an AIR; one looks like {EXAMPLE}")
    parts = match.groupdict()
    ecosystem, kind, version = parts["ecosystem"], parts["type"], parts["version"]
    if ecosystem and not kind and ecosystem.lower() in TYPES:
        ecosystem, kind = None, ecosystem
    file_id = suffix = None
    if version and (found := _FILE_ID.fullmatch(version)):
        version, file_id, suffix = found["version"], found["file_id"], found["format"]
    elif version and parts["source"].lower() == "civitai" and (found := _CIVITAI_FORMAT.fullmatch(version)):
        version, suffix = found["version"], found["format"]
    air = Air(
        source=parts["source"],
        id=parts["id"],
        version=version,
        ecosystem=ecosystem,
        type=kind.lower() if kind else None,
        file_id=file_id,
        format=suffix,
    )
    if len(str(air)) > MAX_LENGTH or len(kind or "") > MAX_TYPE:
        raise InvalidAir(f"an AIR has at most {MAX_LENGTH} characters, its type at most {MAX_TYPE}")
    return air


def _shown(text: str) -> str:
    clipped = text if len(text) <= 80 else text[:77] + "..."
    return repr(clipped) if text else "an empty text"


@dataclass(frozen=True, slots=True)
class Resource:
    """A registered model."""

    air: Air
    """The AIR as its owner spelled it; compared without case."""
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The JSON fields of the resource without the AIR: names, tags, hashes, fileName, ..."""
    created_at: int = 0
    updated_at: int = 0
    found_family: str = field(default="", compare=False)
    """The name of its family in the table of families, as the registry found it; empty if it is not in it."""
    variant: str = field(default="", compare=False)
    """The name of the variant of this family."""

    @property
    def family(self) -> str:
        """The model family: as it was found, else that of the AIR; empty where nothing tells."""
        return self.found_family or self.air.family

    @property
    def title(self) -> str:
        """Its name and version; empty where it has none."""
        return " ".join(str(self.body[key]) for key in ("modelName", "versionName") if self.body.get(key))

    @property
    def path(self) -> str:
        """Path of the file in which a node should have the model."""
        return self.body.get("fileName") or self.air.path

    @property
    def search_text(self) -> str:
        """The lower-case text that a word search matches."""
        names = [str(self.body.get(name) or "") for name in ("modelName", "versionName", "fileName")]
        return "\n".join([str(self.air), *names, *map(str, self.body.get("tags") or ())]).lower()
