"""The model registry: the models that jobs may use, and the meanings of short forms of AIRs."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from imagemill.db.database import WriteMode
from imagemill.domain.air import EXAMPLE, Air, InvalidAir, Resource, parse, short_version
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.model_registry.store import ResourceStore

_CACHE_S = 2.0
"""Seconds until a change by another process is seen."""
_CACHE_SIZE = 4096

REMEDY = "register it with `imagemill resources add` or POST /v2/resources"


class Registry:
    """The registered models. ``is_available`` returns whether a backend has an unregistered model."""

    def __init__(self, store: ResourceStore, *, strict: bool, is_available: Callable[[str], bool]) -> None:
        self._store = store
        self._strict = strict
        self._is_available = is_available
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, Resource]] = {}

    def lookup(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        """Return the resource a job names. Raises `InvalidInput` at ``path``, with how to register it.

        A checkpoint must be registered; other resources too, unless the registry is not strict and a
        backend has them.
        """
        resource = self.find(path, air)
        if resource is None:
            if short_version(air):
                raise InvalidInput.at(path, f"{air} is not registered; {REMEDY}")
            parsed = _parse(path, air)
            if not parsed.ecosystem or not parsed.type:
                raise InvalidInput.at(
                    path, f"no registered model is {air}; write its whole AIR, such as {EXAMPLE}, or {REMEDY}"
                )
            if kind == "checkpoint":
                raise InvalidInput.at(path, f"{air} is not registered; {REMEDY}")
            if self._strict or not self._is_available(parsed.key):
                mild = "; IMAGEMILL_RESOURCES__STRICT=false accepts it without" if self._strict else ""
                raise InvalidInput.at(path, f"{air} is not registered; {REMEDY}{mild}")
            return Resource(parsed)
        if kind == "checkpoint" and resource.air.type not in (None, "checkpoint", "model"):
            raise InvalidInput.at(path, f"{air} is a {resource.air.type}, not a checkpoint")
        return resource

    def find(self, path: str, air: str) -> Resource | None:
        """Return a resource. Raises `InvalidInput` for an invalid AIR or an ambiguous short form."""
        now = time.monotonic()
        with self._lock:
            cached = self._cache.get(air)
        if cached and cached[0] > now:
            return cached[1]
        version = short_version(air)
        resource = self._by_version(path, air, version) if version else self._by_air(path, air)
        if resource is not None:
            with self._lock:
                if len(self._cache) >= _CACHE_SIZE:
                    self._cache.clear()
                self._cache[air] = (now + _CACHE_S, resource)
        return resource

    def path_of(self, air: str) -> str | None:
        """Return the file name of the model on a node; None for an invalid AIR or an unknown short form."""
        try:
            resource = self.find("air", air)
            return resource.path if resource else parse(air).path
        except (InvalidInput, InvalidAir):
            return None

    def get(self, air: str) -> Resource:
        """Return a resource. Raises `NotFound`."""
        resource = self.find("air", air)
        if resource is None:
            raise NotFound(f"{air} is not registered")
        return resource

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
        try:
            return self.add(resource), True
        except Conflict:
            there = self._store.get(resource.air.key)
            if there is None:
                raise
            if resource.body.items() <= there.body.items():
                return there, False
            if there.body != _SEED_BODIES.get(there.air.key):
                raise
            return self.replace(Resource(resource.air, {**there.body, **resource.body})), True

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

    def _by_air(self, path: str, air: str) -> Resource | None:
        """Return the resource of an AIR. One of Civitai's is also found without its ecosystem and type, and
        with the format of its file."""
        named = _parse(path, air)
        exact = self._store.get(named.key)
        if exact is not None or named.version is None or short_version(named.short) is None:
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
        and named.type in (None, air.type)
        and (named.file_id is None or air.file_id in (None, named.file_id))
        and (named.format is None or air.format is None or named.format.lower() == air.format.lower())
    )


def _parse(path: str, air: str) -> Air:
    try:
        return parse(air)
    except InvalidAir as error:
        raise InvalidInput.at(path, str(error)) from error


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
