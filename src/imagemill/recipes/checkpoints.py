"""Which checkpoint a graph loads: what the choice of a node turns on."""

from collections.abc import Mapping
from typing import Any

from imagemill.workflows import graphs
from imagemill.workflows.files import file_kind

FILE = "file:"
"""Before a checkpoint that is named by its file on the node, not by an AIR."""


def checkpoint_of(graph: Mapping[str, Mapping[str, Any]], airs: Mapping[str, str]) -> str:
    """The first one the graph loads: its AIR, where ``airs`` has one for the file, else `FILE` + the file."""
    for id_, place, kind, file in graphs.file_inputs(graph):
        if kind == "checkpoint" and file_kind(graph[id_]["class_type"], str(place[0])):
            return airs.get(file, f"{FILE}{file}")
    return ""
