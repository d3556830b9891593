"""``/api/v1/stats``: time series of the installation's own counters."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import EVERY_OWNER, Scope
from imagemill.domain.clock import SECOND, from_datetime, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput
from imagemill.domain.time_series import (
    ALL_OWNERS,
    HOUR_S,
    KINDS,
    MINUTE_S,
    OF_ALL_OWNERS,
    TOTAL,
    Bucket,
    figure,
    floor_to,
    stage_p95,
    stages,
    steps_of,
)
from imagemill.jobs.store.statistics import StatisticsQuery
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.body_fields import suggestion
from imagemill.web.http import json_response
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel

_DAY_S = 86_400
_MOST_STEPS = 1500
_MINUTES_S = _DAY_S
"""Longest time that is made of minutes; a longer one is made of hours."""
_STEPS = ((6 * 3600, 60), (_DAY_S, 300), (14 * _DAY_S, HOUR_S))
"""Longest time in seconds -> the step, where the caller names none."""
_DEFAULT = ("finished", "failed", "waiting_p95", "queue_age")
_DIMENSION = Literal["recipe", "model", "node", "error", "owner"]


class StatsSeries(ResponseModel):
    series: str = Field(description="The name of the series.")
    key: str = Field(
        description="The recipe, model, node, error code or owner it is about (`by`); the stage of "
        "`stage_p95`, the node of `node_busy`; empty for all together."
    )
    unit: Literal["jobs", "seconds", "share", "loads", "deliveries"]
    values: list[float | None] = Field(description="One for each step; null where nothing was measured.")


class Stats(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "from": "2026-01-31T12:00:00+00:00",
                    "to": "2026-01-31T12:03:00+00:00",
                    "stepS": 60,
                    "countedTo": "2026-01-31T12:02:00+00:00",
                    "items": [
                        {"series": "finished", "key": "", "unit": "jobs", "values": [3, 5, 0]},
                        {"series": "waiting_p95", "key": "", "unit": "seconds", "values": [0.8, 1.2, None]},
                    ],
                }
            ]
        }
    )

    from_: datetime = Field(alias="from", description="The beginning of the first step.")
    to: datetime = Field(description="The end of the last step.")
    step_s: int = Field(description="Seconds of a step.")
    counted_to: datetime | None = Field(
        description="The end of the last minute that is counted; null where none is yet."
    )
    items: list[StatsSeries]


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    step_s: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count * self.step_s * SECOND


router = APIRouter(prefix="/api/v1/stats", tags=["stats"], route_class=ApiRoute)


@router.get("", summary="Read time series of jobs, waiting times, nodes and webhooks", response_model=Stats)
async def read_stats(
    request: Request,
    services: ServicesDep,
    series: Annotated[
        list[str] | None,
        Query(
            description=f"Repeated, or separated by commas: {', '.join(KINDS)}. "
            f"Default: {', '.join(_DEFAULT)}."
        ),
    ] = None,
    from_: Annotated[
        datetime | None, Query(alias="from", description="Default: one hour before `to`.")
    ] = None,
    to: Annotated[datetime | None, Query(description="Default: now.")] = None,
    step: Annotated[
        int | None,
        Query(ge=60, le=86_400, description="Seconds, a multiple of 60. Default: by the length of the time."),
    ] = None,
    by: Annotated[
        _DIMENSION | None, Query(description="A series for each of the 20 most frequent ones.")
    ] = None,
    recipe: Annotated[str | None, Query(max_length=255, description="Only jobs of this recipe.")] = None,
    model: Annotated[
        str | None, Query(max_length=255, description="Only jobs of this AIR, lower case.")
    ] = None,
    node: Annotated[str | None, Query(max_length=255, description="Only jobs that this node had.")] = None,
    error: Annotated[str | None, Query(max_length=255, description="Only failures of this code.")] = None,
) -> Response:
    """The counters of the caller's own jobs; with `owner=*` those of all, for who may read them.

    Minutes are kept for a week, hours for 90 days. A minute is counted 15 s after its end.
    """
    names = _series(series or [",".join(_DEFAULT)])
    owner = caller(request).owner
    dimension, key = _filter(by, {"recipe": recipe, "model": model, "node": node, "error": error})
    if by == "owner" and owner != EVERY_OWNER:
        raise InvalidInput.at("by", "is 'owner'; that needs owner=*, the counters of all owners")
    span = _span(from_, to, step)
    query = StatisticsQuery(
        ALL_OWNERS if owner == EVERY_OWNER else owner,
        span.start,
        span.end,
        dimension=dimension,
        key=key,
        each_owner=by == "owner",
    )
    return json_response(await pools.read(_stats, services, names, span, query))


def _series(given: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(name for text in given for name in text.split(",") if name))
    for name in names:
        if name not in KINDS:
            raise InvalidInput.at("series", f"is {name[:40]!r}{suggestion(name, KINDS)}")
    return names


def _filter(by: str | None, given: Mapping[str, str | None]) -> tuple[str, str | None]:
    """Return the dimension that is read and its key; None means every key."""
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1 or (named and by is not None and by not in named):
        raise InvalidInput.at(
            next(iter(named)), "cannot be combined; name one of by, recipe, model, node, error"
        )
    if named:
        return next(iter(named.items()))
    return (TOTAL, "") if by in (None, "owner") else (by, None)


def _span(from_: datetime | None, to: datetime | None, step: int | None) -> _Span:
    """Return the steps of the wanted time. Raises `InvalidInput`."""
    end = now_us() if to is None else from_datetime(to)
    start = end - HOUR_S * SECOND if from_ is None else from_datetime(from_)
    seconds = (end - start) / SECOND
    if seconds <= 0:
        raise InvalidInput.at("from", "is not before `to`")
    if step is None:
        step = next((step for longest, step in _STEPS if seconds <= longest), _DAY_S)
    if step % MINUTE_S:
        raise InvalidInput.at("step", f"is {step}; write a multiple of 60")
    if step % HOUR_S and seconds > _MINUTES_S:
        raise InvalidInput.at(
            "step", f"is {step}; more than a day is made of hours: write 3600 or a multiple"
        )
    start = floor_to(start, step)
    count = -(-(end - start) // (step * SECOND))
    if count > _MOST_STEPS:
        raise InvalidInput.at(
            "step", f"is {step}, which makes {count} steps; at most {_MOST_STEPS} are given"
        )
    return _Span(start, step, count)


def _stats(services: Services, names: Sequence[str], span: _Span, query: StatisticsQuery) -> dict[str, Any]:
    latest = services.statistics.latest(MINUTE_S)
    counted_to = None if latest is None else latest + MINUTE_S * SECOND
    found = _read(services, span, query)
    if query.dimension == TOTAL and not query.each_owner:
        found.setdefault("", [None] * span.count)
    items = [
        item
        for name in names
        if name not in OF_ALL_OWNERS or query.owner == ALL_OWNERS
        for item in _items(services, name, span, query, found, counted_to)
    ]
    return {
        "from": moment(span.start),
        "to": moment(span.end),
        "stepS": span.step_s,
        "countedTo": moment(counted_to),
        "items": items,
    }


_Steps = dict[str, list[Bucket | None]]


def _read(services: Services, span: _Span, query: StatisticsQuery) -> _Steps:
    """Return key -> its buckets by step."""
    store, found = services.statistics, {}
    parts = [query]
    if span.step_s % HOUR_S == 0:
        hour = store.latest(HOUR_S)
        turn = span.start if hour is None else max(span.start, min(span.end, hour + HOUR_S * SECOND))
        turn = max(turn, span.end - 2 * _DAY_S * SECOND)  # the hours before were rolled up long ago
        parts = [
            StatisticsQuery(
                query.owner, start, end, span_s, query.dimension, query.key, each_owner=query.each_owner
            )
            for span_s, start, end in ((HOUR_S, span.start, turn), (MINUTE_S, turn, span.end))
        ]
    rows: dict[str, list[tuple[int, Bucket]]] = {}
    for part in parts:
        for key, buckets in store.buckets(part).items():
            rows.setdefault(key, []).extend(buckets)
    for key, buckets in rows.items():
        found[key] = steps_of(buckets, span.start, span.step_s, span.count)
    return found


def _items(
    services: Services,
    name: str,
    span: _Span,
    query: StatisticsQuery,
    found: _Steps,
    counted_to: int | None,
) -> list[dict[str, Any]]:
    lengths = _lengths(span, counted_to)
    if name == "node_busy" and query.dimension != "node":
        nodes = StatisticsQuery(query.owner, span.start, span.end, dimension="node")
        found = _read(services, span, nodes)
    if name == "stage_p95":
        named = {key: stages(bucket for bucket in buckets if bucket) for key, buckets in found.items()}
        return [
            _item(
                name, stage if not key else f"{key}: {stage}", [stage_p95(stage, each) for each in found[key]]
            )
            for key in sorted(found)
            for stage in named[key]
        ]
    return [
        _item(
            name,
            key,
            [
                figure(name, bucket, length) if length > 0 else None
                for bucket, length in zip(found[key], lengths, strict=True)
            ],
        )
        for key in sorted(found)
    ]


def _lengths(span: _Span, counted_to: int | None) -> list[float]:
    """Return the counted seconds of each step; 0 for those that are not counted yet."""
    end = counted_to or 0
    starts = range(span.start, span.end, span.step_s * SECOND)
    return [max(0.0, min(span.step_s, (end - start) / SECOND)) for start in starts]


def _item(series: str, key: str, values: list[float | None]) -> dict[str, Any]:
    return {"series": series, "key": key, "unit": KINDS[series].unit, "values": values}


DIALECT = ApiModule(
    name="stats",
    router=router,
    callback=no_callback,
    policies=(PathPolicy("/api/v1/stats", Scope.JOBS_READ, owner_methods=READING, all_owners=True),),
    tags={"stats": "Time series of the server's own counters, and estimates of when jobs will start."},
)
