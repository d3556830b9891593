"""Refuse class names and module names that occur more than once in src/imagemill: a name has one meaning."""

import ast
import sys
from collections import defaultdict
from pathlib import Path

SOURCE = Path("src/imagemill")

ALLOWED_CLASSES: dict[str, str] = {}
"""Class name -> the reason why several modules may define it."""

_FEATURE = "a feature: its rules in `domain` or its own package, its routes in `api`, its commands in `cli`"

ALLOWED_MODULES = {
    "__init__": "each package has one",
    "access": _FEATURE,
    "app": "the FastAPI application in `api`, the Typer application in `cli`",
    "artifacts": _FEATURE,
    "backend": "each backend's implementation of `Backend`",
    "base": "the protocol of each package with several implementations",
    "blobs": "the delivery of files in `web`, and the blobs of Civitai v2",
    "client": "each HTTP client, in the package of the API it calls",
    "commands": "the command groups of each product",
    "contact_sheet": "the image code in `media`, its command in `cli`",
    "credits": _FEATURE,
    "doctor": "the check-up of one node in `backends.comfyui`, that of the installation in `api` and `cli`",
    "errors": "the errors of one package, and their translation",
    "events": "the events of one protocol or product; the core's are in `domain`",
    "follow": "each backend's and the CLI's code that follows a job to its end",
    "forecast": _FEATURE,
    "health": "the route in `api`, the monitor of a node in `backends.comfyui`",
    "inputs": "input pictures in `jobs`, recipe inputs in a product",
    "jobs": _FEATURE,
    "models": _FEATURE,
    "keys": _FEATURE,
    "local": "the blob store in a folder, and the transfer of faces without a node",
    "nodes": _FEATURE,
    "openapi": "the OpenAPI document of each dialect, and the helpers for it in `web`",
    "quotas": _FEATURE,
    "operations": _FEATURE,
    "pauses": _FEATURE,
    "product": "the registration of each product",
    "recipes": "the recipes of each product",
    "records": "the rows that each product writes with a job",
    "registry": "the registry service of models and that of nodes",
    "requests": "the reading of requests, in each dialect and product",
    "responses": "the writing of responses, in each dialect and product",
    "routes": "the routes of each dialect and product",
    "schemas": "the bodies of requests and responses, in each dialect and product",
    "simulator": _FEATURE,
    "service": "the service of each feature",
    "settings": "the settings of each package, and the commands for them in `cli`",
    "stats": _FEATURE,
    "store": "the SQL of each feature",
    "submit": "submission as a service in `jobs`, as SQL in `jobs.store`, to a node in a backend",
    "tables": "the core's tables in `db`, and those of each product",
    "users": _FEATURE,
    "webhooks": _FEATURE,
    "workflows": _FEATURE,
}
"""Module name -> the reason why several packages may have it."""


def find_repeats(root: Path) -> dict[str, list[str]]:
    """Return name -> its places, for each class or module name that repeats and is not allowed.

    Migrations are not read: each one stands alone.
    """
    classes: dict[str, list[str]] = defaultdict(list)
    modules: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        place = path.relative_to(root).as_posix()
        if path.stem not in ALLOWED_MODULES:
            modules[f"module {path.stem}"].append(place)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in ALLOWED_CLASSES:
                classes[f"class {node.name}"].append(f"{place}:{node.lineno}")
    return {name: places for name, places in (classes | modules).items() if len(places) > 1}


def main() -> int:
    repeats = find_repeats(SOURCE)
    for name, places in sorted(repeats.items()):
        print(f"{name} occurs in {', '.join(places)}; rename all but one, or allow it in {sys.argv[0]}")
    return 1 if repeats else 0


if __name__ == "__main__":
    sys.exit(main())
