"""What a server offers, read from its own OpenAPI document."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "put", "post", "patch", "delete", "head")


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    query: tuple[str, ...]
    """Names of its query parameters."""
    media_types: tuple[str, ...] = ()
    """Of its body; empty: it reads none."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        """As the table of things names them: what stands before a parameter belongs to its name."""
        found = re.finditer(r"(?:^|/)([^/{}]*)/\{(\w+)\}|/\{(\w+)\}", self.path)
        return [match[0].strip("/") for match in found]

    def filled(self, things: Mapping[str, str]) -> str:
        """Its path with things in it. Raises `KeyError` for a parameter nobody has told of."""
        path = self.path
        for name in self.parameters:
            path = path.replace(name, name[: name.index("{")] + things[name], 1)
        return path


def operations(document: Mapping[str, Any]) -> list[Operation]:
    return list(_operations(document))


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                query = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
                body = operation.get("requestBody", {}).get("content", {})
                yield Operation(method.upper(), path, tuple(query), tuple(body))
