"""``/api/v1/jobs/{id}/relations``: related jobs, deliveries and ledger entries of a job."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import EVERY_OWNER, Scope
from imagemill.domain.credits import CREDIT
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.relations import RelatedJob, SentNotice
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.http import json_response
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel


class RelatedJobBody(ResponseModel):
    id: str
    recipe: str
    status: JobStatus


class SentNoticeBody(ResponseModel):
    event: int = Field(description="`seq` of the event that it is about.")
    url: str
    webhook: str | None = Field(description="The endpoint; null for the callback of the job.")
    message: str | None = Field(description="The message of the endpoint.")
    tries: int
    delivered_at: datetime | None
    due_at: datetime | None = Field(description="The next attempt; null where none is due.")
    last_error: str | None


class BookedAmountBody(ResponseModel):
    number: int
    at: datetime
    kind: str = Field(description="hold, settle or release.")
    available: float = Field(description="Change of the available credits.")
    held: float = Field(description="Change of the held credits.")


class JobRelationsBody(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0192f3a4-0000-7000-8000-000000000000",
                    "needs": [],
                    "neededBy": [],
                    "siblings": [
                        {
                            "id": "0192f3a4-0000-7000-8000-000000000001",
                            "recipe": "textToImage",
                            "status": "succeeded",
                        }
                    ],
                    "notices": [],
                    "ledger": [],
                }
            ]
        }
    )

    id: str
    needs: list[RelatedJobBody] = Field(description="Jobs that had to succeed before it.")
    needed_by: list[RelatedJobBody] = Field(description="Jobs that wait or waited for it.")
    siblings: list[RelatedJobBody] = Field(description="The other jobs of its submission, at most 100.")
    notices: list[SentNoticeBody] = Field(description="Its callbacks, and its messages to webhook endpoints.")
    ledger: list[BookedAmountBody] = Field(description="What was booked for it, where jobs are charged.")


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=ApiRoute)


@router.get(
    "/{job_id}/relations",
    summary="Read the related jobs, deliveries and ledger entries of a job",
    response_model=JobRelationsBody,
)
async def read_relations(
    request: Request,
    services: ServicesDep,
    job_id: Annotated[str, Path(description="`id` of the job.")],
) -> Response:
    found = caller(request)
    job = await pools.read(services.jobs.job, job_id, None if found.owner == EVERY_OWNER else found.owner)
    account = job.owner.partition(":")[0] if found.owner == EVERY_OWNER else found.account
    relations = await pools.read(services.jobs.relations, job, (job.owner, account))
    return json_response(
        {
            "id": job.id,
            "needs": _related(relations.needs),
            "neededBy": _related(relations.needed_by),
            "siblings": _related(relations.siblings),
            "notices": [_notice(each) for each in relations.notices],
            "ledger": [
                {
                    "number": each.number,
                    "at": moment(each.at),
                    "kind": each.kind,
                    "available": each.available / CREDIT,
                    "held": each.held / CREDIT,
                }
                for each in relations.ledger
            ],
        }
    )


def _related(jobs: Iterable[RelatedJob]) -> list[dict[str, Any]]:
    return [{"id": job.id, "recipe": job.recipe, "status": job.status.value} for job in jobs]


def _notice(notice: SentNotice) -> dict[str, Any]:
    return {
        "event": notice.event,
        "url": notice.url,
        "webhook": notice.endpoint,
        "message": notice.message,
        "tries": notice.tries,
        "deliveredAt": moment(notice.delivered_at),
        "dueAt": moment(notice.due_at),
        "lastError": notice.last_error,
    }


DIALECT = ApiModule(
    name="job_relations",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy(
            "/api/v1/jobs/{job_id}/relations", Scope.JOBS_READ, owner_methods=READING, all_owners=True
        ),
    ),
    tags={"jobs": "Submit a recipe's input, follow its progress, and fetch the pictures it made."},
)
