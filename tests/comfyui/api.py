"""The routes of a server, with and without `/api` before them."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from tests.comfyui import jobs, views
from tests.comfyui.catalogue import FOLDERS, NEW_FOLDERS, Models
from tests.comfyui.catalogue_images import Catalogue
from tests.comfyui.execution import Worker
from tests.comfyui.faults import Answer, Faults
from tests.comfyui.files import KINDS, Escape, Folders, inside
from tests.comfyui.hub import Hub, encoded, timestamps
from tests.comfyui.machine import Machine
from tests.comfyui.queue import Queue
from tests.comfyui.validation import ServerTrouble, Verdict, error, validate
from tests.comfyui.wire import Connection, Reply, Request, json_reply, text_reply

TROUBLE = text_reply("500 Internal Server Error\n\nServer got itself in trouble", 500)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NO_STATUS = Reply(200)
SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")  # the newer release keeps them from all listings
WRONG_ANSWERS = {
    "500": TROUBLE,
    "503": text_reply("503: Service Unavailable", 503),
    "404": Reply(404),
    "401": text_reply("401: Unauthorized", 401),
    "html": Reply(200, b"<!doctype html><title>Please sign in</title>", "text/html; charset=utf-8"),
    "garbage": Reply(200, b'{"prompt_id": "0b', "application/json; charset=utf-8"),
    "empty": Reply(200, b"", "application/json; charset=utf-8"),
}


@dataclass(frozen=True)
class Accepted:
    """A prompt that the node took in."""

    prompt_id: str
    number: float
    graph: dict[str, Any]
    client_id: str | None
    extra_data: dict[str, Any]


@dataclass(frozen=True)
class Upload:
    type: str
    subfolder: str
    name: str
    data: bytes


@dataclass(frozen=True)
class Site:
    """What stays the same over a node's restarts."""

    new: bool
    version: str
    models: Models
    device: str
    max_upload_bytes: int
    token: str | None = None
    access: tuple[str, str] | None = None  # Cloudflare Access: client id and secret
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of model files, where a test cares
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # folder/file to its metadata


@dataclass
class Seen:
    """What reached the node since it was made, over its restarts."""

    prompts: list[Accepted] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)  # why a request was answered with 500


Route = Callable[[Request], Reply]


class Api:
    """Answers the requests to one run of a server."""

    def __init__(self, site: Site, worker: Worker, seen: Seen) -> None:
        self.site = site
        self.worker = worker
        self.queue: Queue = worker.queue
        self.hub: Hub = worker.hub
        self.files: Folders = worker.files
        self.faults: Faults = worker.faults
        self.machine: Machine = worker.machine
        self.seen = seen
        self._files_seen = {folder: tuple(names) for folder, names in site.models.items()}
        self._classes = Catalogue(site.new, self._files_seen)
        self._folders = (*FOLDERS, *(NEW_FOLDERS if site.new else ()))
        self._routes: dict[tuple[str, str], Route] = {
            ("POST", "/prompt"): self._submit,
            ("GET", "/prompt"): lambda request: json_reply(
                {"exec_info": {"queue_remaining": self.queue.remaining}}
            ),
            ("GET", "/queue"): self._show_queue,
            ("POST", "/queue"): self._change_queue,
            ("POST", "/interrupt"): self._interrupt,
            ("POST", "/free"): self._free,
            ("GET", "/history"): self._show_history,
            ("POST", "/history"): self._change_history,
            ("POST", "/upload/image"): self._upload,
            ("POST", "/upload/mask"): self._upload,
            ("GET", "/view"): lambda request: views.view(request, self.files, self.faults),
            ("HEAD", "/view"): lambda request: views.view(request, self.files, self.faults),
            ("GET", "/object_info"): self._object_info,
            ("GET", "/embeddings"): lambda request: json_reply(self._stems("embeddings")),
            ("GET", "/models"): lambda request: json_reply(list(self._folders)),
            ("GET", "/system_stats"): lambda request: json_reply(self._stats()),
            ("GET", "/features"): lambda request: json_reply(self.features()),
        }

    async def answer(self, request: Request, connection: Connection) -> Reply | None:
        self.seen.requests.append((request.method, request.path))
        refused = self._refuse(request)
        if refused:
            return refused
        wrong = self.faults.take(request.method, request.path)
        if wrong:
            await asyncio.sleep(wrong.delay_s)
            if wrong.how:
                return await self._misanswer(wrong, connection)
        path = request.path.removeprefix("/api")
        if path == "/ws":
            return self._open_socket(request, connection)
        try:
            reply = self._route(request, path)
        except (ServerTrouble, ValueError, TypeError, KeyError, AttributeError):
            self.seen.troubles.append(traceback.format_exc())
            return TROUBLE
        if path == "/prompt" and request.method == "POST" and reply.status == 200 and self._lost():
            connection.abort()
            return None
        return reply

    def submit(self, body: dict[str, Any]) -> Reply:
        """What POST /prompt does with its body."""
        new = self.site.new
        if "prompt" not in body:
            return _refusal(Verdict(error("no_prompt", "No prompt provided", "No prompt provided")))
        prompt_id = body.get("prompt_id", str(uuid4()))
        if new and not _canonical(prompt_id):
            form = "prompt_id must be a UUID string in canonical lowercase hyphenated form"
            details = f"{form}; omit it to let the server generate one"
            return _refusal(Verdict(error("invalid_prompt_id", "prompt_id must be a valid UUID", details)))
        number = self.queue.next_number(body.get("number"), bool(body.get("front")))
        graph = body["prompt"]
        targets = body.get("partial_execution_targets")
        verdict = validate(
            graph, self._current_classes(), lambda name: self.files.find(name) is not None, targets
        )
        if verdict.error:
            return _refusal(verdict)
        extra = dict(body.get("extra_data", {}))
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        if new:
            extra["create_time"] = timestamps(self.faults)()
            self.queue.secrets[prompt_id] = {name: extra.pop(name) for name in SECRETS if name in extra}
        self.queue.put((number, prompt_id, graph, extra, verdict.outputs))
        self.seen.prompts.append(Accepted(prompt_id, number, graph, body.get("client_id"), extra))
        self.worker.wake()
        return json_reply({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    def _current_classes(self) -> Catalogue:
        """With the files of now, made anew when they have changed."""
        files = {folder: tuple(names) for folder, names in self.site.models.items()}
        if files != self._files_seen:
            self._files_seen, self._classes = files, Catalogue(self.site.new, files)
        return self._classes

    def catalogue(self) -> Catalogue:
        pictures = [name for subfolder, name in self.files.names("input") if not subfolder]
        return Catalogue(self.site.new, self.site.models, pictures)

    def features(self) -> dict[str, Any]:
        size = {"max_upload_size": self.site.max_upload_bytes}
        if not self.site.new:
            return {"supports_preview_metadata": True, **size}
        more = {"extension": {"manager": {"supports_v4": True}}, "node_replacements": True, "assets": False}
        return {"supports_preview_metadata": True, "supports_model_type_tags": True, **size, **more}

    def _refuse(self, request: Request) -> Reply | None:
        """No token, a foreign page, or too large a body."""
        headers, site = request.headers, self.site
        if site.token and headers.get("authorization") != f"Bearer {site.token}":
            return text_reply("401: Unauthorized", 401)
        shown = (headers.get("cf-access-client-id"), headers.get("cf-access-client-secret"))
        if site.access and shown != site.access:
            return text_reply("403: Forbidden", 403)
        origin, host = headers.get("origin"), headers.get("host", "")
        local = host.rpartition(":")[0] in LOOPBACK
        if origin and local and urlsplit(origin).netloc != host:
            return Reply(403)
        if site.new and headers.get("sec-fetch-site") == "cross-site":
            return Reply(403)
        if request.too_large:
            return text_reply(f"Maximum request body size {site.max_upload_bytes} exceeded.", 413)
        return None

    async def _misanswer(self, wrong: Answer, connection: Connection) -> Reply | None:
        if wrong.how == "hang":
            await asyncio.Event().wait()
        if wrong.how == "close":
            connection.abort()
            return None
        return WRONG_ANSWERS[str(wrong.how)]

    def _lost(self) -> bool:
        return self.faults.count_down("lose_answers")

    def _open_socket(self, request: Request, connection: Connection) -> Reply | None:
        if self.faults.refuse_sockets or "sec-websocket-key" not in request.headers:
            return TROUBLE
        socket = connection.upgrade(request)
        client = request.query.get("clientId")
        running = self.worker.node if client is not None and client == self.worker.client else None
        self.hub.join(client, socket, self.queue.remaining, running)
        socket.on_flags = lambda: socket.send_text(encoded("feature_flags", self.features()))
        return None

    def _route(self, request: Request, path: str) -> Reply:
        route = self._routes.get((request.method, path))
        if route:
            return route(request)
        if self.site.new and request.path.startswith("/api/jobs"):
            return jobs.answer(request, self.queue, self.worker)
        if request.method == "OPTIONS":
            return NO_STATUS
        found = self._look_up(path, request) if request.method == "GET" else None
        return found or (
            Reply(404) if request.method == "GET" else text_reply("405: Method Not Allowed", 405)
        )

    def _look_up(self, path: str, request: Request) -> Reply | None:
        """What is named by the last part of a path."""
        head, _, name = path.strip("/").rpartition("/")
        if head == "history":
            entry = self.queue.history.get(name)
            return json_reply({name: entry} if entry else {})
        if head == "object_info":
            catalogue = self.catalogue()
            return json_reply({name: catalogue.describe(name)} if name in catalogue else {})
        if head == "view_metadata":
            return self._header(name, request.query.get("filename", ""))
        if head in ("models", "experiment/models") and name in self._folders:
            listed = sorted(self.site.models.get(name, ()))
            if head == "models":
                return json_reply(listed)
            sizes = self.site.sizes
            return json_reply([views.model_file(one, sizes.get(one, 2 * views.MIB)) for one in listed])
        return None

    def _header(self, folder: str, name: str) -> Reply | None:
        """The metadata of a safetensors file there is; a file whose header is damaged is a 500."""
        header = self.site.headers.get(f"{folder}/{name}")
        if name not in self.site.models.get(folder, ()) or not name.endswith(".safetensors"):
            return None
        if header is not None and "damaged" in header:
            raise ServerTrouble(name)
        return json_reply(dict(header)) if header else None

    def _submit(self, request: Request) -> Reply:
        return self.submit(request.json())

    def _show_queue(self, request: Request) -> Reply:
        running = [list(self.queue.running)] if self.queue.running else []
        return json_reply(
            {"queue_running": running, "queue_pending": [list(entry) for entry in self.queue.pending]}
        )

    def _change_queue(self, request: Request) -> Reply:
        wishes = request.json()
        if wishes.get("clear"):
            self.queue.clear()
        for prompt_id in wishes.get("delete", ()):
            self.queue.delete(prompt_id)
        return NO_STATUS

    def _interrupt(self, request: Request) -> Reply:
        wanted = (request.json() if request.body else {}).get("prompt_id")
        running = self.queue.running
        if running and wanted in (None, running[1]):
            self.worker.interrupted = True
        return NO_STATUS

    def _free(self, request: Request) -> Reply:
        self.worker.free(request.json())
        return NO_STATUS

    def _show_history(self, request: Request) -> Reply:
        most = request.query.get("max_items")
        offset = int(request.query.get("offset", -1))
        return json_reply(self.queue.page(int(most) if most else None, offset))

    def _change_history(self, request: Request) -> Reply:
        wishes = request.json()
        if wishes.get("clear"):
            self.queue.history.clear()
        for prompt_id in wishes.get("delete", ()):
            self.queue.history.pop(prompt_id, None)
        return NO_STATUS

    def _upload(self, request: Request) -> Reply:
        fields = views.form(request)
        name, data = fields.get("image", ("", b""))
        if not name:
            return Reply(400)
        words = {key: value[1].decode() for key, value in fields.items() if key != "image"}
        kind = words.get("type", "input")
        if kind not in KINDS:
            raise ServerTrouble(kind)
        kind = "input" if self.faults.only_input else kind
        try:
            subfolder = inside(words.get("subfolder", ""))
        except Escape:
            return Reply(400)
        kept = self.files.upload(kind, subfolder, name, data, words.get("overwrite") in ("true", "1"))
        self.seen.uploads.append(Upload(kind, subfolder, kept, data))
        return json_reply({"name": kept, "subfolder": subfolder, "type": kind})

    def _object_info(self, request: Request) -> Reply:
        catalogue = self.catalogue()
        return json_reply({name: catalogue.describe(name) for name in catalogue.names()})

    def _stems(self, folder: str) -> list[str]:
        return [name.rpartition(".")[0] for name in sorted(self.site.models.get(folder, ()))]

    def _stats(self) -> dict[str, Any]:
        return views.system_stats(self.site.version, self.site.new, self.site.device, self.machine)


def _refusal(verdict: Verdict) -> Reply:
    return json_reply({"error": verdict.error, "node_errors": verdict.node_errors}, 400)


def _canonical(prompt_id: Any) -> bool:
    try:
        return str(UUID(prompt_id)) == prompt_id
    except (ValueError, AttributeError, TypeError):
        return False
