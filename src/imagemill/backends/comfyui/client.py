"""ComfyUI's HTTP interface, one method per route; every foreign error becomes a `ComfyError`."""

import re
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from pydantic_core import from_json, to_json

from imagemill.backends.comfyui.errors import (
    ComfyError,
    ComfyStatusError,
    ComfyUnreachable,
    File,
    FileTooLarge,
    NotComfy,
    TruncatedFile,
    status_message,
)
from imagemill.backends.comfyui.http_connection import (
    BodyBrokenOff,
    BodyLimits,
    BodyTooLarge,
    ConnectFault,
    ExchangeFault,
    HttpAnswer,
    HttpConnection,
    ReadTimeout,
)
from imagemill.domain.nodes import NodeConfig
from imagemill.graphs.json_access import is_array, is_object, mapping, sequence
from imagemill.graphs.node_classes import read_class
from imagemill.graphs.node_models import FOLDERS

if TYPE_CHECKING:
    import httpx2

QUICK_S = 10.0
"""Read timeout of the small routes; a node's garbage collection pauses them for half a second."""
POOL = 12
"""Connections kept open to a node: eight slots while prompts are quick, the poller, a doctor, and some
reserve."""
JSON_BYTES = 256 * 2**20
"""Largest JSON answer accepted; /history of 10,000 entries is about 11 MB, /object_info 1 MB."""
HEADER_BYTES = 4 * 2**20
"""Largest header of a model file that is accepted; ComfyUI itself reads up to 1 MB."""
_ERROR_BYTES = 2 * 2**20
_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL)


def tls_context(config: NodeConfig) -> ssl.SSLContext | None:
    """The TLS context for an https address; None for other addresses."""
    if not config.url.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=config.ca_file)
    if not config.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class NodeClient:
    """The HTTP client of one node. Thread-safe; connections are reused.

    ``read_s``: longest time without data within an answer, in seconds.

    Each thread has a connection to itself while it needs one, and the one that was used last is taken next.
    """

    def __init__(self, config: NodeConfig, *, connect_s: float, read_s: float) -> None:
        import httpx2  # loaded with the first node: a server without one does without it

        self._url = url = httpx2.URL(config.url)
        self._prefix = url.raw_path.decode().rstrip("/")
        headers = {"Host": url.netloc.decode(), "User-Agent": "imagemill", "Accept-Encoding": "identity"}
        given = {name.lower() for name in config.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in given}
        lines = [f"{name}: {value}\r\n" for name, value in (*headers.items(), *config.headers.items())]
        self._headers = "".join(lines).encode("latin-1")
        self._connect_s, self._read_s, self._quick_s = connect_s, read_s, min(read_s, QUICK_S)
        self._connections = _Connections(url, tls_context(config))

    def close(self) -> None:
        self._connections.close()

    def system_stats(self) -> Mapping[str, Any]:
        return _mapping(self._get_json("/system_stats"), "system")

    def object_info(self) -> Mapping[str, Any]:
        return _mapping(self._get_json("/object_info", self._read_s))

    def options(self, class_type: str, input_: str) -> tuple[str, ...] | None:
        """The choices of one input of a class; None if it has no such choice."""
        described = _mapping(self._get_json(f"/object_info/{quote(class_type, safe='')}"))
        declared = read_class(class_type, described.get(class_type)).inputs.get(input_)
        return None if declared is None or declared.choices is None else tuple(map(str, declared.choices))

    def embeddings(self) -> list[str]:
        """The names of the embeddings, without extensions."""
        answer: object = self._get_json("/embeddings", self._read_s)
        if not is_array(answer):
            raise NotComfy("answers /embeddings with something that is not a list")
        return [str(name) for name in answer]

    def checkpoint_sizes(self) -> dict[str, int]:
        """The sizes in bytes of checkpoints and diffusion models; empty where the node does not tell."""
        sizes: dict[str, int] = {}
        for folder in FOLDERS["checkpoint"]:
            try:
                answer: object = self._get_json(f"/experiment/models/{folder}", self._read_s)
            except ComfyError:
                break  # older servers and some proxies lack the route, which no render needs
            for entry in sequence(answer):
                name, size = mapping(entry).get("name"), mapping(entry).get("size")
                if isinstance(name, str) and type(size) is int:
                    sizes[name] = size
        return sizes

    def file_header(self, folder: str, name: str) -> Mapping[str, Any]:
        """The metadata in the header of a safetensors file, read by the node; empty if it has none."""
        query = urlencode({"filename": name})
        head = self._head("GET", f"/view_metadata/{folder}?{query}")
        try:
            body = self._exchange(head, b"", "/view_metadata", HEADER_BYTES).body
        except ComfyStatusError as error:
            if error.status == 404:
                return {}
            raise
        return mapping(_json(body, "/view_metadata"))

    def queue(self) -> Mapping[str, Any]:
        return _mapping(self._get_json("/queue"), "queue_running", "queue_pending")

    def post_prompt(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a prompt. Raises `ComfyStatusError` 400 with the rejection as its body."""
        return _mapping(_json(self._post_json("/prompt", body, self._read_s), "/prompt"), "prompt_id")

    def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """The prompt's entry; None if it is unknown, waiting or running."""
        entry = _mapping(self._get_json(f"/history/{quote(prompt_id, safe='')}")).get(prompt_id)
        return entry if is_object(entry) else None

    def has_jobs_api(self) -> bool:
        """Whether the node knows prompts as jobs; older servers, and some proxies, lack the routes."""
        try:
            # Without the history, which may be long.
            answer: object = self._get_json("/api/jobs?status=in_progress&limit=1")
        except (ComfyStatusError, NotComfy):
            return False
        return is_array(mapping(answer).get("jobs"))

    def job(self, prompt_id: str) -> Mapping[str, Any] | None:
        """The prompt as a job; None if the node does not know it.

        Raises `ComfyStatusError` where the node has no such route.
        """
        try:
            return _mapping(self._get_json(f"/api/jobs/{quote(prompt_id, safe='')}"), "status")
        except ComfyStatusError as error:
            if error.status == 404 and b'"error"' in error.body:
                return None  # the route's own answer
            raise

    def cancel_job(self, prompt_id: str) -> bool:
        """Cancel exactly this prompt; False if it is neither waiting nor running."""
        path = f"/api/jobs/{quote(prompt_id, safe='')}/cancel"
        return _mapping(_json(self._post_json(path, {}), path), "cancelled")["cancelled"] is True

    def delete_history(self, prompt_ids: Sequence[str]) -> None:
        self._post_json("/history", {"delete": list(prompt_ids)})

    def delete_pending(self, prompt_ids: Sequence[str]) -> None:
        """Remove waiting prompts from the queue; running and unknown ones are ignored."""
        self._post_json("/queue", {"delete": list(prompt_ids)})

    def interrupt(self, prompt_id: str) -> None:
        """Stop this prompt if it is running."""
        if not prompt_id:
            raise ValueError("an interrupt without a prompt id would stop any running prompt")
        self._post_json("/interrupt", {"prompt_id": prompt_id})

    def free(self) -> None:
        """Make the node unload its models and drop its cache before the next prompt."""
        self._post_json("/free", {"unload_models": True, "free_memory": True})

    def upload_image(self, data: bytes, name: str, subfolder: str, kind: str = "input") -> File:
        """Upload a picture over one of the same name; return where the node put it.

        ``kind``: the folder, ``input`` or ``temp``.
        """
        import httpx2

        fields = {"subfolder": subfolder, "type": kind, "overwrite": "true"}
        files = {"image": (name, data, "application/octet-stream")}
        form = httpx2.Request("POST", self._url, data=fields, files=files)
        answer = self._request(
            "POST",
            "/upload/image",
            body=form.read(),
            content_type=form.headers["Content-Type"],
            read_s=self._read_s,
        )
        placed = _mapping(_json(answer, "/upload/image"), "name")
        folder = str(placed.get("subfolder") or "")
        return File(str(placed["name"]), folder, str(placed.get("type") or "input"))

    def view(self, filename: str, subfolder: str, kind: str, *, most: int) -> tuple[bytes, str]:
        """A file's bytes and media type. ``most``: its largest size in bytes.

        Raises `ComfyStatusError` 404 when it does not exist, `TruncatedFile` when it is cut off or too large.
        """
        query = urlencode({"filename": filename, "subfolder": subfolder, "type": kind})
        answer = self._exchange(
            self._head("GET", f"/view?{query}"), b"", "/view", most, self._read_s, is_file=True
        )
        return answer.body, answer.content_type

    def _get_json(self, path: str, read_s: float | None = None) -> Any:
        try:
            return _json(self._request("GET", path, read_s=read_s), path)
        except ComfyUnreachable as error:
            # The node may have closed a kept connection meanwhile: repeating a GET is harmless.
            if not error.maybe_received or isinstance(error.__cause__, ReadTimeout):
                raise
            return _json(self._request("GET", path, read_s=read_s), path)

    def _post_json(self, path: str, body: Mapping[str, Any], read_s: float | None = None) -> bytes:
        return self._request("POST", path, body=to_json(body), content_type="application/json", read_s=read_s)

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "",
        read_s: float | None = None,
    ) -> bytes:
        head = self._head(method, path, None if body is None else len(body), content_type)
        return self._exchange(head, body or b"", path, JSON_BYTES, read_s).body

    def _exchange(
        self,
        head: bytes,
        body: bytes,
        path: str,
        most: int,
        read_s: float | None = None,
        *,
        is_file: bool = False,
    ) -> HttpAnswer:
        """Send a request; return a successful answer with a body of at most ``most`` bytes."""
        connection = self._connections.take()
        try:
            answer = connection.exchange(
                head,
                body,
                connect_s=self._connect_s,
                read_s=read_s or self._quick_s,
                limits=BodyLimits(most, _ERROR_BYTES),
            )
        except BodyTooLarge as error:
            raise FileTooLarge(f"sends more than {error} bytes for {path}") from error
        except ExchangeFault as error:
            if is_file and isinstance(error, BodyBrokenOff):
                raise TruncatedFile(f"broke off in the middle of {path}") from error
            raise _unreachable(error, path) from error
        finally:
            self._connections.put(connection)
        if answer.succeeded:
            return answer
        raise ComfyStatusError(answer.status, status_message(answer.status, path), answer.body)

    def _head(self, method: str, path: str, size: int | None = None, content_type: str = "") -> bytes:
        """The head of a request. ``size``: that of its body in bytes, if it has one."""
        line = f"{method} {self._prefix}{path} HTTP/1.1\r\n".encode("ascii")
        about = "" if size is None else f"Content-Type: {content_type}\r\nContent-Length: {size}\r\n"
        return b"".join((line, self._headers, about.encode("latin-1"), b"\r\n"))


class _Connections:
    """The idle connections to one node; the one that was used last is taken first."""

    def __init__(self, url: "httpx2.URL", tls: ssl.SSLContext | None) -> None:
        self._host = url.raw_host.decode("ascii").strip("[]")
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = tls
        self._idle: deque[HttpConnection] = deque()
        self._closed = False

    def take(self) -> HttpConnection:
        while (connection := self._pop()) is not None:
            if not connection.is_stale():
                return connection
            connection.close()
        return HttpConnection(self._host, self._port, self._tls)

    def put(self, connection: HttpConnection) -> None:
        """Keep a connection whose answer was read to its end; others are closed already."""
        if not connection.is_open:
            return
        if len(self._idle) >= POOL:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:
            self.close()

    def close(self) -> None:
        self._closed = True
        while (connection := self._pop()) is not None:
            connection.close()

    def _pop(self) -> HttpConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _unreachable(error: ExchangeFault, path: str) -> ComfyError:
    connecting = isinstance(error, ConnectFault)
    if isinstance(error.__cause__, ssl.SSLError):
        # Without the host, which clients must not see.
        reason = str(error).partition(", certificate is not valid for")[0]
        return ComfyUnreachable(f"cannot be reached: TLS fails ({reason})", maybe_received=not connecting)
    if connecting:
        return ComfyUnreachable("cannot be reached: connecting fails", maybe_received=False)
    if isinstance(error, ReadTimeout):
        return ComfyUnreachable(f"does not answer {path} in time", maybe_received=True)
    return ComfyUnreachable(f"broke the connection off at {path}", maybe_received=True)


def _json(body: bytes, path: str) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        if body.lstrip()[:1] == b"<":
            title = _TITLE.search(body)
            named = f" titled {title[1].decode(errors='replace')[:80]!r}" if title else ""
            message = f"answers {path} with an HTML page{named}: a login or another server is in front of it"
        else:
            message = f"answers {path} with something that is not JSON: is it a ComfyUI server?"
        raise NotComfy(message) from error


def _mapping(answer: object, *keys: str) -> Mapping[str, Any]:
    if not is_object(answer) or any(key not in answer for key in keys):
        raise NotComfy("answers with JSON that is not ComfyUI's: is it a ComfyUI server?")
    return answer
