"""The bodies of callbacks: of the job, then of its step, then of the workflow, where their status changes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imagemill.api.base import Services
from imagemill.dialects.civitai_times import date_time
from imagemill.dialects.civitai_v2.responses import Wire, workflow_document
from imagemill.dialects.civitai_v2.states import StateReader
from imagemill.dialects.civitai_v2.statuses import (
    CANCELED,
    EXPIRED,
    FAILED,
    PROCESSING,
    SUCCEEDED,
    UNASSIGNED,
    combined,
    has_to_load,
    model_of,
    reason_of,
)
from imagemill.domain.events import EventType
from imagemill.domain.jobs import Job
from imagemill.webhooks.batch_callbacks import BatchEvent

_WORDS = {
    EventType.INITIALIZED: UNASSIGNED,
    EventType.CLAIMED: PROCESSING,
    EventType.UPDATED: PROCESSING,
    EventType.REJECTED: UNASSIGNED,
    EventType.CLAIM_EXPIRED: UNASSIGNED,
    EventType.SUCCEEDED: SUCCEEDED,
    EventType.FAILED: FAILED,
    EventType.CANCELED: CANCELED,
    EventType.EXPIRED: EXPIRED,
}
_STEP_DETAILS = ("startedAt", "completedAt", "estimatedProgressRate", "metadata", "input", "output")
_STEPS_DETAILS = ("name", "status", "startedAt", "completedAt", "metadata", "input", "output")


def batch_format(services: Services) -> Callable[[BatchEvent], Iterable[Mapping[str, Any]]]:
    """Return the format of the callbacks of workflows."""
    return CallbackBodies(services).of


class CallbackBodies:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._states = StateReader(services)

    def of(self, told: BatchEvent) -> list[Mapping[str, Any]]:
        """Return the messages that an event causes, of those that the callback asks for."""
        before = {job.id: _WORDS[found.type] for job in told.jobs if (found := told.before.get(job.id))}
        after = {**before, told.event.job_id: _WORDS[told.event.type]}
        job = next(job for job in told.jobs if job.id == told.event.job_id)
        of_step = [each.id for each in told.jobs if _step(each) == _step(job)]
        every = [each.id for each in told.jobs]
        details = _Details(self, told)
        messages = [self._job(told, job, after[job.id])]
        if _changes(of_step, before, after) or has_to_load(job, told.event.data.get("reason")):
            messages.append(self._step(told, job, _status(of_step, after), details))
        if _changes(every, before, after):
            messages.append(self._workflow(told, _status(every, after), details))
        wanted = set(told.callback.options.get("type", ()))
        return [
            message
            for message in messages
            if {f"{message['$type']}:*", f"{message['$type']}:{message['status']}"} & wanted
        ]

    def _job(self, told: BatchEvent, job: Job, status: str) -> dict[str, Any]:
        message: dict[str, Any] = {
            "$type": "job",
            "workflowId": told.record.id,
            "stepName": _step(job),
            "jobId": job.id,
            "status": status,
        }
        if "progress" in told.event.data:
            message["progress"] = told.event.data["progress"]
        return message | reason_of(job, status)

    def _step(self, told: BatchEvent, job: Job, status: str, details: "_Details") -> dict[str, Any]:
        message: dict[str, Any] = {
            "$type": "step",
            "workflowId": told.record.id,
            "name": _step(job),
            "status": status,
        }
        if has_to_load(job, told.event.data.get("reason")):
            message["preparation"] = {"resource": model_of(job), "queuePosition": 0, "progress": None}
        if told.callback.options.get("detailed"):
            step = details.step(_step(job))
            message["details"] = {
                **{name: step[name] for name in _STEP_DETAILS if name in step},
                "retries": max(0, job.attempt - 1),
            }
        return message

    def _workflow(self, told: BatchEvent, status: str, details: "_Details") -> dict[str, Any]:
        message: dict[str, Any] = {
            "$type": "workflow",
            "workflowId": told.record.id,
            "status": status,
            "timestamp": date_time(told.event.at),
        }
        if told.callback.options.get("detailed"):
            whole = details.workflow()
            names = ("metadata", "arguments", "createdAt", "startedAt", "completedAt")
            message["details"] = {
                **{name: whole[name] for name in names if name in whole},
                "steps": [
                    {name: step[name] for name in _STEPS_DETAILS if name in step} for step in whole["steps"]
                ],
            }
        return message

    def document(self, told: BatchEvent) -> dict[str, Any]:
        """Return the Workflow in its present state."""
        config = self._services.response_config
        wire = Wire(config.signer, config.public_url or str(told.record.document.get("base", "")))
        views = self._services.jobs.views(told.jobs)
        return workflow_document(told.record, [self._states.plain(view) for view in views], wire)


class _Details:
    """The present state of the workflow, read when a message has details."""

    def __init__(self, bodies: CallbackBodies, told: BatchEvent) -> None:
        self._bodies = bodies
        self._told = told
        self._found: dict[str, Any] | None = None

    def workflow(self) -> dict[str, Any]:
        if self._found is None:
            self._found = self._bodies.document(self._told)
        return self._found

    def step(self, name: str) -> dict[str, Any]:
        return next(step for step in self.workflow()["steps"] if step["name"] == name)


def _step(job: Job) -> str:
    return str(job.client.get("step", ""))


def _changes(ids: list[str], before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether the status of the whole changes, or it is reported for the first time."""
    return (not all(id_ in before for id_ in ids) and _is_complete(ids, after)) or (
        _is_complete(ids, before) and _status(ids, before) != _status(ids, after)
    )


def _is_complete(ids: list[str], words: Mapping[str, str]) -> bool:
    return all(id_ in words for id_ in ids)


def _status(ids: list[str], words: Mapping[str, str]) -> str:
    return combined([words.get(id_, UNASSIGNED) for id_ in ids])
