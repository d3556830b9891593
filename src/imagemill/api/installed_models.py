"""``/api/v1/models``: the checkpoints, LoRAs and other model files that jobs can name, and their import."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.domain.access import Scope
from imagemill.domain.air import InvalidAir, Resource
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.graphs.families.finding import FamilySource, FoundFamily
from imagemill.graphs.node_models import LOADERS
from imagemill.model_registry.family_support import FamilySupport
from imagemill.model_registry.imports import ImportedModel, ImportState, ModelImport
from imagemill.model_registry.names import InstalledModel, InstalledModels
from imagemill.net import pools
from imagemill.nodes.registry import NodeView
from imagemill.web.body_fields import suggestion
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel

PATH = "/api/v1/models"
_MOST_REGISTERED = 5000
"""Registered models that are read for the list."""
_EXAMPLE = {
    "name": "dreamshaper_8.safetensors",
    "type": "checkpoint",
    "family": "sd1",
    "familySource": "name",
    "variant": "base",
    "size": 2_132_625_894,
    "air": "urn:air:sd1:checkpoint:file:dreamshaper_8.safetensors",
    "title": "DreamShaper",
    "architecture": "stable-diffusion-v1",
    "trainedWords": [],
    "registered": False,
    "nodes": ["attic"],
    "missing": [],
}


class InstalledModelBody(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: str = Field(description="The file as the node lists it. Jobs may name the model by it.")
    type: str = Field(description=f"One of {', '.join(LOADERS)}, or another type of a registered model.")
    family: str = Field(description="Such as sd1, sdxl or flux1; empty where it is unknown.")
    family_source: FamilySource = Field(
        description="What tells the family: the AIR, the base model in the registry, the file's metadata, "
        "its name or folder, its size, or nothing."
    )
    variant: str | None = Field(description="The variant of the family, such as turbo or schnell.")
    size: int | None = Field(description="Bytes, where the node or the registry gives it.")
    air: str = Field(description="The registered AIR, else the one made from the file's name.")
    title: str | None = Field(description="Name and version in the registry, else the title in the file.")
    architecture: str | None = Field(
        description="The architecture in the file's metadata, or the base model a LoRA was trained on."
    )
    trained_words: list[str] = Field(description="Trigger words, of the registry or of the file's metadata.")
    registered: bool
    nodes: list[str] = Field(description="The nodes that have the file; empty for a model that none has.")
    missing: list[str] = Field(
        description="What the node that lacks least is missing to render with this checkpoint: node classes, "
        "text encoders, a VAE; empty where it can be used."
    )


class InstalledModelList(ResponseModel):
    items: list[InstalledModelBody]
    default: str | None = Field(description="The AIR of the checkpoint of requests that name none.")
    defaults: dict[str, str] = Field(description="The AIR of the chosen checkpoint, by family.")


class DefaultModel(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"air": "urn:air:sd1:checkpoint:civitai:4384@128713"}]}
    )

    air: str = Field(
        max_length=512, description="The AIR of a registered checkpoint, or the name of its file."
    )


class DefaultModelInfo(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"family": "sd1", "air": "urn:air:sd1:checkpoint:civitai:4384@128713"}]
        }
    )

    family: str
    air: str


class ImportOrder(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"node": "attic", "dryRun": True}]})

    node: str = Field(max_length=64, description="`name` of the node whose files are registered.")
    types: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, max_length=20, description=f"Only files of these types: {', '.join(LOADERS)}."
    )
    names: list[Annotated[str, Field(max_length=500)]] | None = Field(
        None, max_length=1000, description="Only these files."
    )
    family: str | None = Field(
        None,
        pattern="^[a-z0-9_]{1,32}$",
        description="The family of all files, such as sdxl, in place of a guess.",
    )
    dry_run: bool = Field(False, description="Only return what would be registered.")


class ImportedModelBody(ResponseModel):
    name: str
    air: str
    family: str
    family_source: FamilySource
    state: ImportState = Field(
        description="added: registered now. linked: a registered model got this file. present: nothing to do."
    )


class ImportResult(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "node": "attic",
                    "dryRun": False,
                    "items": [
                        {
                            "name": _EXAMPLE["name"],
                            "air": "urn:air:sd1:checkpoint:civitai:4384@128713",
                            "family": "sd1",
                            "familySource": "air",
                            "state": "linked",
                        }
                    ],
                }
            ]
        }
    )

    node: str
    dry_run: bool
    items: list[ImportedModelBody]


router = APIRouter(prefix=PATH, tags=["models"], route_class=ApiRoute)


@router.get("", summary="List the models that jobs can name", response_model=InstalledModelList)
async def list_models(
    services: ServicesDep,
    type_: Annotated[str | None, Query(alias="type", description="Only models of this type.")] = None,
    node: Annotated[str | None, Query(description="Only files of this node.")] = None,
    q: Annotated[str, Query(max_length=200, description="A part of a name or an AIR, in any case.")] = "",
) -> Response:
    """All files of the nodes, and the registered models that no node has."""
    if node is not None:
        await pools.read(_node, services, node)
    body = await pools.read(_list, services, type_, node, q)
    return json_response(body)


@router.post("/import", summary="Register the model files of a node", response_model=ImportResult)
async def import_models(services: ServicesDep, body: ImportOrder) -> Response:
    for kind in body.types or ():
        if kind not in LOADERS:
            raise InvalidInput.at("types", f"has {kind!r}{suggestion(kind, LOADERS)}")
    return json_response(await pools.call(_import, services, body))


@router.put("/default", summary="Choose the default checkpoint of a family", response_model=DefaultModelInfo)
async def choose_default_model(services: ServicesDep, body: DefaultModel) -> Response:
    """It takes the place of the family's former default, which loses its tag `default`."""
    try:
        chosen = await pools.write(services.registry.make_default, "air", body.air)
    except NotFound as error:
        raise InvalidInput.at("air", str(error)) from error
    return json_response({"family": chosen.family, "air": str(chosen.air)})


def _list(services: Services, kind: str | None, node: str | None, query: str) -> dict[str, Any]:
    items = model_bodies(services, node)
    sought = query.lower()
    return {
        "items": [
            item
            for item in items
            if kind in (None, item["type"])
            and (sought in f"{item['name']}\n{item['air']}\n{item['title']}".lower())
        ],
        "default": _default(services),
        "defaults": {family: str(each.air) for family, each in services.registry.defaults().items()},
    }


def model_bodies(services: Services, node: str | None = None) -> list[dict[str, Any]]:
    """Return the files of the nodes, or of one node, and the registered models that no node has."""
    registered = services.registry.page("", 1, _MOST_REGISTERED)[1]
    return [*_items(services.registry.installed, node, registered)]


def _items(
    installed: InstalledModels, node: str | None, registered: Sequence[Resource]
) -> Iterator[dict[str, Any]]:
    by_path = {_key(resource.path): resource for resource in registered}
    by_base = {_base(resource.path): resource for resource in registered}
    seen: set[str] = set()
    support = FamilySupport(installed)
    for model in installed.all(node):
        resource = by_path.get(_key(model.file.name)) or by_base.get(_base(model.file.name))
        if resource is not None:
            seen.add(resource.air.key)
        try:
            family = model.family if resource is None else installed.find_family(resource)
            yield _installed_body(model, resource, family, support)
        except InvalidAir:
            continue  # its name is too long for an AIR, so no job can name it
    if node is None:
        absent = [each for each in registered if each.air.key not in seen]
        yield from (_registered_body(each, installed.find_family(each)) for each in absent)


def _installed_body(
    model: InstalledModel, resource: Resource | None, family: FoundFamily, support: FamilySupport
) -> dict[str, Any]:
    metadata = model.file.metadata
    words = (resource.body.get("trainedWords") if resource else None) or list(metadata.trigger_words)
    return {
        "name": model.file.name,
        "type": model.file.kind,
        **_family_body(family),
        "size": model.file.size,
        "air": str(resource.air if resource else model.air),
        "title": (resource.title if resource else "") or metadata.title or None,
        "architecture": metadata.architecture or metadata.base_model or None,
        "trainedWords": words,
        "registered": resource is not None,
        "nodes": list(model.nodes),
        "missing": list(support.lacking(replace(model, family=family))),
    }


def _registered_body(resource: Resource, family: FoundFamily) -> dict[str, Any]:
    return {
        "name": resource.path,
        "type": resource.air.type or "other",
        **_family_body(family),
        "size": resource.body.get("size"),
        "air": str(resource.air),
        "title": resource.title or None,
        "architecture": None,
        "trainedWords": resource.body.get("trainedWords") or [],
        "registered": True,
        "nodes": [],
        "missing": [],
    }


def _family_body(found: FoundFamily) -> dict[str, Any]:
    return {"family": found.name, "familySource": found.source, "variant": found.variant or None}


def _key(name: str) -> str:
    return name.replace("\\", "/").strip("/").casefold()


def _base(name: str) -> str:
    return _key(name).rsplit("/", 1)[-1]


def _default(services: Services) -> str | None:
    try:
        return str(services.registry.default_checkpoint("model").air)
    except InvalidInput:
        return None


def _node(services: Services, name: str) -> NodeView:
    """Raises `InvalidInput`: the name stands in a query or a body, not in the path."""
    try:
        return services.nodes.get(name)
    except NotFound as error:
        raise InvalidInput.at("node", str(error)) from error


def _import(services: Services, order: ImportOrder) -> Mapping[str, Any]:
    view = _node(services, order.node)
    found = services.registry.installed.all(order.node)
    if not found:
        problem = view.report.problem if view.report else ""
        raise Conflict(
            f"the files of {order.node} are not known: {problem or 'it lists no models'}; "
            f"examine it: imagemill nodes doctor {order.node}"
        )
    chosen = [model for model in found if not order.types or model.file.kind in order.types]
    if order.names:
        wanted = {_key(name) for name in order.names}
        chosen = [model for model in chosen if _key(model.file.name) in wanted]
        if not chosen:
            raise InvalidInput.at(
                "names", f"are no files of {order.node}; see: imagemill models list --node {order.node}"
            )
    importer = ModelImport(services.registry, family=order.family, dry=order.dry_run)
    items = [_import_body(model) for model in importer.run(chosen)]
    return {"node": order.node, "dryRun": order.dry_run, "items": items}


def _import_body(model: ImportedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "air": str(model.resource.air),
        "family": model.resource.air.family,
        "familySource": model.family_source,
        "state": model.state,
    }


DIALECT = ApiModule(
    name="models",
    router=router,
    callback=no_callback,
    policies=(
        # Posting to the path itself orders a model of the library, at the library's former address.
        PathPolicy(PATH, Scope.MODELS_READ, Scope.JOBS_WRITE),
        PathPolicy(f"{PATH}/import", Scope.MODELS_WRITE, Scope.MODELS_WRITE),
        PathPolicy(f"{PATH}/default", Scope.MODELS_WRITE, Scope.MODELS_WRITE),
    ),
    tags={"models": "The registry of checkpoints and LoRAs by AIR, with the files that nodes have of them."},
)
