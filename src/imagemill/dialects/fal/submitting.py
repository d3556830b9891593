"""Taking a request in, queued or direct."""

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from imagemill.dialects.fal import reading, views
from imagemill.dialects.fal.apps import App
from imagemill.dialects.fal.errors import invalid
from imagemill.domain.errors import Conflict, InvalidInput
from imagemill.domain.jobs import Draft
from imagemill.service.services import Services
from imagemill.store.submitting import Accepted
from imagemill.web.gate import caller
from imagemill.web.requests import checked, digest, idempotency_key, json_body, request_trace


@dataclass(frozen=True, slots=True)
class Order:
    """A request that is right; nothing of it is stored."""

    services: Services
    owner: str
    draft: Draft
    key: str | None
    """What the client calls it by, so that sending it again makes nothing new."""
    digest: str

    async def accept(self) -> Accepted:
        """Its one job, durable."""
        named = {"key": self.key, "digest": self.digest} if self.key else {}
        future = self.services.submitter.begin(self.owner, (self.draft,), **named)
        accepted = await asyncio.wrap_future(future)
        if not accepted.jobs:
            raise Conflict(f"the request of the idempotency key {self.key!r} is gone; use another key")
        return accepted


class Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def take(self, request: Request, app: App) -> Order:
        """Raises `Refusal`, and what the submitter raises."""
        services = self._services
        key = idempotency_key(request)
        deadline, priority = reading.deadline(request), reading.priority(request)
        webhook = reading.webhook(request, services)
        body = await _body(request)
        owner, base = caller(request).owner, views.base_url(request, services.wire)
        asked = reading.Asked(app, body, owner, base, webhook, priority, deadline)
        draft = await checked(request, self._draft, asked, request_trace(request))
        return Order(services, owner, draft, key, digest([app.whole, webhook, body]) if key else "")

    def _draft(self, asked: reading.Asked, trace: str) -> Draft:
        wish = reading.wish(asked, self._services)
        return self._services.submitter.drafts(asked.owner, [wish], dialect=views.NAME, trace=trace)[0]


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await json_body(request)
    except InvalidInput as error:
        raise invalid(error, "json_invalid") from error
    if not isinstance(body, dict):
        raise invalid(InvalidInput.at("", "Input should be an object"), "dict_type")
    return body
