"""What the OpenAPI document says of every route alike: who may call it, and how it refuses."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from imagemill.domain.access import Scope
from imagemill.web.permissions import SAFE, RoutePermissions

_BODY_METHODS = {"post", "put", "patch"}
_METHODS = {"get", "head", "delete", *_BODY_METHODS}
_NAMED_ELSEWHERE = {"token", "owner"}
"""Query parameters that name what may not be there."""
_REFUSALS = {
    400: "A field is wrong; `errors` names it",
    401: "No key, or one that is not valid any more",
    402: "The credits do not suffice",
    403: "The key lacks the scope, or this is not yours to change",
    404: "It is not there, or it is not yours",
    409: "What is there does not allow it",
    413: "The body is larger than is accepted",
    429: "Too many requests; Retry-After says when to try again",
    503: "Too busy, or a part is away; Retry-After says when to try again",
}
_STRAY = "HTTPValidationError"
"""The framework's own refusal, which is never sent: see `imagemill.web.problems`."""

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "traceId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do, in a sentence."},
        "traceId": {"type": "string", "description": "Finds the request in the server's log."},
        "errors": {
            "type": "object",
            "description": "By the paths of the fields that are wrong.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
_SCHEMES = {"key": {"type": "http", "scheme": "bearer", "description": "An API key, or a login's token."}}


def components(found: Mapping[str, Any]) -> dict[str, Any]:
    """The document's ``components`` with ours."""
    schemas = {name: each for name, each in found.get("schemas", {}).items() if name not in (_STRAY, _FAULT)}
    return {**found, "schemas": {**schemas, "Problem": PROBLEM}, "securitySchemes": _SCHEMES}


_FAULT = "ValidationError"


def complete(paths: Mapping[str, Any], permits: RoutePermissions) -> dict[str, Any]:
    """The paths with every refusal. What a route says of a status itself stays."""
    return {
        path: {
            method: _operation(path, method, each, permits) if method in _METHODS else each
            for method, each in item.items()
        }
        for path, item in paths.items()
    }


def _operation(
    path: str, method: str, operation: Mapping[str, Any], permits: RoutePermissions
) -> dict[str, Any]:
    permit = permits.of(path)
    scope, shaped = permit.scope(method.upper()), permit.error_body is not None
    own = {
        status: _answer(int(status), each, shaped)
        for status, each in operation.get("responses", {}).items()
        if _STRAY not in str(each)
    }
    refusals = {
        str(status): _refusal(_REFUSALS[status], shaped)
        for status in _statuses(path, method, operation, scope)
    }
    security = {"security": [{"key": [scope.value]}]} if scope is not None else {}
    return {**operation, "responses": {**refusals, **own}, **security}


def _statuses(path: str, method: str, operation: Mapping[str, Any], scope: Scope | None) -> list[int]:
    changes = method.upper() not in SAFE
    queries = {each["name"] for each in operation.get("parameters", ())}
    applies = {
        400: True,
        401: scope is not None or changes,  # a login may be refused, too
        402: changes and scope is Scope.JOBS_WRITE,
        403: scope is not None or changes or "sig" in queries,
        404: "{" in path or bool(queries & _NAMED_ELSEWHERE) or changes,
        409: changes,
        413: True,
        429: True,
        503: True,
    }
    return [status for status, does in applies.items() if does]


def _answer(status: int, said: Mapping[str, Any], shaped: bool) -> dict[str, Any]:
    """JSON, unless the route says otherwise of its answer, or has none."""
    if "content" in said or status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) or 300 <= status < 400:
        return dict(said)
    if status >= 400:
        return _refusal(said["description"], shaped)
    return {**said, "content": {"application/json": {"schema": {}}}}


def _refusal(description: str, shaped: bool) -> dict[str, Any]:
    """``shaped``: the route has `Words` of its own. What is refused before it is reached is a problem too."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if shaped:
        content["application/json"] = {"schema": {}}
    return {"description": description, "content": content}


FLAG: dict[str, Any] = {"type": "boolean"}
TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}


def whole(low: int, high: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def query(*required: str, **parameters: tuple[dict[str, Any], str]) -> dict[str, Any]:
    """Query parameters: the schema and the description of each."""
    listed: list[dict[str, Any]] = []
    for name, (schema, text) in parameters.items():
        parameter = {"name": name, "in": "query", "description": text, "schema": schema}
        listed.append(parameter | {"required": True} if name in required else parameter)
    return {"parameters": listed}


JSON = "application/json"


def answered(status: int, description: str, *media_types: str) -> dict[str, Any]:
    """An answer that is not JSON alone; without media types it has no body."""
    content = {media_type: {"schema": {}} for media_type in media_types}
    return {"responses": {str(status): {"description": description, "content": content}}}


def body(*models: type[BaseModel]) -> dict[str, Any]:
    """A JSON body that is one of the models, written out: the framework collects no definitions from here."""
    schemas = [deepcopy(_schema(model)) for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return _inlined(model.model_json_schema())


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name in definitions:
                return resolve(definitions[name])
            return {key: resolve(item) for key, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    resolved: dict[str, Any] = resolve(schema)
    return resolved
