"""Bodies of the model library: what its requests may have, and how models and orders are answered."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from imagemill.api.jobs_schemas import JobError, error_body, moment
from imagemill.domain.images import MAX_SEED
from imagemill.domain.jobs import JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.products.library import grid
from imagemill.products.library.grid import PARAMETERS, Cell, list_cells
from imagemill.products.library.service import GridStatus, ModelEdit, OrderOutcome, PlacedOrder
from imagemill.products.library.store import StoredModel
from imagemill.web.body_fields import Real, Whole
from imagemill.web.routing import RequestModel, ResponseModel

SHOWN: Mapping[str, str] = {name: to_camel(name) for name in PARAMETERS}
"""Each parameter's name in JSON."""


def allowed(name: str, value: Any) -> str:
    """Raises ValueError with the values a parameter may have. Any case is read."""
    values = PARAMETERS[name]
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in values:
            return lowered
    shown = repr(value[:40]) if isinstance(value, str) else type(value).__name__
    raise ValueError(f"is {shown}; allowed are {', '.join(values)}")


def _one(name: str) -> BeforeValidator:
    return BeforeValidator(lambda value: allowed(name, value))


def _some(name: str, one: Any) -> BeforeValidator:
    """Reads a value, or a list of values, as a list."""

    def check(value: Any) -> list[str]:
        values = value if isinstance(value, list) else [value]
        if not 1 <= len(values) <= len(PARAMETERS[name]):
            raise ValueError(f"should be a list of {', '.join(PARAMETERS[name])}, each at most once")
        return [allowed(name, each) for each in values]

    return BeforeValidator(check, json_schema_input_type=one | list[one])


Gender = Annotated[grid.Gender, _one("gender")]
AgeRange = Annotated[grid.AgeRange, _one("age_range")]
BodyType = Annotated[grid.BodyType, _one("body_type")]
Pose = Annotated[grid.Pose, _one("pose")]
Style = Annotated[grid.Style, _one("style")]
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED, description="A seed is drawn when it is absent.")]
_LOOK = {
    "gender": "female",
    "ageRange": "30-40",
    "bodyType": "athletic",
    "pose": "walking",
    "style": "editorial",
}
_TEMPLATE = "female-30-40-athletic-walking-editorial"
_MODEL = "01a2238c-4a37-7e4e-8fe9-c660c98ffd26"
_JOB = "01a2238c-4a37-7e4e-8fe9-c660c98ffd27"
_BATCH = "01a2238c-4a3f-7fdc-b438-f7fe2b2d3d8d"
_PROMPT = "fashion model, female, 30-40 years old, athletic body type, walking pose, editorial style photo"


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ModelRequest(RequestModel):
    model_config = _example(**_LOOK)

    gender: Gender
    age_range: AgeRange
    body_type: BodyType
    pose: Pose
    style: Style
    seed: Seed | None = None
    save: bool = Field(True, description="False adds no row to the library; the files stay with the job.")

    @property
    def look(self) -> Cell:
        return Cell(**{name: getattr(self, name) for name in PARAMETERS})


class Grid(RequestModel):
    """A value, or several, for each parameter; an absent one stands for all its values."""

    gender: Annotated[list[grid.Gender], _some("gender", grid.Gender)] | None = None
    age_range: Annotated[list[grid.AgeRange], _some("age_range", grid.AgeRange)] | None = None
    body_type: Annotated[list[grid.BodyType], _some("body_type", grid.BodyType)] | None = None
    pose: Annotated[list[grid.Pose], _some("pose", grid.Pose)] | None = None
    style: Annotated[list[grid.Style], _some("style", grid.Style)] | None = None

    @property
    def chosen(self) -> dict[str, list[str]]:
        return {name: values for name in PARAMETERS if (values := getattr(self, name)) is not None}


class BatchRequest(RequestModel):
    model_config = _example(
        count=2, grid={"gender": "female", "pose": ["walking", "sitting"], "style": "casual"}, dryRun=False
    )

    count: Whole | None = Field(
        None, ge=1, le=1000, description="The number of missing cells to make, from the first."
    )
    grid: Grid | None = Field(None, description="The cells to make; {} stands for all of them.")
    dry_run: bool = Field(False, description="Return what would be made and what it costs; make nothing.")
    save: bool = Field(True, description="False makes all cells asked for, without rows of the library.")

    @property
    def cells(self) -> tuple[Cell, ...]:
        chosen = self.grid.chosen if self.grid is not None else {}
        return tuple(
            cell
            for cell in list_cells()
            if all(cell.values[name] in values for name, values in chosen.items())
        )


class EditRequest(RequestModel):
    model_config = _example(style="casual")

    gender: Gender | None = None
    age_range: AgeRange | None = None
    body_type: BodyType | None = None
    pose: Pose | None = None
    style: Style | None = None
    prompt: str | None = Field(
        None,
        min_length=1,
        description="With the same parameters, the old picture is changed by this prompt (image-to-image).",
    )
    denoise: Real | None = Field(
        None, ge=0, le=1, description="Denoising strength: 0 keeps the old picture, 1 ignores it."
    )
    seed: Seed | None = None

    @property
    def change(self) -> ModelEdit:
        values = {name: value for name in PARAMETERS if (value := getattr(self, name)) is not None}
        return ModelEdit(values, self.prompt, self.denoise, self.seed)


class ModelLook(ResponseModel):
    """The template of a model, and its five parameters."""

    template_id: str
    gender: grid.Gender
    age_range: grid.AgeRange
    body_type: grid.BodyType
    pose: grid.Pose
    style: grid.Style


class SignedPictures(ResponseModel):
    """Addresses that need no key, for a limited time."""

    image_url: str
    thumbnail_url: str
    expires_at: datetime


_MODEL_EXAMPLE: dict[str, Any] = {
    "id": _MODEL,
    "templateId": _TEMPLATE,
    "version": 1,
    **_LOOK,
    "prompt": _PROMPT,
    "imageUrl": f"http://localhost:8000/api/v1/library/{_MODEL}/image",
    "thumbnailUrl": f"http://localhost:8000/api/v1/library/{_MODEL}/thumbnail",
    "signed": {
        "imageUrl": f"http://localhost:8000/blobs/library/{_TEMPLATE}/1767225600000-a1.webp?exp=1767229200&sig=...",
        "thumbnailUrl": f"http://localhost:8000/blobs/library/{_TEMPLATE}/1767225600000-a1-thumbnail.webp?exp=1767229200&sig=...",
        "expiresAt": "2026-01-31T13:00:00+00:00",
    },
    "metadata": {
        "model": "urn:air:flux1:checkpoint:huggingface:dev@1",
        "seed": 42,
        "width": 1024,
        "height": 1536,
    },
    "falRequestId": None,
    "processingTimeMs": 4120,
    "jobId": _JOB,
    "createdAt": "2026-01-31T12:00:00+00:00",
}


class LibraryModel(ResponseModel):
    """A version of a template. Rows that an application wrote by SQL may have other values, or empty ones."""

    model_config = _example(**_MODEL_EXAMPLE)

    id: str
    template_id: str
    gender: str
    age_range: str
    body_type: str
    pose: str
    style: str
    version: int = Field(description="1 for the first picture of the template.")
    prompt: str
    image_url: str = Field(description="A lasting address of the picture; it needs a key.")
    thumbnail_url: str = Field(description="A lasting address of the thumbnail; it needs a key.")
    signed: SignedPictures
    metadata: dict[str, Any] = Field(
        description="The checkpoint, seed, size in pixels and steps; of an edit also what it is made from."
    )
    fal_request_id: str | None = Field(description="The id of the request at the paid provider.")
    processing_time_ms: int | None = Field(description="Milliseconds that the picture took.")
    job_id: str
    created_at: datetime


class LibraryPage(ResponseModel):
    model_config = _example(items=[_MODEL_EXAMPLE], next=None)

    items: list[LibraryModel]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class TemplateVersions(ResponseModel):
    model_config = _example(templateId=_TEMPLATE, items=[_MODEL_EXAMPLE])

    template_id: str
    items: list[LibraryModel]


class ModelOrder(ModelLook):
    """The job that makes a model."""

    model_config = _example(templateId=_TEMPLATE, **_LOOK, jobId=_JOB, state="new", batch=_BATCH)

    job_id: str
    state: Literal["new", "under_way"] = Field(description="`under_way` if it was ordered before.")
    batch: str | None = Field(description="Null if this request has made no job.")


class GridCell(ModelLook):
    """A cell of the grid, and what becomes of it."""

    state: Literal["new", "present", "under_way", "missing"]
    job_id: str | None = Field(None, description="The job that makes it; of a new cell or one under way.")
    model_id: str | None = Field(None, description="The newest version; of a cell that is present.")
    prompt: str | None = Field(None, description="Of a dry run.")


class CellCounts(ResponseModel):
    new: int
    present: int
    under_way: int
    missing: int


_CELL = {"templateId": _TEMPLATE, **_LOOK, "state": "new"}
_COUNTS = {"new": 1, "present": 0, "underWay": 0, "missing": 0}


class BatchOrder(CellCounts):
    model_config = _example(batch=_BATCH, batches=[_BATCH], **_COUNTS, cells=[{**_CELL, "jobId": _JOB}])

    batch: str | None = Field(description="Null if this request has made no job.")
    batches: list[str] = Field(description="All batches that make the cells, with those begun before.")
    cells: list[GridCell]


class BatchQuote(CellCounts):
    """The answer to a dry run; nothing is stored."""

    model_config = _example(
        dryRun=True, cost=1.0, charged=False, **_COUNTS, cells=[{**_CELL, "prompt": _PROMPT}]
    )

    dry_run: Literal[True]
    cost: float = Field(description="Credits.")
    charged: bool = Field(description="Jobs are paid for on this server.")
    available: float | None = Field(None, description="The credits there are, where jobs are charged.")
    affordable: bool | None = Field(None, description="Whether the credits suffice, where jobs are charged.")
    provider_dollars: dict[str, float | None] = Field(
        default={},
        description="Dollars that a paid provider, such as fal, bills this server if it makes them all; null "
        "where its price is not known.",
    )
    cells: list[GridCell]


class HeldCell(ModelLook):
    """A cell of the grid and its newest model, if there is one."""

    state: Literal["present", "under_way", "missing"]
    version: int = Field(description="The newest version; 0: none.")
    model_id: str | None
    thumbnail_url: str | None = Field(description="It needs no key and expires.")
    job_id: str | None = Field(description="The job that makes its first version.")
    created_at: datetime | None = Field(description="When the newest version was made.")


class LibraryGrid(ResponseModel):
    model_config = _example(
        present=1,
        underWay=0,
        missing=0,
        cells=[
            {
                "templateId": _TEMPLATE,
                **_LOOK,
                "state": "present",
                "version": 2,
                "modelId": _MODEL,
                "thumbnailUrl": _MODEL_EXAMPLE["signed"]["thumbnailUrl"],
                "jobId": None,
                "createdAt": "2026-01-31T12:00:00+00:00",
            }
        ],
    )

    present: int
    under_way: int
    missing: int
    cells: list[HeldCell] = Field(description="In the order of the grid.")


class FailedModel(ResponseModel):
    job_id: str
    name: str | None = Field(description="The template.")
    error: JobError


class BatchProgress(ResponseModel):
    model_config = _example(
        batch=_BATCH,
        total=2,
        finished=False,
        counts={"running": 1, "succeeded": 1},
        jobs={_JOB: "succeeded", "01a2238c-4a37-7e4e-8fe9-c660c98ffd28": "running"},
        failures=[],
        models=[_MODEL],
    )

    batch: str
    total: int = Field(description="The number of jobs.")
    finished: bool = Field(description="Whether every job has ended.")
    counts: dict[JobStatus, int] = Field(description="The number of jobs in each status that occurs.")
    jobs: dict[str, JobStatus] = Field(description="The status of each job, by its id.")
    failures: list[FailedModel]
    models: list[str] = Field(description="The ids of the models that are made.")


def model_body(model: StoredModel, signer: UrlSigner, base_url: str) -> dict[str, Any]:
    place = f"{base_url}/api/v1/library/{model.id}"
    image, thumbnail = signer.sign(model.image_key), signer.sign(model.thumbnail_key)
    return {
        "id": model.id,
        "templateId": model.template_id,
        "version": model.version,
        **{shown: getattr(model, name) for name, shown in SHOWN.items()},
        "prompt": model.prompt,
        "imageUrl": f"{place}/image",
        "thumbnailUrl": f"{place}/thumbnail",
        "signed": {
            "imageUrl": f"{base_url}/blobs/{model.image_key}?{image.query}"
            if model.image_key
            else model.image_url,
            "thumbnailUrl": f"{base_url}/blobs/{model.thumbnail_key}?{thumbnail.query}"
            if model.thumbnail_key
            else model.thumbnail_url or model.image_url,
            "expiresAt": moment(image.expires_at),
        },
        "metadata": model.metadata,
        "falRequestId": model.fal_request_id,
        "processingTimeMs": model.processing_time_ms,
        "jobId": model.job_id,
        "createdAt": moment(model.created_at),
    }


def look_body(look: Cell) -> dict[str, Any]:
    values = {shown: getattr(look, name) for name, shown in SHOWN.items()}
    return {"templateId": look.template_id, **values}


def cell_body(look: Cell, placed: PlacedOrder) -> dict[str, Any]:
    """Return the state of a cell of an order."""
    template, stock = look.template_id, placed.stock
    if template in placed.jobs:
        return {**look_body(look), "state": "new", "jobId": placed.jobs[template]}
    if template in stock.present:
        return {**look_body(look), "state": "present", "modelId": stock.present[template]}
    if template in stock.under_way:
        return {**look_body(look), "state": "under_way", "jobId": stock.under_way[template]}
    return {**look_body(look), "state": "missing"}


def grid_body(
    cells: Iterable[Cell], status: GridStatus, newest: Mapping[str, StoredModel], signer: UrlSigner, base: str
) -> dict[str, Any]:
    """``newest``: the newest models by template."""
    listed = [_held_cell(cell, status, newest.get(cell.template_id), signer, base) for cell in cells]
    counts = counted(listed)
    counts.pop("new")
    return {**counts, "cells": listed}


def _held_cell(
    cell: Cell, status: GridStatus, model: StoredModel | None, signer: UrlSigner, base: str
) -> dict[str, Any]:
    template = cell.template_id
    job = status.under_way.get(template) if model is None else None
    body = None if model is None else model_body(model, signer, base)
    return {
        **look_body(cell),
        "state": "present" if model is not None else "under_way" if job is not None else "missing",
        "version": 0 if model is None else model.version,
        "modelId": None if model is None else model.id,
        "thumbnailUrl": None if body is None else body["signed"]["thumbnailUrl"],
        "jobId": job,
        "createdAt": None if body is None else body["createdAt"],
    }


def outcome_body(outcome: OrderOutcome, batch: str) -> dict[str, Any]:
    failed = [job for job in outcome.jobs if job.error is not None and job.status.is_terminal]
    return {
        "batch": batch,
        "total": len(outcome.jobs),
        "finished": outcome.is_over,
        "counts": outcome.counts,
        "jobs": {job.id: job.status.value for job in outcome.jobs},
        "failures": [{"jobId": job.id, "name": job.name, "error": error_body(job)} for job in failed],
        "models": [outcome.models[job.id].id for job in outcome.jobs if job.id in outcome.models],
    }


def counted(cells: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many cells are in which state; each state is named."""
    found = {"new": 0, "present": 0, "under_way": 0, "missing": 0}
    for cell in cells:
        found[cell["state"]] += 1
    return {to_camel(name): count for name, count in found.items()}
