"""Generate the models of the Python client from the API's document.

    python tools/client_models.py GENERATOR FILE

GENERATOR is a Python interpreter that has datamodel-code-generator (requirements/client.txt), FILE is the
module to write: clients/python/src/imagemill_client/models.py. A test compares both.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imagemill.testing.live_server import running_server

ROOTS = ("JobBody", "JobPage", "EventBody", "Estimate", "Upload", "Problem")
"""The models that the client returns or sends; those they consist of are generated as well."""
OPEN = ("FailureCode", "EventType")
"""Sets that grow: a client has to accept the values of a newer server."""
_OPTIONS = (
    "--input-file-type=openapi",
    "--output-model-type=pydantic_v2.BaseModel",
    "--target-python-version=3.11",
    "--snake-case-field",
    "--allow-population-by-field-name",
    "--use-standard-collections",
    "--use-union-operator",
    "--use-schema-description",
    "--use-annotated",
    "--collapse-root-models",
    "--field-constraints",
    "--extra-fields=allow",
    "--enum-field-as-literal=all",
    "--disable-timestamp",
    "--formatters=ruff-format",
)
_HEADING = '''"""Bodies of the API, made from the server's document by tools/client_models.py: do not edit."""
'''


def document() -> dict[str, Any]:
    """Return the OpenAPI document of our own API."""
    with running_server() as server, urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
        return json.load(answer)


def excerpt(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with `ROOTS` and the schemas they refer to."""
    schemas, wanted, todo = whole["components"]["schemas"], dict[str, Any](), list(ROOTS)
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted[name] = _without_titles(schemas[name])
            todo.extend(_references(schemas[name]))
    for name in OPEN:
        wanted[name].pop("enum", None)
    kept = {name: wanted[name] for name in sorted(wanted)}
    return {**{key: whole[key] for key in ("openapi", "info")}, "paths": {}, "components": {"schemas": kept}}


def _without_titles(schema: Any) -> Any:
    """Return the schema without the titles that pydantic makes of the names of fields."""
    if isinstance(schema, Mapping):
        return {
            key: _without_titles(value)
            for key, value in schema.items()
            if key != "title" or not isinstance(value, str)
        }
    return [_without_titles(each) for each in schema] if isinstance(schema, list) else schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def generate(generator: str, whole: Mapping[str, Any], target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "document.json"
        source.write_text(json.dumps(excerpt(whole)), encoding="utf-8")
        made = Path(folder) / "models.py"
        subprocess.run(
            [generator, "-m", "datamodel_code_generator", f"--input={source}", f"--output={made}", *_OPTIONS],
            check=True,
        )
        lines = [line for line in made.read_text(encoding="utf-8").splitlines() if not line.startswith("# ")]
    target.write_text(_HEADING + "\n".join(lines).strip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    generate(sys.argv[1], document(), Path(sys.argv[2]))
