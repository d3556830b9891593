"""The state of a model on the nodes: which of them have it, and which load it now for a job."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from imagemill.backends.base import Backend, Node
from imagemill.domain.air import NO_FAMILY, InvalidAir, Resource, parse
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import EventType
from imagemill.domain.images import ImageSpec, VideoLength
from imagemill.domain.jobs import SIMULATOR, Job, JobStatus
from imagemill.domain.placement import loads_model
from imagemill.graphs.errors import KIND_WORDS
from imagemill.graphs.families.availability import classes_of
from imagemill.graphs.families.table import built_in
from imagemill.graphs.requirements import NETWORK_KINDS, Requirement
from imagemill.jobs.capacity import usable_nodes
from imagemill.jobs.hub import Hub
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.store.store import JobStore
from imagemill.model_registry.names import InstalledModels
from imagemill.recipes.text_to_image import TextToImage, image_spec

_MOST_RUNNING = 1000
"""Running jobs that are looked at for loads, the newest first."""
FILE_PREFIX = "file:"
"""Prefix of a checkpoint that a job names by its file, not by an AIR."""
_SHORT_VIDEO = VideoLength(1, 1.0)
_MOST_PROGRESS = 0.99
"""The estimated progress of a load that takes longer than the node says."""


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """A checkpoint that a node loads for a running job."""

    model: str
    """Its AIR in lower case, or ``file:`` and its file."""
    node: str
    job_id: str
    started_at: int
    """Microseconds since the epoch."""
    load_s: float | None
    """Seconds that a load takes on the node; None if unknown."""

    def progress(self, now: int) -> float:
        """Return the estimated progress from 0 to 1; 0 where the time of a load is unknown."""
        if not self.load_s:
            return 0.0
        return max(0.0, min(_MOST_PROGRESS, (now - self.started_at) / SECOND / self.load_s))

    def eta_s(self, now: int) -> float | None:
        """Return the estimated seconds until its end; None if unknown."""
        return None if not self.load_s else max(0.0, self.load_s - (now - self.started_at) / SECOND)

    def is_of(self, resource: Resource) -> bool:
        if self.model.startswith(FILE_PREFIX):
            return self.model.removeprefix(FILE_PREFIX).lower() == resource.path.lower()
        try:
            return parse(self.model).key == resource.air.key
        except InvalidAir:
            return False


def model_loads(jobs: JobStore, hub: Hub, backends: Mapping[str, Backend]) -> list[ModelLoad]:
    """Return the loads under way, the oldest first: jobs that were placed on a node without their model and
    have not made a step yet."""
    load_s = {node.name: node.load_s for backend in backends.values() for node in backend.nodes()}
    running = jobs.list_jobs(Filter(owner=None, statuses=frozenset({JobStatus.RUNNING}), limit=_MOST_RUNNING))
    loads: list[ModelLoad] = []
    for job in running:
        model = jobs.lane(job.lane).model
        if model and job.node and loads_model(job.reason or "", model) and not _has_step(job, jobs, hub):
            began = job.started_at or job.created_at
            loads.append(ModelLoad(model, job.node, job.id, began, load_s.get(job.node)))
    return sorted(loads, key=lambda load: (load.started_at, load.job_id))


def _has_step(job: Job, jobs: JobStore, hub: Hub) -> bool:
    progress = hub.progress(job.id)
    if progress is not None:
        return progress.step > 0
    return any(
        event.type is EventType.UPDATED and event.attempt == job.attempt and event.data.get("step")
        for event in jobs.last_events(job.id, 1)
    )


def nodes_with_model(backend: Backend, resource: Resource) -> list[Node]:
    """Return the nodes that take jobs with the resource now, by the rules of a submission."""
    air = resource.air
    if air.is_checkpoint:
        if backend.unsupported_reason(_smallest_work(resource)) is not None:
            return []
        needs = (f"{FILE_PREFIX}{resource.path}", air.key)
    else:
        kind = NETWORK_KINDS.get(air.type or "", air.type or "")
        needs = (str(Requirement(kind, resource.path)),) if kind in KIND_WORDS else ()
    return [node for node in usable_nodes(backend) if _has(node, needs, is_checkpoint=air.is_checkpoint)]


def _has(node: Node, needs: Sequence[str], *, is_checkpoint: bool) -> bool:
    # The simulator may be told its checkpoints, and draws with every other kind of model.
    if node.available is None or (node.backend == SIMULATOR and not is_checkpoint):
        return True
    return any(need in node.available for need in needs)


def is_loaded(load: ModelLoad, nodes: Iterable[Node], loads: Iterable[ModelLoad]) -> bool:
    """Whether one of the nodes has the model loaded that another one is loading."""
    loading = {each.node for each in loads if each.model == load.model}
    return any(load.model in node.loaded_models for node in nodes if node.name not in loading)


def is_family_unsupported(resource: Resource, installed: InstalledModels) -> bool:
    """Whether no node can run models of the family of a resource from the registry: no graph is known for
    it, or every node lacks a class of the graph.

    A LoRA or another part of a model that names no family is for any.
    """
    if not resource.found_family:
        return resource.air.is_checkpoint or resource.family not in NO_FAMILY
    match = installed.families.find(resource.found_family, resource.path, variant=resource.variant)
    if match is None or not installed.is_known:
        return match is None
    wanted = classes_of(match.variant)
    return all(node.catalogue is not None and wanted - node.catalogue.classes for node in installed.nodes())


def _smallest_work(resource: Resource) -> ImageSpec:
    facts = {"model": str(resource.air), "model_path": resource.path, "family": resource.family or None}
    spec = image_spec(TextToImage.model_validate(facts))
    match = built_in().find(resource.family, resource.path)
    return replace(spec, video=_SHORT_VIDEO) if match and match.family.kind == "video" else spec
