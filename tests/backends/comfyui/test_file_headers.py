"""The headers of a node's model files, read a few at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from imagemill.backends.comfyui import file_headers
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.graphs.file_metadata import FileMetadata
from imagemill.graphs.node_models import NodeFile
from tests.backends.comfyui.support import backend, graph, order, render, until
from tests.comfyui.catalogue import Models
from tests.comfyui.node import NEW, OLD, TestNode

FOX = {"modelspec.architecture": "flux-1-dev/lora", "ss_output_name": "fox"}
FACTS = FileMetadata("flux-1-dev/lora", "", "fox")
FILES: Models = {"loras": ["fox.safetensors", "styles/ink & wash.safetensors", "old.pt"]}
HEADERS = {"loras/fox.safetensors": FOX, "loras/styles/ink & wash.safetensors": {"modelspec.title": "Ink"}}


@contextmanager
def fleet(
    files: Models, headers: Mapping[str, Mapping[str, str]], version: str = NEW, **more: object
) -> Iterator[tuple[ComfyUI, TestNode]]:
    with TestNode(version, models=files, headers=headers, **more) as node:
        comfy = backend(node)
        yield comfy, node
        comfy.close()


def file_of(comfy: ComfyUI, name: str) -> NodeFile:
    return next(file for models in comfy.models() for file in models.files() if file.name == name)


def asked(node: TestNode) -> list[str]:
    return [path for _, path in node.requests if path.startswith("/view_metadata/")]


@pytest.mark.parametrize("version", [NEW, OLD])
def test_the_facts_of_new_files_are_read(version: str) -> None:
    with fleet(FILES, HEADERS, version) as (comfy, _):
        until(lambda: file_of(comfy, "fox.safetensors").metadata == FACTS, "its header is read")
        ink = "styles/ink & wash.safetensors"
        until(lambda: file_of(comfy, ink).metadata.title == "Ink", "that in a folder too")
        found = comfy.models()[0].find("lora", "FOX")
        assert found is not None
        assert (found.folder, found.metadata) == ("loras", FACTS)


def test_each_file_is_asked_for_once_and_others_never() -> None:
    files: Models = {**FILES, "vae": ["ae.safetensors"], "checkpoints": ["a.safetensors"]}
    with fleet(files, HEADERS) as (comfy, node):
        until(lambda: len(asked(node)) == 3, "all are read")
        checks = len(node.requests)
        until(lambda: len(node.requests) > checks + 20, "it was checked often since")
        assert len(asked(node)) == 3
        assert file_of(comfy, "a.safetensors").metadata == FileMetadata()
        assert file_of(comfy, "old.pt").metadata == FileMetadata()


def test_a_model_in_both_folders_of_checkpoints_is_told_by_its_folder() -> None:
    files: Models = {"checkpoints": ["a.safetensors"], "diffusion_models": ["b.safetensors"]}
    headers = {"diffusion_models/b.safetensors": {"modelspec.architecture": "qwen-image"}}
    with fleet(files, headers) as (comfy, _):
        until(lambda: file_of(comfy, "b.safetensors").metadata.architecture, "its header is read")
        assert file_of(comfy, "b.safetensors").folder == "diffusion_models"
        assert file_of(comfy, "a.safetensors").folder == "checkpoints"


def test_an_added_file_is_read_and_a_removed_one_forgotten() -> None:
    files: Models = {"loras": ["fox.safetensors"]}
    with fleet(files, HEADERS) as (comfy, _):
        until(lambda: file_of(comfy, "fox.safetensors").metadata == FACTS, "its header is read")
        files["loras"] = ["styles/ink & wash.safetensors"]  # pyright: ignore[reportIndexIssue]
        until(
            lambda: list(comfy.models()[0].metadata) == [("loras", files["loras"][0])], "the new one is read"
        )


def test_a_damaged_header_tells_nothing_and_the_node_stays_well() -> None:
    headers = {"loras/fox.safetensors": {"damaged": "yes"}, "loras/new.safetensors": FOX}
    with fleet({"loras": ["fox.safetensors", "new.safetensors"]}, headers) as (comfy, _):
        until(lambda: file_of(comfy, "new.safetensors").metadata == FACTS, "the next one is read")
        assert file_of(comfy, "fox.safetensors").metadata == FileMetadata()
        assert comfy.nodes()[0].healthy


def test_a_header_that_does_not_come_is_left_out_after_two_tries() -> None:
    with TestNode(models=FILES, headers=HEADERS) as node:
        node.answer("/view_metadata/loras", "hang", times=file_headers.MOST_TRIES)
        comfy = backend(node, read_s=0.2)
        until(lambda: file_of(comfy, "styles/ink & wash.safetensors").metadata.title, "the next one is read")
        assert file_of(comfy, "fox.safetensors").metadata == FileMetadata()
        assert comfy.nodes()[0].healthy
        assert render(comfy, order(graph())).outputs
        comfy.close()


def test_many_files_are_read_over_several_checks() -> None:
    names = [f"{number:03}.safetensors" for number in range(file_headers.MOST_AT_ONCE + 5)]
    with fleet({"loras": names}, {f"loras/{name}": FOX for name in names}) as (comfy, node):
        until(lambda: len(comfy.models()[0].metadata) == len(names), "all are read")
        firsts = [path for _, path in node.requests if path in ("/view_metadata/loras", "/system_stats")]
        began = firsts.index("/view_metadata/loras")
        assert "/system_stats" in firsts[began : began + file_headers.MOST_AT_ONCE + 1]
