"""The status words of v2, and the state of a job, a step and a workflow."""

from collections.abc import Mapping, Sequence
from typing import Any

from imagemill.dialects.civitai_times import date_time
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Job, JobStatus
from imagemill.domain.placement import loads_model
from imagemill.jobs.model_states import ModelLoad
from imagemill.jobs.store.queries import View

UNASSIGNED, PREPARING, SCHEDULED, PROCESSING = "unassigned", "preparing", "scheduled", "processing"
SUCCEEDED, FAILED, EXPIRED, CANCELED = "succeeded", "failed", "expired", "canceled"
_FINAL = (FAILED, EXPIRED, CANCELED, SUCCEEDED)
"""Final words; of several, the first that occurs is that of the whole."""
_OF_JOB = {
    JobStatus.WAITING: UNASSIGNED,
    JobStatus.QUEUED: SCHEDULED,
    JobStatus.RUNNING: PROCESSING,
    JobStatus.SUCCEEDED: SUCCEEDED,
    JobStatus.FAILED: FAILED,
    JobStatus.CANCELED: CANCELED,
    JobStatus.EXPIRED: EXPIRED,
}
_REASONS = {FailureCode.CONTENT_BLOCKED: "blocked", FailureCode.TIMEOUT: "timeout"}


def is_final(status: str) -> bool:
    return status in _FINAL


def combined(statuses: Sequence[str]) -> str:
    """Return the status of a step from its jobs', or of a workflow from its steps'.

    It is final once all are.
    """
    if not statuses:
        return UNASSIGNED
    if all(map(is_final, statuses)):
        return next(word for word in _FINAL if word in statuses)
    if any(word == PROCESSING or is_final(word) for word in statuses):
        return PROCESSING
    return next(word for word in (PREPARING, SCHEDULED, UNASSIGNED) if word in statuses)


def status_of(status: JobStatus) -> str:
    """Return the word for a job's status, from the job alone."""
    return _OF_JOB[status]


def model_of(job: Job) -> str:
    """Return the AIR or the file of a job's checkpoint; empty if it needs none."""
    return str(job.input.get("model") or job.input.get("checkpoint") or "")


def has_to_load(job: Job, reason: str | None) -> bool:
    """Whether the job was placed, for this reason, on a node that has to load its model first."""
    model = model_of(job)
    return bool(model) and loads_model(reason or "", model.lower())


def preparation_of(load: ModelLoad, resource: str, now: int) -> dict[str, Any]:
    """Return the ``preparation`` of a step whose model is being loaded."""
    eta_s = load.eta_s(now)
    return {
        "resource": resource,
        "queuePosition": 0,
        "progress": None if eta_s is None else round(load.progress(now), 4),
        "etaSeconds": None if eta_s is None else round(eta_s, 1),
    }


@dataclass(frozen=True, slots=True)
class Place:
    """A queued job's place in line."""

    support: str
    preceding: int
    start_at: int | None
    """When a node is likely to start it; None if unknown."""
    run_s: float

    def document(self, *, of_step: bool) -> dict[str, Any]:
        """Return the place as steps or as jobs show it: the two have other names for the same times."""
        names = ("estimatedStartAt", "estimatedCompleteAt") if of_step else ("startAt", "completeAt")
        found: dict[str, Any] = {"support": self.support, "precedingJobs": self.preceding}
        if self.start_at is not None:
            ends = self.start_at, self.start_at + round(self.run_s * SECOND)
            found |= dict(zip(names, map(date_time, ends), strict=True))
        return found


@dataclass(frozen=True, slots=True)
class JobState:
    """A job with the facts that its answers show."""

    view: View
    status: str
    progress: float | None = None
    place: Place | None = None
    preparation: Mapping[str, Any] | None = None
    """The ``preparation`` of its step while its model is being loaded."""

    @property
    def job(self) -> Job:
        return self.view.job

    @property
    def error(self) -> str:
        """The reason why it failed, in a sentence; empty otherwise."""
        return self.job.error.message if self.status == FAILED and self.job.error is not None else ""

    @property
    def document(self) -> dict[str, Any]:
        job = self.job
        found: dict[str, Any] = {"id": job.id, "status": self.status, "cost": job.cost}
        if job.started_at is not None:
            found["startedAt"] = date_time(job.started_at)
        if job.finished_at is not None:
            found["completedAt"] = date_time(job.finished_at)
        if self.place is not None:
            found["queuePosition"] = self.place.document(of_step=False)
        if self.progress is not None:
            found["estimatedProgressRate"] = round(self.progress, 4)
        return found | reason_of(job, self.status)


def reason_of(job: Job, status: str) -> dict[str, Any]:
    """Return ``reason`` and ``blockedReason`` of a job that did not succeed."""
    if status in (CANCELED, EXPIRED):
        return {"reason": status}
    if status != FAILED or job.error is None:
        return {}
    code = job.error.code
    found = {"reason": _REASONS.get(code, code.value)}
    if code is FailureCode.CONTENT_BLOCKED:
        found["blockedReason"] = job.error.message
    return found
