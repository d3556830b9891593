"""The answers of v1: job status and events, in the casing and the formats of Civitai's service."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic_core import to_json

from imagemill.dialects.civitai_times import date_time, time_span
from imagemill.domain.air import InvalidAir, family_of, parse
from imagemill.domain.blob_keys import artifact_id
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import Event, EventType, Stage
from imagemill.domain.jobs import Artifact, Job, JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.queries import View
from imagemill.web.blobs import picture_url
from imagemill.webhooks.outbox import Delivery

PROVIDER = "Civitai"
"""One of the nine names the clients accept; the local worker's name is in ``workerId``."""
SERVICE = "Imagemill"

# v1 has no `Canceled`; a job ended by DELETE is `Deleted`.
_EVENT_NAMES = {EventType.CANCELED: "Deleted"}


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """The options of answers of this installation."""

    signer: UrlSigner
    result: Literal["object", "array"]


@dataclass(frozen=True, slots=True)
class QueuedPosition:
    preceding: int
    """The number of jobs before it."""
    available: bool
    """Whether some slot can take it now."""


def job_status(
    view: View,
    shape: ResponseOptions,
    base_url: str,
    *,
    position: QueuedPosition | None = None,
    detailed: bool = False,
) -> dict[str, Any]:
    """Return the status of a job. ``position``: that of a queued job, if known."""
    job = view.job
    status: dict[str, Any] = {
        "jobId": job.id,
        "cost": job.cost,
        "properties": job.properties,
        "result": _result(job, view.artifacts, shape, base_url),
        "lastEvent": job_event(view.last_event, job),
        "scheduled": not job.status.is_terminal,
    }
    if not job.status.is_terminal:
        status["serviceProviders"] = _providers(job, position)
    if len(view.artifacts) > 1 and shape.result == "object":
        status["results"] = _entries(job, view.artifacts, shape, base_url)
    if job.client.get("warnings"):
        status["warnings"] = job.client["warnings"]
    if detailed:
        status["job"] = _detail(job)
    return status


def _providers(job: Job, position: QueuedPosition | None) -> dict[str, Any]:
    if job.status is not JobStatus.QUEUED or position is None:
        return {}
    support = "Available" if position.available else "Unavailable"
    return {SERVICE: {"support": support, "queuePosition": {"precedingJobs": position.preceding}}}


def _result(job: Job, artifacts: tuple[Artifact, ...], shape: ResponseOptions, base_url: str) -> Any:
    """Return the first file as an object, with the number of all when there are several, or all as an array.

    The published clients read ``result.blobUrl``, and a job of theirs makes one picture.
    """
    entries = _entries(job, artifacts, shape, base_url)
    if not entries:
        entries = [{"blobKey": artifact_id(job.id, 0), "available": False}]
    if shape.result == "array":
        return entries
    if len(entries) == 1:
        return entries[0]
    hint = f"this is the first of {len(entries)} files; `results` lists all of them"
    return entries[0] | {"count": len(entries), "hint": hint}


def _entries(
    job: Job, artifacts: tuple[Artifact, ...], shape: ResponseOptions, base_url: str
) -> list[dict[str, Any]]:
    return [_available(job, artifact, shape, base_url) for artifact in artifacts]


def _available(job: Job, artifact: Artifact, shape: ResponseOptions, base_url: str) -> dict[str, Any]:
    if not artifact.available:
        return {"blobKey": artifact.id, "available": False}
    signed = picture_url(shape.signer, base_url, artifact)
    entry: dict[str, Any] = {
        "blobKey": artifact.id,
        "available": True,
        "blobUrl": signed.url,
        "blobUrlExpirationDate": date_time(signed.expires_at),
    }
    seed = artifact.seed if artifact.seed is not None else job.input.get("seed")
    return entry if seed is None else entry | {"seed": seed}


@dataclass(frozen=True, slots=True)
class ClaimOfEvent:
    """The claim during which an event happened."""

    started_at: int | None = None
    """None means that no worker had the job then."""
    worker: str | None = None
    backend: str | None = None


def claim_of(event: Event, claims: Sequence[Event]) -> ClaimOfEvent:
    """Return the claim of an event; ``claims``: the events that begin or end one (`JobStore.claims`)."""
    before = [each for each in claims if each.attempt == event.attempt and each.seq <= event.seq]
    begin = next((each for each in before if each.type is EventType.CLAIMED), None)
    ended = any(each.type is not EventType.CLAIMED and each.seq < event.seq for each in before)
    if begin is None or ended:
        return ClaimOfEvent()
    return ClaimOfEvent(begin.at, begin.data.get("worker"), begin.data.get("backend"))


def _latest_claim(event: Event, job: Job) -> ClaimOfEvent:
    """Return the claim of a job's last event; a job expires only while no worker has it."""
    if not event.attempt or event.attempt != job.attempt or event.type is EventType.EXPIRED:
        return ClaimOfEvent()
    return ClaimOfEvent(job.started_at, job.worker, job.backend)


def job_event(event: Event, job: Job, claim: ClaimOfEvent | None = None) -> dict[str, Any]:
    """Return an event for ``lastEvent``, the event history and callbacks."""
    claim = claim or _latest_claim(event, job)
    claim_us = event.at - claim.started_at if claim.started_at is not None else 0
    terminal = event.type.is_terminal
    ends_claim = event.type in (EventType.REJECTED, EventType.CLAIM_EXPIRED) or (
        terminal and event.type is not EventType.EXPIRED
    )
    status: dict[str, Any] = {
        "jobId": job.id,
        "type": _EVENT_NAMES.get(event.type, event.type.value),
        "dateTime": date_time(event.at),
        "provider": PROVIDER,
        "context": _context(event, job, claim),
        "claimDuration": time_span(claim_us),
        "jobDuration": time_span(event.at - job.created_at),
        "retryAttempt": max(0, event.attempt - 1),
        "cost": job.cost,
        "jobProperties": job.properties,
        "jobType": _job_type(job),
        "jobPriority": job.priority,
        "claimHasCompleted": ends_claim,
        "jobHasCompleted": terminal,
    }
    if claim.worker:
        status["workerId"] = claim.worker
    return status


def _job_type(job: Job) -> str:
    """Return the type of a job as the live service spells it."""
    return {"textToImage": "textToImageV2"}.get(job.recipe, job.recipe)


def _context(event: Event, job: Job, claim: ClaimOfEvent) -> dict[str, Any]:
    data = event.data
    context: dict[str, Any] = {
        "worker_group": claim.backend or job.backend or SERVICE.lower(),
        "job_type": _job_type(job),
        "ecosystems": _ecosystem(job),
        "trace_id": job.trace,
    }
    for ours, theirs in _CONTEXT_NAMES.items():
        if ours in data:
            context[theirs] = data[ours]
    if "error" in data:
        context["error_code"] = data["error"]["code"]
        context["error_message"] = data["error"]["message"]
    if "prompt_request" in data:
        context["comfy_prompt_request"] = to_json(data["prompt_request"]).decode()
        context["comfy_prompt_response"] = to_json(data.get("prompt_response")).decode()
    if event.type is EventType.SUCCEEDED:
        context |= _durations(data)
    return context


_CONTEXT_NAMES = {
    "node": "node",
    "reason": "reason",
    "advice": "advice",
    "stage": "stage",
    "step": "step",
    "total": "steps",
    "progress": "progress",
}


def _durations(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the durations in milliseconds as text, like every value of a live context."""
    by_stage = {stage["stage"]: stage["ms"] for stage in data.get("stages", ())}
    rendered = by_stage.get(Stage.COMFY_RESULT, by_stage.get(Stage.BACKEND_RESULT, 0.0))
    return {
        "middleware_duration_ComfyUI_ms": f"{rendered:.0f}",
        "middleware_duration_ConvertImages_ms": f"{data.get('convertMs', 0.0):.0f}",
        "middleware_duration_UploadBlobs_ms": f"{data.get('uploadMs', 0.0):.0f}",
    }


def _ecosystem(job: Job) -> str:
    try:
        air = parse(job.input.get("model") or job.input.get("checkpoint") or "")
    except InvalidAir:
        return ""
    return family_of(air.ecosystem or "")


def callback(delivery: Delivery) -> Mapping[str, Any]:
    return job_event(delivery.event, delivery.job)


def _detail(job: Job) -> dict[str, Any]:
    input_ = job.input
    detail: dict[str, Any] = {
        "$type": _job_type(job),
        "type": _job_type(job),
        "id": job.id,
        "version": 1,
        "createdAt": date_time(job.created_at),
        "expireAt": date_time(job.expires_at),
        "properties": job.properties,
        "cost": job.cost,
        "priority": job.priority,
        "maxRetryAttempt": job.max_failures,
        "retryAttempt": max(0, job.attempt - 1),
        "jobDependencies": job.client.get("dependencies", []),
        "issuedBy": job.owner,
    }
    if job.name:
        detail["name"] = job.name
    if job.callback_url:
        detail["callbackUrl"] = job.callback_url
    if job.recipe == "textToImage":
        detail |= _image_detail(job)
    elif job.recipe == "comfy":
        detail["params"] = {"workflow": input_.get("graph", {}), "seed": input_.get("seed")}
    return detail


def _image_detail(job: Job) -> dict[str, Any]:
    input_ = job.input
    networks = input_.get("networks", ())
    return {
        "baseModel": _BASE_MODELS.get(_ecosystem(job)) or _ecosystem(job) or job.client.get("baseModel", ""),
        "model": _short(input_["model"]),
        "slots": 1,
        "params": {
            "prompt": input_.get("prompt", ""),
            "negativePrompt": input_.get("negative_prompt", ""),
            "scheduler": input_.get("sampler", "Undefined"),
            "steps": input_.get("steps", 30),
            "cfgScale": input_.get("cfg_scale", 7.5),
            "width": input_.get("width", 512),
            "height": input_.get("height", 512),
            "seed": input_.get("seed"),
            "clipSkip": input_.get("clip_skip", 0),
        },
        "additionalNetworks": {
            _short(network["air"]): {
                "type": network.get("type"),
                "strength": network.get("strength", 1.0),
                **({"triggerWord": network["trigger_word"]} if network.get("trigger_word") else {}),
            }
            for network in networks
        },
        "controlNets": job.client.get("controlNets", []),
        "resources": [_short(input_["model"]), *(_short(network["air"]) for network in networks)],
    }


_BASE_MODELS = {"sd1": "SD_1_5", "sdxl": "SDXL"}


def _short(air: str) -> str:
    try:
        return parse(air).short
    except InvalidAir:
        return air
