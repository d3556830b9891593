"""The recipes ``mediaHash`` and ``blobArchive``."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.credits import Rate
from imagemill.domain.images import TaskSpec
from imagemill.media.hashes import HASH_TYPES, HashType
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.tasks.simple import EXAMPLE_PICTURE, FREE, IMAGE, no_model

MOST_ENTRIES = 1000
_LONGEST_NAME = 200
"""Most bytes of a file's name: file systems allow 255, and a number may be added."""
_LONGEST_EXTENSION = 10
_PATHS = re.compile(r".*[/\\]")


class MediaHashes(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)
    types: list[HashType] = Field(
        default=list(HASH_TYPES), min_length=1, max_length=len(HASH_TYPES), description="The hashes to make."
    )


def _complete_hashes(input_: MediaHashes, resolver: ResourceResolver, path: str) -> MediaHashes:
    image = resolver.picture(f"{path}image", input_.image)
    return input_.model_copy(update={"image": image, "types": list(dict.fromkeys(input_.types))})


MEDIA_HASH = Recipe(
    name="mediaHash",
    input=MediaHashes,
    complete=_complete_hashes,
    plan=lambda input_: Plan(
        TaskSpec("mediaHash", {"types": input_.types}), outputs=0, inputs={"image": input_.image}
    ),
    model=no_model,
    rate=Rate(base=0.1),
    prompt_field="image",
    summary="Perceptual hashes, by which pictures that look alike are found.",
    example={"image": EXAMPLE_PICTURE, "types": ["perceptual"]},
)


class ArchiveEntry(BaseModel):
    """A file of the archive."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)
    name: str = Field(
        "",
        max_length=1000,
        description="Its name in the archive; folders and control characters are removed.",
    )


class BlobArchive(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    entries: list[ArchiveEntry] = Field(min_length=1, max_length=MOST_ENTRIES, description="The files.")
    format: Literal["zip", "tar"] = "zip"
    name: str = Field(
        "", max_length=1000, description="Name under which the archive is saved; absent: archive.zip or .tar."
    )


def _complete_archive(input_: BlobArchive, resolver: ResourceResolver, path: str) -> BlobArchive:
    taken: set[str] = set()
    entries = [
        ArchiveEntry(
            image=resolver.picture(f"{path}entries[{index}].image", entry.image),
            name=_free_name(safe_name(entry.name) or f"{index + 1:04d}", taken),
        )
        for index, entry in enumerate(input_.entries)
    ]
    name = safe_name(input_.name) or f"archive.{input_.format}"
    return input_.model_copy(update={"entries": entries, "name": name})


def safe_name(text: str) -> str:
    """Return a file's name without folders and control characters; empty if nothing is left."""
    name = "".join(character for character in _PATHS.sub("", text) if character.isprintable()).strip(" .")
    if len(name.encode("utf-8", "replace")) <= _LONGEST_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    end = f".{extension}" if dot and len(extension) <= _LONGEST_EXTENSION else ""
    kept = (stem if end else name).encode("utf-8", "replace")[: _LONGEST_NAME - len(end.encode())]
    return kept.decode("utf-8", "ignore") + end


def _free_name(name: str, taken: set[str]) -> str:
    """Return the name, with a number where an earlier file has it, in whatever case."""
    stem, dot, extension = name.rpartition(".")
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{stem} ({number}){dot}{extension}" if dot and stem else f"{name} ({number})"
    taken.add(candidate.casefold())
    return candidate


def _plan_archive(input_: BlobArchive) -> Plan:
    entries: list[dict[str, Any]] = [{"source": each.image, "name": each.name} for each in input_.entries]
    arguments = {"entries": entries, "format": input_.format, "name": input_.name}
    return Plan(TaskSpec("blobArchive", arguments), outputs=1)


BLOB_ARCHIVE = Recipe(
    name="blobArchive",
    input=BlobArchive,
    complete=_complete_archive,
    plan=_plan_archive,
    model=no_model,
    rate=FREE,
    prompt_field="entries",
    summary="Several files as one ZIP or TAR file.",
    example={"entries": [{"image": EXAMPLE_PICTURE, "name": "fox.png"}], "format": "zip"},
)
