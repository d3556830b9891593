"""What the native API reads and answers."""

import re
from typing import Annotated, Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from imagemill.backends.base import Progress
from imagemill.dialects.fields import Real, Whole
from imagemill.domain.clock import to_datetime
from imagemill.domain.jobs import Artifact, Job, JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.store.reading import View
from imagemill.web.blobs import picture_url
from imagemill.web.stream import progress_body

LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
Label = Annotated[str, Field(pattern=f"^{LABEL.pattern}$")]
"""Labels are part of the key that jobs are queued under, and an index holds no long keys."""


class JobRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )

    recipe: str = Field(max_length=64)
    input: dict[str, Any]
    name: str | None = Field(None, max_length=200)
    priority: Whole = Field(0, ge=-100, le=100, description="Smaller is more urgent.")
    timeout_s: Real | None = Field(None, gt=0, le=86_400, allow_inf_nan=False)
    properties: dict[str, Any] = Field(default={}, max_length=50)
    callback_url: str | None = None
    labels: list[Label] = Field(default=[], max_length=20, description="Labels the node must carry.")
    private: bool = Field(False, description="Made on local nodes only, never by a paid provider.")


def job_body(
    view: View,
    signer: UrlSigner,
    base_url: str,
    *,
    progress: Progress | None = None,
    waits: str | None = None,
) -> dict[str, Any]:
    job = view.job
    body: dict[str, Any] = {
        "id": job.id,
        "batch": job.batch,
        "name": job.name,
        "recipe": job.recipe,
        "status": job.status.value,
        "queue": job.queue,
        "priority": job.priority,
        "cost": job.cost,
        "attempt": job.attempt,
        "failures": job.failures,
        "maxFailures": job.max_failures,
        "node": job.node,
        "worker": job.worker,
        "reason": job.reason,
        "cancelRequested": job.cancel_requested_at is not None,
        "trace": job.trace,
        "input": job.input,
        "properties": job.properties,
        "error": error_body(job),
        "createdAt": moment(job.created_at),
        "startedAt": moment(job.started_at),
        "finishedAt": moment(job.finished_at),
        "expiresAt": moment(job.expires_at),
        "retryAt": moment(job.run_after),
        "lastEvent": {"seq": view.last_event.seq, "type": view.last_event.type.value},
        "artifacts": [_artifact_body(artifact, signer, base_url) for artifact in view.artifacts],
    }
    flags = [*job.client.get("safety", {}).get("flags", ()), *view.last_event.data.get("flags", ())]
    if flags or job.client.get("safety"):
        body["safety"] = {"rewritten": bool(job.client.get("safety", {}).get("rewritten")), "flags": flags}
    if job.status is JobStatus.QUEUED:
        body["waits"] = waits
    if progress is not None:
        body["progress"] = progress_body(progress)
    return body


def _artifact_body(artifact: Artifact, signer: UrlSigner, base_url: str) -> dict[str, Any]:
    return {
        "id": artifact.id,
        "mediaType": artifact.media_type,
        "size": artifact.size,
        "width": artifact.width,
        "height": artifact.height,
        "sha256": artifact.sha256,
        "seed": artifact.seed,
        "available": artifact.available,
        "url": picture_url(signer, base_url, artifact).url if artifact.available else None,
    }


def error_body(job: Job) -> dict[str, Any] | None:
    if job.error is None:
        return None
    return {
        "code": job.error.code.value,
        "message": job.error.message,
        "advice": job.error.policy.advice,
    }


def moment(instant_us: int | None) -> str | None:
    return None if instant_us is None else to_datetime(instant_us).isoformat()
