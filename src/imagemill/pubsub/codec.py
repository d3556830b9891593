"""The encoding of events and progress as bytes."""

from typing import Any

from pydantic_core import from_json, to_json

from imagemill.backends.base import Progress
from imagemill.domain.events import Notice
from imagemill.pubsub.base import ClusterEvent


def pack(sender: str, event: ClusterEvent) -> bytes:
    body: dict[str, Any] = {"from": sender}
    if event.events:
        body["notices"] = [[notice.job_id, notice.seq, notice.terminal] for notice in event.events]
    if event.cancelled_jobs:
        body["stopped"] = event.cancelled_jobs
    if event.queues_with_work:
        body["woken"] = event.queues_with_work
    if event.has_deliveries:
        body["calledBack"] = True
    if event.changed_lists:
        body["lists"] = event.changed_lists
    if event.advances:
        body["advances"] = True
    return to_json(body)


def unpack(data: bytes | str) -> tuple[str, ClusterEvent]:
    """Return the sender and the event."""
    body = from_json(data)
    return body["from"], ClusterEvent(
        events=tuple(Notice(job_id, seq, terminal) for job_id, seq, terminal in body.get("notices", ())),
        cancelled_jobs=tuple(body.get("stopped", ())),
        queues_with_work=tuple(body.get("woken", ())),
        has_deliveries=bool(body.get("calledBack")),
        changed_lists=tuple(body.get("lists", ())),
        advances=bool(body.get("advances")),
    )


def merge(events: list[ClusterEvent]) -> ClusterEvent:
    return ClusterEvent(
        events=tuple(notice for event in events for notice in event.events),
        cancelled_jobs=tuple(job_id for event in events for job_id in event.cancelled_jobs),
        queues_with_work=tuple(sorted({queue for event in events for queue in event.queues_with_work})),
        has_deliveries=any(event.has_deliveries for event in events),
        changed_lists=tuple(sorted({name for event in events for name in event.changed_lists})),
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
