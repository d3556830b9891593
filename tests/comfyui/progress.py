"""The events of one prompt: who hears them, and how the state of all its nodes is told again and again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.comfyui.hub import Hub
from tests.comfyui.pictures import Picture, jpeg

LONGEST_PREVIEW = 512  # pixels
BROADCAST_ALONE = ("execution_interrupted",)  # of the events of a prompt nobody owns, these reach everybody


class Progress:
    """Tells of one prompt. Without a client, everybody hears its progress and nobody its start or end."""

    def __init__(self, hub: Hub, prompt_id: str, client: str | None, now_ms: Callable[[], int]) -> None:
        self._hub = hub
        self._id = prompt_id
        self._client = client
        self._now_ms = now_ms
        self._states: dict[str, str] = {}
        self._quoted = json.dumps(prompt_id)
        self.messages: list[list[Any]] = []

    def mark(self, type_: str, data: Mapping[str, Any] | None = None) -> None:
        """An event of the whole prompt; kept for the history, and stamped with the time."""
        stamped = {"prompt_id": self._id, **(data or {}), "timestamp": self._now_ms()}
        if type_ == "execution_cached":
            stamped = {"nodes": stamped.pop("nodes"), **stamped}
        self.messages.append([type_, stamped])
        if self._client is not None or type_ in BROADCAST_ALONE:
            self._hub.tell(type_, stamped, self._client)

    def executing(self, node: str | None) -> None:
        if self._client is not None:
            about = {"node": node, "display_node": node} if node is not None else {"node": None}
            self._hub.tell("executing", {**about, "prompt_id": self._id}, self._client)

    def executed(self, node: str, output: Mapping[str, Any]) -> None:
        if self._client is not None:
            about = {"node": node, "display_node": node, "output": output, "prompt_id": self._id}
            self._hub.tell("executed", about, self._client)

    def state(self, node: str, value: float, most: float, state: str) -> None:
        """Tell the state of every node that has one by now."""
        quoted = json.dumps(node)
        self._states[node] = (
            f'{quoted}: {{"value": {value}, "max": {most}, "state": "{state}", "node_id": {quoted},'
            f' "prompt_id": {self._quoted}, "display_node_id": {quoted}, "parent_node_id": null,'
            f' "real_node_id": {quoted}}}'
        )
        if self._hub.hears(self._client):
            nodes = ", ".join(self._states.values())
            data = f'{{"prompt_id": {self._quoted}, "nodes": {{{nodes}}}}}'
            self._hub.tell_text(f'{{"type": "progress_state", "data": {data}}}', self._client)

    def step(self, node: str, value: int, most: int, preview: Picture | None) -> None:
        """One step of a sampler."""
        shown = jpeg(preview, LONGEST_PREVIEW) if preview and self._hub.hears(self._client) else None
        self._tell(node, value, most, shown, "image/jpeg")

    def image(self, node: str, value: int, most: int, png: bytes) -> None:
        """A finished picture in a frame, as SaveImageWebsocket gives it: a step counted from 0."""
        self._tell(node, value, most, png, "image/png")

    def _tell(self, node: str, value: int, most: int, shown: bytes | None, media_type: str) -> None:
        """A frame with metadata comes before its `progress`, a plain one after."""
        self.state(node, value, most, "running")
        about = {
            "node_id": node,
            "prompt_id": self._id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }
        if shown:
            self._hub.tell_frame(self._client, about, shown, media_type, with_metadata=True)
        data = {"value": value, "max": most, "prompt_id": self._id, "node": node}
        self._hub.tell("progress", data, self._client)
        if shown:
            self._hub.tell_frame(self._client, about, shown, media_type, with_metadata=False)
