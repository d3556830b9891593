"""The OpenAPI documents: FastAPI's, completed with the scope and the error responses of every route."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cache, partial
from http import HTTPStatus
from typing import Any
from warnings import catch_warnings, simplefilter

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from pydantic.warnings import UnsupportedFieldAttributeWarning
from starlette.routing import BaseRoute

import imagemill
from imagemill.domain.access import Scope
from imagemill.domain.dataclass import dataclass
from imagemill.web.policies import SAFE, ErrorShape, PathPolicies, PathPolicy
from imagemill.web.route_table import flat

_BODY_METHODS = {"post", "put", "patch"}
_METHODS = {"get", "head", "delete", *_BODY_METHODS}
_NAMED_ELSEWHERE = {"token", "owner"}
"""Query parameters that name things that may not exist."""
_FRAMEWORK_SCHEMAS = {"HTTPValidationError", "ValidationError"}
"""The framework's own error bodies, which are never sent: see `imagemill.web.problems`."""
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


class Problem(BaseModel):
    """An error of a request (RFC 9457)."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str = Field(description="`urn:imagemill:problem:` and a code that does not change.")
    title: str = Field(description="The name of the status.")
    status: int
    detail: str = Field(description="A sentence that says what is wrong and what to do.")
    trace_id: str = Field(alias="traceId", description="Finds the request in the server's log.")
    errors: dict[str, list[str]] = Field({}, description="What is wrong with each field, by its path.")
    needed: float | None = Field(None, description="For 402: the credits that are needed.")
    available: float | None = Field(None, description="For 402: the credits that are available.")


@dataclass(frozen=True, slots=True)
class _Refusal:
    name: str
    description: str
    code: str
    detail: str
    errors: Mapping[str, list[str]] | None = None
    more: Mapping[str, Any] | None = None
    retry: bool = False

    def component(self, status: int) -> dict[str, Any]:
        example: dict[str, Any] = {
            "type": f"urn:imagemill:problem:{self.code}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": self.detail,
            "traceId": _TRACE,
            **({"errors": self.errors} if self.errors else {}),
            **(self.more or {}),
        }
        found: dict[str, Any] = {
            "description": self.description,
            "content": {"application/problem+json": {"schema": PROBLEM_REF, "example": example}},
        }
        return found | {"headers": _RETRY_AFTER} if self.retry else found


PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
}
_REFUSALS = {
    400: _Refusal(
        "InvalidInput",
        "A field is wrong; `errors` names it.",
        "invalid_input",
        "limit: is '0'; write a whole number from 1 to 500",
        {"limit": ["is '0'; write a whole number from 1 to 500"]},
    ),
    401: _Refusal(
        "Unauthenticated",
        "There is no key, or one that is no longer valid.",
        "unauthenticated",
        "send the header 'Authorization: Bearer <key>'",
    ),
    402: _Refusal(
        "CreditsInsufficient",
        "The credits do not suffice.",
        "credits_insufficient",
        "this needs 12 credits, 3.5 are available",
        more={"needed": 12.0, "available": 3.5},
    ),
    403: _Refusal(
        "Forbidden",
        "The key lacks the scope, or this is not yours to change.",
        "forbidden",
        "this needs the scope 'jobs:write', which the key or session does not have",
    ),
    404: _Refusal(
        "NotFound",
        "There is no such thing, or it is not yours.",
        "not_found",
        "there is no job 0192f3a4-0000-7000-8000-000000000000",
    ),
    409: _Refusal(
        "Conflict",
        "The present state does not allow it.",
        "conflict",
        "the jobs of the idempotency key 'a1' are gone; use another key",
    ),
    413: _Refusal(
        "TooLarge",
        "The body is larger than is accepted.",
        "too_large",
        "the body is larger than the 1048576 bytes that are accepted",
    ),
    429: _Refusal(
        "RateLimited",
        "There were too many requests; Retry-After says when to try again.",
        "rate_limited",
        "more than 60 requests in a minute; try again in 12 s",
        retry=True,
    ),
    503: _Refusal(
        "Unavailable",
        "The server is too busy, or a part of it does not answer; Retry-After says when to try again.",
        "busy",
        "the database is busy; try again",
        retry=True,
    ),
}
_OWNER = {
    "name": "owner",
    "in": "query",
    "description": "For administrators: whose things, if not one's own. `*` stands for all owners, for jobs.",
    "schema": {"type": "string"},
}
_SCHEMES = {"key": {"type": "http", "scheme": "bearer", "description": "An API key, or a login's token."}}


def document(
    routes: Sequence[BaseRoute],
    policies: PathPolicies,
    *,
    title: str,
    description: str,
    tags: Iterable[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Return the OpenAPI document of the routes."""
    with catch_warnings():
        # FastAPI declares a field for each field of a query's model. Where the model's building is deferred,
        # theirs is as well, beyond the place where FastAPI ignores this warning itself.
        simplefilter("ignore", UnsupportedFieldAttributeWarning)
        made = get_openapi(
            title=title,
            version=imagemill.__version__,
            description=description,
            license_info={"name": "Apache-2.0"},
            routes=[*flat(routes)],
            tags=[dict(tag) for tag in tags] or None,
        )
    found = made.get("components", {})
    kept = {name: each for name, each in found.get("schemas", {}).items() if name not in _FRAMEWORK_SCHEMAS}
    problem = Problem.model_json_schema(by_alias=True)
    made["components"] = {
        **found,
        "schemas": {**kept, "Problem": problem},
        "responses": {each.name: each.component(status) for status, each in _REFUSALS.items()},
        "securitySchemes": _SCHEMES,
    }
    made["paths"] = complete(_with_short_ids(made["paths"], routes), policies)
    return _with_standard_bounds(made)


_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
"""Bounds as pydantic leaves them in the schema of a number with a validator -> JSON Schema's names."""


def _with_standard_bounds(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_standard_bounds(each) for each in node]
    if not isinstance(node, dict):
        return node
    is_number = node.get("type") in ("integer", "number")
    return {
        _BOUNDS.get(key, key) if is_number else key: _with_standard_bounds(value)
        for key, value in node.items()
    }


def _with_short_ids(paths: Mapping[str, Any], routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Name the operations as their functions, from which generated clients take the names of theirs."""
    known = [route for route in routes if isinstance(route, APIRoute) and route.include_in_schema]
    uses = Counter(route.name for route in known)
    short = {route.unique_id: route.name for route in known if uses[route.name] == 1}
    return {
        path: {
            method: {**each, "operationId": short.get(each["operationId"], each["operationId"])}
            for method, each in item.items()
        }
        for path, item in paths.items()
    }


def complete(paths: Mapping[str, Any], policies: PathPolicies) -> dict[str, Any]:
    """Return the paths with every error response. A status that a route describes itself is kept."""
    return {
        path: {
            method: _operation(path, method, each, policies) if method in _METHODS else each
            for method, each in item.items()
        }
        for path, item in paths.items()
    }


def _operation(
    path: str, method: str, operation: Mapping[str, Any], policies: PathPolicies
) -> dict[str, Any]:
    policy = policies.of(path)
    scope = policy.scope(method.upper())
    own = {
        status: _answer(int(status), each, policy.errors)
        for status, each in operation.get("responses", {}).items()
        if "HTTPValidationError" not in str(each)
    }
    refusals = {
        str(status): _refusal(status, policy.errors) for status in _statuses(path, method, operation, policy)
    }
    further = [_OWNER] if method.upper() in policy.owner_methods else []
    needs: list[dict[str, list[str]]] = [{"key": [scope.value]}] if scope is not None else []
    security = {"security": [*needs, {}] if policy.signed else needs} if needs else {}
    return {
        **operation,
        "responses": {**own, **{k: v for k, v in refusals.items() if k not in own}},
        **({"parameters": [*operation.get("parameters", ()), *further]} if further else {}),
        **security,
    }


def _statuses(path: str, method: str, operation: Mapping[str, Any], policy: PathPolicy) -> list[int]:
    scope = policy.scope(method.upper())
    changes = method.upper() not in SAFE
    queries = {each["name"] for each in operation.get("parameters", ())}
    queries |= {"owner"} if method.upper() in policy.owner_methods else set()
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


def _answer(status: int, said: Mapping[str, Any], shape: ErrorShape | None) -> dict[str, Any]:
    """Complete a response that a route describes: JSON, unless it says otherwise or has no body."""
    if "content" in said:
        return {**said, "content": {kind: _typed(kind, each) for kind, each in said["content"].items()}}
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) or 300 <= status < 400:
        return dict(said)
    if status >= 400:
        return {"description": said["description"], "content": _error_content(shape)}
    return {**said, "content": {"application/json": {"schema": {}}}}


def _typed(media_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the content of a response that is text or a file and has no schema."""
    if content.get("schema") or media_type == JSON:
        return dict(content)
    is_text = media_type.startswith("text/")
    return {**content, "schema": TEXT if is_text else {"type": "string", "format": "binary"}}


def _refusal(status: int, shape: ErrorShape | None) -> dict[str, Any]:
    refusal = _REFUSALS[status]
    if shape is None:
        return {"$ref": f"#/components/responses/{refusal.name}"}
    return {"description": refusal.description, "content": _error_content(shape)}


def _error_content(shape: ErrorShape | None) -> dict[str, Any]:
    """Return the content of errors. A request refused before its route is known always gets a problem."""
    content: dict[str, Any] = {"application/problem+json": {"schema": PROBLEM_REF}}
    if shape is not None:
        content["application/json"] = {"schema": _schema(shape.model)}
    return content


PRICE = "x-price"
PRICED = {PRICE: {}}
"""Marks a route that submits jobs: the document gives the prices there."""
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeating a request with the same key has no further effect and gives the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
IDEMPOTENCY_KEY: dict[str, Any] = {"parameters": [_KEY | {"required": False}]}
REQUIRED_IDEMPOTENCY_KEY: dict[str, Any] = {"parameters": [_KEY | {"required": True}]}
FLAG: dict[str, Any] = {"type": "boolean"}
TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}


def whole(low: int, high: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def query(*required: str, **parameters: tuple[dict[str, Any], str]) -> dict[str, Any]:
    """Return query parameters, each given by its schema and its description."""
    listed: list[dict[str, Any]] = []
    for name, (schema, text) in parameters.items():
        parameter = {"name": name, "in": "query", "description": text, "schema": schema}
        listed.append(parameter | {"required": True} if name in required else parameter)
    return {"parameters": listed}


def query_of(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the fields of a model as query parameters."""
    return [
        {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema}
        for name, schema in model.model_json_schema(by_alias=True)["properties"].items()
    ]


def referred(schema: str, description: str) -> dict[str, Any]:
    """Return a JSON answer by the name of its schema."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


JSON = "application/json"


def answered(status: int, description: str, *media_types: str) -> dict[str, Any]:
    """Return an answer with other media types than JSON alone; without any it has no body."""
    content = {media_type: {"schema": {}} for media_type in media_types}
    return {"responses": {str(status): {"description": description, "content": content}}}


def body(*models: type[BaseModel]) -> dict[str, Any]:
    """Return a JSON body of one of the models for ``openapi_extra``; its schema is made with the route."""
    return {"requestBody": partial(_inlined_body, models)}


def _inlined_body(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Return a body with its schemas inlined, as the framework collects no definitions from here."""
    schemas = [deepcopy(_schema(model)) for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


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
