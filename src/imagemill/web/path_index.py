"""An index of path templates such as ``/api/v1/jobs/{id}``, so that a request tries a few instead of all."""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

Entry = TypeVar("Entry")

_MOST_KEPT = 1024
"""Paths whose answers are kept; with one more, all are forgotten."""
_LONGEST_KEPT = 200
"""Characters of the longest of them."""


class _Node(Generic[Entry]):
    __slots__ = ("below", "ends", "literals", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[Entry]] = {}
        self.parameter: _Node[Entry] | None = None
        self.ends: list[tuple[int, Entry]] = []
        self.below: list[tuple[int, Entry]] = []

    def child(self, part: str) -> "_Node[Entry]":
        if "{" in part:
            self.parameter = self.parameter or _Node()
            return self.parameter
        return self.literals.setdefault(part, _Node())


class PathIndex(Generic[Entry]):
    """Finds the entries whose template may match a path, in the order in which they were added.

    A part with a parameter stands for any part that is not empty, ``{name:path}`` for any number of parts.
    """

    def __init__(self) -> None:
        self._root: _Node[Entry] = _Node()
        self._size = 0
        self._depth = 1
        self._found: dict[str, list[tuple[int, Entry]]] = {}
        """The answers for the last paths: most requests are for few of them."""

    def add(self, template: str, entry: Entry) -> None:
        """Add an entry by its template. A slash at its end is a part of it, no prefix."""
        parts, is_prefix = template.split("/"), False
        node = self._root
        for part in parts:
            if part.endswith(":path}"):
                is_prefix = True
                break
            node = node.child(part)
        self._keep(node, entry, len(parts), is_prefix=is_prefix)

    def add_prefix(self, prefix: str, entry: Entry) -> None:
        """Add an entry for all paths that begin with ``prefix``, which ends with a slash."""
        parts = prefix.removesuffix("/").split("/")
        node = self._root
        for part in parts:
            node = node.child(part)
        self._keep(node, entry, len(parts), is_prefix=True)

    def add_everywhere(self, entry: Entry) -> None:
        """Add an entry for every path."""
        self._keep(self._root, entry, 0, is_prefix=True)

    def _keep(self, node: _Node[Entry], entry: Entry, depth: int, *, is_prefix: bool) -> None:
        (node.below if is_prefix else node.ends).append((self._size, entry))
        self._size += 1
        self._found.clear()
        self._depth = max(self._depth, depth)

    def candidates(self, path: str) -> Sequence[tuple[int, Entry]]:
        """Return the entries that may match the path, each with its place in the order."""
        known = self._found.get(path)
        if known is not None:
            return known
        found = self._search(path)
        if len(path) <= _LONGEST_KEPT:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[path] = found
        return found

    def _search(self, path: str) -> list[tuple[int, Entry]]:
        # Parts beyond the longest template stay together: they are below a prefix or match nothing.
        parts = path.split("/", self._depth)
        found: list[tuple[int, Entry]] = [*self._root.below]
        nodes = [self._root]
        for count, part in enumerate(parts, 1):
            nodes = [*_children(nodes, part)]
            if not nodes:
                break
            if count < len(parts):
                for node in nodes:
                    found += node.below
        for node in nodes:
            found += node.ends
        if len(found) > 1:
            found.sort(key=_place)
        return found


def _children(nodes: list[_Node[Entry]], part: str) -> Iterator[_Node[Entry]]:
    for node in nodes:
        child = node.literals.get(part)
        if child is not None:
            yield child
        if part and node.parameter is not None:
            yield node.parameter


def _place(found: tuple[int, object]) -> int:
    return found[0]
