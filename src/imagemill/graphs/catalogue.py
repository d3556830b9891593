"""The catalogue of one ComfyUI server: its node classes, and the files its loaders list."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from imagemill.graphs import validate
from imagemill.graphs.errors import InvalidCatalogue
from imagemill.graphs.files import Listing, file_kind
from imagemill.graphs.json_access import mapping
from imagemill.graphs.node_classes import InputSpec, NodeClass, read_class
from imagemill.graphs.validate import GraphFault

_MOST_NAMESAKES = 5


class Catalogue:
    """The node classes and files of one server. Immutable; safe to share between threads."""

    def __init__(self, classes: Mapping[str, NodeClass], embeddings: Iterable[str] | None = None) -> None:
        self._classes = dict(classes)
        self.partner_classes = frozenset(name for name, each in self._classes.items() if each.is_partner)
        """The classes that a paid service runs."""
        self._embeddings = None if embeddings is None else Listing(tuple(embeddings))
        by_content: dict[tuple[str, ...], Listing] = {}
        self._listings: dict[tuple[str, str], Listing] = {}
        by_kind: dict[str, dict[int, Listing]] = defaultdict(dict)
        for node_class in self._classes.values():
            for declared in node_class.inputs.values():
                names = _names(declared)
                kind = file_kind(node_class.name, declared.name)
                if names is None or not (kind or declared.lists_files):
                    continue
                listing = by_content.setdefault(names, Listing(names)) if names else Listing(())
                self._listings[node_class.name, declared.name] = listing
                by_kind[kind or "file"][id(listing)] = listing
        self._listings_by_kind = {kind: tuple(found.values()) for kind, found in by_kind.items()}

    @classmethod
    def read(cls, object_info: object, embeddings: Iterable[str] | None = None) -> "Catalogue":
        """Read a server's ``/object_info`` and ``/embeddings``.

        ``embeddings`` None means unknown: any embedding counts as present. A class that cannot be read is
        kept without its inputs. Raises `InvalidCatalogue` when no class can be read.
        """
        classes = {name: read_class(name, content) for name, content in mapping(object_info).items()}
        if not any(node_class.readable for node_class in classes.values()):
            raise InvalidCatalogue(
                "the server's /object_info names no node class that can be read; check that its address is "
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
        """The choices of an input; None if there is no such input or it is not a choice."""
        declared = self.declared(class_type, input)
        return None if declared is None or declared.choices is None else tuple(map(str, declared.choices))

    def lists_files(self, class_type: str, input: str) -> bool:
        """Whether the input is a choice among the node's model files."""
        return (class_type, input) in self._listings

    def file(self, class_type: str, input: str, wanted: str, *, by_base_name: bool = True) -> str | None:
        """The file as the input lists it, ignoring case and kind of slashes; a unique base name is enough."""
        listing = self._listings.get((class_type, input))
        return listing.find(wanted, by_base_name=by_base_name) if listing else None

    def find(self, kind: str, wanted: str) -> str | None:
        """The file as a loader of the kind lists it (lora, checkpoint, ...; ``file`` means any kind)."""
        listings = self._listings.values() if kind == "file" else self._listings_by_kind.get(kind, ())
        return next((found for listing in listings if (found := listing.find(wanted))), None)

    def ambiguity(self, kind: str, wanted: str) -> str:
        """The remedy for a name that several files of a kind have, in different folders; else empty."""
        listings = self._listings.values() if kind == "file" else self._listings_by_kind.get(kind, ())
        named = {name: None for listing in listings for name in listing.namesakes(wanted)}
        if len(named) < 2:
            return ""
        shown = ", ".join(list(named)[:_MOST_NAMESAKES]) + (", ..." if len(named) > _MOST_NAMESAKES else "")
        return f"{len(named)} files have this name; write one of {shown}"

    def embedding(self, wanted: str) -> str | None:
        """The embedding's name as used in a prompt, without extension; None if the server does not have
        it."""
        if self._embeddings is None:
            return wanted
        return self._embeddings.find(wanted) or self._embeddings.find(wanted.rsplit(".", 1)[0])

    def faults(self, graph: Mapping[str, Mapping[str, Any]]) -> list[GraphFault]:
        """The reasons for which the server would refuse a graph.

        The graph must be normalised and spell files as the node does. Inputs that a class does not declare
        are not faults, as node packs read them, but their links must lead to an output of the graph.
        """
        return validate.faults(graph, self._classes, self._listings.keys())


def _names(declared: InputSpec) -> tuple[str, ...] | None:
    if declared.choices is None or declared.is_upload:
        return None
    return tuple(choice for choice in declared.choices if isinstance(choice, str))
