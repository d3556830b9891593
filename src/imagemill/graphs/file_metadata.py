"""The facts that the header of a model file tells: architecture, base model, title and trigger words.

Trainers write them into the header of safetensors files. ComfyUI returns them at ``/view_metadata``. Keys
that begin with ``modelspec.`` are of Stability's model metadata standard, those with ``ss_`` of Kohya's
trainers, which other trainers write too.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.json_access import mapping, number

MOST_WORDS = 5
"""Trigger words that are kept of a file."""
_LONGEST = 200
"""Most characters of a text that is kept."""
_LONGEST_JSON = 4 * 2**20
"""Most characters of the JSON within a text that is read; the tags of larger training sets are skipped."""
_COMMON_SHARE = 0.9
"""Share of a folder's pictures from which a tag is a trigger word: other tags describe single pictures."""
_GENERIC = frozenset(
    {"1girl", "1boy", "solo", "woman", "man", "girl", "boy", "person", "portrait", "realistic", "photo"}
    | {"male focus", "female focus", "looking at viewer", "upper body", "full body", "highres", "absurdres"}
    | {"simple background", "white background", "masterpiece", "best quality"}
)
"""Tags that describe what is seen, however common they are."""


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """The facts of one file; empty where its header does not tell."""

    architecture: str = ""
    """Such as ``stable-diffusion-xl-v1-base`` or ``flux-1-dev/lora``."""
    base_model: str = ""
    """The base model of a LoRA's training, such as ``sdxl_base_v1-0``."""
    title: str = ""
    trigger_words: tuple[str, ...] = ()


NO_METADATA = FileMetadata()


def read_metadata(header: object) -> FileMetadata:
    """Read a file's metadata, whose values are texts. Never raises: what cannot be read is left out."""
    found = mapping(header)
    phrase = _text(found, "modelspec.trigger_phrase")
    return FileMetadata(
        architecture=_text(found, "modelspec.architecture"),
        base_model=_text(found, "ss_base_model_version"),
        title=_text(found, "modelspec.title") or _text(found, "ss_output_name"),
        trigger_words=(phrase,) if phrase else tuple(_common_tags(found))[:MOST_WORDS],
    )


def _text(header: Mapping[str, Any], key: str) -> str:
    value = header.get(key)
    if not isinstance(value, str):
        return ""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in value[: 4 * _LONGEST]).split())
    return "" if text == "None" else text[:_LONGEST]


def _common_tags(header: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tags that (nearly) all pictures of a training folder have, the most frequent first."""
    folders = _json(header, "ss_tag_frequency")
    sizes = _json(header, "ss_dataset_dirs")
    seen: set[str] = set()
    for folder, tags in folders.items():
        counts = {
            " ".join(tag.split()): count for tag, each in mapping(tags).items() if (count := number(each))
        }
        pictures = number(mapping(sizes.get(folder)).get("img_count")) or max(counts.values(), default=0)
        for tag, count in sorted(counts.items(), key=lambda each: -each[1]):
            if count < _COMMON_SHARE * pictures:
                break
            if tag and tag.isprintable() and tag.lower() not in _GENERIC | seen and len(tag) <= _LONGEST:
                seen.add(tag.lower())
                yield tag


def _json(header: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object that a text holds as JSON; empty if it is none."""
    value = header.get(key)
    if not isinstance(value, str) or len(value) > _LONGEST_JSON:
        return {}
    try:
        return mapping(json.loads(value))
    except (ValueError, RecursionError):
        return {}
