"""Civitai v1, the routes about the account: coverage, consumption, requests."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill.backends.base import Backend
from imagemill.dialects.answers import answer
from imagemill.dialects.civitai_v1 import openapi
from imagemill.dialects.civitai_v1.routes import Jobs
from imagemill.dialects.civitai_v1.views import date_time
from imagemill.domain.clock import SECOND, from_datetime, now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.resources import Resource
from imagemill.service.services import Services
from imagemill.web.gate import caller
from imagemill.web.requests import cursor, number

_MOST_MODELS = 100
_MONTH_US = 30 * 86_400 * SECOND
_LAST = datetime(9999, 12, 31, tzinfo=UTC)


class Account:
    def __init__(self, services: Services, jobs: Jobs) -> None:
        self._services = services
        self._jobs = jobs

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["civitai v1"])
        for path, handler, summary, extra in (
            ("coverage", self.coverage, "Which models can be used now", openapi.COVERAGE),
            ("consumption", self.consumption, "What was made and paid", openapi.CONSUMPTION),
            ("requests", self.requests, "Submissions, newest first", openapi.REQUESTS),
        ):
            routes.add_api_route(
                f"/v1/consumer/{path}",
                handler,
                methods=["GET"],
                summary=summary,
                response_class=Response,
                openapi_extra=extra,
            )
        return routes

    async def coverage(self, request: Request) -> Response:
        models = request.query_params.getlist("model")
        if not models:
            raise InvalidInput.at("model", "is required: one AIR or more, as ?model=a&model=b")
        if len(models) > _MOST_MODELS:
            raise InvalidInput.at(
                "model", f"names {len(models)} models, at most {_MOST_MODELS} are looked up"
            )
        return answer(await asyncio.to_thread(lambda: {air: self._cover(air) for air in models}))

    def _cover(self, air: str) -> dict[str, Any]:
        resource = self._services.registry.find("model", air)
        if resource is None:
            return {"availability": "Unsupported", "workers": 0}
        workers = sum(_slots(backend, resource) for backend in self._services.backends.values())
        return {"availability": "Available" if workers else "Unavailable", "workers": workers}

    async def consumption(self, request: Request) -> Response:
        now = now_us()
        start = _instant(request, "startDate", now - _MONTH_US)
        end = _instant(request, "endDate", now)
        if end < start:
            raise InvalidInput.at("endDate", "is before startDate")
        used = await asyncio.to_thread(self._services.store.consumption, caller(request).owner, start, end)
        return answer(
            {
                "images": used.images,
                "totalCost": round(used.cost, 4),
                "startDate": date_time(start),
                "endDate": date_time(end),
            }
        )

    async def requests(self, request: Request) -> Response:
        take = number(request, "take", 20, 1, 100)
        before = cursor(request.query_params.get("cursor"), "cursor", "nextId")
        store, owner = self._services.store, caller(request).owner
        batches = await asyncio.to_thread(store.batches, owner, before, take + 1)
        entries = [await self._request(request, batch) for batch in batches[:take]]
        body: dict[str, Any] = {"requests": entries}
        if len(batches) > take:
            body["cursor"] = {"nextDateTime": entries[-1]["dateTime"], "nextId": batches[take - 1]}
        return answer(body)

    async def _request(self, request: Request, batch: str) -> dict[str, Any]:
        jobs = await asyncio.to_thread(self._services.store.batch, caller(request).owner, batch)
        statuses = await self._jobs.statuses(request, jobs, detailed=True)
        return {
            "dateTime": date_time(jobs[0].created_at) if jobs else "",
            "jobs": [{"job": status["job"], "lastEvent": status["lastEvent"]} for status in statuses],
        }


def _slots(backend: Backend, resource: Resource) -> int:
    """Slots of healthy nodes that could use the resource."""
    is_model = resource.air.type in (None, "checkpoint", "model")
    return sum(
        node.slots
        for node in backend.nodes()
        if node.healthy and (not is_model or node.available is None or resource.air.key in node.available)
    )


def _instant(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        # A float of seconds rounds the last instant of year 9999 up to one that is no date.
        return from_datetime(min(in_utc, _LAST))
    except (ValueError, OverflowError) as error:
        raise InvalidInput.at(name, f"is {text[:40]!r}; write a date such as 2026-01-31T00:00:00Z") from error
