"""Workflows as recipes: graphs that users add, with the inputs found in them, and the built-in ones."""

import hashlib
import json
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagemill.db.database import WriteMode
from imagemill.domain.access import Caller
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, FieldError, Forbidden, InvalidInput, NotFound
from imagemill.graphs import graph, manifest
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.detect_inputs import read
from imagemill.graphs.errors import InvalidGraph, InvalidWorkflow
from imagemill.graphs.graph import Graph
from imagemill.graphs.manifest import Input, Workflow
from imagemill.graphs.ui_format import convert
from imagemill.jobs.submit import JobRequest
from imagemill.workflows.proposal import Proposal, propose
from imagemill.workflows.store import (
    SHARED,
    PutWorkflow,
    StoredWorkflow,
    WorkflowKey,
    WorkflowStore,
    WorkflowText,
)

BUILT_IN = 0
"""The version of a workflow that is part of the program."""
_MANIFEST_BYTES = 2 * 2**20
"""The largest manifest. Larger ones take seconds to read; the largest published workflows have a tenth."""
_TITLE = 200
_RESERVED = frozenset({"propose"})
_CACHE_SIZE = 512


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """One version of a workflow. They are cached as objects, so that each is read once."""

    workflow: Workflow
    version: int
    text: str
    """The manifest as it was written, with the graph in it."""
    created_at: int | None = None
    deleted_at: int | None = None
    space: str = SHARED
    """The space it belongs to; see `imagemill.workflows.store`."""

    @property
    def is_built_in(self) -> bool:
        return self.version == BUILT_IN


def spaces_of(caller: Caller) -> tuple[str, ...]:
    """Return the spaces in which the caller's workflows are looked up; the first one with a name is used.

    An end user runs the workflows of its account, since the account's own key makes all its requests.
    """
    return tuple(dict.fromkeys((caller.owner, caller.account, SHARED)))


class Workflows:
    """The workflows. ``spaces`` are those of `spaces_of`; ``space`` is the one in which a workflow is
    changed.

    ``catalogues`` returns the classes and models of the known nodes, for reading and converting graphs.
    """

    def __init__(
        self,
        store: WorkflowStore,
        catalogues: Callable[[], Sequence[Catalogue]],
        built_in: Sequence[Workflow] = (),
    ) -> None:
        self._store = store
        self._catalogues = catalogues
        self._built_in = {
            each.name: WorkflowVersion(each, BUILT_IN, manifest.to_text(each)) for each in built_in
        }
        self._lock = threading.Lock()
        self._cache: dict[WorkflowKey, WorkflowVersion] = {}

    def views(self, spaces: Sequence[str] = (SHARED,)) -> list[WorkflowVersion]:
        """Return the newest version of each workflow, the built-in ones first.

        A workflow of an earlier space hides those of its name in later ones.
        """
        seen: dict[str, WorkflowKey] = {}
        for key in self._store.heads(spaces):
            if key.name not in seen or spaces.index(key.space) < spaces.index(seen[key.name].space):
                seen[key.name] = key
        built_in = [kept for name, kept in self._built_in.items() if name not in seen]
        with self._lock:
            known = {key: self._cache.get(key) for key in seen.values()}
        found = [kept or self._find(key.name, key.version, key.space) for key, kept in known.items()]
        return [*built_in, *(kept for kept in found if kept is not None)]

    def get(
        self, name: str, version: int | None = None, spaces: Sequence[str] = (SHARED,)
    ) -> WorkflowVersion:
        """Return the newest version, or a given one, even if it is deleted. Raises `NotFound`."""
        live = self._live(name, spaces)
        if live is not None and version in (None, live.version):
            return live
        found = None
        if version == BUILT_IN:
            found = self._built_in.get(name)
        elif version is not None:
            # A workflow deleted in all spaces is still found, in the first space that had it.
            places = spaces if live is None else () if live.is_built_in else (live.space,)
            found = next(filter(None, (self._find(name, version, space) for space in places)), None)
        if found is None:
            which = f"no version {version} of workflow" if version is not None else "no workflow"
            raise NotFound(f"there is {which} {name[:64]!r}; `imagemill workflows list` lists all workflows")
        return found

    def versions(self, name: str, spaces: Sequence[str] = (SHARED,)) -> list[WorkflowVersion]:
        """Return all versions, deleted ones included, the newest first. Raises `NotFound`."""
        live = self._live(name, spaces)
        if live is not None and live.is_built_in:
            return [live]
        for space in spaces if live is None else (live.space,):
            if stored := self._store.versions(name, space):
                return [self._kept(each) for each in stored]
        return [self.get(name, None, spaces)]

    def add(
        self, name: str, graph: Any = None, text: str | None = None, space: str = SHARED
    ) -> WorkflowVersion:
        """Add a workflow from a graph in API or UI format, a manifest, or a manifest's inputs for a graph.

        Raises `InvalidInput` with the reason when it cannot be read, `Conflict` for a name that is taken.
        """
        if space == SHARED and name in self._built_in:
            raise Conflict(f"workflow {name} is built in; choose another name")
        return self._put(self._made(name, graph, text), WriteMode.CREATE, space)

    @property
    def has_nodes(self) -> bool:
        """Whether the classes and files of some node are known."""
        return bool(self._catalogues())

    def propose(
        self,
        raw: Any,
        text: str | None,
        name: str,
        title: str,
        description: str,
        inputs: Sequence[Input] | None,
    ) -> Proposal:
        """Return what a graph, or the one of a manifest, would be as a workflow; nothing is stored.

        Raises `InvalidInput`.
        """
        _check_name(name)
        if text is None:
            graph = self._graph(raw)
        else:
            given = _parsed(text)
            graph, inputs = given.graph, given.inputs if inputs is None else inputs
            title, description = title or given.title, description or given.description
        nearest = self._nearest(graph)
        return propose(graph, self._catalogues(), nearest, name, title, description, inputs)

    def change(
        self, name: str, graph: Any = None, text: str | None = None, space: str = SHARED
    ) -> WorkflowVersion:
        """Add a new version, unless nothing has changed. A new graph keeps the texts of inputs it still has.

        Raises the errors of `add`, `NotFound`, and `Forbidden` for a workflow that is not in ``space``.
        """
        before = self._in(space, name, "add a copy under another name and change that")
        made = self._made(name, graph, text)
        if text is None:
            workflow = _carried_over(before.workflow, made[0])
            made = workflow, manifest.to_text(workflow)
        return self._put(made, WriteMode.REPLACE, space)

    def remove(self, name: str, space: str = SHARED) -> None:
        """Delete a workflow; its name is free again and its jobs are kept. Raises the errors of `change`."""
        self._in(space, name, "it stays")
        text = WorkflowText(name, "", "", "")
        self._store.put(PutWorkflow(text, WriteMode.DELETE, now_us(), space))

    def _in(self, space: str, name: str, instead: str) -> WorkflowVersion:
        """Return the workflow of this space, or raise an error that names ``instead`` as the remedy."""
        if (found := self._live(name, (space,))) is not None and not found.is_built_in:
            return found
        if name in self._built_in:
            raise Conflict(f"workflow {name} is built in; {instead}")
        if space != SHARED and self._store.get(name) is not None:
            raise Forbidden(
                f"workflow {name} is shared and can be changed by operators only, with shared=true; "
                "add one of your own under its name and use that"
            )
        return self.get(name, None, (space,))

    def _live(self, name: str, spaces: Sequence[str]) -> WorkflowVersion | None:
        """Return the newest version that is not deleted, in the first of the spaces that has one."""
        built_in = self._built_in.get(name)
        own = [space for space in spaces if space != SHARED] if built_in else spaces
        stored = self._store.get(name, None, own) if own else None
        return self._kept(stored) if stored else built_in

    def job_request(
        self, name: str, version: int | None, values: Mapping[str, Any], spaces: Sequence[str] = (SHARED,)
    ) -> JobRequest:
        """Return a job request that runs a workflow. Raises `NotFound`, for a deleted workflow too."""
        kept = self.get(name, version, spaces)
        if kept.deleted_at is not None:
            self.get(name, None, spaces)  # raises, unless the name is in use again
            raise NotFound(f"version {version} of workflow {name} was deleted; run a newer one")
        fields = {"name": name, "version": kept.version, "values": values, "definition": kept.workflow}
        return JobRequest(recipe="workflow", input=fields)

    def _made(self, name: str, graph: Any, text: str | None) -> tuple[Workflow, str]:
        """Return the workflow and its manifest, which is the client's own text where possible."""
        if text is None and graph is None:
            raise InvalidInput.at("graph", "is required: a workflow as ComfyUI exports it by Export (API)")
        if text is None:
            workflow = self._read(name, graph)
            return workflow, manifest.to_text(workflow)
        if len(text) > _MANIFEST_BYTES:
            raise InvalidInput.at("manifest", f"is longer than {_MANIFEST_BYTES} characters")
        normal = None if graph is None else self._graph(graph)
        workflow = _parsed(text if normal is None else _with_graph(text, normal))
        named = replace(workflow, name=name)
        _check(named)
        return (named, text) if named == workflow and normal is None else (named, manifest.to_text(named))

    def _read(self, name: str, raw: Any) -> Workflow:
        graph = self._graph(raw)
        found = replace(read(graph, self._nearest(graph)), name=name, title=name)
        _check(found)
        return found

    def _graph(self, raw: Any) -> Graph:
        """Return the graph in API format. Raises `InvalidInput` with the reason when it cannot be read."""
        try:
            raw = graph.unwrap(raw)
            return self._converted(raw) if graph.is_ui_format(raw) else graph.normalise(raw)
        except InvalidGraph as error:
            raise InvalidInput.at("graph", str(error)) from error

    def _converted(self, raw: Any) -> Graph:
        catalogues = self._catalogues()
        if not catalogues:
            return graph.normalise(raw)  # raises with how to export it
        refusals: list[InvalidGraph] = []
        for catalogue in catalogues:
            try:
                return convert(raw, catalogue)
            except InvalidGraph as error:
                refusals.append(error)
        raise refusals[0]

    def _nearest(self, graph: Graph) -> Catalogue | None:
        """Return the catalogue that has the most classes of the graph."""
        classes = {node["class_type"] for node in graph.values()}
        return max(self._catalogues(), key=lambda each: len(classes & each.classes), default=None)

    def _put(self, made: tuple[Workflow, str], mode: WriteMode, space: str) -> WorkflowVersion:
        workflow, text = made
        digest = hashlib.sha256(text.encode()).hexdigest()
        written = WorkflowText(workflow.name, workflow.title[:_TITLE], text, digest)
        stored = self._store.put(PutWorkflow(written, mode, now_us(), space))
        assert stored is not None  # noqa: S101 - only a deletion returns None
        return self._kept(stored)

    def _find(self, name: str, version: int, space: str) -> WorkflowVersion | None:
        stored = self._store.get(name, version, (space,))
        return self._kept(stored) if stored else None

    def _kept(self, stored: StoredWorkflow) -> WorkflowVersion:
        text = stored.text
        key = WorkflowKey(text.name, stored.version, text.digest, stored.space)
        with self._lock:
            known = self._cache.get(key)
        if known is None:
            workflow = _parsed(text.manifest)
            known = WorkflowVersion(
                workflow, stored.version, text.manifest, stored.created_at, space=stored.space
            )
            with self._lock:
                if len(self._cache) >= _CACHE_SIZE:
                    self._cache.clear()
                self._cache[key] = known
        return known if stored.deleted_at is None else replace(known, deleted_at=stored.deleted_at)


def _parsed(text: str) -> Workflow:
    try:
        return manifest.from_text(text)
    except InvalidWorkflow as error:
        raise InvalidInput.at("manifest", str(error)) from error


def _check_name(name: str) -> None:
    if name in _RESERVED:
        raise InvalidInput.at("name", f"is {name}, which is a route of its own; choose another name")


def _check(workflow: Workflow) -> None:
    _check_name(workflow.name)
    if complaints := manifest.check(workflow):
        raise InvalidInput([_as_field(problem) for problem in complaints])


def _as_field(problem: str) -> FieldError:
    field, _, message = problem.partition(": ")
    return FieldError(field if field == "name" else f"manifest.{field}", message)


def _with_graph(text: str, graph: Graph) -> str:
    """Return the manifest with this graph, in place of its own if it has one."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput.at("manifest", f"the manifest is not TOML: {error}") from error
    if "graph" not in content:
        # A JSON string is a TOML string, except for the one control character that JSON does not escape.
        return f"{text}\n[graph]\njson = {json.dumps(json.dumps(graph))}\n".replace("\x7f", "\\u007f")
    return manifest.to_text(replace(_parsed(text), graph=graph))


def _carried_over(before: Workflow, now: Workflow) -> Workflow:
    """Keep the texts of inputs that have the same name, type and place in the new graph."""

    def carried(one: Input) -> Input:
        old = before.input(one.name)
        if old is None or old.type != one.type or set(old.targets) - set(one.targets):
            return one
        written = replace(old, targets=one.targets)
        return written if not manifest.check(replace(now, inputs=(written,))) else one

    return replace(
        now,
        title=before.title,
        description=before.description,
        inputs=tuple(map(carried, now.inputs)),
    )
