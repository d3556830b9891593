"""The request schemas of v1 in the OpenAPI document; the handlers read their bodies themselves."""

from typing import Any

from imagemill.dialects.civitai_v1.schemas import ComfyTemplate, TextToImageTemplate


def _body(*models: type[Any]) -> dict[str, Any]:
    schemas = [model.model_json_schema(ref_template="#/components/schemas/{model}") for model in models]
    for schema in schemas:
        _inline(schema)
    return {"required": True, "content": {"application/json": {"schema": {"anyOf": schemas}}}}


def _inline(schema: dict[str, Any]) -> None:
    """Put the definitions where they are used: FastAPI collects none from here."""
    definitions = schema.pop("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name in definitions:
                return resolve(definitions[name])
            return {key: resolve(item) for key, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    schema.update(resolve(dict(schema)))


_FLAGS = {
    "wait": "Hold the answer until the jobs are finished, for about 95 s at most",
    "detailed": "Show each job as it was submitted",
    "whatif": "Price the jobs without running them",
    "charge": "Accepted for compatibility; without effect",
}

SUBMIT: dict[str, Any] = {
    "requestBody": _body(TextToImageTemplate, ComfyTemplate),
    "parameters": [
        {"name": name, "in": "query", "description": text, "schema": {"type": "boolean"}}
        for name, text in _FLAGS.items()
    ],
}
