"""The OpenAPI entries of fal's routes."""

from typing import Any

from imagemill.dialects.fal.schemas import FalInput
from imagemill.web import openapi
from imagemill.web.openapi import PROBLEM_REF
from imagemill.web.problems import CLIENT_CLOSED

_DETAIL: dict[str, Any] = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["loc", "msg", "type"],
                        "properties": {
                            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                            "msg": {"type": "string"},
                            "type": {"type": "string"},
                        },
                    },
                },
            ]
        },
        "error_type": {"type": "string"},
    },
}
_ERRORS = {
    400: "A header is wrong, or the state of the request does not allow it",
    401: "No key, or one that is no longer valid",
    402: "The credits do not suffice",
    403: "The key lacks the scope",
    404: "There is no such app, or no such request of yours",
    408: "The body took too long to arrive",
    410: "The pictures are gone",
    413: "The body is larger than is accepted",
    422: "A field is wrong; `detail` names it",
    429: "Too many requests; Retry-After says when to try again",
    CLIENT_CLOSED: "The request was cancelled",
    500: "The request failed",
    502: "The node delivered too few pictures",
    503: "No node can run it, or a service is unavailable; Retry-After says when to try again",
    504: "The request was not started or not finished in time",
}


def _errors() -> dict[str, Any]:
    """Return the errors in both media types: a request refused before its route is known gets a problem."""
    content = {"application/json": {"schema": _DETAIL}, "application/problem+json": {"schema": PROBLEM_REF}}
    return {str(status): {"description": text, "content": content} for status, text in _ERRORS.items()}


UNPROCESSABLE: dict[int | str, dict[str, Any]] = {422: _errors()["422"]}
"""Replaces the framework's own 422."""


def _answers(*good: tuple[int, str, str]) -> dict[str, Any]:
    found = {
        str(status): {"description": text, "content": {media_type: {"schema": {}}}}
        for status, text, media_type in good
    }
    return {"responses": {**_errors(), **found}}


_DEADLINE = {
    "name": "X-Fal-Request-Timeout",
    "in": "header",
    "description": "Seconds by which a node must have started it",
    "schema": {"type": "number", "exclusiveMinimum": 0.1, "maximum": 31_536_000},
}
_PRIORITY = {
    "name": "X-Fal-Queue-Priority",
    "in": "header",
    "description": "The priority among the owner's own requests",
    "schema": {"type": "string", "enum": ["normal", "low"]},
}
_WEBHOOK = openapi.query(fal_webhook=(openapi.TEXT, "The URL that is called at the end"))["parameters"]
_LOGS = openapi.query(logs=(openapi.FLAG, "Whether to include the log"))
_INPUT = openapi.body(FalInput)

SUBMIT = {
    **_INPUT,
    "parameters": [*_WEBHOOK, _DEADLINE, _PRIORITY],
    **_answers((200, "Queued", openapi.JSON)),
}
RUN = {
    **_INPUT,
    "parameters": [_DEADLINE, _PRIORITY],
    **_answers((200, "The result, or the events of the request", openapi.JSON)),
}
RUN["responses"]["200"]["content"]["text/event-stream"] = {"schema": {}}
STATUS = {
    **_LOGS,
    **_answers(
        (200, "The request is finished", openapi.JSON), (202, "The request waits or runs", openapi.JSON)
    ),
}
STREAM = {**_LOGS, **_answers((200, "The statuses of the request as they change", "text/event-stream"))}
RESULT = _answers((200, "The result", openapi.JSON))
CANCEL = _answers((202, "The request is being cancelled", openapi.JSON))
KEYS = _answers((200, "The keys that sign webhooks", openapi.JSON))
