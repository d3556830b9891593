"""A plain client for trying the test node: requests, and one socket's events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
from websockets.sync.client import ClientConnection, connect

from tests.comfyui.node import TestNode

PATIENCE_S = 30.0  # for any single answer or event, also on a busy machine
Event = dict[str, Any]


@dataclass(frozen=True)
class Answered:
    status: int
    data: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Client:
    def __init__(
        self, node: TestNode, headers: dict[str, str] | None = None, timeout_s: float = PATIENCE_S
    ) -> None:
        self._url = node.url
        self._client = httpx2.Client(headers=headers, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Answered:
        return self._ask("GET", path + (f"?{urlencode(query)}" if query else ""), headers=headers)

    def head(self, path: str, **query: Any) -> Answered:
        return self._ask("HEAD", f"{path}?{urlencode(query)}")

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answered:
        return self._ask("POST", path, content=None if body is None else json.dumps(body), headers=headers)

    def upload(self, name: str, data: bytes, field: str = "image", **words: str) -> Answered:
        return self._ask("POST", "/upload/image", files={field: (name, data)}, data=words)

    def submit(self, graph: Any, client: str | None = None, **more: Any) -> str:
        """Send a prompt that must be accepted, and give its id."""
        answered = self.post(
            "/prompt", {"prompt": graph, **({"client_id": client} if client else {}), **more}
        )
        assert answered.status == 200, answered.data
        return answered.json["prompt_id"]

    def history(self, prompt_id: str) -> Any:
        return self.get(f"/history/{prompt_id}").json.get(prompt_id)

    def images(self, prompt_id: str) -> list[Answered]:
        """Every picture in a prompt's history, read back."""
        outputs = self.history(prompt_id)["outputs"].values()
        return [self.get("/view", **image) for output in outputs for image in output["images"]]

    def _ask(self, method: str, path: str, **how: Any) -> Answered:
        answered = self._client.request(method, self._url + path, **how)
        return Answered(answered.status_code, answered.content, answered.headers)


class Listener:
    """One socket. Binary frames are events of the type `binary`."""

    def __init__(self, socket: ClientConnection, client: str) -> None:
        self.socket = socket
        self.client = client

    def next(self, timeout_s: float = PATIENCE_S) -> Event:
        message = self.socket.recv(timeout=timeout_s)
        return json.loads(message) if isinstance(message, str) else {"type": "binary", "data": message}

    def until(self, type_: str, **data: Any) -> list[Event]:
        """All events up to the first of that type with that data, including it."""
        heard: list[Event] = []
        while True:
            event = self.next()
            heard.append(event)
            if event["type"] == type_ and all(event["data"].get(key) == value for key, value in data.items()):
                return heard

    def until_end(self, prompt_id: str) -> list[Event]:
        return self.until("executing", node=None, prompt_id=prompt_id)

    def silence(self, seconds: float) -> bool:
        """Nothing comes for so long."""
        try:
            self.next(seconds)
        except TimeoutError:
            return True
        return False


@contextmanager
def listening(
    node: TestNode,
    client: str | None = None,
    *,
    metadata: bool = False,
    headers: dict[str, str] | None = None,
) -> Iterator[Listener]:
    """A socket that was greeted; `metadata` asks for previews with it."""
    chosen = client or uuid4().hex
    url = node.url.replace("http", "ws", 1) + f"/ws?clientId={chosen}"
    with connect(url, compression=None, max_size=None, additional_headers=headers, close_timeout=1) as socket:
        listener = Listener(socket, chosen)
        if not node.faults.silent:
            assert listener.next()["data"]["sid"] == chosen
        if metadata:
            socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            listener.until("feature_flags")
        yield listener


def without_status(events: list[Event]) -> list[Event]:
    return [event for event in events if event["type"] != "status"]
