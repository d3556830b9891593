"""News and progress as bytes."""

from typing import Any

from pydantic_core import from_json, to_json

from imagemill.backends.base import Progress
from imagemill.domain.events import Notice
from imagemill.pubsub.base import News


def pack(sender: str, news: News) -> bytes:
    body: dict[str, Any] = {"from": sender}
    if news.notices:
        body["notices"] = [[notice.job_id, notice.seq, notice.terminal] for notice in news.notices]
    if news.stopped:
        body["stopped"] = news.stopped
    if news.woken:
        body["woken"] = news.woken
    if news.called_back:
        body["calledBack"] = True
    return to_json(body)


def unpack(data: bytes | str) -> tuple[str, News]:
    """Who sent it, and what."""
    body = from_json(data)
    return body["from"], News(
        notices=tuple(Notice(job_id, seq, terminal) for job_id, seq, terminal in body.get("notices", ())),
        stopped=tuple(body.get("stopped", ())),
        woken=tuple(body.get("woken", ())),
        called_back=bool(body.get("calledBack")),
    )


def merge(several: list[News]) -> News:
    return News(
        notices=tuple(notice for news in several for notice in news.notices),
        stopped=tuple(job_id for news in several for job_id in news.stopped),
        woken=tuple(sorted({queue for news in several for queue in news.woken})),
        called_back=any(news.called_back for news in several),
    )


def pack_progress(sender: str, progress: Progress, *, whole: bool) -> bytes:
    """A line of JSON, then the preview's bytes; without the preview unless ``whole``."""
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
