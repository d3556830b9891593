"""The events of a book, derived from its facts and the ends of its jobs: as a list, a stream, and callbacks.

Events have ids that begin with their time, so a client resumes by the last id it has seen. Events of the last
`_OVERLAP_S` seconds before it are sent again, since commits that overlap are not ordered in time.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from imagemill.api.jobs_schemas import moment
from imagemill.backends.base import Progress
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.domain.jobs import Job, JobStatus
from imagemill.jobs.hub import Hub, TooManyOwnStreams, TooManyStreams, Watcher
from imagemill.jobs.store.store import JobStore
from imagemill.net import pools
from imagemill.products.books.book_states import BookState
from imagemill.products.books.book_views import PageView, PersonalizationView
from imagemill.products.books.service import BookService
from imagemill.web.sse import KEEP_ALIVE_S, progress_body
from imagemill.webhooks.callbacks import Format
from imagemill.webhooks.messages import WebhookData, WebhookEvent
from imagemill.webhooks.outbox import Delivery

ANALYSIS, REFERENCE, PICTURE, PAGE, PROOF, PRINT, ERASURE = (
    "bookAnalysis",
    "bookReference",
    "bookPicture",
    "bookPage",
    "bookProof",
    "bookPrint",
    "bookErasure",
)
_OVERLAP_S = 2.0
"""Seconds, longer than a transaction that others may overtake."""
_LOOK_S = 1.0
"""Seconds between polls for jobs that another process has submitted."""
_DONE = {
    ANALYSIS: "analysis.done",
    REFERENCE: "reference.ready",
    PAGE: "page.ready",
    PROOF: "proof.ready",
    PRINT: "completed",
}
_FAILED = {
    ANALYSIS: "analysis.failed",
    REFERENCE: "reference.failed",
    PICTURE: "page.failed",
    PAGE: "page.failed",
    PROOF: "proof.failed",
    PRINT: "print.failed",
    ERASURE: "deletion.failed",
}
_NAMES = {REFERENCE: ("version",), PICTURE: ("page", "version"), PAGE: ("page", "version")}
"""The fields of a job's input that its events show."""
EVENT_TYPES = (
    "photo.accepted",
    "analysis.done",
    "analysis.failed",
    "reference.ready",
    "reference.failed",
    "page.ready",
    "page.failed",
    "preview.ready",
    "unlocked",
    "proof.ready",
    "proof.failed",
    "approved",
    "completed",
    "print.failed",
    "canceled",
    "photo.deleted",
    "deleted",
    "deletion.failed",
)


@dataclass(frozen=True, slots=True)
class BookEvent:
    """An event of a book. ``data`` has neither name nor age nor photo of the child."""

    type: str
    at: int
    """Microseconds since the epoch."""
    source: str
    """The job or the fact that it is derived from; with ``at`` it makes the id."""
    data: Mapping[str, Any]

    @property
    def id(self) -> str:
        return f"{self.at}.{self.source}"


def event_body(view: PersonalizationView, event: BookEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "at": moment(event.at),
        "personalization": view.id,
        "book": view.slug,
        "data": dict(event.data),
    }


def events_of(view: PersonalizationView, jobs: Sequence[Job]) -> list[BookEvent]:
    """Return the events of a book in the order of their times."""
    found = [*_facts(view), *(event for job in jobs if (event := _job_event(view, job)) is not None)]
    preview = _preview_ready(view, jobs)
    if preview is not None:
        found.append(preview)
    return sorted(found, key=lambda event: (event.at, event.source))


def _facts(view: PersonalizationView) -> Iterator[BookEvent]:
    facts = {
        "photo.accepted": view.created_at,
        "unlocked": view.unlocked_at,
        "approved": view.approved_at,
        "canceled": view.canceled_at,
        "photo.deleted": view.photo_deleted_at,
        "deleted": _erased_at(view),
    }
    for order, (type_, at) in enumerate(facts.items()):
        if at is not None:
            # Those of one instant keep this order.
            source = f"{order}.{type_}"
            yield BookEvent(type_, at, source, dict(view.deletion) if type_ == "deleted" else {})


def _erased_at(view: PersonalizationView) -> int | None:
    """Return when everything was deleted; None before."""
    return view.deletion.get("erasedAt") if view.deleted_at is not None else None


def _job_event(view: PersonalizationView, job: Job) -> BookEvent | None:
    """Return the event of a job that has ended; None for one that is part of another."""
    if job.finished_at is None:
        return None
    if job.status is JobStatus.SUCCEEDED:
        type_, data = _DONE.get(job.recipe), _success(view, job)
        if job.recipe == ANALYSIS and any(each.usable is False for each in view.analyses):
            type_ = "analysis.failed"
    elif job.status is JobStatus.FAILED:
        type_, data = _FAILED.get(job.recipe), _named(job) | _failure(job)
    else:
        return None
    return None if type_ is None else BookEvent(type_, job.finished_at, job.id, data)


def _named(job: Job) -> dict[str, Any]:
    """Return the page and version of a job, where it has some."""
    names = _NAMES.get(job.recipe, ())
    return {name: job.input[name] for name in names if name in job.input}


def _failure(job: Job) -> dict[str, Any]:
    if job.error is None:
        return {}
    return {"error": {"code": job.error.code.value, "message": job.error.message}}


def _success(view: PersonalizationView, job: Job) -> dict[str, Any]:
    data = _named(job)
    if job.recipe == ANALYSIS:
        return {
            "photos": [{"characterId": each.character, "problem": each.problem} for each in view.analyses]
        }
    page = next((each for each in view.pages if each.number == data.get("page")), None)
    if job.recipe == PAGE and page is not None:
        version = next((each for each in page.versions if each.version == data.get("version")), None)
        data["score"] = None if version is None else version.score
        data["flagged"] = page.flagged and version is not None and version.current
    return data


def _preview_ready(view: PersonalizationView, jobs: Sequence[Job]) -> BookEvent | None:
    """Return the event of the moment in which all pages of the preview were ready.

    Automatic redraws belong to the first version of a page, the redraws that somebody asked for do not.
    """
    until = view.unlocked_at
    made = {
        (int(job.input["page"]), int(job.input["version"])): job.finished_at
        for job in jobs
        if job.recipe == PAGE and job.status is JobStatus.SUCCEEDED
    }
    pages = [
        page
        for page in view.pages
        if until is None or (page.versions and page.versions[0].created_at < until)
    ]
    times = [made.get((page.number, _first_drawn(page))) for page in pages]
    known = [at for at in times if at is not None]
    if not known or len(known) < len(times):
        return None
    return BookEvent("preview.ready", max(known), "preview.ready", {"pages": [page.number for page in pages]})


def _first_drawn(page: PageView) -> int:
    """Return the last version before somebody has asked for another one; 0 without a version."""
    number = 0
    for version in page.versions:
        if number and not version.automatic:
            break
        number = version.version
    return number


def seen_at(text: str) -> int:
    """Return the time in the id of the last event that a client has seen. Raises `InvalidInput`."""
    at = text.partition(".")[0]
    if not at.isascii() or not at.isdigit() or len(at) > 17:
        raise InvalidInput.at("Last-Event-ID", f"is {text[:60]!r}; write the id of the last event seen")
    return int(at)


def after(events: Sequence[BookEvent], seen: str) -> list[BookEvent]:
    """Return the events after the one with this id, and those shortly before it; all for an empty one."""
    if not seen:
        return list(events)
    since = seen_at(seen) - round(_OVERLAP_S * SECOND)
    return [event for event in events if event.at > since and event.id != seen]


@dataclass(frozen=True, slots=True)
class BookFeed:
    """Reads the events of one book for its owner."""

    service: BookService
    jobs: JobStore
    owner: str
    id: str

    def read(self) -> tuple[PersonalizationView, list[BookEvent], list[Job]]:
        view = self.service.get(self.owner, self.id)
        jobs = [found.job for found in self.jobs.views_by_id(view.jobs).values()]
        return view, events_of(view, jobs), jobs


class BookEventStream(Response):
    """The response with a book's events after the one with the id ``seen``, and progress in between.

    Raises `TooManyStreams` and `TooManyOwnStreams` before a byte is sent.
    """

    media_type = "text/event-stream"

    def __init__(self, feed: BookFeed, hub: Hub, seen: str) -> None:
        super().__init__()
        self._feed = feed
        self._hub = hub
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await pools.read(self._feed.read)
        with self._hub.watch((), self._feed.owner):
            pass  # there is room for another stream
        response = StreamingResponse(
            self._frames(),
            media_type=self.media_type,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        await response(scope, receive, send)

    async def _frames(self) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        watched: Sequence[str] = ()
        sent: set[str] = set()
        quiet_s = 0.0
        while True:
            try:
                watcher = self._hub.watch(watched, self._feed.owner)
            except (TooManyStreams, TooManyOwnStreams):
                return  # the client resumes
            with watcher:
                try:
                    view, events, jobs = await pools.read(self._feed.read)
                except NotFound:
                    return
                fresh = [event for event in after(events, self._seen) if event.id not in sent]
                for event in fresh:
                    sent.add(event.id)
                    yield _frame(event.type, event_body(view, event), event.id)
                if watcher.closed or _is_over(view, jobs):
                    return
                if watched == view.jobs:
                    quiet_s = 0.0 if fresh else quiet_s + _LOOK_S
                    if quiet_s >= KEEP_ALIVE_S:
                        quiet_s = 0.0
                        yield b": keep-alive\n\n"
                    async for frame in _progress_until_news(watcher, {job.id: job for job in jobs}):
                        yield frame
                watched = view.jobs


async def _progress_until_news(watcher: Watcher, jobs: Mapping[str, Job]) -> AsyncIterator[bytes]:
    """Yield progress of pages until a job has ended, or it is time to look for new jobs."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _LOOK_S
    while not watcher.closed and (left_s := end - loop.time()) > 0:
        if not await watcher.wait(left_s):
            return
        for job_id, progress in watcher.take_live().items():
            yield _frame("progress", _progress_body(jobs.get(job_id), progress), None)
        if any(job_id in jobs and jobs[job_id].finished_at is None for job_id in watcher.finished):
            return


def _progress_body(job: Job | None, progress: Progress) -> dict[str, Any]:
    named = {} if job is None else _named(job)
    return {"type": "progress", **named, **progress_body(progress, preview=False)}


def _is_over(view: PersonalizationView, jobs: Sequence[Job]) -> bool:
    """Whether nothing more can happen to the book without another request."""
    if view.deleted_at is not None:
        return _erased_at(view) is not None
    has_ended = view.state in (BookState.COMPLETED, BookState.CANCELED)
    return has_ended and view.photo_deleted_at is not None and all(job.finished_at for job in jobs)


def _frame(name: str, body: Mapping[str, Any], id_: str | None) -> bytes:
    id_line = b"" if id_ is None else b"id: " + id_.encode() + b"\n"
    return id_line + b"event: " + name.encode() + b"\ndata: " + to_json(body) + b"\n\n"


# Callbacks and webhooks


def callback_format(service: BookService) -> Format:
    """Return the format of the callbacks of a book: its events, with the state that follows from them."""

    def written(delivery: Delivery) -> Mapping[str, Any] | None:
        return _message(service, delivery.job) if delivery.event.type.is_terminal else None

    return written


def webhook_data(service: BookService) -> WebhookData:
    """Return what writes the part of a webhook message about a job of a book, without links to pictures."""

    def written(told: WebhookEvent) -> Mapping[str, Any]:
        job = told.view.job
        about = {"id": job.id, "recipe": job.recipe, "status": job.status.value}
        return {"job": about, "book": _message(service, job) if told.event.type.is_terminal else None}

    return written


def _message(service: BookService, job: Job) -> Mapping[str, Any] | None:
    """Return the event of a job that has ended, and how far the book is; None for one without an event."""
    try:
        view = service.get(job.owner, str(job.input["personalization"]))
    except NotFound:
        return None
    event = _erased(view, job) if job.recipe == ERASURE else _job_event(view, job)
    if event is None:
        return None
    counts = {"state": view.state.value, "done": view.done, "total": view.total}
    return event_body(view, event) | counts


def _erased(view: PersonalizationView, job: Job) -> BookEvent | None:
    if job.status is not JobStatus.SUCCEEDED:
        return _job_event(view, job)
    type_ = "deleted" if view.deleted_at is not None else "photo.deleted"
    return next((event for event in _facts(view) if event.type == type_), None)
