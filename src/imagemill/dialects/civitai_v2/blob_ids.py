"""The Blob objects of v2's answers, with their ids and signed URLs."""

from typing import Any

from imagemill.dialects.civitai_times import date_time
from imagemill.domain.blob_keys import blob_id, owner_hash, parse_blob_id
from imagemill.domain.blob_urls import V2_PATH, BlobGrant, grant
from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import Artifact
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.inputs import StoredInput
from imagemill.media.pictures import extension_of

__all__ = ["blob_document", "blob_id", "parse_blob_id", "pending_blob", "upload_document"]

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
        document |= _address(grant(signer, id_), base_url)
    if artifact.width and artifact.height:
        document |= {"width": artifact.width, "height": artifact.height}
    return document


def pending_blob(job_id: str, position: int, media_type: str = "image/png") -> dict[str, Any]:
    """Return the Blob of a file that is not made yet, or never will be."""
    id_ = blob_id(job_id, position, extension_of(media_type))
    return {"type": _type(media_type), "id": id_, "available": False, "jobId": job_id}


def upload_document(upload: StoredInput, owner: str, signer: UrlSigner, base_url: str) -> dict[str, Any]:
    """Return the Blob of an uploaded picture."""
    return {
        "type": _type(upload.info.media_type),
        "id": upload.name,
        "available": True,
        **_address(grant(signer, upload.name, owner_hash(owner)), base_url),
        "width": upload.info.width,
        "height": upload.info.height,
    }


def _address(signed: BlobGrant, base_url: str) -> dict[str, Any]:
    return {
        "url": f"{base_url}{V2_PATH}/{signed.name}?{signed.query}",
        "urlExpiresAt": date_time(int(signed.expires) * SECOND),
    }


def _type(media_type: str) -> str:
    return _TYPES.get(media_type.partition("/")[0], "file")
