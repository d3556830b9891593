"""``/api/v1/forecast`` and ``/api/v1/jobs/{id}/placement``: when waiting jobs will start, and where."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import moment
from imagemill.backends.base import Node
from imagemill.domain.access import EVERY_OWNER, Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.events import EventType
from imagemill.domain.forecast import Forecast, NodeWork, Speeds, forecast, measure_speeds
from imagemill.domain.jobs import Job, JobStatus
from imagemill.domain.placement import PlacementScore, score
from imagemill.domain.scheduling import Offer, mismatch_reason
from imagemill.jobs.hub import Hub
from imagemill.jobs.store.outlook import PlacementOutlook, QueueOutlook, RunningWork
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.body_fields import suggestion
from imagemill.web.http import json_response
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel

_JOB = "0192f3a4-0000-7000-8000-000000000000"
_LEAST_LEFT_S = 0.5
"""Seconds a running job is expected to need at least, however long it has run."""


class ForecastJob(ResponseModel):
    id: str
    owner: str
    node: str | None = Field(description="Where it is expected to run; null where no node can take it.")
    starts_at: datetime | None = Field(description="When its work is expected to begin.")
    ends_at: datetime | None
    loads: bool = Field(description="Whether the node loads the model for it first.")
    reason: str | None = Field(description="Why no node can take it.")


class ForecastNode(ResponseModel):
    name: str
    slots: int
    running: int = Field(description="Jobs it has now.")
    speed: float = Field(description="Seconds of work for each estimated second.")
    measured: bool = Field(description="Whether the speed is that of its own jobs of the last hour.")
    free_at: datetime = Field(description="When it will have done the jobs that it has now.")


class QueueForecast(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "at": "2026-01-31T12:00:00+00:00",
                    "without": [],
                    "items": [
                        {
                            "id": _JOB,
                            "owner": "local",
                            "node": "attic",
                            "startsAt": "2026-01-31T12:00:40+00:00",
                            "endsAt": "2026-01-31T12:00:52+00:00",
                            "loads": False,
                            "reason": None,
                        }
                    ],
                    "doneAt": "2026-01-31T12:00:52+00:00",
                    "complete": True,
                    "nodes": [],
                }
            ]
        }
    )

    at: datetime
    without: list[str] = Field(description="Nodes that are left out.")
    items: list[ForecastJob] = Field(
        description="The caller's jobs among the first 500 waiting ones, in the order in which they start."
    )
    done_at: datetime | None = Field(description="When the last of them is expected to have ended.")
    complete: bool = Field(description="False where more jobs wait, or some have no estimate.")
    nodes: list[ForecastNode] = Field(description="The nodes that render; for `owner=*` only.")


class ClaimReason(ResponseModel):
    attempt: int
    node: str
    at: datetime
    reason: str = Field(description="Why the node took the job.")


class NodePlacement(ResponseModel):
    node: str
    fits: bool
    takes: bool = Field(description="Whether a free slot of it would take the job now.")
    loaded: bool = Field(description="Whether it has the model loaded, or the job needs none.")
    load_s: float = Field(description="Seconds to load the model.")
    score: float | None = Field(
        description="Worth of the job's model on the node: weighted seconds of waiting work divided by the "
        "seconds of this work and its load, 0 to 1; null where the job does not fit."
    )
    best_score: float | None = Field(description="The same of what the node would take now.")
    reason: str


class Placement(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _JOB,
                    "status": "queued",
                    "claims": [],
                    "nodes": [
                        {
                            "node": "attic",
                            "fits": True,
                            "takes": True,
                            "loaded": True,
                            "loadS": 0.0,
                            "score": 0.92,
                            "bestScore": 0.92,
                            "reason": "next by fair share",
                        }
                    ],
                }
            ]
        }
    )

    id: str
    status: JobStatus
    claims: list[ClaimReason] = Field(description="The nodes that took the job so far, and why.")
    nodes: list[NodePlacement] = Field(
        description="How each node would weigh the job if it were the next of its kind; empty unless it is "
        "queued."
    )


router = APIRouter(prefix="/api/v1", tags=["stats"], route_class=ApiRoute)


@router.get("/forecast", summary="Estimate when waiting jobs will start", response_model=QueueForecast)
async def read_forecast(
    request: Request,
    services: ServicesDep,
    without: Annotated[
        list[str] | None,
        Query(max_length=50, description="As if these nodes were drained: repeated, or separated by commas."),
    ] = None,
) -> Response:
    """By the scheduler's own choice on a copy of the queue, with the speeds measured in the last hour."""
    excluded = list(dict.fromkeys(name for text in without or () for name in text.split(",") if name))
    _check_nodes(services, excluded)
    owner = caller(request).owner
    return json_response(
        await pools.read(_forecast, services, excluded, None if owner == EVERY_OWNER else owner)
    )


@router.get(
    "/jobs/{job_id}/placement",
    summary="Explain on which node a job runs, or could run",
    tags=["jobs"],
    response_model=Placement,
)
async def read_placement(
    request: Request,
    services: ServicesDep,
    job_id: Annotated[str, Path(description="`id` of the job.")],
) -> Response:
    owner = caller(request).owner
    job = await pools.read(services.jobs.job, job_id, None if owner == EVERY_OWNER else owner)
    return json_response(await pools.read(_placement, services, job))


# Forecast


def _check_nodes(services: Services, names: Sequence[str]) -> None:
    there = [node.name for backend in services.backends.values() for node in backend.nodes()]
    for name in names:
        if name not in there:
            raise InvalidInput.at("without", f"is {name[:40]!r}, which is no node{suggestion(name, there)}")


def _forecast(services: Services, without: Sequence[str], owner: str | None) -> dict[str, Any]:
    now = now_us()
    seen = services.jobs.queue_outlook(now)
    nodes, speeds = _nodes(services, seen, now)
    kept = [node for node in nodes if node.offer.node not in without]
    expected = forecast(now, seen.waiting, seen.keys, kept, services.placement)
    items = _items(expected, seen, owner)
    ends = [item["endsAt"] for item in items if item["endsAt"]]
    return {
        "at": moment(now),
        "without": list(without),
        "items": items,
        "doneAt": max(ends, default=None),
        "complete": expected.complete and not seen.more,
        "nodes": [_node_body(node, speeds, now) for node in kept if node.serial] if owner is None else [],
    }


def _items(expected: Forecast, seen: QueueOutlook, owner: str | None) -> list[dict[str, Any]]:
    found: list[tuple[int, dict[str, Any]]] = []
    for each in seen.waiting:
        start = expected.starts.get(each.id)
        reason = expected.impossible.get(each.id)
        if owner not in (None, seen.owners[each.id]) or (start is None and reason is None):
            continue
        body: dict[str, Any] = {
            "id": each.id,
            "owner": seen.owners[each.id],
            "node": start.node if start else None,
            "startsAt": moment(start.at) if start else None,
            "endsAt": moment(start.end_at) if start else None,
            "loads": bool(start and start.loads),
            "reason": reason,
        }
        found.append((start.at if start else 2**62, body))
    return [body for _, body in sorted(found, key=lambda pair: pair[0])]


def _nodes(services: Services, seen: QueueOutlook, now: int) -> tuple[list[NodeWork], Speeds]:
    """Return the nodes that take jobs, with the work they have and their measured speeds."""
    known = {node.name: node for backend in services.backends.values() for node in backend.nodes()}
    loads = {name: _load_s(services, node) for name, node in known.items()}
    speeds = measure_speeds(seen.finished, loads)
    running: dict[str, list[RunningWork]] = {}
    for each in seen.running:
        running.setdefault(each.node, []).append(each)
    return [
        _node_work(
            known[offer.node],
            offer,
            running.get(offer.node, ()),
            speeds,
            loads[offer.node],
            services.hub,
            now,
        )
        for offer in services.offers()
        if offer.node in known
    ], speeds


def _load_s(services: Services, node: Node) -> float:
    return services.placement.load_s if node.load_s is None else node.load_s


def _node_work(
    node: Node,
    offer: Offer,
    running: Sequence[RunningWork],
    speeds: Speeds,
    load_s: float,
    hub: Hub,
    now: int,
) -> NodeWork:
    is_serial = node.runs == "pictures" and not node.remote
    left: list[float] = []
    begun = min((each.started_at for each in running), default=now)
    for each in running:
        work_s = each.estimate_s * speeds.of(node.name)
        progress = hub.progress(each.job_id)
        if progress is not None and progress.fraction:
            left_s = (now - each.started_at) / SECOND * (1 / progress.fraction - 1)
        else:
            left_s = work_s - (now - begun) / SECOND
        left.append(max(_LEAST_LEFT_S, left_s))
        begun = now if is_serial else begun  # the others of a serial node wait for the first
    return NodeWork(offer, node.slots, tuple(left), speeds.of(node.name), load_s, is_serial)


def _node_body(node: NodeWork, speeds: Speeds, now: int) -> dict[str, Any]:
    left_s = sum(node.running_s) if node.serial else max(node.running_s, default=0.0)
    return {
        "name": node.offer.node,
        "slots": node.slots,
        "running": len(node.running_s),
        "speed": round(node.speed, 4),
        "measured": node.offer.node in speeds.by_node,
        "freeAt": moment(now + round(left_s * SECOND)),
    }


# Placement


def _placement(services: Services, job: Job) -> dict[str, Any]:
    claims = [event for event in services.jobs.claims(job.id) if event.type is EventType.CLAIMED]
    return {
        "id": job.id,
        "status": job.status.value,
        "claims": [
            {
                "attempt": event.attempt,
                "node": event.data.get("node") or "",
                "at": moment(event.at),
                "reason": event.data.get("reason") or "",
            }
            for event in claims
        ],
        "nodes": _node_placements(services, job) if job.status is JobStatus.QUEUED else [],
    }


def _node_placements(services: Services, job: Job) -> list[dict[str, Any]]:
    outlook = services.jobs.placement_outlook(job, now_us())
    key = services.jobs.lane(job.lane)
    offers = {offer.node: offer for offer in services.offers()}
    bodies: list[dict[str, Any]] = []
    for backend in services.backends.values():
        for node in backend.nodes():
            offer = offers.get(node.name)
            if key.queue not in node.queues and node.runs != "pictures":
                continue
            if offer is None:
                reason = (
                    mismatch_reason(node.offer(), key) or node.problem or "takes no jobs now: it is drained"
                )
                bodies.append(_placement_body(node.name, PlacementScore(reason), outlook))
                continue
            weighed = score(
                offer, outlook.lane, outlook.heads, outlook.fleet, outlook.peek, services.placement
            )
            bodies.append(_placement_body(node.name, weighed, outlook))
    return sorted(bodies, key=lambda body: (not body["takes"], not body["fits"], -(body["score"] or 0)))


def _placement_body(node: str, weighed: PlacementScore, outlook: PlacementOutlook) -> dict[str, Any]:
    choice = weighed.choice
    takes = choice is not None and choice.lane == outlook.lane
    if weighed.mismatch is not None:
        reason = weighed.mismatch
    elif choice is None:
        reason = "leaves it to other nodes"
    else:
        reason = choice.reason if takes else "takes another job first, which is worth more to it now"
    return {
        "node": node,
        "fits": weighed.mismatch is None,
        "takes": takes,
        "loaded": weighed.is_loaded,
        "loadS": weighed.load_s,
        "score": None if weighed.worth is None else round(weighed.worth, 4),
        "bestScore": None if weighed.best is None else round(weighed.best, 4),
        "reason": reason,
    }


DIALECT = ApiModule(
    name="forecast",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/forecast", Scope.JOBS_READ, owner_methods=READING, all_owners=True),
        PathPolicy(
            "/api/v1/jobs/{job_id}/placement", Scope.JOBS_READ, owner_methods=READING, all_owners=True
        ),
    ),
    tags={
        "jobs": "Submit a recipe's input, follow its progress, and fetch the pictures it made.",
        "stats": "Time series of the server's own counters, and estimates of when jobs will start.",
    },
)
