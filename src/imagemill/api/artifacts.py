"""``/api/v1/artifacts``: the finished pictures and other files, across jobs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.job_filters import Age, Values, instant_of
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import EVERY_OWNER, Scope
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.jobs import SIMULATOR
from imagemill.jobs.gallery_files import MEDIA_TYPE, prompt_of, zip_name, zip_pieces
from imagemill.jobs.store.artifacts import (
    MOST,
    ArtifactFilter,
    DeleteArtifact,
    GalleryEntry,
    RateArtifact,
    Sort,
)
from imagemill.jobs.store.queries import Filter
from imagemill.net import pools
from imagemill.net.pools import BlockingPool
from imagemill.web import openapi
from imagemill.web.auth import audit_change, caller
from imagemill.web.blobs import picture_url
from imagemill.web.body_fields import Whole
from imagemill.web.http import base_url, json_response
from imagemill.web.policies import CHANGING, PathPolicy
from imagemill.web.routing import ApiRoute, Flag, RequestModel, ResponseModel

NAME = "artifacts"
PATH = "/api/v1/artifacts"
_ID = "5C1A0D5B9E0E4B6D8A7F3C2E1B0A99887766554433221100FFEEDDCCBBAA9988"
_JOB = "01a2238c-4a37-7e4e-8fe9-c660c98ffd26"
_LONGEST_PAGE = 200
_CACHING = "private, max-age=31536000, immutable"
"""A thumbnail never changes, as an artifact does not."""
_thumbnails = BlockingPool("thumbnails", 2)
"""Thumbnails and contact sheets: each needs a processor of its own, which others need as well."""


class ArtifactQuery(RequestModel):
    """Which artifacts. Lists may be repeated or separated by commas: one of the values must match."""

    limit: int = Field(50, ge=1, le=_LONGEST_PAGE, description="Most artifacts of a page.")
    cursor: str | None = Field(None, max_length=120, description="`next` of the last answer.")
    text: str = Field(
        "", max_length=200, description="Only those with this text in their job's input, such as the prompt."
    )
    model: Values = Field([], description="Only those of these checkpoints: AIRs or file names, with `*`.")
    recipe: Values = Field([], description="Only those of these recipes.")
    node: Values = Field([], description="Only those made on these nodes.")
    job: Values = Field([], description="Only those of these jobs, at most 100.")
    batch: Values = Field([], description="Only those of these submissions.")
    character: str | None = Field(None, max_length=200, description="Only those of this character.")
    type: Values = Field([], description="Only these media types, such as `image/png` or `video`.")
    rating: int = Field(0, ge=0, le=5, description="Only those rated so or higher; 0: all.")
    from_: Age = Field(
        None, alias="from", description="Made since: an age in seconds or such as `2h`, or a date and time."
    )
    to: Age = Field(None, description="Made before: an age in seconds or such as `2h`, or a date and time.")
    deleted: Flag = Field(False, description="Also those whose file was deleted.")
    sort: Sort = Field("newest", description="`rating`: the rated ones, the best first.")


class GalleryArtifact(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "job": _JOB,
                    "owner": "local",
                    "position": 0,
                    "mediaType": "image/png",
                    "size": 241337,
                    "width": 512,
                    "height": 512,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "seed": 42,
                    "recipe": "textToImage",
                    "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
                    "node": "attic",
                    "simulated": False,
                    "name": None,
                    "prompt": "a lighthouse at dusk",
                    "rating": 4,
                    "createdAt": "2026-01-31T12:00:05+00:00",
                    "deletedAt": None,
                    "available": True,
                    "url": "http://localhost:8700/blobs/AQHB0K9b5FhT.png?exp=1767225600&sig=...",
                    "thumbnail": f"http://localhost:8700{PATH}/{_ID}/thumbnail",
                }
            ]
        }
    )

    id: str
    job: str = Field(description="`id` of its job.")
    owner: str
    position: int = Field(description="Place among the files of its job, from 0.")
    media_type: str
    size: int = Field(description="Bytes.")
    width: int = Field(description="Pixels; 0 where the file is no picture.")
    height: int
    sha256: str
    seed: int | None
    recipe: str
    model: str | None = Field(description="The checkpoint's AIR in lower case.")
    node: str | None
    simulated: bool = Field(description="It was drawn by the simulator, not by a model.")
    name: str | None = Field(description="The name of its job.")
    prompt: str = Field(description="The prompt of its job, empty where its recipe has none.")
    rating: int = Field(description="1 to 5; 0: none.")
    created_at: datetime
    deleted_at: datetime | None = Field(description="When it was deleted at a wish.")
    available: bool = Field(description="False once the file was deleted, or its retention is over.")
    url: str | None = Field(description="Where it can be fetched without a key, for a limited time.")
    thumbnail: str | None = Field(description="Where its thumbnail is; null for one that is no picture.")


class ArtifactPage(ResponseModel):
    items: list[GalleryArtifact]
    next: str | None = Field(
        description="The `cursor` of the next page; null on the last. A page may have few items, or none, "
        "and a next one: a request reads a bounded number of artifacts."
    )
    searched_to: datetime | None = Field(
        description="Set on such a page: when the last artifact was made that was compared with the filter."
    )


class ArtifactChange(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"rating": 4}]})

    rating: Whole = Field(ge=0, le=5, description="1 to 5; 0 takes the rating away.")


def _different(ids: list[str]) -> list[str]:
    if len(set(ids)) < len(ids):
        raise ValueError("has an id more than once")
    return ids


_Ids = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    Field(min_length=1, max_length=MOST, description="Ids of artifacts."),
    AfterValidator(_different),
]


class ArtifactChoice(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": [_ID]}]})

    ids: _Ids


class SheetRequest(ArtifactChoice):
    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": [_ID], "title": "Lighthouses"}]})

    title: str = Field("", max_length=200, description="The title on the sheet.")
    columns: Whole | None = Field(None, ge=1, le=40, description="Pictures side by side.")


router = APIRouter(prefix=PATH, tags=["artifacts"], route_class=ApiRoute)
ArtifactId = Annotated[str, Path(description="`id` of the artifact.", max_length=64)]
Width = Annotated[Literal["128", "256", "512"], Query(description="Pixels of the longer side.")]


@router.get("", summary="List artifacts, newest first", response_model=ArtifactPage)
async def list_artifacts(
    request: Request, services: ServicesDep, query: Annotated[ArtifactQuery, Query()]
) -> Response:
    inputs = (("character_id", query.character),) if query.character else ()
    jobs = Filter(
        owner=_owner(request),
        ids=tuple(query.job),
        recipes=tuple(query.recipe),
        batches=tuple(query.batch),
        nodes=tuple(query.node),
        models=tuple(query.model),
        text=query.text,
        inputs=inputs,
        limit=query.limit,
    )
    wanted = ArtifactFilter(
        jobs,
        media_types=tuple(query.type),
        rating=query.rating,
        created_from=instant_of(query.from_),
        created_to=instant_of(query.to),
        available=not query.deleted,
        sort=query.sort,
        before=query.cursor,
    )
    found = await pools.read(services.jobs.search_artifacts, wanted)
    items = [_body(request, services, entry) for entry in found.entries]
    return json_response({"items": items, "next": found.next, "searchedTo": moment(found.searched_to)})


@router.get("/{artifact_id}", summary="Read an artifact", response_model=GalleryArtifact)
async def get_artifact(request: Request, services: ServicesDep, artifact_id: ArtifactId) -> Response:
    return json_response(_body(request, services, await _entry(request, services, artifact_id)))


@router.patch("/{artifact_id}", summary="Rate an artifact", response_model=GalleryArtifact)
async def change_artifact(
    request: Request, services: ServicesDep, artifact_id: ArtifactId, body: ArtifactChange
) -> Response:
    audit_change(request, f"rating {body.rating}")
    rating = RateArtifact(artifact_id, _owner(request), body.rating)
    await pools.write(services.jobs.rate_artifact, rating)
    return await get_artifact(request, services, artifact_id)


@router.delete("/{artifact_id}", summary="Delete the file of an artifact", status_code=204)
async def delete_artifact(request: Request, services: ServicesDep, artifact_id: ArtifactId) -> Response:
    await pools.write(_delete, services, artifact_id, _owner(request))
    return Response(status_code=204)


@router.get(
    "/{artifact_id}/thumbnail",
    summary="Fetch the thumbnail of a picture",
    response_class=Response,
    responses={304: {"description": "Not modified"}},
    openapi_extra=openapi.answered(200, "The thumbnail.", MEDIA_TYPE),
)
async def get_thumbnail(
    request: Request, services: ServicesDep, artifact_id: ArtifactId, width: Width = "256"
) -> Response:
    artifact = (await _entry(request, services, artifact_id)).artifact
    headers = {"ETag": f'"{artifact.sha256[:32]}-{width}"', "Cache-Control": _CACHING}
    if artifact.available and headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    data = await _thumbnails(services.thumbnails.get, artifact, int(width))
    return Response(data, 200, headers, MEDIA_TYPE)


@router.post(
    "/zip",
    summary="Fetch the files of artifacts as one ZIP file",
    response_class=Response,
    openapi_extra=openapi.answered(200, "The file.", "application/zip"),
)
async def zip_artifacts(request: Request, services: ServicesDep, body: ArtifactChoice) -> Response:
    entries = [each for each in await _chosen(request, services, body.ids) if each.artifact.available]
    if not entries:
        raise NotFound("the files of all these artifacts were deleted")
    headers = {"Content-Disposition": f'attachment; filename="{zip_name()}"'}
    return StreamingResponse(zip_pieces(entries, services.blobs), 200, headers, "application/zip")


@router.post(
    "/contact-sheet",
    summary="Draw a contact sheet of pictures",
    response_class=Response,
    openapi_extra=openapi.answered(200, "The sheet.", "image/png"),
)
async def draw_contact_sheet(request: Request, services: ServicesDep, body: SheetRequest) -> Response:
    entries = await _chosen(request, services, body.ids)
    columns = body.columns or max(1, round(len(entries) ** 0.5 * 1.3))
    data = await _thumbnails(services.thumbnails.sheet, entries, body.title, columns)
    return Response(data, 200, media_type="image/png")


def _owner(request: Request) -> str | None:
    owner = caller(request).owner
    return None if owner == EVERY_OWNER else owner


async def _entry(request: Request, services: Services, artifact_id: str) -> GalleryEntry:
    """Raises `NotFound`, for another owner's artifact too."""
    for entry in await pools.read(services.jobs.gallery_entries, _owner(request), [artifact_id]):
        return entry
    raise NotFound(f"there is no artifact {artifact_id}")


async def _chosen(request: Request, services: Services, ids: Sequence[str]) -> list[GalleryEntry]:
    """Return the artifacts in the order asked for. Raises `InvalidInput` for unknown ids."""
    entries = await pools.read(services.jobs.gallery_entries, _owner(request), ids)
    if len(entries) < len(ids):
        lacking = set(ids) - {entry.artifact.id for entry in entries}
        place = next(place for place, id_ in enumerate(ids) if id_ in lacking)
        raise InvalidInput.at(f"ids[{place}]", "is no artifact; `/api/v1/artifacts` lists them")
    return entries


def _delete(services: Services, artifact_id: str, owner: str | None) -> None:
    """Delete the file and its thumbnails. Raises `NotFound`, and `Conflict` for a file that is kept."""
    for entry in services.jobs.gallery_entries(owner, [artifact_id]):
        key = entry.artifact.blob_key
        if key and services.jobs.referenced_files([key]):
            raise Conflict(
                "this picture belongs to a character, a book or the model library; delete it there"
            )
    artifact = services.jobs.mark_artifact_deleted(DeleteArtifact(artifact_id, owner, now_us()))
    # Marked first: a file that is left is deleted as an orphan later.
    if artifact.available:
        services.thumbnails.delete(artifact)


def _body(request: Request, services: Services, entry: GalleryEntry) -> Mapping[str, Any]:
    artifact, base = entry.artifact, base_url(request, services.response_config.public_url)
    is_picture = artifact.available and artifact.media_type.startswith("image/")
    signer = services.response_config.signer
    return {
        "id": artifact.id,
        "job": artifact.job_id,
        "owner": entry.owner,
        "position": artifact.position,
        "mediaType": artifact.media_type,
        "size": artifact.size,
        "width": artifact.width,
        "height": artifact.height,
        "sha256": artifact.sha256,
        "seed": artifact.seed,
        "recipe": entry.recipe,
        "model": entry.model or None,
        "node": entry.node,
        "simulated": entry.backend == SIMULATOR,
        "name": entry.name,
        "prompt": prompt_of(entry),
        "rating": entry.rating,
        "createdAt": moment(artifact.created_at),
        "deletedAt": moment(entry.deleted_at),
        "available": artifact.available,
        "url": picture_url(signer, base, artifact).url if artifact.available else None,
        "thumbnail": f"{base}{PATH}/{artifact.id}/thumbnail" if is_picture else None,
    }


def _policy(path: str, write: Scope) -> PathPolicy:
    return PathPolicy(path, Scope.JOBS_READ, write, owner_methods=CHANGING, all_owners=True)


DIALECT = ApiModule(
    name=NAME,
    router=router,
    callback=no_callback,
    policies=(
        _policy(PATH, Scope.JOBS_WRITE),
        _policy(f"{PATH}/", Scope.JOBS_WRITE),
        # These read, and are sent a body only for the number of ids.
        _policy(f"{PATH}/zip", Scope.JOBS_READ),
        _policy(f"{PATH}/contact-sheet", Scope.JOBS_READ),
    ),
    tags={"artifacts": "Finished pictures and other files across jobs: thumbnails, ratings, ZIP files."},
)
