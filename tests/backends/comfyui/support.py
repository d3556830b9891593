"""What the adapter's tests share: quick settings, orders, and waiting for a condition."""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from imagemill.backends.base import Progress, RenderControl, RenderRequest, RenderResult
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.comfyui.settings import ComfySettings
from imagemill.domain.images import GraphSpec, ImageSpec, RenderSpec
from imagemill.domain.nodes import NodeConfig
from tests.comfyui.node import TestNode
from tests.tuning import tuned

FILES = {"checkpoints": ["sd1/civitai/4384/128713.safetensors"], "loras": []}
SD1 = "urn:air:sd1:checkpoint:civitai:4384@128713"


def pace(node: TestNode, **costs: float) -> None:
    """Change what work costs on a node that runs: ``step_s``, ``work_s``, ..."""
    machine = node._machine  # pyright: ignore[reportPrivateUsage]
    machine.costs = replace(machine.costs, **costs)


def settings(**changes: Any) -> ComfySettings:
    """Everything that takes seconds in earnest takes tenths of one here, but for answers.

    A loaded machine may pause a node for a second, which an examination would report as a node that is away.
    """
    quick: dict[str, Any] = {
        "connect_s": 5.0,
        "read_s": 5.0,
        "ping_s": 0.3,
        "health_s": 0.05,
        "files_s": 0.2,
        "silence_s": 0.2,
        "lost_s": 0.6,
        "wedged_s": 0.4,
        "doubt_s": 2.0,
        "breaker_base_s": 0.3,
        "breaker_cap_s": 1.0,
        "keep_history_s": 60.0,
    }
    return tuned(ComfySettings, **(quick | changes))


def until(condition: Callable[[], Any], what: str, seconds: float = 40.0) -> Any:
    """Wait for a condition; fail, saying what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds:g} s")


def backend(*nodes: TestNode, well: bool = True, **changes: Any) -> ComfyUI:
    """For test nodes, named a, b, ... in their order; connected and well."""
    built = ComfyUI(settings(**changes))
    built.configure([NodeConfig(name, node.url) for name, node in zip("abcd", nodes, strict=False)])
    if well:
        wait_well(built)
    return built


def wait_well(built: ComfyUI) -> None:
    until(lambda: all(node.healthy for node in built.nodes()), "the nodes are well")


def graph(colour: int = 255, *, side: int = 32, prefix: str = "t") -> GraphSpec:
    """Without a model: one picture of a colour."""
    return GraphSpec(
        {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": side, "height": side, "batch_size": 1, "color": colour},
            },
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
        }
    )


def spec(**changes: Any) -> ImageSpec:
    values: dict[str, Any] = {
        "prompt": "a red fox in the snow",
        "negative_prompt": "blurry",
        "model": SD1,
        "model_path": "sd1/civitai/4384/128713.safetensors",
        "family": "sd1",
        "width": 64,
        "height": 64,
        "steps": 4,
        "cfg_scale": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
        "seed": 7,
    }
    return ImageSpec(**(values | changes))


def order(work: RenderSpec | None = None, **changes: Any) -> RenderRequest:
    values: dict[str, Any] = {
        "job_id": f"job-{uuid.uuid4().hex[:8]}",
        "attempt": 1,
        "reference": str(uuid.uuid4()),
        "node": "a",
        "work": work or spec(),
        "timeout_s": 20.0,
    }
    return RenderRequest(**(values | changes))


def render(built: ComfyUI, asked: RenderRequest, told: list[Progress] | None = None) -> RenderResult:
    watch = RenderControl(told.append if told is not None else None)
    return built.follow(asked, built.send(asked), watch)
