"""What the API of characters answers of jobs and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagemill.api.jobs_schemas import moment
from imagemill.backends.base import Progress
from imagemill.domain.clock import now_us
from imagemill.domain.events import EventType
from imagemill.domain.jobs import Artifact, Job, JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.queries import View
from imagemill.products.characters.store import StoredImage
from imagemill.web.blobs import picture_url

STICKER = {
    "waiting": "PENDING",
    "delayed": "PENDING",
    "active": "GENERATING",
    "completed": "COMPLETED",
    "failed": "FAILED",
}
"""The row of a sticker, by the state of its job; it is nowhere kept beside it."""
PREPARED = ("translatedBy", "translationProblem", "untranslated", "dominantColour", "keyColour")
"""What the last event of a job says of how its input was prepared."""
_ENDED = {
    JobStatus.CANCELED: ("canceled", "it was canceled"),
    JobStatus.EXPIRED: ("expired", "it was not started in time; submit it again"),
}


@dataclass(frozen=True, slots=True)
class UrlBuilder:
    """Where pictures are had. ``public``: the bucket's own address; None: URLs are signed."""

    signer: UrlSigner
    base: str
    public: str | None = None

    def to(self, key: str) -> str:
        """To a file that lies where products do."""
        if self.public is not None:
            return f"{self.public.rstrip('/')}/{key}"
        return f"{self.base}/blobs/{key}?{self.signer.sign(key).query}"


def state(job: Job) -> str:
    match job.status:
        case JobStatus.WAITING | JobStatus.QUEUED:
            return "delayed" if job.run_after is not None and job.run_after > now_us() else "waiting"
        case JobStatus.RUNNING:
            return "active"
        case JobStatus.SUCCEEDED:
            return "completed"
        case _:
            return "failed"


def status_body(
    view: View, image: StoredImage | None, live: Progress | None, links: UrlBuilder
) -> dict[str, Any]:
    job = view.job
    done = job.status is JobStatus.SUCCEEDED
    return {
        "jobId": job.id,
        "state": state(job),
        "progress": 100 if done else percent(live.fraction if live is not None else _logged(view)),
        "data": data_body(job),
        "result": result_body(view, image, links) if done else None,
        "failedReason": _reason(job),
        "error": _error(view),
        "createdAt": moment(job.created_at),
        "finishedAt": moment(job.finished_at),
    }


def percent(fraction: float) -> int:
    return round(100 * min(1.0, max(0.0, fraction)))


def _logged(view: View) -> float:
    """The coarse progress of the log, where another process renders it."""
    event = view.last_event
    return float(event.data.get("progress", 0.0)) if event.type is EventType.UPDATED else 0.0


def data_body(job: Job) -> dict[str, Any]:
    """What the job is for; of what somebody wrote it repeats nothing."""
    of = {"type": job.recipe, "characterId": job.input.get("character_id"), "batchId": job.batch}
    if job.recipe == "sticker":
        of |= {"emotion": job.input.get("emotion"), "status": STICKER[state(job)]}
    elif job.recipe == "cover":
        of["storyId"] = job.input.get("story_id")
    return {name: value for name, value in of.items() if value is not None}


def result_body(view: View, image: StoredImage | None, links: UrlBuilder) -> dict[str, Any]:
    """The picture; without addresses once it was deleted."""
    body: dict[str, Any] = {"imageId": None, "imageUrl": None, "thumbnailUrl": None}
    if image is not None:
        body = {"imageId": image.id, **_addresses(image, links)}
    elif view.artifacts and view.artifacts[0].available:
        urls = [_artifact_url(each, links) for each in view.artifacts]
        body |= {"imageUrl": urls[0], "thumbnailUrl": urls[min(1, len(urls) - 1)]}
    if view.artifacts:
        picture = view.artifacts[0]
        body |= {
            "width": picture.width,
            "height": picture.height,
            "size": picture.size,
            "mediaType": picture.media_type,
            "seed": picture.seed,
        }
    return body | {name: value for name, value in view.last_event.data.items() if name in PREPARED}


def _artifact_url(artifact: Artifact, links: UrlBuilder) -> str:
    if artifact.blob_key.startswith("jobs/"):
        return picture_url(links.signer, links.base, artifact).url
    return links.to(artifact.blob_key)


def _addresses(image: StoredImage, links: UrlBuilder) -> dict[str, str]:
    return {"imageUrl": links.to(image.image_key), "thumbnailUrl": links.to(image.thumbnail_key)}


def _reason(job: Job) -> str | None:
    if job.status in _ENDED:
        return _ENDED[job.status][1]
    return job.error.message if job.error is not None and job.status is JobStatus.FAILED else None


def _error(view: View) -> Mapping[str, Any] | None:
    """For programs: a code in capitals, and what to do."""
    job = view.job
    if job.status in _ENDED:
        return {"code": _ENDED[job.status][0].upper()}
    if job.error is None or job.status is not JobStatus.FAILED:
        return None
    return {"code": job.error.code.value.upper(), "advice": job.error.policy.advice}


def image_body(image: StoredImage, links: UrlBuilder) -> dict[str, Any]:
    return {
        "id": image.id,
        "type": image.type,
        "emotion": image.emotion or None,
        "active": image.is_active,
        **_addresses(image, links),
        "mediaType": image.media_type,
        "width": image.width,
        "height": image.height,
        "size": image.size,
        "seed": image.seed,
        "jobId": image.job_id,
        "createdAt": moment(image.created_at),
    }
