"""Embeddings in the prompts of graphs."""

from typing import Any

import pytest

from imagemill.domain.images import GraphSpec
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.embeddings import resolve_embeddings
from imagemill.graphs.errors import MissingFile
from imagemill.graphs.requirements import Requirement, requirements_of

CATALOGUE = Catalogue({}, ["styles\\ink", "easynegative"])


def graph(text: str) -> dict[str, Any]:
    return {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["2", 1]}},
        "2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    }


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a fox, (embedding:ink.safetensors:0.8), day", "a fox, (embedding:styles/ink:0.8), day"),
        ("embedding:Styles/Ink.safetensors", "embedding:styles/ink"),
        ("embedding:unknown, embedding:easynegative", "embedding:unknown, embedding:easynegative"),
    ],
)
def test_a_file_is_sent_under_the_name_that_the_node_has_for_it(text: str, sent: str):
    assert resolve_embeddings(graph(text), CATALOGUE)["1"]["inputs"]["text"] == sent


def test_a_file_that_the_node_lacks_is_missing():
    with pytest.raises(MissingFile, match=r"gone\.pt"):
        resolve_embeddings(graph("embedding:gone.pt"), CATALOGUE)


def test_a_graph_requires_the_embeddings_that_it_names_by_file():
    needed = requirements_of(GraphSpec(graph("embedding:ink.safetensors, embedding:maybe")))
    assert [each for each in needed if each.kind == "embedding"] == [
        Requirement("embedding", "ink.safetensors")
    ]
