"""ComfyUI's HTTP interface, one method per route; every foreign error becomes a `ComfyError`."""

import re
import ssl
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

import httpcore2
import httpx2
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
from imagemill.domain.nodes import NodeConfig
from imagemill.graphs.json_access import is_array, is_object, mapping, sequence
from imagemill.graphs.node_classes import read_class
from imagemill.graphs.node_models import FOLDERS

QUICK_S = 10.0
"""Read timeout of the small routes; a node's garbage collection pauses them for half a second."""
POOL = 8
"""Connections kept open to a node: two slots, the poller, a doctor, and some reserve."""
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

    It uses httpcore2's connections directly, as a job makes about ten requests: a small one takes 0.15 ms of
    CPU so, 0.2 ms by httpcore2's pool, which looks at every idle connection twice, and 0.3 ms by httpx2's
    client.
    """

    def __init__(self, config: NodeConfig, *, connect_s: float, read_s: float) -> None:
        self._url = url = httpx2.URL(config.url)
        self._prefix = url.raw_path.decode().rstrip("/")
        headers = {"Host": url.netloc.decode(), "User-Agent": "imagemill", "Accept-Encoding": "identity"}
        given = {name.lower() for name in config.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in given}
        self._headers = [_header(*each) for each in (*headers.items(), *config.headers.items())]
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
        request = self._built("GET", f"/view_metadata/{folder}?{query}", None, "", self._quick_s)
        try:
            _, body = self._exchange(request, "/view_metadata", HEADER_BYTES)
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
        request = self._built("GET", f"/view?{query}", None, "", self._read_s)
        response, data = self._exchange(request, "/view", most, is_file=True)
        types = (value for name, value in response.headers if name.lower() == b"content-type")
        return data, next(types, b"").decode("latin-1").partition(";")[0].strip()

    def _get_json(self, path: str, read_s: float | None = None) -> Any:
        try:
            return _json(self._request("GET", path, read_s=read_s), path)
        except ComfyUnreachable as error:
            # The node may have closed a kept connection meanwhile: repeating a GET is harmless.
            if not error.maybe_received or isinstance(error.__cause__, httpcore2.ReadTimeout):
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
        return self._exchange(self._built(method, path, body, content_type, read_s), path, JSON_BYTES)[1]

    def _exchange(
        self, request: httpcore2.Request, path: str, most: int, *, is_file: bool = False
    ) -> tuple[httpcore2.Response, bytes]:
        """Send a request; return a successful answer and its body of at most ``most`` bytes."""
        connection = self._connections.take()
        try:
            response = connection.handle_request(request)
            if 200 <= response.status < 300:
                return response, _read_all(response, path, most, is_file=is_file)
            rejection = _read_all(response, path, _ERROR_BYTES)
        except _FAULTS as error:
            raise _unreachable(error, path) from error
        finally:
            self._connections.put(connection)
        raise ComfyStatusError(response.status, status_message(response.status, path), rejection)

    def _built(
        self, method: str, path: str, body: bytes | None, content_type: str, read_s: float | None
    ) -> httpcore2.Request:
        url = self._url
        target = f"{self._prefix}{path}".encode()
        headers = self._headers
        if body is not None:
            headers = [
                *headers,
                _header("Content-Type", content_type),
                _header("Content-Length", str(len(body))),
            ]
        timeout = {"connect": self._connect_s, "write": self._connect_s, "read": read_s or self._quick_s}
        return httpcore2.Request(
            method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target),
            headers=headers,
            content=body,
            extensions={"timeout": timeout},
        )


class _Connections:
    """The idle connections to one node; the one that was used last is taken first."""

    def __init__(self, url: httpx2.URL, tls: ssl.SSLContext | None) -> None:
        port = url.port or (443 if url.scheme == "https" else 80)
        self._origin = httpcore2.Origin(url.raw_scheme, url.raw_host, port)
        self._tls = tls
        self._idle: deque[httpcore2.HTTPConnection] = deque()
        self._closed = False

    def take(self) -> httpcore2.HTTPConnection:
        while (connection := self._pop()) is not None:
            if not connection.has_expired():
                return connection
            connection.close()
        return httpcore2.HTTPConnection(self._origin, ssl_context=self._tls)

    def put(self, connection: httpcore2.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end, close any other."""
        if connection.is_closed() or not connection.is_idle() or len(self._idle) >= POOL:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:
            self.close()

    def close(self) -> None:
        self._closed = True
        while (connection := self._pop()) is not None:
            connection.close()

    def _pop(self) -> httpcore2.HTTPConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


_FAULTS = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, UnicodeError)
"""A host whose name cannot be looked up at all is a `UnicodeError`."""


def _header(name: str, value: str) -> tuple[bytes, bytes]:
    return name.encode("ascii"), value.encode("latin-1")


def _unreachable(error: Exception, path: str) -> ComfyError:
    connecting = isinstance(error, (httpcore2.ConnectError, httpcore2.ConnectTimeout, UnicodeError))
    if isinstance(error.__cause__, ssl.SSLError):
        # Without the host, which clients must not see.
        reason = str(error).partition(", certificate is not valid for")[0]
        return ComfyUnreachable(f"cannot be reached: TLS fails ({reason})", maybe_received=not connecting)
    if connecting:
        return ComfyUnreachable("cannot be reached: connecting fails", maybe_received=False)
    if isinstance(error, httpcore2.ReadTimeout):
        return ComfyUnreachable(f"does not answer {path} in time", maybe_received=True)
    return ComfyUnreachable(f"broke the connection off at {path}", maybe_received=True)


def _read_all(response: httpcore2.Response, path: str, most: int, *, is_file: bool = False) -> bytes:
    """Read the whole body.

    A file that is cut off raises `TruncatedFile`; another answer that is cut off raises
    `ComfyUnreachable`, as the node may have acted on the request.
    """
    parts: list[bytes] = []
    size = 0
    try:
        for part in cast("Iterable[bytes]", response.stream):
            size += len(part)
            if size > most:
                raise FileTooLarge(f"sends more than {most} bytes for {path}")
            parts.append(part)
    except _FAULTS as error:
        if is_file and not isinstance(error, httpcore2.TimeoutException):
            raise TruncatedFile(f"broke off in the middle of {path}") from error
        raise
    finally:
        response.close()
    return b"".join(parts)


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
