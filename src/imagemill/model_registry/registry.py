"""The model registry: the models that jobs may use, and the meanings of short forms of AIRs."""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagemill.db.database import WriteMode
from imagemill.domain.air import EXAMPLE, FILE, MAX_LENGTH, Air, InvalidAir, Resource, parse, short_version
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.images import ImageSpec, RenderSpec
from imagemill.domain.model_families import BUILT
from imagemill.graphs.builder import LORA_TYPES
from imagemill.graphs.node_models import LOADERS
from imagemill.model_registry.family_support import FamilySupport
from imagemill.model_registry.names import (
    InstalledModel,
    InstalledModels,
    same_file,
    unknown_name,
)
from imagemill.model_registry.store import ResourceStore

_CACHE_S = 2.0
"""Seconds until a change by another process is seen."""
_CACHE_SIZE = 4096

DEFAULT_TAG = "default"
"""The tag of the checkpoint for requests that name none."""
_MOST_OF_A_FILE = 50
"""Registered models of one file name that are compared; a search finds longer names too."""
_MOST_DEFAULTS = 500
_PREFIXED = re.compile(r"\s*(urn|air):", re.IGNORECASE)
"""The beginning of a text that is meant as an AIR and not as a file."""

REMEDY = "register it with `imagemill resources add` or POST /v2/resources"


class Registry:
    """The registered models, and those that are known by the files of the nodes.

    ``is_available`` returns whether a backend has an unregistered model.
    """

    def __init__(
        self,
        store: ResourceStore,
        *,
        strict: bool,
        is_available: Callable[[str], bool],
        installed: InstalledModels | None = None,
    ) -> None:
        self._store = store
        self._strict = strict
        self._is_available = is_available
        self.installed = installed or InstalledModels()
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, Resource]] = {}

    def lookup(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        """Return the resource a job names, by an AIR or a file. Raises `InvalidInput` with the remedy.

        A checkpoint that is named by an AIR must be registered; other resources too, unless the registry is
        not strict and a backend has them.
        """
        resource = self.find(path, air, kind)
        if resource is None:
            if short_version(air):
                raise InvalidInput.at(path, f"{air} is not registered; {REMEDY}")
            parsed = _parse(path, air)
            if not parsed.ecosystem or not parsed.type:
                raise InvalidInput.at(
                    path, f"no registered model is {air}; write its whole AIR, such as {EXAMPLE}, or {REMEDY}"
                )
            if kind == "checkpoint":
                raise InvalidInput.at(path, f"{air} is not registered{self._other_name(parsed)}; {REMEDY}")
            if self._strict or not self._is_available(parsed.key):
                mild = "; IMAGEMILL_RESOURCES__STRICT=false accepts it without" if self._strict else ""
                raise InvalidInput.at(
                    path, f"{air} is not registered{self._other_name(parsed)}; {REMEDY}{mild}"
                )
            return self._with_family(Resource(parsed))
        if kind == "checkpoint" and not resource.air.is_checkpoint:
            raise InvalidInput.at(path, f"{air} is a {resource.air.type}, not a checkpoint")
        return resource

    def find(self, path: str, air: str, kind: str | None = None) -> Resource | None:
        """Return a resource by its AIR or its file; None for an AIR that is not registered.

        Raises `InvalidInput` for a text that is neither, and for an ambiguous short form. ``kind`` is the
        kind of file that is searched first.
        """
        now, cached_as = time.monotonic(), f"{kind}|{air}"
        with self._lock:
            cached = self._cache.get(cached_as)
        if cached and cached[0] > now:
            return cached[1]
        resource = self._find(path, air, kind)
        if resource is not None:
            resource = self._with_family(resource)
            with self._lock:
                if len(self._cache) >= _CACHE_SIZE:
                    self._cache.clear()
                self._cache[cached_as] = (now + _CACHE_S, resource)
        return resource

    def _with_family(self, resource: Resource) -> Resource:
        found = self.installed.find_family(resource)
        if found.match is None:
            return resource
        return replace(resource, found_family=found.name, variant=found.variant)

    def _find(self, path: str, text: str, kind: str | None) -> Resource | None:
        if version := short_version(text):
            return self._by_version(path, text, version)
        try:
            parsed = parse(text)
        except InvalidAir as error:
            if len(text) > MAX_LENGTH or not text.isprintable() or _PREFIXED.match(text) or not text.strip():
                raise InvalidInput.at(path, str(error)) from error
            return self._by_file(path, text, kind)
        stored = self._by_air(path, text)
        if stored is not None or parsed.source.lower() != FILE:
            return stored
        found = self._by_file(path, parsed.path, kind or parsed.type)
        return (
            Resource(parsed, {"fileName": found.path}) if parsed.ecosystem and not found.created_at else found
        )

    def _by_file(self, path: str, name: str, kind: str | None) -> Resource:
        """Return the model of a file, registered or not. Raises `InvalidInput` with the names there are."""
        kind = kind if kind in LOADERS else None
        model = self.installed.find(name, kind) or self.installed.find(name)
        wanted = model.file.name if model else name
        if registered := self.of_file(wanted):
            return registered
        if model is not None:
            return _made(path, model)
        resource = None if self.installed.is_known else self.installed.assumed(name, kind)
        if resource is None:
            raise InvalidInput.at(path, unknown_name(name, self.installed, kind))
        return resource

    def default_checkpoint(self, path: str, family: str | None = None) -> Resource:
        """Return the checkpoint of a request that names none, of ``family`` if there is one.

        It is one that a node has, as long as nodes with checkpoints are known; a registered one with the tag
        `DEFAULT_TAG` is preferred. Raises `InvalidInput` at ``path`` where there is none.
        """
        installed = [model for model in self.installed.all() if model.file.kind == "checkpoint"]
        if installed:
            support = FamilySupport(self.installed)
            installed = [model for model in installed if not support.lacking(model)] or installed
            candidates = [self._by_file(path, model.file.name, "checkpoint") for model in installed]
        elif self.installed.is_known:
            raise InvalidInput.at(
                path,
                "is required: no node has a checkpoint; put one into ComfyUI's folder models/checkpoints",
            )
        else:
            candidates = [
                each for each in self._store.page("", 0, _MOST_DEFAULTS)[1] if each.air.is_checkpoint
            ]
        candidates = [self._with_family(each) for each in candidates]
        ranked = [each for each in candidates if self._suits_any_prompt(each) or _is_tagged(each)]
        if not ranked:
            raise InvalidInput.at(path, f"is required: no model can be a default here; {REMEDY}")
        return min(ranked, key=lambda each: _default_order(each, family))

    def make_default(self, path: str, air: str) -> Resource:
        """Make a registered checkpoint the default of its family, in place of another.

        Raises `NotFound`, and `InvalidInput` at ``path`` for another type.
        """
        chosen = self._with_family(self.get(air))
        if not chosen.air.is_checkpoint:
            raise InvalidInput.at(
                path, f"is a {chosen.air.type or 'file'}; only a checkpoint can be a default"
            )
        for other in self.defaults().values():
            if other.family == chosen.family and other.air.key != chosen.air.key:
                self.replace(replace(other, body=_with_tag(other, is_default=False)))
        return chosen if _is_tagged(chosen) else self.replace(replace(chosen, body=_with_tag(chosen)))

    def defaults(self) -> Mapping[str, Resource]:
        """Return the registered checkpoints with the tag `DEFAULT_TAG`, by family."""
        stored = map(self._with_family, self._store.page(DEFAULT_TAG, 0, _MOST_DEFAULTS)[1])
        return {each.family: each for each in stored if each.air.is_checkpoint and _is_tagged(each)}

    def _suits_any_prompt(self, resource: Resource) -> bool:
        """Whether it makes pictures from a prompt alone."""
        found = self.installed.families.find(resource.found_family, variant=resource.variant)
        return (
            found is not None
            and found.family.kind == "image"
            and not (found.variant.needs_reference or found.variant.needs_mask)
        )

    def missing_hint(self, work: RenderSpec) -> str:
        """See `InstalledModels.missing_hint`."""
        names: list[str] = []
        if isinstance(work, ImageSpec) and (resource := self._stored(work.model)):
            published = PUBLISHED_FILES.get(resource.air.key)
            names = [name for name in (published, resource.title) if name]
        return self.installed.missing_hint(work, names)

    def path_of(self, air: str) -> str | None:
        """Return the file name of the model on a node; None for an invalid AIR or an unknown short form."""
        try:
            resource = self.find("air", air)
            return resource.path if resource else parse(air).path
        except (InvalidInput, InvalidAir):
            return None

    def get(self, air: str) -> Resource:
        """Return a registered resource by its AIR or file. Raises `NotFound`."""
        resource = self.find("air", air)
        if resource is None or not resource.created_at:
            raise NotFound(f"{air} is not registered; {REMEDY}")
        return resource

    def registered(self, air: Air) -> Resource | None:
        """Return the resource that is registered under this AIR or another spelling of it.

        Raises `InvalidInput` where several may be meant.
        """
        return self._by_air("air", str(air))

    def of_file(self, name: str) -> Resource | None:
        """Return the registered resource that a node should have in this file, in any folder."""
        base = name.replace("\\", "/").rsplit("/", 1)[-1]
        found = self._store.page(base, 0, _MOST_OF_A_FILE)[1]
        return next((each for each in found if same_file(each.path, name)), None)

    def page(self, query: str, page: int, limit: int) -> tuple[int, list[Resource]]:
        return self._store.page(query, (page - 1) * limit, limit)

    def add(self, resource: Resource) -> Resource:
        """Add a resource. Raises `Conflict` when it exists."""
        return self._put(resource, WriteMode.CREATE)

    def register(self, resource: Resource) -> tuple[Resource, bool]:
        """Add a resource; return the stored one, and whether anything was written.

        One that is there with every given field is no conflict, as a client may register its models at each
        start; and the fields complete an unchanged one of `SEED`. Raises `Conflict` for other fields.
        """
        there = self.registered(resource.air)
        if there is None:
            try:
                return self.add(resource), True
            except Conflict:
                there = self._store.get(resource.air.key)
                if there is None:
                    raise
        if resource.body.items() <= there.body.items():
            return there, False
        if there.body != _SEED_BODIES.get(there.air.key):
            raise Conflict(
                f"{there.air} is registered already, with other fields; change them by PUT or PATCH"
            )
        return self.replace(Resource(there.air, {**there.body, **resource.body})), True

    def replace(self, resource: Resource) -> Resource:
        """Replace a resource. Raises `NotFound` for an unknown one."""
        there = self._store.get(resource.air.key)
        return self._put(replace(resource, created_at=there.created_at if there else 0), WriteMode.REPLACE)

    def remove(self, air: str) -> None:
        self._put(self.get(air), WriteMode.DELETE)

    def seed(self) -> int:
        """Fill an empty registry with `SEED`; return the number of added resources."""
        if self._store.page("", 0, 1)[0]:
            return 0
        added = 0
        for resource in SEED:
            try:
                self.add(resource)
                added += 1
            except Conflict:
                # Another process fills the registry at the same time.
                continue
        return added

    def _put(self, resource: Resource, mode: WriteMode) -> Resource:
        now = now_us()
        stored = self._store.put(resource, mode, now)
        with self._lock:
            self._cache.clear()
        return replace(stored, created_at=stored.created_at or now, updated_at=now)

    def _other_name(self, air: Air) -> str:
        """Return the AIRs under which the version of an unknown AIR is registered, beginning with a comma."""
        found = self._store.by_version(air.version or "") if air.is_civitai_version else []
        return f", but {' and '.join(str(each.air) for each in found)}" if found else ""

    def _stored(self, air: str) -> Resource | None:
        """Return the resource that is registered under a canonical AIR."""
        try:
            return self._store.get(parse(air).key)
        except InvalidAir:
            return None

    def _by_air(self, path: str, air: str) -> Resource | None:
        """Return the resource of an AIR. One of Civitai's is also found without its ecosystem and type, and
        with the format of its file."""
        named = _parse(path, air)
        exact = self._store.get(named.key)
        if exact is not None or named.version is None or not named.is_civitai_version:
            return exact
        of_version = self._store.by_version(named.version)
        return self._only(path, air, [each for each in of_version if _fits(named, each.air)])

    def _by_version(self, path: str, air: str, version: str) -> Resource | None:
        return self._only(path, air, self._store.by_version(version))

    def _only(self, path: str, air: str, found: Sequence[Resource]) -> Resource | None:
        if len(found) > 1:
            names = ", ".join(str(resource.air) for resource in found)
            raise InvalidInput.at(path, f"{air} may mean {names}; write the whole AIR")
        return found[0] if found else None


def _fits(named: Air, air: Air) -> bool:
    """Whether an AIR names another one, or leaves parts of it out."""
    return (
        named.id.lower() == air.id.lower()
        and (named.ecosystem is None or named.family == air.family)
        and (named.type is None or _kind(named) == _kind(air))
        and (named.format is None or air.format is None or named.format.lower() == air.format.lower())
    )


def _kind(air: Air) -> str | None:
    """Return the type of an AIR; one for all types that nodes load in the same way."""
    if air.is_checkpoint:
        return "checkpoint"
    return "lora" if air.type in LORA_TYPES else air.type


def _parse(path: str, air: str) -> Air:
    try:
        return parse(air)
    except InvalidAir as error:
        raise InvalidInput.at(path, str(error)) from error


def _made(path: str, model: InstalledModel) -> Resource:
    try:
        return Resource(model.air, {"fileName": model.file.name})
    except InvalidAir as error:
        raise InvalidInput.at(path, str(error)) from error


def _is_tagged(resource: Resource) -> bool:
    return DEFAULT_TAG in (resource.body.get("tags") or ())


def _with_tag(resource: Resource, *, is_default: bool = True) -> Mapping[str, Any]:
    tags = [tag for tag in resource.body.get("tags") or () if tag != DEFAULT_TAG]
    return {**resource.body, "tags": [*tags, DEFAULT_TAG] if is_default else tags}


def _default_order(resource: Resource, family: str | None) -> tuple[bool, bool, bool, bool, int, str]:
    """The smallest is the default. Inpainting models and refiners make poor first pictures."""
    air, name = resource.air, resource.path.lower()
    place = BUILT.index(resource.family) if resource.family in BUILT else len(BUILT)
    return (
        family is not None and resource.family != family,
        not _is_tagged(resource),
        "inpaint" in name or "refiner" in name,
        not resource.created_at,
        place,
        air.key,
    )


def _seed(air: str, model: str, version: str, size: int, tags: Sequence[str], **body: str) -> Resource:
    return Resource(
        parse(air),
        {
            **body,
            "modelName": model,
            "versionName": version,
            "size": size,
            "tags": list(tags),
            "fileFormat": "safeTensor",
            "canGenerate": True,
        },
    )


# The public models in the samples of the published clients.
SEED = (
    _seed("urn:air:sd1:checkpoint:civitai:4384@128713", "DreamShaper", "8", 2_132_625_894, ["sd1", "base"]),
    _seed("urn:air:sdxl:checkpoint:civitai:101055@128078", "SD XL", "v1.0", 6_938_078_334, ["sdxl", "base"]),
    _seed("urn:air:sd1:lora:civitai:82098@87153", "Add More Details", "v1.0", 9_555_563, ["sd1", "detail"]),
    _seed("urn:air:flux1:checkpoint:civitai:618692@691639", "FLUX", "Dev", 23_802_932_552, ["flux1", "base"]),
    _seed(
        "urn:air:flux1:checkpoint:civitai:618692@699279",
        "FLUX",
        "Schnell",
        23_782_506_688,
        ["flux1", "base"],
        # Nodes recognize by its name alone that it takes no guidance.
        fileName="flux1-schnell.safetensors",
    ),
)
_SEED_BODIES = {resource.air.key: resource.body for resource in SEED}

PUBLISHED_FILES = {
    "urn:air:sd1:checkpoint:civitai:4384@128713": "dreamshaper_8.safetensors",
    "urn:air:sdxl:checkpoint:civitai:101055@128078": "sd_xl_base_1.0.safetensors",
    "urn:air:sd1:lora:civitai:82098@87153": "more_details.safetensors",
    "urn:air:flux1:checkpoint:civitai:618692@691639": "flux1-dev.safetensors",
    "urn:air:flux1:checkpoint:civitai:618692@699279": "flux1-schnell.safetensors",
}
"""AIR in lower case -> the name under which the file is published: so people have it on their nodes."""
