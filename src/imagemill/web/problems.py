"""Errors on the wire: ``application/problem+json`` (RFC 9457), one table of statuses."""

import errno
import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.routing import Match

from imagemill.domain.errors import (
    FieldError,
    ImagemillError,
    InvalidInput,
    RateLimited,
    StorageError,
    TryLater,
)
from imagemill.domain.field_messages import field_message, field_path
from imagemill.web import rate_limit
from imagemill.web.body_fields import MOST_ERRORS, clipped
from imagemill.web.policies import ERROR_SHAPE, REWRITTEN_PREFIX, ErrorShape

log = logging.getLogger(__name__)

STATUSES = {
    "invalid_input": 400,
    "content_blocked": 400,
    "unsupported_family": 400,
    "unsupported_media_type": 415,
    "unusable_picture": 422,
    "check_failed": 503,
    "decoders_busy": 503,
    "unauthenticated": 401,
    "credits_insufficient": 402,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "illegal_move": 409,
    "illegal_transition": 409,
    "superseded": 409,
    "rate_limited": 429,
    "queue_full": 503,
    "storage": 503,
    "missing_extra": 501,
    "busy": 503,
    "too_many_attempts": 429,
    "too_many_streams": 503,
    "too_many_own_streams": 429,
}
CLIENT_CLOSED = 499
"""The status of a request whose client has disconnected or, at fal, cancelled it. It is no standard one, but
nginx's and fal's."""
_RETRY_AFTER_S = "2"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_CODES = {413: "too_large"}
"""Codes of statuses whose name in Python differs between its versions."""

# A hostile request must not cause an answer larger than itself.
_LONGEST_PATH = 300
_LONGEST_MESSAGE = 1500

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def problem(
    request: HTTPConnection,
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    code: str | None = None,
    headers: dict[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Response:
    """Return an error response; ``detail`` is one sentence, ``errors`` has one entry for each field."""
    name = code or _CODES.get(status) or HTTPStatus(status).name.lower()
    body: dict[str, Any] = {
        "type": f"urn:imagemill:problem:{name}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": clipped(detail, _LONGEST_MESSAGE),
        "traceId": request.scope.get("imagemill.trace", ""),
        **(details or {}),
    }
    if errors:
        fields: dict[str, list[str]] = {}
        for error in errors[:MOST_ERRORS]:
            path = clipped(error.path, _LONGEST_PATH) or "body"
            fields.setdefault(path, []).append(clipped(error.message, _LONGEST_MESSAGE))
        body["errors"] = fields
    media_type = "application/problem+json"
    shape: ErrorShape | None = request.scope.get(ERROR_SHAPE)
    if shape is not None:
        body, media_type = dict(shape.body({"code": name, **body})), "application/json"
    return Response(to_json(body, inf_nan_mode="null"), status, media_type=media_type, headers=headers)


def install(app: FastAPI, public_url: str | None = None) -> None:
    """Answer every expected error with a problem, and every other with a 500 without details.

    ``public_url``: where a path with a slash too many or too few is redirected to; None means the same host.
    """

    async def expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, ImagemillError)  # noqa: S101 - registered for this class
        status = STATUSES.get(error.code, 500)
        if status >= 500 and not isinstance(error, TryLater):
            log.error("%s: %s", error.code, error, extra={"trace": request.scope.get("imagemill.trace")})
        if isinstance(error, InvalidInput):
            return problem(request, status, _sentence(error.errors), errors=error.errors, code=error.code)
        return problem_of(request, error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
        headers = dict(error.headers) if error.headers else None
        if error.status_code == 404 and (path := _path_of_route(request)) is not None:
            # The framework's own redirect has the scheme and host that a proxy sees.
            return RedirectResponse(f"{public_url or ''}{path}", 307)
        if error.status_code == 405:
            headers = {"Allow": ", ".join(_allowed(request))}
        return problem(request, error.status_code, _detail(request, error), headers=headers)

    async def parameters(request: Request, error: Exception) -> Response:
        """Answer for routes of another class than `imagemill.web.routing.ApiRoute`."""
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
        fields = [FieldError(field_path(fault["loc"][1:]), field_message(fault)) for fault in error.errors()]
        return problem(request, 400, _sentence(fields), errors=fields, code="invalid_input")

    async def gone(request: Request, error: Exception) -> Response:
        """Answer nobody: the client has disconnected before its body was whole."""
        del request, error
        return Response(status_code=CLIENT_CLOSED)

    async def disk(request: Request, error: Exception) -> Response:
        # Large bodies wait in the folder of temporary files, which may be full while the database is not.
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) not in _NO_SPACE and "temporary directory" not in reason:
            raise error
        reason = f"the server cannot store the request: {reason.partition(' in [')[0]}"
        return problem_of(request, StorageError(reason))

    async def surprise(request: Request, error: Exception) -> Response:
        del error  # the server logs it; a client must not see it
        return problem(request, 500, "a bug in the server; its log has more under this traceId", code="bug")

    app.add_exception_handler(ImagemillError, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, parameters)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(OSError, disk)
    app.add_exception_handler(Exception, surprise)


def problem_of(request: Request, error: ImagemillError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response of one of our errors, with its details and Retry-After."""
    sent = dict(headers or {})
    if isinstance(error, TryLater):
        sent["Retry-After"] = str(max(1, math.ceil(error.after_s)))
        if isinstance(error, RateLimited):
            sent |= rate_limit.headers(error.status)
    elif error.retryable:
        sent["Retry-After"] = _RETRY_AFTER_S
    status = STATUSES.get(error.code, 500)
    return problem(request, status, str(error), code=error.code, headers=sent, details=error.details)


def _detail(request: Request, error: HTTPException) -> str:
    """Return the text of an error, a useful one for the framework's own 404 and 405."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    if error.status_code == 404:
        return f"there is no {request.method} {request.url.path[:200]} here; /docs lists what there is"
    if error.status_code == 405:
        return f"{request.method} is not possible here; possible: {', '.join(_allowed(request))}"
    return str(error.detail)


def _allowed(request: Request) -> list[str]:
    """Return all methods of the path; the framework gives those of its first route only."""
    routes = request.app.router.routes
    # A new scope, since the routed one contains its route.
    place = {name: request.scope[name] for name in ("type", "path", "root_path", "headers")}
    found = {
        method
        for method in _METHODS
        if any(route.matches({**place, "method": method})[0] is Match.FULL for route in routes)
    }
    # Whatever is read by GET answers HEAD, too.
    return [method for method in _METHODS if method in found or (method == "HEAD" and "GET" in found)]


def _path_of_route(request: Request) -> str | None:
    """Return the path and query with or without a slash at the end, if only so they are a route's."""
    scope, path = request.scope, request.url.path
    if "endpoint" in scope or path == "/":
        return None
    other = path.rstrip("/") if path.endswith("/") else f"{path}/"
    place = {name: scope[name] for name in ("type", "root_path", "headers", "method")}
    if not any(
        route.matches({**place, "path": other})[0] is not Match.NONE for route in request.app.router.routes
    ):
        return None
    raw = scope["raw_path"].decode("latin-1").removeprefix(scope.get(REWRITTEN_PREFIX, ""))
    location = raw.rstrip("/") if path.endswith("/") else f"{raw}/"
    query = scope["query_string"].decode("latin-1")
    # One slash: two would name another host.
    return f"/{location.lstrip('/')}{f'?{query}' if query else ''}"


def _sentence(errors: Sequence[FieldError]) -> str:
    first = f"{errors[0].path}: {errors[0].message}" if errors[0].path else errors[0].message
    more = len(errors) - 1
    return f"{first}; and {more} more" if more else first
