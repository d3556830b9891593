"""Write ``web/src/api/schema.d.ts``: the types of our API, as the console uses them.

Usage: python tools/console_types.py [FILE]. It starts a server of its own, and needs ``npm ci`` in ``web/``.
Responses of errors are left out, since all have one shape (`web/src/api/http.ts`), as are texts for readers.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

WEB = Path(__file__).parents[1] / "web"
TYPES = WEB / "src/api/schema.d.ts"
_START_S = 60
_TEXTS = {"description", "summary", "example", "examples", "title", "externalDocs"}
_METHODS = {"get", "post", "put", "patch", "delete"}


def openapi_document() -> dict[str, Any]:
    """Return the document of a server of this code, with all products."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready.json")
        command = [sys.executable, "-m", "imagemill", "serve", "--port", "0"]
        options = ["--data-dir", folder, "--ready-file", str(ready)]
        with subprocess.Popen([*command, *options], cwd=folder, stderr=subprocess.DEVNULL) as process:
            try:
                address = f"{_address(ready, process)}/openapi.json"
                return httpx2.get(address, timeout=_START_S).raise_for_status().json()
            finally:
                process.terminate()


def _address(ready: Path, process: "subprocess.Popen[bytes]") -> str:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        if ready.exists() and (text := ready.read_text()):
            return json.loads(text)["url"]
        time.sleep(0.05)
    raise SystemExit("the server did not start; run `imagemill serve` to see why")


def reduced(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without errors, texts and schemas that nothing refers to."""
    paths = {path: _operations(item) for path, item in sorted(document["paths"].items()) if _is_fixed(path)}
    schemas = document["components"]["schemas"]
    used: dict[str, Any] = {}
    left = _references(paths)
    while left:
        name = left.pop()
        if name not in used:
            used[name] = _without_texts(schemas[name])
            left |= _references(used[name])
    return {
        "openapi": document["openapi"],
        "info": document["info"],
        "paths": paths,
        "components": {"schemas": dict(sorted(used.items()))},
    }


def _is_fixed(path: str) -> bool:
    """Whether the path is the same on every server: those of single workflows are not."""
    return not path.startswith("/api/v1/workflows/") or "{" in path or path.endswith("/propose")


def _operations(item: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for method in _METHODS & item.keys():
        operation = item[method]
        good = {code: each for code, each in operation["responses"].items() if code.startswith("2")}
        kept = {key: operation[key] for key in ("operationId", "requestBody") if key in operation}
        given = [each for each in operation.get("parameters", []) if each.get("in") != "header"]
        made[method] = _without_texts({**kept, "parameters": given, "responses": good})
    return dict(sorted(made.items()))


def _without_texts(value: Any, is_map: bool = False) -> Any:
    """Return a copy without texts; ``is_map`` marks an object whose keys are names, not words of OpenAPI."""
    if isinstance(value, list):
        return [_without_texts(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {
        k: v for k, v in value.items() if is_map or k not in _TEXTS or not isinstance(v, str | list | dict)
    }
    return {
        k: _without_texts(v, k in ("properties", "responses", "content", "schemas")) for k, v in kept.items()
    }


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {name for each in value for name in _references(each)}
    if not isinstance(value, dict):
        return set()
    found = {name for each in value.values() for name in _references(each)}
    if isinstance(reference := value.get("$ref"), str):
        found.add(reference.rpartition("/")[2])
    return found


def main(target: Path = TYPES) -> None:
    node = shutil.which("node")
    if node is None:
        raise SystemExit("this needs Node: `make web-types` brings it")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "openapi.json")
        source.write_text(json.dumps(reduced(openapi_document())), encoding="utf-8")
        program = WEB / "node_modules/openapi-typescript/bin/cli.js"
        subprocess.run([node, program, source, "-o", target], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:2]))
