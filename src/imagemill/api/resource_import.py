"""``POST /api/v1/resources/import``: documents about many models, registered or updated at once."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field, ValidationError

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.models_schemas import (
    EXAMPLE,
    READ_ONLY,
    RESOURCE_FIELDS,
    ResourceBody,
    parsed_resource,
)
from imagemill.domain.access import Scope
from imagemill.domain.air import Resource
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.model_registry.documents import ResourceDocument, UnreadableDocument, read_document
from imagemill.model_registry.imports import DocumentImport
from imagemill.net import pools
from imagemill.web.body_fields import field_errors
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel

PATH = "/api/v1/resources/import"
MOST_ROWS = 500
_MOST_ERRORS = 20
"""Faults that an error names."""


class DocumentsBody(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"rows": [{"air": EXAMPLE, "modelName": "Ink lines"}], "dryRun": True}]
        }
    )

    rows: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MOST_ROWS,
        description="Each is a resource as `/v2/resources` takes it, a document exported from MongoDB, or a "
        "model or a version as the API of Civitai's site answers it.",
    )
    dry_run: bool = Field(False, description="Only check the rows and return what would be done.")
    skip_refused: bool = Field(
        False,
        description="Register the others when a row is refused. Otherwise nothing is registered then.",
    )


class ImportedRow(ResponseModel):
    row: int = Field(
        description="Index in `rows`, from 0. A model with several versions has several results."
    )
    state: Literal["created", "changed", "unchanged", "refused"]
    air: str | None = Field(description="The registered AIR; null for a refused row that names none.")
    errors: list[str] = Field(description="Why it is refused, by field.")
    ignored: list[str] = Field(description="Fields that a resource does not have; they are not kept.")


class DocumentsResult(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dryRun": False,
                    "created": 1,
                    "changed": 0,
                    "unchanged": 0,
                    "refused": 0,
                    "items": [
                        {"row": 0, "state": "created", "air": EXAMPLE, "errors": [], "ignored": ["likes"]}
                    ],
                }
            ]
        }
    )

    dry_run: bool
    created: int
    changed: int
    unchanged: int
    refused: int
    items: list[ImportedRow]


@dataclass(frozen=True, slots=True)
class _CheckedRow:
    """One resource of a row, or the reason why the row has none."""

    row: int
    resource: Resource | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    air: str | None = None
    ignored: tuple[str, ...] = ()
    errors: tuple[FieldError, ...] = ()


router = APIRouter(tags=["models"], route_class=ApiRoute)


@router.post(PATH, summary="Register models from documents", response_model=DocumentsResult)
async def import_documents(services: ServicesDep, body: DocumentsBody) -> Response:
    """All rows are checked before one is registered. It can be repeated: a row that is registered with the
    same fields is unchanged, and one with other fields updates those."""
    return json_response(await pools.write(_import, services, body))


def _import(services: Services, body: DocumentsBody) -> dict[str, Any]:
    checked = [each for row, value in enumerate(body.rows) for each in _checked(services, row, value)]
    refused = [error for each in checked for error in each.errors]
    if refused and not (body.dry_run or body.skip_refused):
        raise InvalidInput(refused[:_MOST_ERRORS])
    importer = DocumentImport(services.registry, dry=body.dry_run)
    items = [_imported(importer, each) for each in checked]
    states = [item["state"] for item in items]
    counts = {state: states.count(state) for state in ("created", "changed", "unchanged", "refused")}
    return {"dryRun": body.dry_run, **counts, "items": items}


def _imported(importer: DocumentImport, row: _CheckedRow) -> dict[str, Any]:
    state, air = "refused", row.air
    if row.resource is not None:
        stored, state = importer.register(row.resource, row.defaults)
        air = str(stored.air)
    start = f"rows[{row.row}]"
    errors = [f"{each.path.removeprefix(start).lstrip('.')} {each.message}".strip() for each in row.errors]
    return {"row": row.row, "state": state, "air": air, "errors": errors, "ignored": list(row.ignored)}


def _checked(services: Services, row: int, value: Mapping[str, Any]) -> Sequence[_CheckedRow]:
    try:
        documents = read_document(value)
    except UnreadableDocument as error:
        return [_CheckedRow(row, errors=(FieldError(f"rows[{row}]", str(error)),))]
    return [_check(services, row, document) for document in documents]


def _check(services: Services, row: int, document: ResourceDocument) -> _CheckedRow:
    known = {name: value for name, value in document.fields.items() if name in RESOURCE_FIELDS}
    ignored = tuple(sorted(document.fields.keys() - known.keys() - {*READ_ONLY}))
    given = document.fields.get("air")
    checked = _CheckedRow(row, air=given[:200] if isinstance(given, str) else None, ignored=ignored)
    start = f"rows[{row}]"
    try:
        resource = parsed_resource(ResourceBody.model_validate(known))
        services.registry.registered(resource.air)
        usable = {**document.defaults, "air": str(resource.air)}
        defaults = parsed_resource(ResourceBody.model_validate(usable)).body
    except ValidationError as error:
        return replace(checked, errors=tuple(field_errors(error, ResourceBody, start)))
    except InvalidInput as error:
        below = (FieldError(f"{start}.{each.path}", each.message) for each in error.errors)
        return replace(checked, errors=tuple(below))
    return replace(checked, resource=resource, defaults=defaults)


DIALECT = ApiModule(
    name="resources",
    router=router,
    callback=no_callback,
    policies=(PathPolicy(PATH, Scope.MODELS_WRITE, Scope.MODELS_WRITE),),
    tags={"models": "The registry of checkpoints and LoRAs by AIR, with the files that nodes have of them."},
)
