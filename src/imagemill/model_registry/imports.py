"""Registering many models: the files of a node, and documents about models."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from imagemill.domain.air import InvalidAir, Resource
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict
from imagemill.graphs.families.finding import FamilySource, FoundFamily
from imagemill.model_registry.names import InstalledModel, same_name
from imagemill.model_registry.registry import PUBLISHED_FILES, Registry

ImportState = Literal["added", "linked", "present"]


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """One file of an import.

    ``linked``: a registered model got the file, as its name is the one under which the model is published.
    ``present``: the file is registered already.
    """

    name: str
    resource: Resource
    state: ImportState
    family_source: FamilySource


class ModelImport:
    """Registers files; ``dry`` only finds out what would be done."""

    def __init__(self, registry: Registry, *, family: str | None = None, dry: bool = False) -> None:
        self._registry = registry
        self._family = family
        self._dry = dry

    def run(self, models: Iterable[InstalledModel]) -> Iterator[ImportedModel]:
        """Yield each file with what became of it. A file whose name is too long for an AIR is left out."""
        for model in models:
            try:
                yield self._one(model)
            except InvalidAir:
                continue

    def _one(self, model: InstalledModel) -> ImportedModel:
        name = model.file.name
        if there := self._registry.of_file(name):
            return ImportedModel(name, there, "present", "air")
        if named := self._published(model):
            linked = replace(named, body={**named.body, "fileName": name})
            return ImportedModel(name, self._replaced(linked), "linked", "air")
        family = model.family if self._family is None else FoundFamily(self._family, "air")
        made = replace(model, family=family)
        resource = Resource(made.air, _fields(made))
        if not self._dry:
            try:
                resource = self._registry.add(resource)
            except Conflict:
                # Another import was faster, or a model under this AIR has another file.
                return ImportedModel(name, resource, "present", "air")
        return ImportedModel(name, resource, "added", made.family.source)

    def _replaced(self, resource: Resource) -> Resource:
        return resource if self._dry else self._registry.replace(resource)

    def _published(self, model: InstalledModel) -> Resource | None:
        """Return the registered model that is published as this file and that no node has under its AIR."""
        for key, published in PUBLISHED_FILES.items():
            if not same_name(published, model.file.name):
                continue
            resource = self._registry.find("air", key)
            if resource is None or resource.body.get("fileName") not in (None, published):
                continue
            if self._registry.installed.find(resource.path) is None:
                return resource
        return None


DocumentState = Literal["created", "changed", "unchanged"]


class DocumentImport:
    """Registers resources that documents describe; ``dry`` only finds out what would be done.

    A registered resource keeps the fields that a document does not have.
    """

    def __init__(self, registry: Registry, *, dry: bool = False) -> None:
        self._registry = registry
        self._dry = dry
        self._planned: dict[str, Resource] = {}

    def register(self, given: Resource, defaults: Mapping[str, object]) -> tuple[Resource, DocumentState]:
        """Register a resource or change it; ``defaults`` are fields for one that does not have them."""
        there = self._planned.get(given.air.key) or self._registry.registered(given.air)
        if there is None:
            made = Resource(given.air, {**defaults, **given.body})
            try:
                return self._stored(made, self._registry.add), "created"
            except Conflict:
                # Another import was faster.
                there = self._registry.get(str(given.air))
        merged = replace(there, body={**defaults, **there.body, **given.body})
        if merged.body == there.body:
            return there, "unchanged"
        return self._stored(merged, self._registry.replace), "changed"

    def _stored(self, resource: Resource, store: Callable[[Resource], Resource]) -> Resource:
        stored = resource if self._dry else store(resource)
        self._planned[resource.air.key] = stored
        return stored


def _fields(model: InstalledModel) -> dict[str, object]:
    """Return the fields of a new resource: a readable name, the file as the node lists it, and the facts of
    its header."""
    file = model.file
    title = file.metadata.title or file.name.replace("\\", "/").rsplit("/", 1)[-1].rpartition(".")[0]
    fields: dict[str, object] = {"modelName": title[:200], "fileName": file.name}
    if file.metadata.trigger_words:
        fields["trainedWords"] = list(file.metadata.trigger_words)
    if model.family.name:
        fields["tags"] = [model.family.name]
    if file.name.lower().endswith(".safetensors"):
        fields["fileFormat"] = "safeTensor"
    if file.size is not None:
        fields["size"] = file.size
    return fields
