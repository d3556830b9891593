"""fal's queue as its published client uses it: submit, status, logs, result, cancel, pictures; and faults.

It counts what it was asked for and what that would have cost.
"""

import base64
import io
import json
import math
import os
import ssl
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme
from PIL import Image

KEY = "key-id:key-secret"
DOLLARS_PER_MEGAPIXEL = 0.025


@dataclass(frozen=True)
class Behaviour:
    """What becomes of a request that is accepted."""

    queue_s: float = 0.0
    render_s: float = 0.0
    error: str | None = None
    """COMPLETED with this error."""
    error_type: str | None = None
    nsfw: bool = False
    cut: bool = False
    """The picture's file ends half-way."""
    size: tuple[int, int] | None = None
    """Another one than was asked for."""
    inline: bool = False
    """Pictures as data URLs, as with sync_mode."""


@dataclass(frozen=True)
class Reply:
    """An answer in place of the right one. ``status`` 0: the connection is dropped; ``accepts``: a submission
    is accepted all the same."""

    status: int = 0
    detail: Any = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    error_type: str | None = None
    accepts: bool = False
    text: str | None = None
    """Instead of JSON, as an ingress answers."""


@dataclass
class Asked:
    """A request that was accepted."""

    id: str
    path: str
    input: Mapping[str, Any]
    behaviour: Behaviour
    at: float = field(default_factory=time.monotonic)
    canceled: bool = False
    collected: int = 0

    @property
    def state(self) -> str:
        age = time.monotonic() - self.at
        if self.canceled:
            return "COMPLETED"
        if age < self.behaviour.queue_s:
            return "IN_QUEUE"
        return "IN_PROGRESS" if age < self.behaviour.queue_s + self.behaviour.render_s else "COMPLETED"

    @property
    def done(self) -> float:
        return min(
            1.0, (time.monotonic() - self.at - self.behaviour.queue_s) / (self.behaviour.render_s or 1e-9)
        )

    @property
    def size(self) -> tuple[int, int]:
        return self.behaviour.size or _size_of(self.input)


_SIZES = {"square_hd": (1024, 1024), "landscape_16_9": (1024, 576), "portrait_16_9": (576, 1024)}
"""Some of the sizes that endpoints know by name."""


def _size_of(given: Mapping[str, Any]) -> tuple[int, int]:
    """The size that an endpoint draws in: an object, a name, or WIDTHxHEIGHT; or of an aspect ratio."""
    size = given.get("image_size")
    if isinstance(size, dict):
        return size["width"], size["height"]
    if isinstance(size, str):
        return _SIZES[size] if size in _SIZES else tuple(map(int, size.split("x")))
    across, _, down = given.get("aspect_ratio", "").partition(":")
    return (round(float(across) * 64), round(float(down) * 64)) if down else (1024, 768)


class FalServer:
    """On a free port of 127.0.0.1, with a certificate of its own authority, whose file is ``ca_file``."""

    def __init__(self, folder: Path) -> None:
        self.behaviour = Behaviour()
        self.requests: dict[str, Asked] = {}
        self.calls: list[tuple[str, str]] = []
        """Point and path of every call that came."""
        self.replies: dict[str, deque[Reply]] = {}
        self.ca_file = folder / "ca.pem"
        self.lock = threading.Lock()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.fal = self
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._http.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What points the unmodified client here."""
        return {
            "FAL_KEY": KEY,
            "FAL_RUN_HOST": self.host,
            "FAL_QUEUE_RUN_HOST": self.host,
            "SSL_CERT_FILE": str(self.ca_file),
        }

    @property
    def submits(self) -> int:
        """Submissions that were accepted, and so paid for."""
        return len(self.requests)

    @property
    def dollars(self) -> float:
        return sum(
            DOLLARS_PER_MEGAPIXEL
            * math.ceil(asked.size[0] * asked.size[1] / 1e6)
            * asked.input.get("num_images", 1)
            for asked in self.requests.values()
        )

    def answer(self, point: str, *replies: Reply) -> None:
        """The next calls of ``point`` (submit, status, result, cancel, file) are answered so."""
        with self.lock:
            self.replies.setdefault(point, deque()).extend(replies)

    def behave(self, **changes: Any) -> None:
        """From now on accepted requests do so."""
        self.behaviour = replace(Behaviour(), **changes)

    def asked(self, point: str) -> int:
        return sum(each == point for each, _ in self.calls)

    def forget(self) -> None:
        """As after the time for which results are kept."""
        self.requests.clear()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def running() -> Iterator[FalServer]:
    with tempfile.TemporaryDirectory() as folder:
        server = FalServer(Path(folder))
        try:
            yield server
        finally:
            server.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    fal: FalServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_: Any) -> None:
        return

    @property
    def _fal(self) -> FalServer:
        server = self.server
        assert isinstance(server, _Http)
        return server.fal

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._serve("submit", lambda path: self._submit(path, json.loads(body)))

    def do_PUT(self) -> None:
        self._serve("cancel", self._cancel)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/files/"):
            self._serve("file", self._file)
        elif path.endswith("/status"):
            self._serve("status", self._status)
        else:
            self._serve("result", self._result)

    def _serve(self, point: str, do: Any) -> None:
        fal = self._fal
        path = urlsplit(self.path).path.strip("/")
        with fal.lock:
            fal.calls.append((point, path))
            replies = fal.replies.get(point)
            reply = replies.popleft() if replies else None
        if point != "file" and self.headers.get("authorization") != f"Key {KEY}":
            reply = Reply(401, "Cannot access application: invalid key")
        if reply is not None and reply.accepts:
            do(path)
        if reply is None:
            self._say(*do(path))
        elif reply.status == 0:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(2)
        elif reply.text is not None:
            self._say(reply.status, reply.text.encode(), reply.headers, "text/html")
        else:
            told = {"detail": reply.detail}
            if reply.error_type:
                told["error_type"] = reply.error_type
            self._say(reply.status, told, reply.headers)

    def _say(
        self, status: int, body: Any, headers: Mapping[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _submit(self, path: str, given: Mapping[str, Any]) -> tuple[int, Any]:
        if not isinstance(given.get("prompt"), str):
            fault = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
            return 422, {"detail": [fault]}
        asked = Asked(str(uuid.uuid4()), path, given, self._fal.behaviour)
        with self._fal.lock:
            self._fal.requests[asked.id] = asked
        owner, alias, *_ = path.split("/")
        base = f"https://{self._fal.host}/{owner}/{alias}/requests/{asked.id}"
        return 200, {
            "request_id": asked.id,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
            "queue_position": 0,
        }

    def _find(self, path: str) -> Asked | None:
        id_ = path.partition("/requests/")[2].partition("/")[0]
        return self._fal.requests.get(id_)

    def _status(self, path: str) -> tuple[int, Any]:
        asked = self._find(path)
        if asked is None:
            return 404, {"detail": "Request not found"}
        state = asked.state
        logs = None
        if parse_qs(urlsplit(self.path).query).get("logs", ["0"])[0] in ("1", "true", "True"):
            steps = int(asked.input.get("num_inference_steps", 28))
            logs = [
                {"message": f" {int(asked.done * steps)}/{steps} [00:01<00:01, 9it/s]", "level": "STDERR"}
            ]
        if state == "IN_QUEUE":
            return 202, {"status": state, "queue_position": 0}
        if state == "IN_PROGRESS":
            return 202, {"status": state, "logs": logs}
        told = {"status": state, "logs": logs, "metrics": {"inference_time": asked.behaviour.render_s}}
        if asked.canceled:
            return 200, told | {"error": "Request was cancelled", "error_type": "request_cancelled"}
        if asked.behaviour.error is not None:
            told |= {"error": asked.behaviour.error, "error_type": asked.behaviour.error_type}
        return 200, told

    def _result(self, path: str) -> tuple[int, Any]:
        asked = self._find(path)
        if asked is None:
            return 404, {"detail": "Request not found"}
        if asked.state != "COMPLETED":
            return 400, {"detail": "Request is still in progress"}
        asked.collected += 1
        count = asked.input.get("num_images", 1)
        kind = asked.input.get("output_format", "jpeg")
        width, height = asked.size
        images = [
            {
                "url": self._url(asked, index, kind),
                "width": width,
                "height": height,
                "content_type": f"image/{kind}",
            }
            for index in range(count)
        ]
        return 200, {
            "images": images,
            "seed": asked.input.get("seed", 7),
            "timings": {"inference": asked.behaviour.render_s},
            "has_nsfw_concepts": [asked.behaviour.nsfw] * count,
            "prompt": asked.input["prompt"],
        }

    def _url(self, asked: Asked, index: int, kind: str) -> str:
        if asked.behaviour.inline:
            data = base64.b64encode(_picture(asked, index, kind)).decode()
            return f"data:image/{kind};base64,{data}"
        return f"https://{self._fal.host}/files/{asked.id}/{index}.{kind}"

    def _file(self, path: str) -> tuple[int, Any, Mapping[str, str], str]:
        _, id_, name = path.split("/")
        asked = self._fal.requests[id_]
        index, kind = name.split(".")
        data = _picture(asked, int(index), kind)
        cut = data[: len(data) // 2] if asked.behaviour.cut else data
        return 200, cut, {}, f"image/{kind}"

    def _cancel(self, path: str) -> tuple[int, Any]:
        asked = self._find(path)
        if asked is None:
            return 404, {"detail": "Request not found"}
        if asked.state == "COMPLETED":
            return 400, {"status": "ALREADY_COMPLETED"}
        asked.canceled = True
        return 202, {"status": "CANCELLATION_REQUESTED"}


def _picture(asked: Asked, index: int, kind: str) -> bytes:
    seed = int(asked.input.get("seed", 7)) + index
    colour = (seed * 37 % 256, seed * 91 % 256, seed * 53 % 256)
    file = io.BytesIO()
    Image.new("RGB", asked.size, "black" if asked.behaviour.nsfw else colour).save(file, kind)
    return file.getvalue()


if __name__ == "__main__":
    with running() as server:
        print(json.dumps(server.environment), flush=True)
        with suppress(KeyboardInterrupt):
            while os.getppid() != 1:
                time.sleep(1.0)
