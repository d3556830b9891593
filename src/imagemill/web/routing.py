"""The routes of our own API: FastAPI's, with bodies read as hostile input and our own error messages.

A module declares ``router = APIRouter(prefix=..., tags=[...], route_class=ApiRoute)`` and decorates functions
with typed parameters. A field of the query that no parameter names is refused; an empty one counts as absent.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode
from warnings import catch_warnings, simplefilter

import fastapi.utils
from fastapi import Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic.warnings import UnsupportedFieldAttributeWarning
from starlette.datastructures import QueryParams
from starlette.routing import compile_path, get_name
from starlette.types import Receive, Scope, Send

from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.field_messages import field_message
from imagemill.web.body_fields import body_errors, suggestion
from imagemill.web.http import json_body

_JSON_TYPE = (b"content-type", b"application/json")


WRITE_ONLY: dict[str, Any] = {"writeOnly": True}
"""The ``json_schema_extra`` of a secret: no error repeats its value."""


class RequestModel(BaseModel):
    """A request's body: names in camel case, and no field that is not declared."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, defer_build=True
    )


class ResponseModel(BaseModel):
    """A JSON answer. Handlers send a dictionary; the tests validate every answer against its model."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, serialize_by_alias=True, defer_build=True
    )


def immutable(message: str) -> Any:
    """Return the type of a field that cannot be changed, with its error message. The schema omits it."""

    def refuse(value: Any) -> None:
        del value
        raise ValueError(message)

    return Annotated[SkipJsonSchema[None], BeforeValidator(refuse)]


class ApiRequest(Request):
    """A request whose JSON is at most `imagemill.web.http.MAX_DEPTH` deep, without NUL, NaN and infinity."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = await json_body(self)
        return self._json


# FastAPI looks for models of pydantic 1, which it refuses, and imports all of `pydantic.v1` to know them: 23
# modules, 3 MB. Nothing here has such models.
fastapi.utils.annotation_is_pydantic_v1 = lambda annotation: False  # pyright: ignore[reportPrivateImportUsage]


class LazyRoute(APIRoute):
    """FastAPI's route, built when it is first called or described.

    Building one takes a millisecond: its signature is inspected, and a validator made of each parameter.
    A value of ``openapi_extra`` may be a function that returns it, called then, too.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path = path
        self.endpoint = endpoint
        self.name = options.get("name") or get_name(endpoint)
        self.methods = {method.upper() for method in options.get("methods") or ("GET",)}
        self.include_in_schema = options.get("include_in_schema", True)
        self._options = options

    def __getattr__(self, name: str) -> Any:
        """Return what the constructor would have set. Called only for attributes that are not there yet."""
        options = self.__dict__.get("_options")
        if options is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        if name in _OF_PATH:
            # A request compares the path with that of several routes and needs only one of them.
            self.__dict__.update(zip(_OF_PATH, compile_path(self.path), strict=True))
        else:
            self._build(options)
        return object.__getattribute__(self, name)

    def _build(self, options: Mapping[str, Any]) -> None:
        extra: Mapping[str, Any] = options.get("openapi_extra") or {}
        described = {name: value() if callable(value) else value for name, value in extra.items()}
        built = type(self).__new__(type(self))
        # A second object, as two threads may build at once and neither may see a half of it.
        APIRoute.__init__(built, self.path, self.endpoint, **{**options, "openapi_extra": described})
        with catch_warnings():
            # FastAPI ignores this warning where it declares a field. A field of a model whose own building is
            # deferred would cause it later, at the first request.
            simplefilter("ignore", UnsupportedFieldAttributeWarning)
            for field in (built.body_field, *_parameters(built.dependant)):
                if field is not None:
                    field._type_adapter.rebuild()  # pyright: ignore[reportPrivateUsage]
        self.__dict__.update(built.__dict__)

    def below(self, prefix: str, tags: Sequence[str], *, in_schema: bool) -> "LazyRoute":
        """Return the same route below a prefix, with more tags."""
        changes = {
            "tags": [*tags, *(self._options.get("tags") or ())],
            "include_in_schema": self.include_in_schema and in_schema,
        }
        return type(self)(prefix + self.path, self.endpoint, **{**self._options, **changes})


class PlainRoute(LazyRoute):
    """A route whose handler takes the request and the text parameters of the path, and returns a `Response`.

    It is called directly: what FastAPI does around a handler does nothing for this one, and is a fifth of
    what a small request costs. The OpenAPI document describes the route as any other.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # refuses it
            return
        response = await self.endpoint(Request(scope, receive, send), **scope["path_params"])
        await response(scope, receive, send)


def _parameters(dependant: Dependant) -> Iterator[Any]:
    """Yield every parameter of a route and its dependencies but the body."""
    yield from dependant.path_params
    yield from dependant.query_params
    yield from dependant.header_params
    yield from dependant.cookie_params
    for dependency in dependant.dependencies:
        yield from _parameters(dependency)


_OF_PATH = ("path_regex", "path_format", "param_convertors")


class ApiRoute(LazyRoute):
    refuses_unknown_query = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        fields = dict(_query_fields(self.dependant))
        refuses_unknown = self.refuses_unknown_query
        body = self.body_field.field_info if self.body_field is not None else None
        model: Any = body.annotation if body is not None else None

        async def handled(request: Request) -> Response:
            scope = request.scope
            if scope["query_string"]:
                _check_query(scope, fields, refuses_unknown=refuses_unknown)
            if body is not None:
                request = ApiRequest(scope, request.receive)
                # Read here for our own error messages, and as JSON whatever its Content-Type.
                if body.is_required() or await request.body():
                    await request.json()
                if _JSON_TYPE not in scope["headers"]:
                    headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
                    scope["headers"] = [*headers, _JSON_TYPE]
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise InvalidInput(_field_errors(error.errors(), fields, model)) from None

        return handled


class ContractRoute(ApiRoute):
    """A route that clients of another service also call, with further fields in the query."""

    refuses_unknown_query = False


def _query_fields(dependant: Dependant) -> Iterator[tuple[str, FieldInfo]]:
    """Yield every field of a route's query with its name, including the fields of a query model."""
    for field in dependant.query_params:
        model: Any = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from ((each.alias or name, each) for name, each in model.model_fields.items())
        else:
            yield field.alias, field.field_info
    for dependency in dependant.dependencies:
        yield from _query_fields(dependency)


def _check_query(scope: Any, fields: Mapping[str, FieldInfo], *, refuses_unknown: bool) -> None:
    given = QueryParams(scope["query_string"]).multi_items()
    unknown = dict.fromkeys(name for name, _ in given if name not in fields)
    if unknown and refuses_unknown:
        raise InvalidInput([FieldError(name, _unknown(name, fields)) for name in list(unknown)[:20]])
    if not all(value for _, value in given):
        scope["query_string"] = urlencode([(name, value) for name, value in given if value]).encode()


def _unknown(name: str, fields: Mapping[str, FieldInfo]) -> str:
    if not fields:
        return "is not a field of this query, which has none"
    return "is not a field of this query" + suggestion(name, fields)


def _field_errors(
    faults: Sequence[Any], fields: Mapping[str, FieldInfo], model: type[BaseModel] | None
) -> list[FieldError]:
    in_body: list[Any] = [{**fault, "loc": fault["loc"][1:]} for fault in faults if fault["loc"][0] == "body"]
    others = [fault for fault in faults if fault["loc"][0] != "body"]
    return [
        *(FieldError(str(fault["loc"][1]), _message(fault, fields)) for fault in others),
        *body_errors(in_body, model),
    ]


def _message(fault: Any, fields: Mapping[str, FieldInfo]) -> str:
    """Return the message for a fault in the query or path: ``is '0'; write a whole number from 1 to 500``."""
    kind, text = fault["type"], str(fault["input"])[:40]
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return fault["msg"].removeprefix("Value error, ")
    if kind in ("literal_error", "enum"):
        return f"is {text!r}; write {fault['ctx']['expected'].replace(chr(39), '')}"
    if kind.startswith("int_") or kind in ("greater_than_equal", "less_than_equal"):
        field = fields.get(str(fault["loc"][1]))
        low, high = _bounds(field) if field is not None else (None, None)
        return f"is {text!r}; write a whole number from {low} to {high}"
    if kind.startswith("datetime"):
        return f"is {text!r}; write a date such as 2026-01-31T00:00:00Z"
    return f"{field_message(fault)}; it is {text!r}"


def _bounds(field: FieldInfo) -> tuple[Any, Any]:
    low = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
    high = next((each.le for each in field.metadata if hasattr(each, "le")), None)
    return low, high


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value.lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"is {value[:40]!r}; write true or false")
        return value.lower() in ("true", "1")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
"""A boolean of a query: true, false, 1 or 0, in any case."""
Cursor = Annotated[str | None, Query(description="`next` of the last answer.")]
