"""Workflows as recipes: what is read, converted, kept and put into a job."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.graphs.catalogue import Catalogue
from imagemill.workflows.service import Workflows
from tests.graphs import MANIFEST, UI_FORMAT, graph


def catalogue(**classes: Mapping[str, Any]) -> Catalogue:
    """Of a node with these classes: by name, the declared inputs."""

    def declared(name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "input": {"required": inputs},
            "input_order": {"required": list(inputs)},
            "output": [],
            "output_node": name.startswith("Save"),
        }

    return Catalogue.read({name: declared(name, inputs) for name, inputs in classes.items()})


def blank(width: int = 64, save: str = "SaveImage") -> dict[str, Any]:
    """A canvas's workflow: an empty picture that is saved."""
    return {
        "nodes": [
            {
                "id": 1,
                "type": "EmptyImage",
                "mode": 0,
                "inputs": [],
                "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
                "widgets_values": [width, 32],
            },
            {
                "id": 2,
                "type": save,
                "mode": 0,
                "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
                "outputs": [],
                "widgets_values": ["blank"],
            },
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "version": 0.4,
    }


NODE = catalogue(
    EmptyImage={"width": ["INT", {"default": 512}], "height": ["INT", {"default": 512}]},
    SaveImage={"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
)
BARE = catalogue(EmptyImage={"width": ["INT", {"default": 512}], "height": ["INT", {"default": 512}]})


def workflows(store: Stores, *catalogues: Catalogue) -> Workflows:
    return Workflows(store.workflows, lambda: catalogues)


def errors(refused: pytest.ExceptionInfo[InvalidInput]) -> Sequence[tuple[str, str]]:
    return [(error.path, error.message) for error in refused.value.errors]


def test_a_canvas_s_workflow_is_converted_by_what_a_node_knows(store: Stores):
    kept = workflows(store, BARE, NODE).add("blank", blank())
    found = {node["class_type"]: node["inputs"] for node in kept.workflow.graph.values()}
    assert found["EmptyImage"] == {"width": 64, "height": 32}
    assert found["SaveImage"]["filename_prefix"] == "blank"


def test_a_canvas_s_workflow_is_refused_where_no_node_is_known(store: Stores):
    with pytest.raises(InvalidInput) as refused:
        workflows(store).add("blank", UI_FORMAT)
    ((path, message),) = errors(refused)
    assert path == "graph"
    assert "Export (API)" in message


def test_a_canvas_s_workflow_with_foreign_classes_is_refused_by_their_names(store: Stores):
    with pytest.raises(InvalidInput) as refused:
        workflows(store, NODE).add("blank", blank(save="SaveEverywhere"))
    ((path, message),) = errors(refused)
    assert path == "graph"
    assert "SaveEverywhere" in message


def test_what_is_stored_is_read_again_by_another_process(store: Stores):
    made = workflows(store).add("portrait", graph(), MANIFEST)
    assert workflows(store).get("portrait") == made
    assert [each.workflow for each in workflows(store).views()] == [made.workflow]


def test_a_version_is_read_once(store: Stores):
    mine = workflows(store)
    mine.add("portrait", graph(), MANIFEST)
    assert mine.views()[0].workflow is mine.views()[0].workflow is mine.get("portrait").workflow


def test_a_change_by_another_process_is_seen_at_once(store: Stores):
    mine, other = workflows(store), workflows(store)
    mine.add("portrait", graph(), MANIFEST)
    other.change("portrait", graph(), MANIFEST.replace("default = 8", "default = 9"))
    assert mine.get("portrait").version == 2
    assert mine.get("portrait").workflow.input("steps") != mine.get("portrait", 1).workflow.input("steps")
    other.remove("portrait")
    assert mine.views() == []


def test_a_wish_names_the_version_it_was_made_of(store: Stores):
    mine = workflows(store)
    mine.add("portrait", graph(), MANIFEST)
    mine.change("portrait", graph(), MANIFEST.replace("default = 8", "default = 9"))
    assert mine.job_request("portrait", None, {"prompt": "x"}).input["version"] == 2
    assert mine.job_request("portrait", 1, {"prompt": "x"}).input["version"] == 1
    with pytest.raises(NotFound, match="version 3"):
        mine.job_request("portrait", 3, {})


def test_a_new_graph_that_has_lost_an_input_loses_it_in_the_manifest(store: Stores):
    mine = workflows(store)
    mine.add("portrait", graph(), MANIFEST)
    without = graph()
    without["6"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    del without["4"]
    changed = mine.change("portrait", without)
    assert changed.workflow.input("image") is None
    steps = changed.workflow.input("steps")
    assert steps is not None
    assert (steps.default, steps.maximum) == (8, 30)


def test_a_manifest_longer_than_any_graph_is_refused_before_it_is_read(store: Stores):
    with pytest.raises(InvalidInput, match="longer than"):
        workflows(store).add("portrait", graph(), "#" * (2 * 2**20 + 1))
