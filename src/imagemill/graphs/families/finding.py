"""Find the family of a model, by what is known of it."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from imagemill.domain.air import NO_FAMILY, family_of
from imagemill.domain.base_models import family_of_base_model
from imagemill.domain.dataclass import dataclass
from imagemill.graphs.families.table import Families, FamilyMatch
from imagemill.graphs.file_metadata import NO_METADATA, FileMetadata

FamilySource = Literal["air", "registry", "metadata", "name", "size", "unknown"]
"""Where a family is from, in the order in which they are tried: the AIR's ecosystem, the base model in the
registry, the file's metadata, its name and folder, a checkpoint's size; ``unknown``: nothing tells."""

_GB = 1_000_000_000
_SIZES = (
    (2.0, 2.2, "sd1"),  # 2.13 GB in half precision
    (4.2, 4.3, "sd1"),  # 4.27 GB in full precision
    (6.6, 7.1, "sdxl"),  # 6.94 GB in half precision
    (13.7, 14.0, "sdxl"),  # 13.88 GB in full precision
    (17.1, 17.3, "flux1"),  # 17.25 GB: 8 bits, with text encoders
)
"""Bounds in GB (10^9 bytes) that only the checkpoints of one family have, and this family."""
_ARCHITECTURES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"stable-diffusion-v?1\b", "sd1"),
        (r"stable-diffusion-v?2\b", "sd2"),
        (r"stable-diffusion-v?3", "sd3"),
        (r"stable-diffusion-xl", "sdxl"),
        (r"wan-?2\.?2.*5b", "wan22-5b"),
        (r"wan-?2\.?1", "wan21"),
    )
)
"""Patterns of architectures that are written in another way than files are named, and their families."""


_EXACT_NAMES = {"flux.1 s": "flux1-schnell", "flux.1 d": "flux1-dev"}
"""Base models whose names say less than those of files."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The facts that are known of a model. Each may be empty."""

    ecosystem: str = ""
    """The ecosystem of its AIR."""
    base_model: str = ""
    """Its base model in the registry, as Civitai names it."""
    metadata: FileMetadata = NO_METADATA
    file: str = ""
    """Its file, with the folder below that of its kind."""
    title: str = ""
    """Its name and version in the registry."""
    size: int | None = None
    """The bytes of a checkpoint with text encoders and VAE; None for other files."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that may distinguish a variant, the most exact first."""
        base_model = _EXACT_NAMES.get(self.base_model.lower(), self.base_model)
        named = (self.file, self.title, base_model, *_metadata_names(self.metadata))
        return tuple(filter(None, named))


@dataclass(frozen=True, slots=True)
class FoundFamily:
    """The family of a model, and where it is from."""

    name: str
    """Its name in the table; for another ecosystem, the ecosystem; empty where nothing tells."""
    source: FamilySource
    match: FamilyMatch | None = None
    """Its row in the table; None for a family that no graph can be built for."""

    @property
    def variant(self) -> str:
        return self.match.variant_name if self.match is not None else ""


def find_family(families: Families, facts: ModelFacts) -> FoundFamily:
    """Return the family of a model: by its AIR, else the registry, else the file's metadata, else its name,
    else a checkpoint's size. An AIR of an ecosystem without a row ends the search."""
    for source, name, match in _candidates(families, facts):
        if match is not None or name:
            return FoundFamily(match.family.name if match is not None else name, source, match)
    return FoundFamily("", "unknown")


def _candidates(
    families: Families, facts: ModelFacts
) -> Iterator[tuple[FamilySource, str, FamilyMatch | None]]:
    """Yield (source, name where it has no row, row) of each source in order."""
    ecosystem, names = facts.ecosystem.lower(), facts.names
    if ecosystem not in NO_FAMILY:
        match = families.find(ecosystem, *names) or families.find(family_of(ecosystem), *names)
        yield "air", family_of(ecosystem), match
    if facts.base_model:
        stated = family_of_base_model(facts.base_model) or ""
        match = families.find(stated, *names) if stated else families.guess(facts.base_model)
        yield "registry", stated, match
    yield "metadata", "", _by_metadata(families, facts)
    yield "name", "", _with_variant(families, families.guess(facts.file, facts.title), names)
    yield "size", "", families.find(_by_size(facts.size), *names)


def _by_metadata(families: Families, facts: ModelFacts) -> FamilyMatch | None:
    for text in _metadata_names(facts.metadata):
        name = next((name for pattern, name in _ARCHITECTURES if pattern.match(text)), "")
        match = families.find(name, *facts.names) or families.guess(text)
        if match is not None:
            return _with_variant(families, match, facts.names)
    return None


def _metadata_names(metadata: FileMetadata) -> tuple[str, ...]:
    """The architecture, without the part that says that it is a LoRA, and the base model."""
    named = (metadata.architecture.partition("/")[0].strip(), metadata.base_model)
    return tuple(filter(None, named))


def _with_variant(families: Families, match: FamilyMatch | None, names: Iterable[str]) -> FamilyMatch | None:
    """The same family, with the variant that all names suggest."""
    return match and families.find(match.family.name, *names)


def _by_size(size: int | None) -> str:
    found = (name for least, most, name in _SIZES if size and least * _GB <= size <= most * _GB)
    return next(found, "")
