"""The Blob objects of v2's answers, with their ids and signed URLs."""

from typing import Any

from imagemill.dialects.civitai_times import date_time
from imagemill.domain.blob_keys import UploadId, blob_id, owner_hash, parse_blob_id
from imagemill.domain.jobs import Artifact
from imagemill.domain.signing import UrlSigner
from imagemill.media.pictures import PictureInfo, extension_of

__all__ = ["PATH", "blob_document", "blob_id", "parse_blob_id", "pending_blob", "upload_document"]

PATH = "/v2/consumer/blobs"
_TYPES = {"image": "image", "video": "video", "audio": "audio", "model": "model3d"}


def blob_document(artifact: Artifact, signer: UrlSigner, base_url: str) -> dict[str, Any]:
    """Return the Blob of a job's file; one that was deleted has no URL."""
    id_ = blob_id(artifact.job_id, artifact.position, extension_of(artifact.media_type))
    document: dict[str, Any] = {
        "type": _type(artifact.media_type),
        "id": id_,
        "available": artifact.available,
        "jobId": artifact.job_id,
    }
    if artifact.available:
        document |= _signed(signer, base_url, id_, artifact.id)
    if artifact.width and artifact.height:
        document |= {"width": artifact.width, "height": artifact.height}
    return document


def pending_blob(job_id: str, position: int, media_type: str = "image/png") -> dict[str, Any]:
    """Return the Blob of a file that is not made yet, or never will be."""
    id_ = blob_id(job_id, position, extension_of(media_type))
    return {"type": _type(media_type), "id": id_, "available": False, "jobId": job_id}


def upload_document(
    id_: UploadId, info: PictureInfo, owner: str, signer: UrlSigner, base_url: str
) -> dict[str, Any]:
    """Return the Blob of an uploaded picture."""
    name = f"{id_.digest}.{id_.extension}"
    mark = owner_hash(owner)
    return {
        "type": _type(info.media_type),
        "id": name,
        "available": True,
        **_signed(signer, base_url, name, id_.key(mark), mark),
        "width": info.width,
        "height": info.height,
    }


def signature(signer: UrlSigner, signed_name: str, mark: str = "") -> tuple[str, int]:
    """Return the query ``exp=...&sig=...`` of a blob's URL, and when it expires.

    The digest of an upload does not say whose it is, so its signature begins with the owner's hash, ``mark``.
    """
    signed = signer.sign(signed_name)
    return signed.query.replace("sig=", f"sig={mark}-") if mark else signed.query, signed.expires_at


def _signed(signer: UrlSigner, base_url: str, id_: str, signed_name: str, mark: str = "") -> dict[str, Any]:
    query, expires_at = signature(signer, signed_name, mark)
    return {"url": f"{base_url}{PATH}/{id_}?{query}", "urlExpiresAt": date_time(expires_at)}


def _type(media_type: str) -> str:
    return _TYPES.get(media_type.partition("/")[0], "file")
