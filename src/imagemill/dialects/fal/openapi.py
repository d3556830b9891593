"""What the OpenAPI document says of fal's routes."""

from typing import Any

from imagemill.dialects.fal.errors import CLIENT_CLOSED
from imagemill.dialects.fal.schemas import FalInput
from imagemill.web import openapi
from imagemill.web.openapi import PROBLEM_REF

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
    400: "A header is wrong, or the request is in a state that does not allow it",
    401: "No key, or one that is not valid any more",
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
    502: "The node delivered too little",
    503: "No node can do it, or a part is away; Retry-After says when to try again",
    504: "It was not started, or not finished, in time",
}


def _errors() -> dict[str, Any]:
    """Both media types, as what is refused before a route is reached is a problem as everywhere here."""
    content = {"application/json": {"schema": _DETAIL}, "application/problem+json": {"schema": PROBLEM_REF}}
    return {str(status): {"description": text, "content": content} for status, text in _ERRORS.items()}


UNPROCESSABLE: dict[int | str, dict[str, Any]] = {422: _errors()["422"]}
"""For the framework, which would add its own."""


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
    "description": "How it stands among the owner's own requests",
    "schema": {"type": "string", "enum": ["normal", "low"]},
}
_WEBHOOK = openapi.query(fal_webhook=(openapi.TEXT, "Who is told of the end"))["parameters"]
_LOGS = openapi.query(logs=(openapi.FLAG, "With what was noted on the way"))
_INPUT = openapi.body(FalInput)

SUBMIT = {
    **_INPUT,
    "parameters": [*_WEBHOOK, _DEADLINE, _PRIORITY],
    **_answers((200, "Queued", openapi.JSON)),
}
RUN = {
    **_INPUT,
    "parameters": [_DEADLINE, _PRIORITY],
    **_answers((200, "What was made, or the events of its making", openapi.JSON)),
}
RUN["responses"]["200"]["content"]["text/event-stream"] = {"schema": {}}
STATUS = {
    **_LOGS,
    **_answers((200, "It is finished", openapi.JSON), (202, "It waits or is being made", openapi.JSON)),
}
STREAM = {**_LOGS, **_answers((200, "Its statuses as they change", "text/event-stream"))}
RESULT = _answers((200, "What was made", openapi.JSON))
CANCEL = _answers((202, "It is being cancelled", openapi.JSON))
KEYS = _answers((200, "The keys that sign webhooks", openapi.JSON))
