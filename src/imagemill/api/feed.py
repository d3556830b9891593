"""``/api/v1/events``: the feed, all changes of jobs as they happen."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import context
from imagemill.domain.access import EVERY_OWNER, Caller, Scope
from imagemill.domain.events import EventType, ListName
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.job_feed import Audience
from imagemill.web.auth import caller
from imagemill.web.feed_stream import FeedFrames, FeedStream, job_change, progress_change
from imagemill.web.http import json_response
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, Flag, ResponseModel

_JOB = {
    "id": "0192f3a4-0000-7000-8000-000000000000",
    "owner": "anna",
    "seq": 2,
    "type": "Claimed",
    "status": "running",
    "recipe": "textToImage",
    "at": "2026-01-31T12:00:00+00:00",
}
_PROGRESS = {
    "id": "0192f3a4-0000-7000-8000-000000000000",
    "step": 5,
    "total": 20,
    "progress": 0.25,
    "note": "sampling",
}


class JobStatusChange(ResponseModel):
    """The newest event of a job that changed its status."""

    id: str
    owner: str
    seq: int = Field(description="The event's number in the log of the job.")
    type: EventType
    status: JobStatus = Field(description="The job's status after the event.")
    recipe: str
    at: datetime


class JobProgress(ResponseModel):
    """The latest progress of a running job."""

    id: str
    step: int
    total: int
    progress: float = Field(description="From 0 to 1.")
    note: str
    preview: str | None = Field(None, description="A preview of the picture as a data URL.")


class FeedPage(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5f1c09ab-1769860800000000",
                    "reset": False,
                    "jobs": [_JOB],
                    "progress": [_PROGRESS],
                    "changed": ["pauses"],
                }
            ]
        }
    )

    id: str = Field(description="The position: `after` of the next request.")
    reset: bool = Field(description="Whether changes after `after` are not kept any more: read lists again.")
    jobs: list[JobStatusChange] = Field(description="The newest change of each job after `after`.")
    progress: list[JobProgress] = Field(description="The latest progress of the running jobs.")
    changed: list[ListName] = Field(description="Lists besides jobs that have changed.")


class FeedContext:
    """The dependencies of the handler."""

    def __init__(self, services: Services, _: object = None) -> None:
        self.services = services
        self.frames = FeedFrames(services.feed)


router = APIRouter(prefix="/api/v1/events", tags=["events"], route_class=ApiRoute)


@router.get(
    "",
    summary="Follow all jobs by server-sent events",
    response_model=FeedPage,
    responses={
        200: {
            "description": "Changes as they happen (`event: jobs`, `progress`, `reset`, `pauses`, "
            "`operations`, `nodes`), or one page of them.",
            "content": {"text/event-stream": {}},
        }
    },
)
async def follow_jobs(
    request: Request,
    own: Annotated[FeedContext, context("feed")],
    after: Annotated[
        str | None,
        Query(max_length=40, description="Only later changes; the header Last-Event-ID has precedence."),
    ] = None,
    previews: Annotated[Flag, Query(description="Send previews, of the caller's own jobs only.")] = False,
    stream: Annotated[
        Flag | None,
        Query(
            description="True: server-sent events until the client leaves; false: the changes there are. "
            "Default: true for a client that sends Accept: text/event-stream."
        ),
    ] = None,
) -> Response:
    found = caller(request)
    audience = Audience(found.owner, nodes=found.may(Scope.NODES_READ))
    last_id = request.headers.get("last-event-id") or after
    preview_owner = _preview_owner(found) if previews else None
    if stream is None:
        stream = "text/event-stream" in request.headers.get("accept", "")
    if stream:
        payer = found.account if found.owner == EVERY_OWNER else found.owner
        own.services.feed.position(last_id)
        return FeedStream(own.frames, audience, last_id, payer, preview_owner)
    return json_response(_page(own.services, audience, last_id, preview_owner))


def _page(
    services: Services, audience: Audience, last_id: str | None, preview_owner: str | None
) -> dict[str, Any]:
    feed = services.feed
    changes = feed.changes(audience, feed.position(last_id))
    _, progress = feed.latest_progress(audience)
    return {
        "id": feed.id(changes.position),
        "reset": changes.is_reset,
        "jobs": [job_change(notice) for notice in changes.notices],
        "progress": [progress_change(id_, each, preview_owner) for id_, each in progress.items()],
        "changed": [name.value for name in changes.lists],
    }


def _preview_owner(found: Caller) -> str | None:
    """Return the owner whose previews the caller is shown: itself, or None for another owner's jobs."""
    if found.owner == EVERY_OWNER:
        return found.account
    is_own = found.owner == found.account or found.owner.startswith(f"{found.account}:")
    return found.owner if is_own else None


DIALECT = ApiModule(
    name="feed",
    router=router,
    context=FeedContext,
    callback=no_callback,
    policies=(PathPolicy("/api/v1/events", Scope.JOBS_READ, owner_methods=READING, all_owners=True),),
    tags={"events": "What changes, of all jobs at once: for pages that stay open."},
)
