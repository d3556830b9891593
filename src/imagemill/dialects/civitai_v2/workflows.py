"""Submitting, reading, changing and deleting workflows. HTTP is in `routes`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.planner import PlannedWorkflow, Planner
from imagemill.dialects.civitai_v2.responses import Wire, cost_of, workflow_document
from imagemill.dialects.civitai_v2.schemas import WorkflowTemplate, WorkflowUpdate
from imagemill.dialects.civitai_v2.states import StateReader
from imagemill.dialects.civitai_v2.statuses import JobState, is_final
from imagemill.domain.access import Caller, Scope
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.events import Event, EventType
from imagemill.domain.jobs import Draft, Job
from imagemill.jobs.store.batches import BatchCallback, BatchChange, BatchFilter, BatchRecord
from imagemill.jobs.store.finish import Cancel
from imagemill.jobs.store.queries import View
from imagemill.net import pools
from imagemill.web.body_fields import field_errors

NAME = "civitai.v2"
_EXTERNAL = "civitai/"
"""The prefix of idempotency keys made of external ids, so that no header's key is one."""
_CANCELED = "canceled by its owner"


def template_of(body: Any) -> WorkflowTemplate:
    """Return the template in a body. Raises `InvalidInput`."""
    if not isinstance(body, dict):
        raise InvalidInput.at("", 'the body must be an object: {"steps": [{"$type": ..., "input": ...}]}')
    try:
        return WorkflowTemplate.model_validate(body)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, WorkflowTemplate)) from error


@dataclass(frozen=True, slots=True)
class CheckedWorkflow:
    """A workflow whose jobs are complete and priced, but not stored."""

    planned: PlannedWorkflow
    drafts: tuple[Draft, ...]
    base_url: str
    """The address that the request was sent to, for URLs in callbacks."""

    @property
    def template(self) -> WorkflowTemplate:
        return self.planned.template

    def record(self, owner: str) -> BatchRecord:
        template = self.template
        document = template.model_dump(
            by_alias=True, exclude_none=True, exclude={"steps", "metadata", "tags"}, exclude_defaults=True
        )
        notes: dict[str, Any] = {"metadata": template.metadata}
        steps = {step.name: step.template.metadata for step in self.planned.steps if step.template.metadata}
        if steps:
            notes["steps"] = steps
        return BatchRecord(
            self.planned.id,
            owner,
            NAME,
            now_us(),
            {**document, "base": self.base_url, "steps": [step.document for step in self.planned.steps]},
            notes,
            tuple(template.tags),
            tuple(
                BatchCallback(each.url, {"type": each.type, "detailed": each.detailed})
                for each in template.callbacks
            ),
        )


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    record: BatchRecord
    jobs: tuple[Job, ...]
    views: tuple[View, ...] = ()
    """The jobs with their outputs, where they are known already."""

    @property
    def has_ended(self) -> bool:
        return all(job.status.is_terminal for job in self.jobs)


class WorkflowService:
    """The workflows of the callers of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._states = StateReader(services)

    # Submission

    def check(
        self, found: Caller, template: WorkflowTemplate, trace: str | None, base_url: str
    ) -> CheckedWorkflow:
        """Plan a workflow and complete its jobs. Raises `InvalidInput`, `ContentBlocked`. May block."""
        for number, callback in enumerate(template.callbacks):
            self._services.guard.check_url(f"callbacks[{number}].url", callback.url)
        planned = Planner(self._services, template, uuid7()).plan()
        requests = planned.requests
        if not requests:
            raise InvalidInput.at("steps", "make no picture and no other result; at least one step must")
        try:
            drafts = self._services.submitter.prepare(
                found.owner, requests, dialect=NAME, trace=trace, partner=found.may(Scope.PARTNER)
            )
        except InvalidInput as error:
            raise error.renamed(planned.rename) from error
        return CheckedWorkflow(planned, drafts, base_url)

    async def accept(self, owner: str, checked: CheckedWorkflow) -> LoadedWorkflow:
        """Store a workflow with its jobs, or return the one that has its external id."""
        record = checked.record(owner)
        external = checked.template.external_id
        submitted = self._services.submitter.submit_async(
            owner,
            checked.drafts,
            key=f"{_EXTERNAL}{external}" if external else None,
            digest="workflow" if external else "",
            record=record,
        )
        accepted = await pools.result_of(submitted)
        if accepted.repeated:
            return await self.find(accepted.batch, owner)
        if not accepted.jobs:
            raise Conflict(f"the workflow of externalId {external!r} is gone; use another one")
        return LoadedWorkflow(record, accepted.jobs, tuple(map(_fresh, accepted.jobs)))

    async def run(
        self,
        owner: str,
        job_ids: Sequence[str],
        get: Callable[[], Awaitable[LoadedWorkflow]],
        wait_s: float,
    ) -> LoadedWorkflow:
        """Call ``get``, then wait until the workflow has ended, for ``wait_s`` seconds at most.

        ``job_ids``: its jobs. They are watched before ``get`` is called, so that no end is missed.
        """
        with self._services.hub.watch(job_ids, owner, ends_only=True) as watcher:
            found = await get()
            ids = [job.id for job in found.jobs]
            if set(ids) == watcher.ids:
                watcher.finished.update(job.id for job in found.jobs if job.status.is_terminal)
                await watcher.wait_finished(wait_s)
                known = tuple(watcher.views[id_] for id_ in ids if id_ in watcher.views)
                if len(known) == len(ids):
                    return LoadedWorkflow(found.record, tuple(view.job for view in known), known)
        if set(ids) == watcher.ids:
            return await self.find(found.record.id, owner)
        return await self.run(owner, ids, lambda: self.find(found.record.id, owner), wait_s)

    # Reading

    async def find(self, id_: str, owner: str) -> LoadedWorkflow:
        """Return a workflow. Raises `NotFound`; an ephemeral one that has ended is not found either."""
        found = await pools.read(self._find, id_, owner)
        if found.record.document.get("ephemeral") and found.has_ended:
            raise NotFound(f"there is no workflow {id_[:60]!r}")
        return found

    def _find(self, id_: str, owner: str) -> LoadedWorkflow:
        record = self._services.batches.record(id_, owner, NAME)
        return LoadedWorkflow(record, tuple(self._services.jobs.batch(owner, id_)))

    async def search(self, wanted: BatchFilter) -> list[LoadedWorkflow]:
        """Return workflows without the ephemeral ones that have ended."""
        found = await pools.read(self._list, wanted)
        return [each for each in found if not (each.record.document.get("ephemeral") and each.has_ended)]

    def _list(self, wanted: BatchFilter) -> list[LoadedWorkflow]:
        records = self._services.batches.list(wanted)
        jobs: dict[str, list[Job]] = {record.id: [] for record in records}
        for job in self._services.jobs.in_batches(wanted.owner, list(jobs)):
            jobs[job.batch].append(job)
        return [LoadedWorkflow(record, tuple(jobs[record.id])) for record in records]

    async def document(self, workflow: LoadedWorkflow, wire: Wire, *, places: bool = True) -> dict[str, Any]:
        """Return the Workflow of an answer."""
        return (await self.documents([workflow], wire, places=places))[0]

    async def documents(
        self, workflows: Sequence[LoadedWorkflow], wire: Wire, *, places: bool = False
    ) -> list[dict[str, Any]]:
        states = await self.states(workflows, places=places)
        return [
            workflow_document(each.record, [states[job.id] for job in each.jobs if job.id in states], wire)
            for each in workflows
        ]

    async def states(self, workflows: Sequence[LoadedWorkflow], *, places: bool) -> dict[str, JobState]:
        known = [view for each in workflows for view in each.views]
        missing = [job.id for each in workflows if not each.views for job in each.jobs]
        loaded = await self._services.views.load(missing) if missing else []
        return await self._states.states([*known, *loaded], places=places)

    def price(self, checked: CheckedWorkflow, owner: str, wire: Wire) -> dict[str, Any]:
        """Return the Workflow of a price enquiry: nothing is stored, so it has no id."""
        record = checked.record(owner)
        document = workflow_document(record, (), wire)
        del document["id"]
        document["cost"] = cost_of([draft.cost for draft in checked.drafts])
        for step in document["steps"]:
            drafts = [draft for draft in checked.drafts if draft.client.get("step") == step["name"]]
            step["jobs"] = [{"id": draft.id, "status": "unassigned", "cost": draft.cost} for draft in drafts]
        return document

    # Changes

    async def update(self, id_: str, owner: str, update: WorkflowUpdate) -> None:
        """Change a workflow and, with a status, cancel it. Raises `NotFound`, `Conflict`."""
        if update.status is not None:
            await self.cancel(id_, owner)

        def change(record: BatchRecord) -> BatchRecord:
            notes = dict(record.notes)
            if update.metadata is not None:
                notes["metadata"] = update.metadata
            if update.allow_mature_content is not None:
                notes["allowMatureContent"] = update.allow_mature_content
            tags = record.tags if update.tags is None else tuple(update.tags)
            return replace(record, notes=notes, tags=tags)

        await self.change(id_, owner, change)

    async def change(self, id_: str, owner: str, change: Callable[[BatchRecord], BatchRecord]) -> BatchRecord:
        """Change the notes or tags of a workflow. Raises `NotFound`."""
        return await pools.write(self._services.batches.change, BatchChange(id_, owner, NAME, change))

    async def change_step(self, id_: str, owner: str, name: str, change: Callable[[Any], Any]) -> None:
        """Change the metadata of a step. Raises `NotFound`."""

        def in_record(record: BatchRecord) -> BatchRecord:
            _check_step(record, name)
            steps = dict(record.notes.get("steps", {}))
            steps[name] = change(steps.get(name, {}))
            return replace(record, notes={**record.notes, "steps": steps})

        await self.change(id_, owner, in_record)

    async def cancel(self, id_: str, owner: str) -> None:
        """Cancel a workflow's open jobs; one that has ended stays as it is. Raises `NotFound`."""
        found = await self.find(id_, owner)
        await self._cancel(found)

    async def _cancel(self, workflow: LoadedWorkflow) -> None:
        now, owner = now_us(), workflow.record.owner
        still = [job for job in workflow.jobs if not job.status.is_terminal]
        # In order: canceling the first steps cancels those that depend on them.
        for job in still:
            await pools.write(self._services.jobs.cancel, Cancel(job.id, owner, now, _CANCELED))

    async def delete(self, id_: str, owner: str) -> None:
        """Cancel a workflow, hide it for good, and delete its files. Raises `NotFound`."""
        found = await self.find(id_, owner)
        await self._cancel(found)
        await pools.write(self._services.batches.delete, id_, owner, NAME, now_us())
        await pools.blob(self._delete_files, [job.id for job in found.jobs])

    def _delete_files(self, job_ids: Sequence[str]) -> None:
        keys = [blob.key for id_ in job_ids for blob in self._services.blobs.list(f"jobs/{id_}/")]
        self._services.jobs.mark_files_deleted(keys)
        self._services.blobs.delete(keys)


def step_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a step of a Workflow, by its name or number. Raises `NotFound`."""
    steps = document["steps"]
    named = next((step for step in steps if step["name"] in (name, f"${name}")), None)
    if named is None:
        raise NotFound(f"the workflow has no step {name[:60]!r}")
    return named


def _check_step(record: BatchRecord, name: str) -> None:
    if not any(step["name"] == name for step in record.document["steps"]):
        raise NotFound(f"the workflow has no step {name[:60]!r}")


def has_ended(document: dict[str, Any]) -> bool:
    return is_final(document["status"])


def _fresh(job: Job) -> View:
    """Return the view of a job that was accepted just now, without reading it again."""
    return View(job, (), Event(job.id, 1, EventType.INITIALIZED, job.created_at, 0, {}))
