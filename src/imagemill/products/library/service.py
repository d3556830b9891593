"""The model library: order pictures of cells, fill the gaps of a grid, edit models."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from imagemill.blobs.base import BlobStore
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.domain.jobs import Artifact, Draft, Job
from imagemill.jobs.inputs import InputPictures
from imagemill.jobs.store.store import JobStore
from imagemill.jobs.submit import JobRequest, Submitter
from imagemill.products.library.grid import PARAMETERS, Cell
from imagemill.products.library.settings import LibrarySettings
from imagemill.products.library.store import PUBLIC_URL, ModelStore, StoredModel

NAME = "library"
"""The dialect of its jobs."""


@dataclass(frozen=True, slots=True)
class OrderContext:
    """The owner and the dialect of an order; ``key`` is its idempotency key."""

    owner: str
    trace: str | None = None
    key: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class GridStatus:
    """The state of the cells of a grid, by template."""

    present: Mapping[str, str] = field(default_factory=dict[str, str])
    """The ids of the newest versions."""
    under_way: Mapping[str, str] = field(default_factory=dict[str, str])
    """The ids of the jobs that make them."""
    missing: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """An order before it is placed: its state, its cells and its price."""

    stock: GridStatus
    chosen: tuple[Cell, ...]
    """The missing cells that the order makes."""
    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order. ``jobs`` by template; ``batch`` is the id of its batch, empty without jobs."""

    batch: str
    jobs: Mapping[str, str]
    stock: GridStatus
    repeated: bool = False

    @property
    def accepted(self) -> tuple[str, ...]:
        return tuple(self.jobs.values())


@dataclass(frozen=True, slots=True)
class ModelEdit:
    """The changes of an edit; None or absent means unchanged."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])
    prompt: str | None = None
    denoise: float | None = None
    seed: int | None = None

    @property
    def is_empty(self) -> bool:
        return not self.values and self.prompt is None and self.seed is None


class LibraryService:
    def __init__(
        self,
        jobs: JobStore,
        models: ModelStore,
        submitter: Submitter,
        inputs: InputPictures,
        blobs: BlobStore,
        settings: LibrarySettings,
        public_url: str | None = None,
    ) -> None:
        self._jobs = jobs
        self._models = models
        self._submitter = submitter
        self._inputs = inputs
        self._blobs = blobs
        self.settings = settings
        self._client = {PUBLIC_URL: public_url} if public_url else {}

    def grid_status(self, owner: str, cells: Sequence[Cell]) -> GridStatus:
        # Read in this order, so that a job which ends in between is seen twice and not missed.
        held = self._models.holders((_sole(cell) for cell in cells), owner)
        present = self._models.latest((cell.template_id for cell in cells), owner)
        under_way = {
            cell.template_id: held[_sole(cell)]
            for cell in cells
            if _sole(cell) in held and cell.template_id not in present
        }
        missing = tuple(
            cell for cell in cells if cell.template_id not in present and cell.template_id not in under_way
        )
        return GridStatus(present, under_way, missing)

    def grid_models(self, owner: str, cells: Sequence[Cell]) -> tuple[GridStatus, dict[str, StoredModel]]:
        """Return the state of cells and their newest models by template."""
        status = self.grid_status(owner, cells)
        return status, self._models.by_ids(status.present.values(), owner)

    def plan(
        self, client: OrderContext, cells: Sequence[Cell], *, count: int | None, save: bool
    ) -> OrderPlan:
        """Plan the first ``count`` missing cells; None means all of them.

        Without ``save`` existing models do not count, so all cells are missing.
        """
        stock = self.grid_status(client.owner, cells) if save else GridStatus(missing=tuple(cells))
        chosen = stock.missing if count is None else stock.missing[:count]
        job_requests = [
            self._job_request(cell, save=save, sole=_sole(cell) if save else "") for cell in chosen
        ]
        drafts = self._drafts(client, job_requests) if job_requests else ()
        return OrderPlan(stock, chosen, drafts)

    def place(self, client: OrderContext, plan: OrderPlan) -> PlacedOrder:
        """Place an order of the planned cells, without those that another order has begun meanwhile."""
        if not plan.drafts and client.key is None:
            return PlacedOrder("", {}, plan.stock)
        accepted = self._submitter.submit(client.owner, plan.drafts, key=client.key, digest=client.digest)
        taken = {key.removeprefix(_SOLE): job for key, job in accepted.duplicates.items()}
        stock = replace(plan.stock, under_way={**plan.stock.under_way, **taken})
        jobs = {job.name or job.id: job.id for job in accepted.jobs}
        return PlacedOrder(accepted.batch if jobs else "", jobs, stock, accepted.repeated)

    def one(self, client: OrderContext, look: Cell, *, save: bool, seed: int | None = None) -> PlacedOrder:
        """Order one cell: its next version, unless its first version is under way."""
        plan = self.planned_one(client, look, save=save, seed=seed)
        return self.place(client, plan)

    def planned_one(
        self, client: OrderContext, look: Cell, *, save: bool, seed: int | None = None
    ) -> OrderPlan:
        stock = self.grid_status(client.owner, [look]) if save else GridStatus()
        sole = _sole(look) if save and not stock.present else ""
        drafts = self._drafts(client, [self._job_request(look, save=save, seed=seed, sole=sole)])
        return OrderPlan(GridStatus(present=stock.present), (look,), drafts)

    def edit(self, client: OrderContext, id_: str, change: ModelEdit) -> PlacedOrder:
        """Order the next version of a model's template. Raises `NotFound`, `InvalidInput`."""
        return self.place(client, self.planned_edit(client, id_, change))

    def planned_edit(self, client: OrderContext, id_: str, change: ModelEdit) -> OrderPlan:
        if change.is_empty:
            raise InvalidInput.at("prompt", f"is required, or one of {', '.join(PARAMETERS)}, or a seed")
        row = self._models.get(id_, client.owner)
        values = {name: getattr(row, name) for name in PARAMETERS}
        look = Cell(**{**values, **change.values})
        given = self._edited(row, look, change, client.owner)
        job_request = JobRequest("editModel", {**self._given(look, save=True), **given}, name=row.template_id)
        return OrderPlan(GridStatus(), (look,), self._drafts(client, [job_request]))

    def _edited(self, row: StoredModel, look: Cell, change: ModelEdit, owner: str) -> dict[str, Any]:
        """Return the input of the new version: image-to-image from the old picture if only the prompt
        changes."""
        is_same_look = look == Cell(**{name: getattr(row, name) for name in PARAMETERS})
        facts = row.metadata
        given: dict[str, Any] = {
            "template_id": row.template_id,
            "edited": row.id,
            "prompt": change.prompt or (row.prompt if is_same_look else ""),
            "seed": change.seed if change.seed is not None else facts.get("seed"),
            "denoise": self.settings.picture.denoise if change.denoise is None else change.denoise,
            **{name: facts[name] for name in ("width", "height") if name in facts},
        }
        if is_same_look and change.prompt is not None:
            given["image"] = self._source(row, owner)
        return given

    def _source(self, row: StoredModel, owner: str) -> str:
        if not row.image_key:
            raise InvalidInput.at("prompt", "needs the old picture, which was not made here")
        try:
            data = self._blobs.get(row.image_key)
        except NotFound as error:
            raise InvalidInput.at("prompt", "needs the old picture, whose file was deleted") from error
        return f"blob:{self._inputs.keep('image', data, owner).name}"

    def outcome(self, owner: str, job_ids: Sequence[str]) -> "OrderOutcome":
        views = self._jobs.views_by_id(job_ids)
        jobs = [views[id_].job for id_ in job_ids if id_ in views and views[id_].job.owner == owner]
        artifacts = {job.id: views[job.id].artifacts for job in jobs}
        return OrderOutcome(jobs, self._models.of_jobs((job.id for job in jobs), owner), artifacts)

    def batch(self, owner: str, batch: str) -> "OrderOutcome":
        """Return the state of an order's batch. Raises `NotFound`."""
        jobs = [job for job in self._jobs.batch(owner, batch) if job.dialect == NAME]
        if not jobs:
            raise NotFound(f"there is no batch {batch}")
        return OrderOutcome(jobs, self._models.of_jobs((job.id for job in jobs), owner))

    def batches(self, owner: str, placed: PlacedOrder) -> list[str]:
        """Return the batches that make the cells of an order: its own, and earlier ones with some of them."""
        views = self._jobs.views_by_id(placed.stock.under_way.values())
        others = {view.job.batch for view in views.values() if view.job.owner == owner}
        return [*([placed.batch] if placed.batch else []), *sorted(others - {placed.batch})]

    def _drafts(self, client: OrderContext, job_requests: Sequence[JobRequest]) -> tuple[Draft, ...]:
        known = [replace(each, client={**each.client, **self._client}) for each in job_requests]
        return self._submitter.prepare(client.owner, known, dialect=NAME, trace=client.trace)

    def _job_request(self, look: Cell, *, save: bool, seed: int | None = None, sole: str = "") -> JobRequest:
        return JobRequest(
            "fashionModel",
            {**self._given(look, save=save), "seed": seed},
            name=look.template_id,
            unique_key=sole,
        )

    def _given(self, look: Cell, *, save: bool) -> dict[str, Any]:
        picture = self.settings.picture
        size = {"width": picture.width, "height": picture.height, "steps": picture.steps}
        model = {"model": self.settings.model} if self.settings.model else {}
        return {**look.values, **model, **size, "save": save}


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    jobs: list[Job]
    models: Mapping[str, StoredModel]
    """The models by job."""
    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict[str, tuple[Artifact, ...]])
    """The files by job, where they were read."""

    @property
    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for job in self.jobs:
            found[job.status.value] = found.get(job.status.value, 0) + 1
        return found

    @property
    def is_over(self) -> bool:
        return all(job.status.is_terminal for job in self.jobs)


_SOLE = "library/"


def _sole(look: Cell) -> str:
    return f"{_SOLE}{look.template_id}"
