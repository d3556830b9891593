"""The answers of fal's API: the status of a request with its logs, and its result."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request

from imagemill.api.base import ResponseConfig, Services
from imagemill.blobs.base import BlobStore
from imagemill.dialects.fal.errors import FalErrorResponse, error_response
from imagemill.dialects.fal.settings import QUEUE
from imagemill.domain.clock import to_datetime
from imagemill.domain.events import Event, EventType, Stage
from imagemill.domain.jobs import Artifact, Job, JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.queries import View
from imagemill.web.blobs import picture_url
from imagemill.web.http import addressed_host
from imagemill.web.policies import REWRITTEN_PREFIX

NAME = "fal"


def base_url(request: Request, wire: ResponseConfig) -> str:
    """Return the scheme and host of URLs that the client can reach."""
    return wire.public_url or _addressed(request, wire)


def queue_url(request: Request, wire: ResponseConfig) -> str:
    """Return the URL of the queue for the client: at the request's host, if that is one of fal's hosts."""
    if request.scope.get(REWRITTEN_PREFIX) == QUEUE:
        return _addressed(request, wire)
    return f"{base_url(request, wire)}{QUEUE}"


def _addressed(request: Request, wire: ResponseConfig) -> str:
    """Return scheme and host of the request. With an https public address, fal's hosts have https, too."""
    secure = wire.public_url is not None and wire.public_url.startswith("https:")
    return f"{'https' if secure else request.url.scheme}://{addressed_host(request)}"


def marks(job: Job) -> Mapping[str, Any]:
    """Return the values of the submission that are stored with the job."""
    return job.client.get("fal", {})


def addresses(job: Job, queue: str) -> dict[str, str]:
    one = f"{queue}/{marks(job).get('app', '')}/requests/{job.id}"
    return {
        "request_id": job.id,
        "response_url": one,
        "status_url": f"{one}/status",
        "cancel_url": f"{one}/cancel",
    }


def status(view: View, queue: str, ahead: int, logs: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the status. ``ahead``: requests before it; ``logs`` None means that they were not requested."""
    job = view.job
    urls = addresses(job, queue)
    if job.status is JobStatus.RUNNING:
        return {"status": "IN_PROGRESS", **urls, "logs": logs}
    if not job.status.is_terminal:
        return {"status": "IN_QUEUE", **urls, "queue_position": ahead}
    body: dict[str, Any] = {"status": "COMPLETED", **urls, "logs": logs, "metrics": _metrics(view)}
    if job.status is JobStatus.SUCCEEDED:
        return body
    end = error_response(job)
    return {**body, "error": end.sentence, "error_type": end.type}


def _metrics(view: View) -> dict[str, Any]:
    seconds = inference_s(view)
    return {} if seconds is None else {"inference_time": seconds}


def inference_s(view: View) -> float | None:
    """Return the seconds of rendering; None without a render."""
    stages: Sequence[Mapping[str, Any]] = view.last_event.data.get("stages", ())
    rendered = (Stage.COMFY_RESULT.value, Stage.BACKEND_RESULT.value)
    return next((round(each["ms"] / 1000, 6) for each in stages if each["stage"] in rendered), None)


_LEVELS = {EventType.REJECTED: "WARN", EventType.CLAIM_EXPIRED: "WARN", EventType.FAILED: "ERROR"}


def logs(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": to_datetime(event.at).isoformat(),
            "level": _LEVELS.get(event.type, "INFO"),
            "source": "USER",
            "message": _message(event),
        }
        for event in events
    ]


def _message(event: Event) -> str:
    data = event.data
    match event.type:
        case EventType.INITIALIZED:
            return "queued"
        case EventType.CLAIMED:
            return f"taken by {data.get('node', 'a node')}"
        case EventType.UPDATED:
            return f"step {data.get('step', 0)} of {data.get('total', 0)}"
        case EventType.REJECTED | EventType.CLAIM_EXPIRED:
            return f"tried again: {data.get('error', {}).get('message', 'the attempt was lost')}"
        case EventType.SUCCEEDED:
            return "completed"
        case EventType.FAILED:
            return f"failed: {data.get('error', {}).get('message', '')}"
        case EventType.CANCELED:
            return "cancelled"
        case EventType.EXPIRED:
            return "not started in time"


class ResultDeleted(Exception):
    """The pictures were deleted, but the request still exists."""


def output(view: View, signer: UrlSigner, base: str, blobs: BlobStore) -> dict[str, Any]:
    """Return the output of a successful request. Blocks for inlined pictures. Raises `ResultDeleted`."""
    job, said = view.job, marks(view.job)
    if not all(artifact.available for artifact in view.artifacts):
        raise ResultDeleted
    seconds = inference_s(view)
    flagged = view.last_event.data.get("flagged", ()) if said.get("checked", True) else ()
    return {
        "images": [
            {
                "url": _inline(artifact, blobs)
                if said.get("inline")
                else picture_url(signer, base, artifact).url,
                "width": artifact.width,
                "height": artifact.height,
                "content_type": artifact.media_type,
            }
            for artifact in view.artifacts
        ],
        "timings": {} if seconds is None else {"inference": seconds},
        "seed": job.input.get("seed"),
        "has_nsfw_concepts": [artifact.position in flagged for artifact in view.artifacts],
        "prompt": job.input.get("prompt", ""),
    }


def _inline(artifact: Artifact, blobs: BlobStore) -> str:
    data = base64.b64encode(blobs.get(artifact.blob_key)).decode()
    return f"data:{artifact.media_type};base64,{data}"


def result(view: View, base: str, services: Services) -> dict[str, Any] | FalErrorResponse:
    """Return the output or the error of a finished request. May block."""
    if view.job.status is not JobStatus.SUCCEEDED:
        return error_response(view.job)
    try:
        return output(view, services.response_config.signer, base, services.blobs)
    except ResultDeleted:
        return FalErrorResponse(
            410, "the pictures were deleted after their retention; submit the request again"
        )
