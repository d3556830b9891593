"""What the model library reads and answers."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from imagemill.api.jobs import error_body, moment
from imagemill.domain.images import MAX_SEED
from imagemill.domain.signing import UrlSigner
from imagemill.products.library.grid import PARAMETERS, Cell, list_cells
from imagemill.products.library.service import ModelEdit, OrderOutcome, PlacedOrder
from imagemill.products.library.store import StoredModel
from imagemill.web.http import Real, Whole

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


def _one_of(name: str) -> Any:
    schema = WithJsonSchema({"type": "string", "enum": list(PARAMETERS[name])})
    return Annotated[str, BeforeValidator(lambda value: allowed(name, value)), schema]


def _some_of(name: str) -> Any:
    def check(value: Any) -> list[str]:
        values = value if isinstance(value, list) else [value]
        if not 1 <= len(values) <= len(PARAMETERS[name]):
            raise ValueError(f"should be a list of {', '.join(PARAMETERS[name])}, each at most once")
        return [allowed(name, each) for each in values]

    one = {"type": "string", "enum": list(PARAMETERS[name])}
    schema = WithJsonSchema({"anyOf": [one, {"type": "array", "items": one}]})
    return Annotated[list[str], BeforeValidator(check), schema]


_CONFIG = ConfigDict(extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True)
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED, description="Drawn when absent.")]


class ModelRequest(BaseModel):
    model_config = _CONFIG

    gender: _one_of("gender")  # pyright: ignore[reportInvalidTypeForm] - a type made of the closed set
    age_range: _one_of("age_range")  # pyright: ignore[reportInvalidTypeForm]
    body_type: _one_of("body_type")  # pyright: ignore[reportInvalidTypeForm]
    pose: _one_of("pose")  # pyright: ignore[reportInvalidTypeForm]
    style: _one_of("style")  # pyright: ignore[reportInvalidTypeForm]
    seed: Seed | None = None
    save: bool = Field(True, description="false: no row of the library, the files stay with the job.")

    @property
    def look(self) -> Cell:
        return Cell(**{name: getattr(self, name) for name in PARAMETERS})


class Grid(BaseModel):
    """A value, or several, for each parameter; what is absent takes all it has."""

    model_config = _CONFIG

    gender: _some_of("gender") | None = None  # pyright: ignore[reportInvalidTypeForm]
    age_range: _some_of("age_range") | None = None  # pyright: ignore[reportInvalidTypeForm]
    body_type: _some_of("body_type") | None = None  # pyright: ignore[reportInvalidTypeForm]
    pose: _some_of("pose") | None = None  # pyright: ignore[reportInvalidTypeForm]
    style: _some_of("style") | None = None  # pyright: ignore[reportInvalidTypeForm]

    @property
    def chosen(self) -> dict[str, list[str]]:
        return {name: values for name in PARAMETERS if (values := getattr(self, name)) is not None}


class BatchRequest(BaseModel):
    model_config = _CONFIG

    count: Whole | None = Field(None, ge=1, le=1000, description="The first so many cells that are missing.")
    grid: Grid | None = Field(None, description="Which cells; {}: all of them.")
    dry_run: bool = Field(False, description="Say what would be made and what it costs; make nothing.")
    save: bool = Field(True, description="false: all cells asked for, without rows of the library.")

    @property
    def cells(self) -> tuple[Cell, ...]:
        chosen = self.grid.chosen if self.grid is not None else {}
        return tuple(
            cell
            for cell in list_cells()
            if all(cell.values[name] in values for name, values in chosen.items())
        )


class EditRequest(BaseModel):
    model_config = _CONFIG

    gender: _one_of("gender") | None = None  # pyright: ignore[reportInvalidTypeForm]
    age_range: _one_of("age_range") | None = None  # pyright: ignore[reportInvalidTypeForm]
    body_type: _one_of("body_type") | None = None  # pyright: ignore[reportInvalidTypeForm]
    pose: _one_of("pose") | None = None  # pyright: ignore[reportInvalidTypeForm]
    style: _one_of("style") | None = None  # pyright: ignore[reportInvalidTypeForm]
    prompt: str | None = Field(None, min_length=1, description="With the same parameters: drawn anew by it.")
    denoise: Real | None = Field(None, ge=0, le=1, description="How much of the old picture is drawn anew.")
    seed: Seed | None = None

    @property
    def change(self) -> ModelEdit:
        values = {name: value for name in PARAMETERS if (value := getattr(self, name)) is not None}
        return ModelEdit(values, self.prompt, self.denoise, self.seed)


def model_body(model: StoredModel, signer: UrlSigner, base_url: str) -> dict[str, Any]:
    place = f"{base_url}/api/v1/models/{model.id}"
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
            "imageUrl": f"{base_url}/blobs/{model.image_key}?{image.query}",
            "thumbnailUrl": f"{base_url}/blobs/{model.thumbnail_key}?{thumbnail.query}",
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
    """What becomes of a cell of an order."""
    template, stock = look.template_id, placed.stock
    if template in placed.jobs:
        return {**look_body(look), "state": "new", "jobId": placed.jobs[template]}
    if template in stock.present:
        return {**look_body(look), "state": "present", "modelId": stock.present[template]}
    if template in stock.under_way:
        return {**look_body(look), "state": "under_way", "jobId": stock.under_way[template]}
    return {**look_body(look), "state": "missing"}


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
