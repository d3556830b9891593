"""Errors on the wire: ``application/problem+json`` (RFC 9457), one table of statuses."""

import difflib
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException

from imagemill.domain.errors import FieldError, ImagemillError, InvalidInput

log = logging.getLogger(__name__)

STATUSES = {
    "invalid_input": 400,
    "not_found": 404,
    "conflict": 409,
    "illegal_transition": 409,
    "superseded": 409,
    "storage": 503,
    "too_many_streams": 503,
}
_RETRY_AFTER_S = "2"


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:imagemill:problem:{code or HTTPStatus(status).name.lower()}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "traceId": request.scope.get("imagemill.trace", ""),
    }
    if errors:
        fields: dict[str, list[str]] = {}
        for error in errors:
            fields.setdefault(error.path or "body", []).append(error.message)
        body["errors"] = fields
    return Response(
        to_json(body, inf_nan_mode="null"), status, media_type="application/problem+json", headers=headers
    )


def install(app: FastAPI) -> None:
    """Answer every expected error with a problem, and every surprise with a 500 that tells nothing."""

    async def expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, ImagemillError)  # noqa: S101 - registered for this class
        status = STATUSES.get(error.code, 500)
        if status >= 500:
            log.error("%s: %s", error.code, error, extra={"trace": request.scope.get("imagemill.trace")})
        fields = error.errors if isinstance(error, InvalidInput) else ()
        headers = {"Retry-After": _RETRY_AFTER_S} if error.retryable else None
        return problem(request, status, str(error), errors=fields, code=error.code, headers=headers)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
        headers = dict(error.headers) if error.headers else None
        return problem(request, error.status_code, str(error.detail), headers=headers)

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
        fields = [
            FieldError(".".join(str(part) for part in fault["loc"][1:]), fault["msg"])
            for fault in error.errors()
        ]
        detail = "; ".join(f"{field.path}: {field.message}" for field in fields)
        return problem(request, 400, detail, errors=fields, code="invalid_input")

    app.add_exception_handler(ImagemillError, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, parameters)


def field_errors(error: ValidationError, prefix: str = "") -> list[FieldError]:
    """Pydantic's faults with JavaScript-like paths and, for unknown fields, the nearest known one."""
    return [_field_error(fault, prefix) for fault in error.errors(include_url=False, include_context=False)]


def known_fields(title: str, names: Sequence[str]) -> None:
    """Note the fields of a model, to be suggested for misspelt ones."""
    _KNOWN[title] = tuple(names)


_KNOWN: dict[str, tuple[str, ...]] = {}


def _field_error(fault: ErrorDetails, prefix: str) -> FieldError:
    path = prefix
    for part in fault["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() or part.startswith("$"):
            path += f".{part}" if path else part
        else:
            path += f"[{part!r}]"
    message = fault["msg"]
    if fault["type"] == "extra_forbidden":
        message = "is not a field of this object" + _suggestion(str(fault["loc"][-1]))
    elif fault["type"] == "missing":
        message = "is required"
    return FieldError(path, message)


def _suggestion(name: str) -> str:
    known = sorted({field for fields in _KNOWN.values() for field in fields})
    lowered = {field.lower(): field for field in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""
