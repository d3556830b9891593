"""The facts about the jobs of workflows that their answers show: progress, place in line, loading models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.statuses import (
    PREPARING,
    PROCESSING,
    SCHEDULED,
    UNASSIGNED,
    JobState,
    Place,
    has_to_load,
    model_of,
    preparation_of,
    status_of,
)
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.jobs import Job, JobStatus, LaneKey
from imagemill.domain.scheduling import Offer, mismatch_reason
from imagemill.jobs.model_states import ModelLoad
from imagemill.jobs.store.queries import View
from imagemill.net import pools

_MOST_PLACES = 50
"""Queued jobs of one answer whose place in line is read; each is a query."""


class StateReader:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def states(self, views: Sequence[View], *, places: bool = True) -> dict[str, JobState]:
        """Return the state of each job by id. ``places``: read the places of queued jobs."""
        queued = [view.job for view in views if view.job.status is JobStatus.QUEUED]
        found: Mapping[str, Place] = {}
        if queued and places:
            found = await pools.read(self._places, queued[:_MOST_PLACES])
        return {view.job.id: self._state(view, found.get(view.job.id)) for view in views}

    def plain(self, view: View) -> JobState:
        """Return the state of a job from what is known without a query."""
        return self._state(view, None)

    def _state(self, view: View, place: Place | None) -> JobState:
        job, status = view.job, status_of(view.job.status)
        if status == SCHEDULED and place is not None and place.support != "available":
            return JobState(view, UNASSIGNED, place=place)
        if status != PROCESSING:
            return JobState(view, status, place=place)
        progress = self._services.hub.progress(job.id)
        fraction = progress.fraction if progress is not None else view.last_event.data.get("progress", 0.0)
        if not fraction and has_to_load(job, job.reason):
            return JobState(view, PREPARING, 0.0, preparation=self._preparation(job))
        return JobState(view, status, fraction)

    def _preparation(self, job: Job) -> dict[str, Any]:
        backend = self._services.backends.get(job.backend or "")
        nodes = backend.nodes() if backend is not None else ()
        load_s = next((node.load_s for node in nodes if node.name == job.node), None)
        model, begun = model_of(job), job.started_at or job.created_at
        return preparation_of(ModelLoad(model, job.node or "", job.id, begun, load_s), model, now_us())

    def _places(self, jobs: Sequence[Job]) -> dict[str, Place]:
        store, offers = self._services.jobs, self._services.offers()
        lanes = {job.lane: store.lane(job.lane) for job in jobs}
        slots = {lane: self._slots(key, offers) for lane, key in lanes.items()}
        now = now_us()
        return {job.id: self._place(job, slots[job.lane], now) for job in jobs}

    def _slots(self, key: LaneKey, offers: Iterable[Offer]) -> int:
        if self._services.capacity.missing_worker(key.queue):
            return 0
        return sum(offer.capacity or 1 for offer in offers if mismatch_reason(offer, key) is None)

    def _place(self, job: Job, slots: int, now: int) -> Place:
        position = self._services.jobs.queue_position(job, now)
        if not slots:
            return Place("unavailable", position.jobs_ahead, None, job.estimate_s)
        start = now + round(position.seconds_ahead / slots * SECOND)
        return Place("available", position.jobs_ahead, start, job.estimate_s)
