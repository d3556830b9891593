"""``/v2/consumer/blobs``: upload pictures, and read, keep and download the files of jobs and uploads."""

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import FilesDep, ServicesDep
from imagemill.api.uploads import PICTURE_BODY, UPLOAD_REFUSED, body_file, keep_picture, uploaded_picture
from imagemill.blobs.base import BlobStore
from imagemill.dialects.civitai_times import date_time
from imagemill.dialects.civitai_v2.blob_ids import blob_document, upload_document
from imagemill.domain.access import Scope
from imagemill.domain.blob_keys import OutputId, UploadId, owner_hash, parse_blob_id
from imagemill.domain.blob_urls import V2_PATH, BlobGrant, grant, grant_in, grant_of
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Forbidden, NotFound
from imagemill.domain.jobs import Artifact
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.queries import RenewArtifact
from imagemill.media.pictures import EXTENSIONS, UNKNOWN
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.blobs import ArtifactFiles, seconds_left
from imagemill.web.http import base_url, json_response
from imagemill.web.policies import CorsClass, PathPolicy
from imagemill.web.routing import ContractRoute, Flag, ResponseModel

_NAME = "civitai v2 blobs"
_WRONG = "this URL is wrong or has expired; ask for the workflow or the blob again for a new one"
_WRONG_UPLOAD = f"this URL is wrong or has expired; GET {V2_PATH}/upload gives a new one"
_DELETED = "the file was deleted after its retention"
_LONGEST_NAME = 150
"""Characters of a file name that a client chooses; file systems take 255 bytes."""
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f"\\]')

_BLOB = {
    "type": "image",
    "id": "01JBST8000E00800000000007Z.png",
    "available": True,
    "url": f"http://localhost:8700{V2_PATH}/01JBST8000E00800000000007Z.png?exp=1767229200&sig=...",
    "urlExpiresAt": "2026-01-01T01:00:00.0000000Z",
    "jobId": "0192f3a4-0000-7000-8000-0000000000ff",
    "width": 1024,
    "height": 1024,
}


class Blob(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_BLOB]})

    type: str = Field(description="image, video, audio, model3d or file.")
    id: str = Field(description="Names the file in inputs of steps, and below this path.")
    available: bool = Field(description="Whether the file exists: it may not be made yet, or be deleted.")
    url: str | None = Field(None, description="Where it can be read without a key, for a limited time.")
    url_expires_at: datetime | None = None
    job_id: str | None = Field(None, description="The job that made it; absent for uploads.")
    width: int | None = Field(None, description="Pixels.")
    height: int | None = None


class UploadUrl(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uploadUrl": f"http://localhost:8700{V2_PATH}?exp=1767229200&sig=...",
                    "expiresAt": "2026-01-01T01:00:00.0000000Z",
                }
            ]
        }
    )

    upload_url: str = Field(description="POST the bytes of a picture here; no key is needed.")
    expires_at: datetime


router = APIRouter(tags=[_NAME], route_class=ContractRoute)
_BlobId = Annotated[str, Path(alias="id", description="The id of a blob, with its extension.")]
_Exp = Annotated[str, Query(description="From a signed URL: when it expires, in seconds since 1970.")]
_Sig = Annotated[str, Query(description="From a signed URL: its signature, in place of a key.")]
_FileName = Annotated[
    str,
    Query(max_length=1000, description="A name for the file; folders and control characters are removed."),
]
_Download = Annotated[Flag, Query(description="Whether browsers save the file instead of showing it.")]
_IGNORED = "Accepted for compatibility; has no effect."
_Token = Annotated[str, Path(description="From the Location of a blob, or the URL of an archive.")]
_FILE = {media: {} for media in EXTENSIONS}


# Uploads


@router.head(f"{V2_PATH}/upload", include_in_schema=False)
@router.get(f"{V2_PATH}/upload", summary="A signed URL to upload a picture to", response_model=UploadUrl)
async def get_upload_url(request: Request, services: ServicesDep) -> Response:
    owner = caller(request).owner
    signed = services.response_config.signer.sign(_upload_right(owner))
    expires, _, signature = signed.query.partition("&sig=")
    base = base_url(request, services.response_config.public_url)
    url = f"{base}{V2_PATH}?{expires}&sig={_written(owner)}.{signature}"
    return json_response({"uploadUrl": url, "expiresAt": date_time(signed.expires_at)})


@router.post(
    V2_PATH,
    summary="Upload a picture",
    status_code=201,
    response_model=Blob,
    responses=UPLOAD_REFUSED,
    openapi_extra={"requestBody": {"required": True, "content": PICTURE_BODY}},
)
async def upload_blob(
    request: Request,
    services: ServicesDep,
    exp: _Exp = "",
    sig: _Sig = "",
    public: Annotated[
        Flag, Query(description="Accepted for compatibility: URLs are always signed and expire.")
    ] = False,
) -> Response:
    del public
    owner = await _uploader(request, services, exp, sig)
    async with body_file(request) as file:
        kept = await pools.decode(keep_picture, services, owner, "body", file)
    base = base_url(request, services.response_config.public_url)
    return json_response(upload_document(kept, owner, services.response_config.signer, base), 201)


async def _uploader(request: Request, services: Services, expires: str, signature: str) -> str:
    """Return the owner of an upload: the caller, or the one that the signed URL was made for."""
    if "imagemill.caller" in request.scope:
        return caller(request).owner
    written, _, signed = signature.partition(".")
    owner = _read(written)
    if owner is None or not services.response_config.signer.check(_upload_right(owner), expires, signed):
        raise HTTPException(403, _WRONG_UPLOAD)
    if await pools.authenticate(services.access.is_disabled, owner):
        raise Forbidden("the account that this URL was made for is disabled")
    return owner


def _upload_right(owner: str) -> str:
    """Return the name that is signed for an upload; no file has it."""
    return f"upload:{owner}"


def _written(owner: str) -> str:
    return base64.urlsafe_b64encode(owner.encode()).decode().rstrip("=")


def _read(text: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return None


# Blobs by id


@router.get(
    f"{V2_PATH}/{{id}}",
    summary="Read a blob: a redirect to its content",
    status_code=308,
    response_class=Response,
    responses={308: {"description": "The content is at the URL in Location, for a limited time"}},
)
async def get_blob(
    request: Request,
    services: ServicesDep,
    blob_id: _BlobId,
    exp: _Exp = "",
    sig: _Sig = "",
    filename: _FileName = "",
    download: _Download = False,
    workflow_id: Annotated[str, Query(alias="workflowId", description=_IGNORED)] = "",
    nsfw_level: Annotated[str, Query(alias="nsfwLevel", description=_IGNORED)] = "",
) -> Response:
    del workflow_id, nsfw_level
    granted = await _granted(request, services, blob_id, exp, sig)
    base = base_url(request, services.response_config.public_url)
    given = {"filename": filename} if filename else {}
    query = urlencode({**given, **({"download": "true"} if download else {})})
    url = f"{base}{V2_PATH}/content/{granted.token}{'?' if query else ''}{query}"
    # Clients keep a permanent redirect as long as they may, and a later one has another token.
    caching = {"Cache-Control": f"private, max-age={seconds_left(granted.expires)}"}
    return RedirectResponse(url, 308, caching)


@router.head(
    f"{V2_PATH}/{{id}}",
    summary="Whether a blob exists",
    status_code=204,
    response_class=Response,
)
async def head_blob(
    request: Request, services: ServicesDep, blob_id: _BlobId, exp: _Exp = "", sig: _Sig = ""
) -> Response:
    await _granted(request, services, blob_id, exp, sig)
    return Response(status_code=204)


@router.post(
    f"{V2_PATH}/{{id}}/refresh",
    summary="Restart the retention of a blob, and sign a new URL",
    response_model=Blob,
)
async def refresh_blob(request: Request, services: ServicesDep, blob_id: _BlobId) -> Response:
    owner, id_ = caller(request).owner, parse_blob_id(blob_id)
    config = services.response_config
    base = base_url(request, config.public_url)
    if isinstance(id_, UploadId):
        try:
            upload = await pools.decode(services.inputs.renew, id_, owner)
        except NotFound as error:
            raise _no_blob(blob_id) from error
        return json_response(upload_document(upload, owner, config.signer, base))
    renewal = RenewArtifact(id_.artifact_id, owner, now_us()) if id_ is not None else None
    artifact = await pools.write(services.jobs.renew_artifact, renewal) if renewal is not None else None
    if artifact is None:
        raise _no_blob(blob_id)
    return json_response(blob_document(artifact, config.signer, base))


async def _granted(
    request: Request, services: Services, name: str, expires: str, signature: str
) -> BlobGrant:
    """Return the right to read a blob: the signed URL's, or a new one for its owner.

    Raises `NotFound`, and status 403 for a wrong signature.
    """
    signer = services.response_config.signer
    given = grant_of(name, expires, signature)
    if given is None:
        raise _no_blob(name)
    if "imagemill.caller" in request.scope:
        owner = caller(request).owner
        given = grant(signer, name, owner_hash(owner))
    elif given.is_valid(signer):
        owner = None
    else:
        raise HTTPException(403, _WRONG)
    if not await _exists(services, given, owner):
        raise _no_blob(name)
    return given


async def _exists(services: Services, granted: BlobGrant, owner: str | None) -> bool:
    """Whether the file is there, and is the owner's unless that is None."""
    if isinstance(granted.id, UploadId):
        return await pools.blob(_is_stored, services.blobs, granted.id.key(granted.owner_hash))
    found = await pools.read(services.jobs.artifact, granted.id.artifact_id)
    return found is not None and owner in (None, found[1]) and found[0].available


def _is_stored(blobs: BlobStore, key: str) -> bool:
    if blobs.location(key) is not None:
        return True
    try:
        blobs.read(key, 0, 1)
    except NotFound:
        return False
    return True


def _no_blob(name: str) -> NotFound:
    return NotFound(f"there is no blob {name[:100]!r}: it is not made yet, was deleted, or is not yours")


# Content


@router.head(f"{V2_PATH}/content/{{token}}", include_in_schema=False)
@router.get(
    f"{V2_PATH}/content/{{token}}",
    summary="The content of a blob",
    response_class=Response,
    responses={
        200: {"content": _FILE, "description": "The file."},
        206: {"content": _FILE, "description": "A range of it."},
        304: {"description": "Not modified."},
        403: {"description": "The URL is wrong or has expired."},
        416: {"description": "The range is outside the file."},
    },
)
async def get_blob_content(
    request: Request,
    services: ServicesDep,
    files: FilesDep,
    token: _Token,
    filename: _FileName = "",
    download: _Download = False,
) -> Response:
    granted = _checked(services.response_config.signer, token)
    if granted is None:
        raise HTTPException(403, _WRONG)
    return await _content(request, services, files, granted, filename, download)


@router.head(f"{V2_PATH}/archive/{{token}}", include_in_schema=False)
@router.get(
    f"{V2_PATH}/archive/{{token}}",
    summary="Download an archive",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}, "application/x-tar": {}}, "description": "The archive."},
        403: {"description": "The URL is wrong."},
        410: {"description": "The URL has expired, or the archive was deleted."},
    },
)
async def get_blob_archive(
    request: Request, services: ServicesDep, files: FilesDep, token: _Token, filename: _FileName = ""
) -> Response:
    granted, signer = grant_in(token), services.response_config.signer
    if granted is None or not granted.is_ours(signer):
        raise HTTPException(403, _WRONG)
    if not granted.is_valid(signer):
        raise HTTPException(410, "this URL has expired; ask for the workflow again for a new one")
    try:
        return await _content(request, services, files, granted, filename, True)
    except NotFound as error:
        raise HTTPException(410, _DELETED) from error


def _checked(signer: UrlSigner, token: str) -> BlobGrant | None:
    granted = grant_in(token)
    return granted if granted is not None and granted.is_valid(signer) else None


async def _content(
    request: Request,
    services: Services,
    files: ArtifactFiles,
    granted: BlobGrant,
    filename: str,
    download: bool,
) -> Response:
    """Return the file of a grant that is valid. Raises `NotFound`."""
    left_s = seconds_left(granted.expires)
    if isinstance(granted.id, UploadId):
        key = granted.id.key(granted.owner_hash)
        return await uploaded_picture(request, services.blobs, key, left_s, _disposition(filename, download))
    artifact = await _artifact(services, granted.id)
    save = download or artifact.media_type == UNKNOWN
    return await files.answer(request, artifact, left_s, _disposition(filename, save))


async def _artifact(services: Services, id_: OutputId) -> Artifact:
    found = await pools.read(services.jobs.artifact, id_.artifact_id)
    if found is None or not found[0].available:
        raise NotFound(_DELETED)
    return found[0]


def _disposition(filename: str, save: bool) -> str | None:
    """Return the Content-Disposition; None where neither a name nor saving is asked for."""
    name = _NOT_IN_NAMES.sub("", re.split(r"[/\\]", filename)[-1]).strip(" .")[:_LONGEST_NAME]
    kind = "attachment" if save else "inline"
    if not name:
        return kind if save else None
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{encoded}'


DIALECT = ApiModule(
    name="civitai_v2_blobs",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy(f"{V2_PATH}/upload", Scope.JOBS_WRITE, cors=CorsClass.CONTRACT),
        PathPolicy(V2_PATH, Scope.JOBS_READ, Scope.JOBS_WRITE, signed=True, cors=CorsClass.CONTRACT),
        # Its parameter's name is short: `upload` must be the longer path.
        PathPolicy(f"{V2_PATH}/{{id}}", Scope.JOBS_READ, signed=True, cors=CorsClass.CONTRACT),
        PathPolicy(f"{V2_PATH}/{{id}}/refresh", Scope.JOBS_READ, Scope.JOBS_WRITE, cors=CorsClass.CONTRACT),
        PathPolicy(f"{V2_PATH}/content/", None, cors=CorsClass.CONTRACT, caching=None),
        PathPolicy(f"{V2_PATH}/archive/", None, cors=CorsClass.CONTRACT, caching=None),
    ),
    document="civitai-v2",
    tags={_NAME: "Uploads, and the files of jobs, as Civitai's v2 clients read them."},
)
