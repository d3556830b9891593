"""Models by the names of their files: what the nodes have, and which of it a name, or no name, means."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial

from imagemill.domain.air import EXAMPLE, FILE, Air, Resource, file_air, parse
from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import GraphSpec, ImageSpec, RenderSpec
from imagemill.graphs.families.finding import FoundFamily, ModelFacts, find_family
from imagemill.graphs.families.table import Families, built_in
from imagemill.graphs.node_models import LOADERS, NodeFile, NodeModels, has_model_extension

_MOST_NEAR = 3
_LEAST_LIKENESS = 0.5
"""Similarity from 0 to 1 above which a name is suggested."""
_COPIES = re.compile(r"[^a-z0-9]+")
_TYPES = {"text_encoder": "text_encoders"}
"""Kind of file -> type of an AIR, where they differ."""


_MOST_FOUND = 4096
"""Models whose families are remembered."""


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model file that one or more nodes have."""

    file: NodeFile
    nodes: tuple[str, ...]
    family: FoundFamily

    @property
    def air(self) -> Air:
        """The AIR made from the file. Raises `InvalidAir` for a name too long."""
        kind = self.file.kind
        return file_air(self.file.name, _TYPES.get(kind, kind), self.family.name)


class InstalledModels:
    """The model files of the nodes that this process has read. ``read`` is cheap and asks no node."""

    def __init__(
        self, read: Callable[[], Sequence[NodeModels]] = lambda: (), families: Families | None = None
    ) -> None:
        self._read = read
        self.families = families or built_in()
        self._find_family = lru_cache(_MOST_FOUND)(partial(find_family, self.families))

    def nodes(self) -> Sequence[NodeModels]:
        """Return the models of each node."""
        return self._read()

    @property
    def is_known(self) -> bool:
        """Whether there is a node, and the files of every node have been read."""
        nodes = self._read()
        return bool(nodes) and all(node.catalogue is not None for node in nodes)

    def all(self, node: str | None = None) -> list[InstalledModel]:
        """Return every file once, with the nodes that have it, by kind and name."""
        nodes: dict[tuple[str, str], list[str]] = {}
        files: dict[tuple[str, str], NodeFile] = {}
        for each in self._read():
            if node is not None and each.node != node:
                continue
            for file in each.files():
                key = (file.kind, file.name.replace("\\", "/").casefold())
                nodes.setdefault(key, []).append(each.node)
                if key not in files or files[key].size is None:
                    files[key] = file
        kinds = list(LOADERS)
        order = sorted(files, key=lambda key: (kinds.index(key[0]), key[1]))
        return [self._installed(files[key], nodes[key]) for key in order]

    def find(self, name: str, kind: str | None = None) -> InstalledModel | None:
        """Return the model of a file name in any case, with or without its folder and extension."""
        for each in [kind] if kind else LOADERS:
            found = [(file, node.node) for node in self._read() if (file := node.find(each, name))]
            if found:
                return self._installed(found[0][0], [node for _, node in found])
        return None

    def find_family(self, resource: Resource) -> FoundFamily:
        """Return the family of a model by its AIR, the registry, and the file that nodes have of it."""
        air, base_model = resource.air, resource.body.get("baseModel")
        kind = next((kind for kind in LOADERS if kind == (air.type or "checkpoint")), None)
        model = self.find(resource.path, kind or ("checkpoint" if air.is_checkpoint else None))
        facts = ModelFacts(
            ecosystem=air.ecosystem or "",
            base_model=base_model if isinstance(base_model, str) else "",
            file=resource.path,
            title=resource.title,
        )
        return self._find_family(facts if model is None else _with_file(facts, model.file))

    def assumed(self, name: str, kind: str | None) -> Resource | None:
        """Return the model of a file name that no node can confirm; None if it does not look like one."""
        parts = name.replace("\\", "/").split("/")
        if not has_model_extension(name) or ".." in parts or not all(parts):
            return None
        family = self._find_family(ModelFacts(file=name)).name
        return Resource(file_air(name, kind or "checkpoint", family), {"fileName": name})

    def _installed(self, file: NodeFile, nodes: Sequence[str]) -> InstalledModel:
        family = self._find_family(_with_file(ModelFacts(file=file.name), file))
        return InstalledModel(file, tuple(nodes), family)

    def near(self, name: str, kind: str = "checkpoint") -> list[str]:
        """Return the names of installed files that are most like ``name``, best first."""
        names = [model.file.name for model in self.all() if model.file.kind == kind]
        by_stem = {_stem(each): each for each in names}
        found = difflib.get_close_matches(_stem(name), by_stem, n=_MOST_NEAR, cutoff=_LEAST_LIKENESS)
        return [by_stem[stem] for stem in found] or names[:_MOST_NEAR]

    def missing_hint(self, work: RenderSpec, names: Iterable[str] = ()) -> str:
        """Return what to do where no node has the checkpoint of a render, beginning with a semicolon.

        ``names``: what the model is called besides its file. Empty where the checkpoint is not what is
        missing.
        """
        wanted = _checkpoint_file(work)
        if not wanted or not self.is_known or self.find(wanted, "checkpoint"):
            return ""
        near: list[str] = []
        for name in (*names, wanted):
            near += [each for each in self.near(name) if each not in near]
        if not near:
            return "; no node has a checkpoint: put one into ComfyUI's folder models/checkpoints"
        listed = " or ".join(near[:_MOST_NEAR])
        hint = f"; name a file that is there as the model, such as {listed} (all: imagemill models list)"
        if not isinstance(work, ImageSpec) or parse(work.model).source == FILE:
            return hint
        return (
            f"{hint}, or say which file the model is: imagemill resources set {work.model} --file {near[0]}"
        )


def _checkpoint_file(work: RenderSpec) -> str:
    """Return the file of the checkpoint that a render names first; empty where it names none by a file."""
    if isinstance(work, ImageSpec):
        return "" if work.remote is not None else work.model_path
    models = work.models if isinstance(work, GraphSpec) else ()
    return next((each.removeprefix("file:") for each in models if each.startswith("file:")), "")


def unknown_name(name: str, installed: InstalledModels, kind: str | None) -> str:
    """Return why a name means no model, with the names that are there."""
    near = installed.near(name, kind or "checkpoint")
    shown = repr(name[:80])
    if not near:
        return f"{shown} is not an AIR; one looks like {EXAMPLE}, and no node has a model file of this name"
    return (
        f"{shown} is not an AIR, and no node has a model file of this name; there are {', '.join(near)}; "
        "`imagemill models list` lists all"
    )


def same_file(registered: str, wanted: str) -> bool:
    """Whether two names are the same file in any case; a name without a folder fits any folder."""
    one, two = (name.replace("\\", "/").strip("/").casefold() for name in (registered, wanted))
    if "/" in one and "/" in two:
        return one == two
    one, two = one.rsplit("/", 1)[-1], two.rsplit("/", 1)[-1]
    return one == two or (not has_model_extension(two) and one.rpartition(".")[0] == two)


def same_name(first: str, second: str) -> bool:
    """Whether two names of files are equal apart from folder, case, separators and extension."""
    return _stem(first) == _stem(second)


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = base.rpartition(".")[0] if has_model_extension(base) else base
    return _COPIES.sub("", stem.lower())


def _with_file(facts: ModelFacts, file: NodeFile) -> ModelFacts:
    """Add the facts of a node's file. The size tells something of whole checkpoints only."""
    size = file.size if file.folder == "checkpoints" else None
    return replace(facts, metadata=file.metadata, size=size)
