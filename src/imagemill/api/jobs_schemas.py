"""Bodies of the routes about jobs: what a submission has, and how a job and its events are answered."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from imagemill.backends.base import OUTPUT, Progress
from imagemill.domain.clock import to_datetime
from imagemill.domain.events import EventType
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import REPLAY_OF, Artifact, Job, JobStatus
from imagemill.domain.pauses import is_parked
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.queries import View
from imagemill.web.blobs import picture_url
from imagemill.web.body_fields import Real, Whole
from imagemill.web.routing import RequestModel, ResponseModel
from imagemill.web.sse import progress_body

LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
Label = Annotated[str, Field(pattern=f"^{LABEL.pattern}$")]
"""Labels are part of the key that jobs are queued under, and an index holds no long keys."""
_JOB = "01a2238c-4a37-7e4e-8fe9-c660c98ffd26"
_BATCH = "01a2238c-4a3f-7fdc-b438-f7fe2b2d3d8d"
_INPUT = {
    "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
    "prompt": "a lighthouse at dusk",
    "width": 512,
    "height": 512,
    "steps": 20,
}


class JobSubmission(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"recipe": "textToImage", "input": _INPUT, "priority": 0}]}
    )

    recipe: str = Field(max_length=64, description="The name of a recipe; see `/api/v1/recipes`.")
    input: dict[str, Any] = Field(description="The recipe's input; `/api/v1/recipes` has its schema.")
    name: str | None = Field(None, max_length=200, description="A name of your own.")
    priority: Whole = Field(0, ge=-100, le=100, description="A smaller number is more urgent.")
    timeout_s: Real | None = Field(
        None, gt=0, le=86_400, allow_inf_nan=False, description="Longest time an attempt may run, in seconds."
    )
    properties: dict[str, Any] = Field(
        default={}, max_length=50, description="Values of your own, stored with the job."
    )
    callback_url: str | None = Field(None, description="Where every event of the job is posted.")
    labels: list[Label] = Field(default=[], max_length=20, description="Labels the node must carry.")
    private: bool = Field(
        False, description="The job runs on local nodes only, never at a provider that is paid."
    )


class JobChange(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": -10}]})

    priority: Whole = Field(ge=-100, le=100, description="A smaller number is more urgent.")


class JobError(ResponseModel):
    code: FailureCode
    message: str
    advice: str = Field(description="What to do about it.")


class LastEvent(ResponseModel):
    seq: int
    type: EventType


class ArtifactBody(ResponseModel):
    id: str
    media_type: str
    size: int = Field(description="Bytes.")
    width: int = Field(description="Pixels; 0 where the file is no picture.")
    height: int
    sha256: str
    seed: int | None
    available: bool = Field(description="False once the retention is over.")
    url: str | None = Field(description="Where it can be fetched without a key, for a limited time.")


class ProgressBody(ResponseModel):
    step: int
    total: int
    progress: float = Field(description="0 to 1.")
    note: str
    preview: str | None = Field(None, description="A data URL of the picture so far.")


class SafetyBody(ResponseModel):
    rewritten: bool = Field(description="A check has changed the prompt.")
    flags: list[str]


class JobBody(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _JOB,
                    "batch": _BATCH,
                    "name": None,
                    "recipe": "textToImage",
                    "status": "succeeded",
                    "queue": "gpu",
                    "priority": 0,
                    "cost": 1.0,
                    "attempt": 1,
                    "failures": 0,
                    "maxFailures": 3,
                    "node": "simulator",
                    "worker": "host-1",
                    "simulated": True,
                    "reason": None,
                    "cancelRequested": False,
                    "replays": 0,
                    "replayOf": None,
                    "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
                    "input": _INPUT,
                    "properties": {},
                    "error": None,
                    "createdAt": "2026-01-31T12:00:00+00:00",
                    "startedAt": "2026-01-31T12:00:01+00:00",
                    "finishedAt": "2026-01-31T12:00:05+00:00",
                    "expiresAt": "2026-02-01T12:00:00+00:00",
                    "retryAt": None,
                    "lastEvent": {"seq": 3, "type": "Succeeded"},
                    "artifacts": [
                        {
                            "id": "AQHB0K9b5FhT",
                            "mediaType": "image/png",
                            "size": 241337,
                            "width": 512,
                            "height": 512,
                            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                            "seed": 42,
                            "available": True,
                            "url": "http://localhost:8000/blobs/AQHB0K9b5FhT.png?exp=1767225600&sig=...",
                        }
                    ],
                }
            ]
        }
    )

    id: str
    owner: str
    batch: str = Field(description="Jobs of one submission have the same.")
    name: str | None
    recipe: str
    status: JobStatus
    queue: str
    priority: int
    cost: float = Field(description="Credits.")
    attempt: int = Field(description="0 before the first attempt.")
    failures: int
    max_failures: int
    node: str | None
    worker: str | None
    simulated: bool = Field(description="The pictures are drawn by the simulator, not by a model.")
    reason: str | None = Field(description="Why the job was cancelled or waits for a retry.")
    cancel_requested: bool
    replays: int = Field(description="How often the job was submitted again.")
    replay_of: str | None = Field(description="Id of the job that this one repeats.")
    trace: str = Field(description="W3C trace context.")
    input: dict[str, Any] = Field(description="The recipe's input, completed.")
    properties: dict[str, Any]
    error: JobError | None
    created_at: datetime
    started_at: datetime | None = Field(description="Start of the latest attempt.")
    finished_at: datetime | None
    expires_at: datetime = Field(description="When the job expires unless it has finished.")
    retry_at: datetime | None
    last_event: LastEvent
    artifacts: list[ArtifactBody]
    output: dict[str, Any] | None = Field(
        None, description="The values that a task without a picture has made, once it has succeeded."
    )
    safety: SafetyBody | None = Field(None, description="Present where a check flagged or rewrote something.")
    waits: str | None = Field(None, description="Why a queued job does not run yet.")
    progress: ProgressBody | None = Field(None, description="Present while the job runs.")


class JobPage(ResponseModel):
    items: list[JobBody]
    next: str | None = Field(
        description="The `cursor` of the next page; null on the last. A page may have few jobs, or none, and "
        "a next one: a request reads a bounded number of jobs."
    )
    searched_to: datetime | None = Field(
        description="Set on such a page: when the last job was submitted that was compared with the filter."
    )


class JobGroup(ResponseModel):
    key: str = Field(description="The common value; empty for jobs without one.")
    count: int
    model: str | None = Field(description="The checkpoint, by `error`; else null.")
    first_at: datetime | None = Field(description="When the first of the ended jobs ended.")
    last_at: datetime | None = Field(description="When the last of the ended jobs ended.")
    last_job: str | None = Field(description="`id` of the last job that ended.")


class JobGroups(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "key": "out_of_memory",
                            "count": 12,
                            "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
                            "firstAt": "2026-01-31T12:00:00+00:00",
                            "lastAt": "2026-01-31T12:30:00+00:00",
                            "lastJob": _JOB,
                        }
                    ],
                    "complete": True,
                }
            ]
        }
    )

    items: list[JobGroup] = Field(description="The largest first.")
    complete: bool = Field(
        description="False where counting all jobs would take too long, so that there are more than counted."
    )


class EventBody(ResponseModel):
    seq: int = Field(description="Position in the job's log, from 1.")
    type: EventType
    at: datetime
    attempt: int
    data: dict[str, Any]


class EventList(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "seq": 1,
                            "type": "Initialized",
                            "at": "2026-01-31T12:00:00+00:00",
                            "attempt": 0,
                            "data": {},
                        }
                    ]
                }
            ]
        }
    )

    items: list[EventBody]


class PricedJob(ResponseModel):
    recipe: str
    cost: float


class Estimate(ResponseModel):
    """The answer to ``whatif``; nothing is stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"cost": 1.0, "jobs": [{"recipe": "textToImage", "cost": 1.0}], "charged": False}]
        }
    )

    cost: float = Field(description="Credits.")
    jobs: list[PricedJob]
    charged: bool = Field(description="Jobs are paid for on this server.")
    available: float | None = Field(None, description="The credits there are, where jobs are charged.")
    affordable: bool | None = Field(None, description="Whether the credits suffice, where jobs are charged.")
    provider_dollars: dict[str, float | None] = Field(
        default={},
        description="Dollars that a paid provider would bill for all of them; null where it is unknown.",
    )


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
        "owner": job.owner,
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
        "simulated": job.simulated,
        "reason": job.reason,
        "cancelRequested": job.cancel_requested_at is not None,
        "replays": job.replays,
        "replayOf": job.client.get(REPLAY_OF),
        "trace": job.trace,
        "input": job.input,
        "properties": job.properties,
        "error": error_body(job),
        "createdAt": moment(job.created_at),
        "startedAt": moment(job.started_at),
        "finishedAt": moment(job.finished_at),
        "expiresAt": moment(job.expires_at),
        "retryAt": None if is_parked(job.run_after) else moment(job.run_after),
        "lastEvent": {"seq": view.last_event.seq, "type": view.last_event.type.value},
        "artifacts": [_artifact_body(artifact, signer, base_url) for artifact in view.artifacts],
    }
    if (output := view.last_event.data.get(OUTPUT)) is not None:
        body["output"] = output
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
