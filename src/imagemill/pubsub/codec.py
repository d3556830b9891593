"""The encoding of events and progress as bytes."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from pydantic_core import from_json, to_json

from imagemill.backends.base import Progress
from imagemill.domain.events import ChangedList, EventType, ListName, Notice
from imagemill.domain.jobs import JobStatus
from imagemill.pubsub.base import ClusterEvent

_LISTS = frozenset(ListName)


def pack(sender: str, event: ClusterEvent) -> bytes:
    body: dict[str, Any] = {"from": sender}
    if event.events:
        body["notices"] = [[notice.job_id, notice.seq, notice.terminal] for notice in event.events]
        # Apart, since processes of earlier versions take notices of three fields only.
        body["details"] = [_details(notice) for notice in event.events]
    if event.cancelled_jobs:
        body["stopped"] = event.cancelled_jobs
    if event.queues_with_work:
        body["woken"] = event.queues_with_work
    if event.has_deliveries:
        body["calledBack"] = True
    if event.changed_lists:
        body["lists"] = [[changed.name, changed.owner] for changed in event.changed_lists]
    if event.advances:
        body["advances"] = True
    return to_json(body)


def unpack(data: bytes | str) -> tuple[str, ClusterEvent]:
    """Return the sender and the event."""
    body = from_json(data)
    return body["from"], ClusterEvent(
        events=tuple(_notices(body)),
        cancelled_jobs=tuple(body.get("stopped", ())),
        queues_with_work=tuple(body.get("woken", ())),
        has_deliveries=bool(body.get("calledBack")),
        changed_lists=tuple(
            ChangedList(ListName(name), owner) for name, owner in body.get("lists", ()) if name in _LISTS
        ),
        advances=bool(body.get("advances")),
    )


def _details(notice: Notice) -> list[Any]:
    return [notice.owner, notice.recipe, notice.type, notice.status, notice.at, notice.progress]


def _notices(body: dict[str, Any]) -> Iterator[Notice]:
    for notice, details in zip_longest(body.get("notices", ()), body.get("details", ())):
        if details is None:  # of a process of an earlier version
            yield Notice(*notice)
            continue
        owner, recipe, type_, status, at, progress = details
        yield Notice(
            *notice,
            owner=owner,
            recipe=recipe,
            type=EventType(type_) if type_ else None,
            status=JobStatus(status) if status else None,
            at=at,
            progress=(progress[0], progress[1]) if progress else None,
        )


def merge(events: list[ClusterEvent]) -> ClusterEvent:
    return ClusterEvent(
        events=tuple(notice for event in events for notice in event.events),
        cancelled_jobs=tuple(job_id for event in events for job_id in event.cancelled_jobs),
        queues_with_work=tuple(sorted({queue for event in events for queue in event.queues_with_work})),
        has_deliveries=any(event.has_deliveries for event in events),
        changed_lists=tuple(dict.fromkeys(each for event in events for each in event.changed_lists)),
        advances=any(event.advances for event in events),
    )


def pack_progress(sender: str, progress: Progress, *, whole: bool) -> bytes:
    """Encode progress as a line of JSON, followed by the preview's bytes if ``whole``."""
    head = {
        "from": sender,
        "step": progress.step,
        "total": progress.total,
        "note": progress.note,
        "type": progress.preview_type,
    }
    preview = progress.preview if whole else None
    return to_json(head) + b"\n" + (preview or b"")


def unpack_progress(data: bytes) -> tuple[str, Progress]:
    line, _, preview = data.partition(b"\n")
    head = from_json(line)
    progress = Progress(head["step"], head["total"], head["note"], preview or None, head["type"])
    return head["from"], progress
