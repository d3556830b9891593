"""Embeddings in the prompts of a graph, written as ``embedding:NAME``: by an AIR, or by a file."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import MissingFile
from imagemill.graphs.files import MODEL_FILES
from imagemill.graphs.graph import Graph, executed, replace_values, values
from imagemill.graphs.validate import parse_link

_AIR = re.compile(
    r"\bembedding:((?:urn:)?air:[\w./-]+(?::[\w./-]+){2,3}(?:@[\w./-]*\w(?:\+\d+)?(?:\.\w+)?)?|@civitai/\d+)",
    re.IGNORECASE,
)
"""A weight may follow the name, as in ``(embedding:NAME:1.2)``, and is no part of it."""
_NAME = re.compile(r"\bembedding:([^\s,:()]+)", re.IGNORECASE)


def embedding_airs(graph: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """(node id, input, AIR) of each embedding that a text of the graph names by its AIR."""
    for id_, path, text in _texts(graph):
        yield from ((id_, str(path[0]), match[1].rstrip(".")) for match in _AIR.finditer(text))


def place_embeddings(graph: Mapping[str, Mapping[str, Any]], files: Mapping[str, str]) -> Graph:
    """Return a copy with files in place of AIRs; ``files``: AIR as the texts write it -> file."""

    def file_of(match: re.Match[str]) -> str:
        air = match[1].rstrip(".")
        return f"embedding:{files.get(air, air)}{match[1][len(air) :]}"

    return replace_values(graph, {(id_, path): _AIR.sub(file_of, text) for id_, path, text in _texts(graph)})


def embedding_files(graph: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the embeddings that texts of executed nodes name by a file with its extension.

    ComfyUI draws without an embedding that it does not find; a file with its extension is meant to be there.
    """
    texts = [*_texts(graph)]
    running = set(executed(graph)) if texts else ()
    for id_, _, text in texts:
        if id_ in running:
            yield from (match[1] for match in _NAME.finditer(text) if match[1].lower().endswith(MODEL_FILES))


def resolve_embeddings(graph: Mapping[str, Mapping[str, Any]], catalogue: Catalogue) -> Graph:
    """Return a copy with every embedding's file as the node spells it, which is without an extension.

    Raises `MissingFile` for the first that the node does not have.
    """
    texts = [*_texts(graph)]
    running = set(executed(graph, catalogue)) if texts else ()

    def name_of(match: re.Match[str]) -> str:
        file = match[1]
        if not file.lower().endswith(MODEL_FILES):
            return match[0]
        found = catalogue.embedding(file)
        if found is None:
            raise MissingFile("embedding", file)
        return f"embedding:{_prompt_name(found)}"

    return replace_values(
        graph,
        {(id_, path): _NAME.sub(name_of, text) for id_, path, text in texts if id_ in running},
    )


def _prompt_name(file: str) -> str:
    """Return a file's name for a prompt, in which a backslash escapes the next character."""
    name = file.replace("\\", "/")
    extension = next((end for end in MODEL_FILES if name.lower().endswith(end)), "")
    return name[: len(name) - len(extension)]


def _texts(graph: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    """(node id, path from the inputs, text) of each text that names an embedding."""
    for id_, path, value in values(graph):
        if isinstance(value, str) and "embedding:" in value.lower():
            if len(path) > 1 and parse_link(graph[id_]["inputs"][path[0]]):
                continue
            yield id_, path, value
