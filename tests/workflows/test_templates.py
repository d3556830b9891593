"""Hundreds of real workflows: each is converted and read, or refused with a reason."""

import json
from importlib.resources import files
from typing import Any

import pytest

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.detect_inputs import read
from imagemill.graphs.errors import InvalidGraph, UiFormat
from imagemill.graphs.graph import Graph, is_ui_format, normalise
from imagemill.graphs.manifest import check, from_text, schema, to_text
from imagemill.graphs.ui_format import convert
from tests.workflows.object_info import node, object_info

FEWEST = 600
"""Workflows the package is known to hold at least."""


@pytest.fixture(scope="module")
def templates() -> dict[str, Any]:
    folder = files("comfyui_workflow_templates_json") / "templates"
    return {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in folder.iterdir()
        if path.name.endswith(".json")
    }


@pytest.fixture(scope="module")
def knowing(templates: dict[str, Any]) -> Catalogue:
    """A catalogue that knows every class of the workflows, by the slots they are drawn with."""
    classes: dict[str, dict[str, Any]] = {}
    for content in templates.values():
        if is_ui_format(content):
            inner = (content.get("definitions") or {}).get("subgraphs", [])
            for drawn in [*content["nodes"], *(one for graph in inner for one in graph["nodes"])]:
                classes.setdefault(drawn["type"], drawn)
    described = {
        name: node(
            {slot["name"]: [slot["type"], {}] for slot in drawn.get("inputs", []) if "widget" not in slot},
            *(str(slot["type"]) for slot in drawn.get("outputs", [])),
            is_output=name.startswith(("Save", "Preview")),
        )
        for name, drawn in classes.items()
    }
    return Catalogue.read(described | object_info())


def test_the_canvas_s_format_is_recognised_in_every_one(templates: dict[str, Any]) -> None:
    workflows = [content for content in templates.values() if is_ui_format(content)]
    assert len(workflows) >= FEWEST
    for content in workflows:
        with pytest.raises(UiFormat):
            normalise(content)


def outcome(content: Any, known: Catalogue) -> tuple[Graph | None, str]:
    """The graph, or why there is none."""
    try:
        return convert(content, known), ""
    except InvalidGraph as refusal:
        return None, str(refusal)


def test_each_is_converted_and_read_or_refused_with_a_reason(
    templates: dict[str, Any], knowing: Catalogue, catalogue: Catalogue
) -> None:
    converted = 0
    for name, content in templates.items():
        for known in (knowing, catalogue):
            graph, reason = outcome(content, known)
            if graph is None:
                assert len(reason) > 20, name
                continue
            converted += 1
            workflow = read(graph, known, name="template")
            assert check(workflow) == (), name
            assert from_text(to_text(workflow)) == workflow, name
            assert schema(workflow)["type"] == "object"
            known.faults(graph)
    assert converted >= FEWEST / 2
