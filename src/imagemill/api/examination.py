"""The findings of examinations, whole or one by one as server-sent events."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from imagemill.domain.nodes import Finding, Level
from imagemill.net import pools
from imagemill.web.routing import ResponseModel

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All findings; or, with `stream`, an event `finding` for each and at the end an event "
        "`done` with `ok`.",
        "content": {"text/event-stream": {}},
    }
}
"""The answers of a route that streams findings, for its OpenAPI document."""


class NodeFinding(ResponseModel):
    level: Level
    subject: str
    message: str


def finding_body(finding: Finding) -> dict[str, str]:
    return {"level": finding.level.value, "subject": finding.subject, "message": finding.message}


def is_ok(findings: list[Finding]) -> bool:
    return all(finding.level is not Level.ERROR for finding in findings)


def stream_findings(findings: Iterator[Finding]) -> StreamingResponse:
    """Return the findings as events, each as soon as it is there. ``findings`` may block."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(findings), media_type="text/event-stream", headers=headers)


async def _events(findings: Iterator[Finding]) -> AsyncIterator[bytes]:
    seen: list[Finding] = []
    while (finding := await pools.call(next, findings, None)) is not None:
        seen.append(finding)
        yield b"event: finding\ndata: " + to_json(finding_body(finding)) + b"\n\n"
    yield b"event: done\ndata: " + to_json({"ok": is_ok(seen)}) + b"\n\n"
