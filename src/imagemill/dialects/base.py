"""What a dialect gives the server: routes, and the words of its callbacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from imagemill.domain.access import Caller
from imagemill.domain.errors import NotFound
from imagemill.service.notify import Format
from imagemill.service.services import Services
from imagemill.store.outbox import Delivery
from imagemill.web.permits import Permit


@dataclass(frozen=True, slots=True)
class Dialect:
    name: str
    """Kept on each job that came in by it."""
    router: Callable[[Services], APIRouter]
    callback: Format
    letters: Callable[[Services], Format] | None = None
    """In place of ``callback``, where the words of callbacks need more than the delivery."""
    permits: tuple[Permit, ...] = ()
    """What its routes need; what none of them names is for admins only."""
    paths: Callable[[Services, Caller | None], Mapping[str, Any]] | None = None
    """Further paths of the OpenAPI document as this caller sees it, None for nobody we know; they come and go
    while the server runs. May block."""


def no_callback(delivery: Delivery) -> Mapping[str, Any]:
    """For dialects that accept no jobs."""
    raise NotFound(f"job {delivery.job.id} was not submitted by this dialect")
