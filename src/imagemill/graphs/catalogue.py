"""What one ComfyUI server has: node classes, and the files its loaders list."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from imagemill.graphs import validate
from imagemill.graphs.errors import InvalidCatalogue
from imagemill.graphs.files import Listing, file_kind
from imagemill.graphs.json_access import mapping
from imagemill.graphs.node_classes import InputSpec, NodeClass, read_class
from imagemill.graphs.validate import GraphFault


class Catalogue:
    """Immutable; safe to share between threads."""

    def __init__(self, classes: Mapping[str, NodeClass], embeddings: Iterable[str] | None = None) -> None:
        self._classes = dict(classes)
        self._embeddings = None if embeddings is None else Listing(tuple(embeddings))
        by_content: dict[tuple[str, ...], Listing] = {}
        self._listings: dict[tuple[str, str], Listing] = {}
        shelves: dict[str, dict[int, Listing]] = defaultdict(dict)
        for node_class in self._classes.values():
            for declared in node_class.inputs.values():
                names = _names(declared)
                kind = file_kind(node_class.name, declared.name)
                if names is None or not (kind or declared.lists_files):
                    continue
                listing = by_content.setdefault(names, Listing(names)) if names else Listing(())
                self._listings[node_class.name, declared.name] = listing
                shelves[kind or "file"][id(listing)] = listing
        self._shelves = {kind: tuple(found.values()) for kind, found in shelves.items()}

    @classmethod
    def read(cls, object_info: object, embeddings: Iterable[str] | None = None) -> "Catalogue":
        """Read a server's ``/object_info`` and ``/embeddings`` (None: unknown, so any embedding counts as
        present).

        A class that cannot be read is kept without its inputs. Raises `InvalidCatalogue` when none can be
        read.
        """
        classes = {name: read_class(name, content) for name, content in mapping(object_info).items()}
        if not any(node_class.readable for node_class in classes.values()):
            raise InvalidCatalogue(
                "the server's /object_info names no node class that can be read; look whether its address is "
                "that of a ComfyUI server"
            )
        return cls(classes, embeddings)

    @property
    def classes(self) -> frozenset[str]:
        return frozenset(self._classes)

    def node_class(self, class_type: str) -> NodeClass | None:
        return self._classes.get(class_type)

    def declared(self, class_type: str, input: str) -> InputSpec | None:
        node_class = self._classes.get(class_type)
        return node_class.inputs.get(input) if node_class else None

    def options(self, class_type: str, input: str) -> tuple[str, ...] | None:
        """What the input may be chosen from; None: no such input, or none that is chosen."""
        declared = self.declared(class_type, input)
        return None if declared is None or declared.choices is None else tuple(map(str, declared.choices))

    def lists_files(self, class_type: str, input: str) -> bool:
        """Whether the input is a choice among the node's model files."""
        return (class_type, input) in self._listings

    def file(self, class_type: str, input: str, wanted: str, *, by_base_name: bool = True) -> str | None:
        """The file as the input lists it: slashes and case are alike, and a unique base name is enough."""
        listing = self._listings.get((class_type, input))
        return listing.find(wanted, by_base_name=by_base_name) if listing else None

    def find(self, kind: str, wanted: str) -> str | None:
        """The spelling under which a loader of the kind (lora, checkpoint, ...; file: any) lists the file."""
        shelves = self._listings.values() if kind == "file" else self._shelves.get(kind, ())
        return next((found for resolver in shelves if (found := resolver.find(wanted))), None)

    def embedding(self, wanted: str) -> str | None:
        """The embedding as a prompt names it, without its extension."""
        if self._embeddings is None:
            return wanted
        return self._embeddings.find(wanted) or self._embeddings.find(wanted.rsplit(".", 1)[0])

    def faults(self, graph: Mapping[str, Mapping[str, Any]]) -> list[GraphFault]:
        """Why the server would refuse the graph, which must be normal and name files as the node does.

        Inputs no class declares are no fault: packs read them.
        """
        return validate.faults(graph, self._classes, self._listings.keys())


def _names(declared: InputSpec) -> tuple[str, ...] | None:
    if declared.choices is None or declared.is_upload:
        return None
    return tuple(choice for choice in declared.choices if isinstance(choice, str))
