"""What the OpenAPI document says of routes that read their bodies and queries themselves."""

from copy import deepcopy
from functools import cache
from typing import Any

from pydantic import BaseModel

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
