"""Errors in fal's format: ``detail`` is a sentence or a list with fields; some errors have a type."""

import logging
import math
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import field
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import (
    ContentBlocked,
    FieldError,
    ImagemillError,
    InvalidInput,
    RateLimited,
    TryLater,
    UnsupportedPicture,
    UnusablePicture,
)
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Job, JobStatus
from imagemill.web import rate_limit
from imagemill.web.policies import ErrorShape
from imagemill.web.problems import CLIENT_CLOSED, STATUSES
from imagemill.web.routing import LazyRoute

log = logging.getLogger(__name__)


class FalRefusal(BaseModel):
    """An error of a request that has reached no route, such as one without a key."""

    detail: str


BEFORE_ROUTES = ErrorShape(lambda problem: {"detail": problem["detail"]}, FalRefusal)

_RETRY_AFTER_S = "2"
_MOST_ERRORS, _LONGEST_MESSAGE = 20, 1500
"""Limits of answers: a hostile request must not cause one larger than itself."""
_PART = re.compile(r"[^.\[\]]+")
_NAMES = {
    "image": "image_url",
    "denoise": "strength",
    "steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "count": "num_images",
    "additionalNetworks": "loras",
}
"""fal's names of the fields that have another name in the recipe."""
_PLACES = {"logs": "query", "fal_webhook": "query", "Idempotency-Key": "header"}
"""The places of the fields that are not in the body."""
_OF_INPUT = {
    FailureCode.CONTENT_BLOCKED: ("prompt", "content_policy_violation"),
    FailureCode.BAD_INPUT: ("image_url", "file_download_error"),
}
_FAILURES = {
    FailureCode.TIMEOUT: (504, "request_timeout"),
    FailureCode.OUT_OF_MEMORY: (500, "runner_server_error"),
    FailureCode.MISSING_MODEL: (503, "runner_scheduling_failure"),
    FailureCode.MISSING_NODE: (503, "runner_scheduling_failure"),
    FailureCode.INVALID_GRAPH: (500, "runner_server_error"),
    FailureCode.BACKEND_REJECTED: (500, "runner_server_error"),
    FailureCode.BACKEND_UNAVAILABLE: (503, "runner_connection_error"),
    FailureCode.NODE_LOST: (503, "runner_disconnected"),
    FailureCode.NODE_BROKEN: (503, "runner_disconnected"),
    FailureCode.DEVICE_ERROR: (503, "runner_disconnected"),
    FailureCode.WORKER_LOST: (503, "runner_disconnected"),
    FailureCode.BAD_OUTPUT: (502, "runner_incomplete_response"),
    FailureCode.OUTPUT_LIMIT: (500, "runner_server_error"),
}
"""Status and fal's type of each kind of failure; any other is an internal error."""


@dataclass(frozen=True, slots=True)
class FalErrorResponse:
    """The response to a request that did not succeed."""

    status: int
    detail: str | Sequence[Mapping[str, Any]]
    type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"detail": _clipped(self.detail)}
        return body if self.type is None else {**body, "error_type": self.type}

    @property
    def sentence(self) -> str:
        return self.detail if isinstance(self.detail, str) else "; ".join(each["msg"] for each in self.detail)

    def response(self, request_id: str | None = None) -> Response:
        headers = dict(self.headers)
        if self.type is not None:
            headers["X-Fal-Error-Type"] = self.type
        if request_id is not None:
            # It also shows the client that this server answered and not a proxy without a connection to it.
            headers["X-Fal-Request-Id"] = request_id
        if self.status in (429, 503):
            headers.setdefault("Retry-After", _RETRY_AFTER_S)
        return Response(
            to_json(self.body, inf_nan_mode="null"), self.status, headers, media_type="application/json"
        )


def _clipped(detail: str | Sequence[Mapping[str, Any]]) -> Any:
    if isinstance(detail, str):
        return detail[:_LONGEST_MESSAGE]
    return [{**each, "msg": str(each["msg"])[:_LONGEST_MESSAGE]} for each in detail[:_MOST_ERRORS]]


class FalRequestError(Exception):
    """A request that is refused."""

    def __init__(
        self, status: int, detail: str | Sequence[Mapping[str, Any]], type: str | None = None
    ) -> None:
        self.ending = FalErrorResponse(status, detail, type)
        super().__init__(self.ending.sentence)


def invalid(error: InvalidInput, type: str = "value_error") -> FalRequestError:
    return FalRequestError(
        422, [{"loc": _loc(each), "msg": each.message, "type": type} for each in error.errors]
    )


class FalRoute(LazyRoute):
    """A route with errors in fal's format."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except FalRequestError as refusal:
                return refusal.ending.response()
            except ImagemillError as error:
                return _response_of(error).response()
            except HTTPException as error:
                return FalErrorResponse(
                    error.status_code, str(error.detail), headers=error.headers or {}
                ).response()

        return handled


def _response_of(error: ImagemillError) -> FalErrorResponse:
    if isinstance(error, InvalidInput):
        return _of_input(error)
    status = STATUSES.get(error.code, 500)
    if status >= 500 and not isinstance(error, TryLater):
        log.error("%s: %s", error.code, error)
    headers: dict[str, str] = {}
    if isinstance(error, TryLater):
        headers["Retry-After"] = str(max(1, math.ceil(error.after_s)))
        if isinstance(error, RateLimited):
            headers |= rate_limit.headers(error.status)
    elif error.code == "conflict":
        # The client retries a 409 and would get the same answer ten times.
        status = 422
    return FalErrorResponse(status, str(error), "internal_error" if status >= 500 else None, headers)


def _of_input(error: InvalidInput) -> FalErrorResponse:
    if any(each.path == "model" for each in error.errors):
        # The model of an app and its nodes are no fault of the client, so the field is not named.
        log.warning("an app cannot be run: %s", error)
        return FalErrorResponse(503, f"no node here can run this app: {error}", "runner_scheduling_failure")
    return invalid(error, _type(error)).ending


def _type(error: InvalidInput) -> str:
    if isinstance(error, ContentBlocked):
        return "content_policy_violation"
    if isinstance(error, (UnsupportedPicture, UnusablePicture)):
        return "image_load_error"
    return "value_error"


def _loc(error: FieldError) -> list[str | int]:
    if (place := _PLACES.get(error.path)) is not None:
        return [place, error.path]
    if error.path.startswith("additionalNetworks"):
        return ["body", "loras"]
    parts = [int(part) if part.isdigit() else part for part in _PART.findall(error.path)]
    return ["body", *(_NAMES.get(part, part) if isinstance(part, str) else part for part in parts)]


def error_response(job: Job) -> FalErrorResponse:
    """Return the error of a finished job that did not succeed."""
    if job.status is JobStatus.CANCELED:
        return FalErrorResponse(CLIENT_CLOSED, "the request was cancelled", "client_cancelled")
    if job.status is JobStatus.EXPIRED:
        return _expired(job)
    failure = job.error
    if failure is None:
        return FalErrorResponse(500, "the request failed", "internal_error")
    if (of_input := _OF_INPUT.get(failure.code)) is not None:
        name, type_ = of_input
        return FalErrorResponse(422, [{"loc": ["body", name], "msg": failure.message, "type": type_}])
    status, type_ = _FAILURES.get(failure.code, (500, "internal_error"))
    return FalErrorResponse(status, failure.message, type_)


def _expired(job: Job) -> FalErrorResponse:
    if job.client.get("fal", {}).get("deadline"):
        headers = {"X-Fal-Request-Timeout-Type": "user"}
        return FalErrorResponse(504, "the request was not started in time", "request_timeout", headers)
    return FalErrorResponse(504, "no node started the request in time", "startup_timeout")
