"""The way to look into a test node that is another process, and to make it misbehave."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.request import Request as Call
from urllib.request import urlopen

from tests.comfyui.wire import Reply, Request, json_reply, text_reply

if TYPE_CHECKING:
    from tests.comfyui.node import TestNode

PREFIX = "/test-node/"  # no path of a real server begins so
PATIENCE_S = 30.0


def answer(node: "TestNode", request: Request) -> Reply:
    """GET record; POST behave with faults by name; POST answer with the fields of `Answer`; POST calm."""
    asked = request.path.removeprefix(PREFIX)
    body: dict[str, Any] = json.loads(request.body or b"{}")
    if asked == "record":
        return json_reply(_record(node))
    if asked == "behave":
        node.misbehave(body)
    elif asked == "answer":
        node.answer(**body)
    elif asked == "calm":
        node.misbehave(node.no_faults())
    else:
        return text_reply(f"no such wish: {asked}", 404)
    return json_reply({})


def _record(node: "TestNode") -> dict[str, Any]:
    return {
        "prompts": [prompt.prompt_id for prompt in node.prompts],
        "saved_as": {prompt.prompt_id: _prefix(prompt.graph) for prompt in node.prompts},
        "started": node.started,
        "executed": node.executed,
        "ended": dict(node.ended),
        "loads": node.loads,
        "requests": node.requests,
        "uploads": [upload.name for upload in node.uploads],
    }


def _prefix(graph: Mapping[str, Any]) -> str | None:
    """The name its pictures are saved under."""
    names = (node["inputs"].get("filename_prefix") for node in graph.values())
    return next((name for name in names if name is not None), None)


def record(url: str) -> dict[str, Any]:
    """What the node of another process did so far."""
    with urlopen(f"{url}{PREFIX}record", timeout=PATIENCE_S) as answered:
        return json.load(answered)


def tell(url: str, command: str, **how: Any) -> None:
    """Make the node of another process `behave`, `answer` or `calm` down."""
    call = Call(f"{url}{PREFIX}{command}", json.dumps(how).encode(), method="POST")
    with urlopen(call, timeout=PATIENCE_S) as answered:
        heard: Mapping[str, Any] = json.load(answered)
    assert heard == {}
