"""The table of model families: the package's rows, merged with those of the data folder."""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError
from imagemill.domain.field_messages import field_message
from imagemill.graphs.families.rows import Family, Variant, matches, normalise_name
from imagemill.graphs.json_access import is_object

USER_FILE = "families.toml"
"""The file in the data folder with a user's own rows."""
_FILES = ("flux", "qwen", "images", "video", "stable_diffusion")
"""The package's files in the order in which their rows are tried; "xl" and the like are the least certain."""
_OF_FAMILY = ("title", "kind", "ecosystems", "match")
"""Keys of a row that are not shared by its variants."""
_OWN_KEYS = (*_OF_FAMILY, "extends", "variants")
_WHOLE = {"node", "name", "kind"}
"""Keys of tables that are replaced whole where a row changes them."""
_NOT_INHERITED = (*_OWN_KEYS, "files", "template", "edit_template")

Raw = Mapping[str, Any]
_ONE_VARIANT: Raw = {"base": {}}
_Model = TypeVar("_Model", Family, Variant)


class InvalidFamilies(ImagemillError):
    """A file of model families that cannot be used; the message names the row, the field and the remedy."""

    code = "invalid_families"


@dataclass(frozen=True, slots=True)
class FamilyMatch:
    """A family, and one of its variants."""

    family: Family
    variant_name: str

    @property
    def variant(self) -> Variant:
        return self.family.variants[self.variant_name]

    @property
    def title(self) -> str:
        """The words for messages: "Z-Image Turbo"."""
        return self.variant.title or self.family.title


_MOST_FOUND = 4096
"""Answers that are kept; names of models are clients' texts, so there may be any number."""


class Families:
    """The table. Immutable; safe to share between threads.

    ``rows`` returns the families by name, and is called at the first use: reading the files takes 18 ms.
    """

    def __init__(self, rows: Callable[[], Mapping[str, Family]]) -> None:
        self._read = rows
        self._found: dict[tuple[str, ...], FamilyMatch | None] = {}
        """Answers of `find`: each job asks several times for the same model, for 0.1 ms each."""

    @cached_property
    def _rows(self) -> Mapping[str, Family]:
        return self._read()

    def __iter__(self) -> Iterator[Family]:
        """The families in the order in which they are tried."""
        return iter(self._rows.values())

    def get(self, name: str) -> Family | None:
        return self._rows.get(name.lower())

    def names(self, kind: str = "image") -> tuple[str, ...]:
        """The names of the families that make pictures (or videos), sorted."""
        return tuple(sorted(family.name for family in self if family.kind == kind))

    def find(self, ecosystem: str, *names: str, variant: str = "") -> FamilyMatch | None:
        """Return the family and variant of a model by the ecosystem of its AIR, or by a family's name.

        ``names``: the model's file, title or base model; they decide where several families share an
        ecosystem, and choose the variant unless ``variant`` names it. None for an unknown ecosystem.
        """
        key = (ecosystem, variant, *names)
        try:
            return self._found[key]
        except KeyError:
            found = self._find(ecosystem, names, variant)
        if len(self._found) >= _MOST_FOUND:
            self._found.clear()
        self._found[key] = found
        return found

    def _find(self, ecosystem: str, names: tuple[str, ...], variant: str) -> FamilyMatch | None:
        wanted = ecosystem.lower()
        named = self._rows.get(wanted)
        candidates = [each for each in self if each is named or (wanted and wanted in each.ecosystems)]
        if not candidates:
            return None
        # Where an ecosystem has the name of its main family, a file may still say that it is another one.
        family = _first_fit(candidates, names) or named or candidates[0]
        return _matched(family, names, wanted, variant)

    def guess(self, *names: str) -> FamilyMatch | None:
        """Return the family and variant that a model's file, title or base model suggests; None if none."""
        family = _first_fit(list(self), names)
        return _matched(family, names, "", "") if family is not None else None


def _first_fit(families: list[Family], names: tuple[str, ...]) -> Family | None:
    """The first family that fits the first name which any fits; a file's folder counts after its name."""
    folders = (part for name in names for part in reversed(name.replace("\\", "/").split("/")[:-1]))
    for name in map(normalise_name, (*names, *folders)):
        for family in families:
            if name and matches(family.match, name):
                return family
    return None


def _matched(family: Family, names: tuple[str, ...], ecosystem: str, variant: str) -> FamilyMatch:
    if variant in family.variants:
        return FamilyMatch(family, variant)
    return FamilyMatch(family, family.variant_of(*names, ecosystem=ecosystem))


# Reading.


@cache
def built_in() -> Families:
    """The package's own table."""
    return Families(lambda: _validate(_built_in_rows(), "the table of model families"))


def load_families(data_dir: Path) -> Families:
    """The table with the rows of `USER_FILE` in the data folder, which come first; a known name replaces.

    Raises `InvalidFamilies` for a file that cannot be used.
    """
    path = data_dir / USER_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return built_in()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFamilies(f"{path} cannot be read: {error}") from error
    own = _validate(_parse(text, str(path)), str(path), _built_in_rows())
    rows = {**own, **{each.name: each for each in built_in() if each.name not in own}}
    return Families(lambda: rows)


@cache
def _built_in_rows() -> dict[str, Raw]:
    rows: dict[str, Raw] = {}
    for name in _FILES:
        file = files(__package__ or __name__).joinpath(f"{name}.toml")
        rows |= _parse(file.read_text(encoding="utf-8"), file.name)
    return rows


def _parse(text: str, where: str) -> dict[str, Raw]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidFamilies(f"{where} is no TOML: {error}") from error
    for name, row in content.items():
        if not is_object(row):
            raise InvalidFamilies(
                f"{where}: {name} should be a table, as in [{name}]; see docs/model-families.md"
            )
    return content


def _validate(
    rows: Mapping[str, Raw], where: str, others: Mapping[str, Raw] | None = None
) -> dict[str, Family]:
    """Return the families of raw rows. ``others``: further rows that they may extend."""
    known = {**(others or {}), **rows}
    return {name: _family(name, _extended(name, row, known, where), where) for name, row in rows.items()}


def _extended(name: str, row: Raw, known: Mapping[str, Raw], where: str, depth: int = 0) -> Raw:
    """The row over the one, or its variant, that it extends; names and variants are not inherited."""
    wanted = row.get("extends")
    if wanted is None:
        return row
    base_name, _, variant = wanted.partition(".") if isinstance(wanted, str) else ("", "", "")
    base = known.get(base_name) if base_name != name else None
    if base is None or depth > len(known) or (variant and variant not in base.get("variants", {})):
        raise InvalidFamilies(
            f"{where}: {name}.extends is {wanted!r}, which is no other row; write a name such as "
            "'zimage', or 'zimage.turbo' for a variant"
        )
    inherited = _extended(base_name, base, known, where, depth + 1)
    if variant:
        inherited = _merge(inherited, inherited["variants"][variant])
    shared = {key: value for key, value in inherited.items() if key not in _NOT_INHERITED}
    return _merge(shared, {key: value for key, value in row.items() if key != "extends"})


def _family(name: str, row: Raw, where: str) -> Family:
    shared = {key: value for key, value in row.items() if key not in _OWN_KEYS}
    variants: object = row.get("variants") or _ONE_VARIANT
    if not is_object(variants) or not all(is_object(each) for each in variants.values()):
        raise InvalidFamilies(f"{where}: {name}.variants should be tables, as in [{name}.variants.turbo]")
    made: dict[str, Variant] = {}
    for key, own in variants.items():
        shown = f"{name}.variants.{key}" if "variants" in row else name
        made[key] = _checked(Variant, _merge(shared, own), where, shown)
    content = {key: row[key] for key in _OF_FAMILY if key in row}
    of_variants = [ecosystem for each in made.values() for ecosystem in each.ecosystems]
    if of_variants and isinstance(content.setdefault("ecosystems", []), list):
        content["ecosystems"] = [*content["ecosystems"], *of_variants]
    return _checked(Family, {**content, "name": name, "variants": made}, where, name)


def _checked(model: type[_Model], content: Raw, where: str, shown: str) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join([shown, *map(str, fault["loc"])])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InvalidFamilies(f"{where}: {field} {field_message(fault)}{more}") from error


def _merge(base: Raw, over: Raw) -> dict[str, Any]:
    """Merge tables key by key, those with a key of `_WHOLE` as one."""
    merged = dict(base)
    for key, value in over.items():
        there = merged.get(key)
        if is_object(there) and is_object(value) and not _WHOLE & value.keys():
            merged[key] = _merge(there, value)
        else:
            merged[key] = value
    return merged
