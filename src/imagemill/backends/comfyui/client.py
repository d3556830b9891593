"""ComfyUI's HTTP interface, one method per route; every foreign error becomes a `ComfyError`."""

import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from pydantic_core import from_json, to_json
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse

from imagemill.backends.comfyui.errors import (
    ComfyError,
    ComfyStatusError,
    ComfyUnreachable,
    NotComfy,
    TruncatedFile,
    status_message,
)
from imagemill.domain.nodes import NodeConfig
from imagemill.graphs.json_access import is_array, is_object

QUICK_S = 10.0
"""Read timeout of the small routes; a node's garbage collection pauses them for half a second."""
POOL = 8
"""Connections kept open to a node: two slots, the poller, a doctor, and some reserve."""
JSON_BYTES = 256 * 2**20
"""Largest JSON answer accepted; /history of 10,000 entries is about 11 MB, /object_info 1 MB."""
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
    """

    def __init__(self, config: NodeConfig, *, connect_s: float, read_s: float) -> None:
        parts = urlsplit(config.url)
        self._prefix = parts.path.rstrip("/")
        self._headers = dict(config.headers)
        self._connect_s, self._read_s, self._quick_s = connect_s, read_s, min(read_s, QUICK_S)
        secured: dict[str, Any] = {}
        if (context := tls_context(config)) is not None:
            secured = {"ssl_context": context, "assert_hostname": None if config.verify_tls else False}
            if not config.verify_tls:
                # The operator chose it, and `imagemill nodes doctor` reports it; no warning for every
                # request.
                urllib3.disable_warnings(InsecureRequestWarning)
        self._pool = urllib3.connection_from_url(
            f"{parts.scheme}://{parts.netloc}", maxsize=POOL, block=False, retries=False, **secured
        )

    def close(self) -> None:
        self._pool.close()

    def system_stats(self) -> Mapping[str, Any]:
        return _mapping(self._get_json("/system_stats"), "system")

    def object_info(self) -> Mapping[str, Any]:
        return _mapping(self._get_json("/object_info", self._read_s))

    def embeddings(self) -> list[str]:
        """The names of the embeddings, without extensions."""
        answer: object = self._get_json("/embeddings", self._read_s)
        if not is_array(answer):
            raise NotComfy("answers /embeddings with something that is not a list")
        return [str(name) for name in answer]

    def queue(self) -> Mapping[str, Any]:
        return _mapping(self._get_json("/queue"), "queue_running", "queue_pending")

    def post_prompt(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a prompt. Raises `ComfyStatusError` 400 with the rejection as its body."""
        return _mapping(_json(self._post_json("/prompt", body, self._read_s), "/prompt"), "prompt_id")

    def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """The prompt's entry; None if it is unknown, waiting or running."""
        entry = _mapping(self._get_json(f"/history/{quote(prompt_id, safe='')}")).get(prompt_id)
        return entry if is_object(entry) else None

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

    def upload_image(self, data: bytes, name: str, subfolder: str) -> str:
        """Upload a picture; return the name for a graph's LoadImage, which may differ from ``name``."""
        fields = {
            "image": (name, data, "application/octet-stream"),
            "subfolder": subfolder,
            "type": "input",
            "overwrite": "true",
        }
        body, content_type = urllib3.encode_multipart_formdata(fields)
        answer = self._request(
            "POST", "/upload/image", body=body, headers={"Content-Type": content_type}, read_s=self._read_s
        )
        placed = _mapping(_json(answer, "/upload/image"), "name")
        folder = str(placed.get("subfolder") or "")
        return f"{folder}/{placed['name']}" if folder else str(placed["name"])

    def view(self, filename: str, subfolder: str, kind: str, *, most: int) -> tuple[bytes, str]:
        """A file's bytes and media type. ``most``: its largest size in bytes.

        Raises `ComfyStatusError` 404 when it does not exist, `TruncatedFile` when it is cut off or too large.
        """
        query = urlencode({"filename": filename, "subfolder": subfolder, "type": kind})
        response = self._open("GET", f"/view?{query}", None, {}, self._read_s)
        data = _read_all(response, "/view", most, is_file=True)
        return data, response.headers.get("Content-Type", "").partition(";")[0].strip()

    def _get_json(self, path: str, read_s: float | None = None) -> Any:
        try:
            return _json(self._request("GET", path, read_s=read_s), path)
        except ComfyUnreachable as error:
            # The node may have closed a kept connection meanwhile: repeating a GET is harmless.
            if not error.maybe_received or isinstance(error.__cause__, ReadTimeoutError):
                raise
            return _json(self._request("GET", path, read_s=read_s), path)

    def _post_json(self, path: str, body: Mapping[str, Any], read_s: float | None = None) -> bytes:
        headers = {"Content-Type": "application/json"}
        return self._request("POST", path, body=to_json(body), headers=headers, read_s=read_s)

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        read_s: float | None = None,
    ) -> bytes:
        return _read_all(self._open(method, path, body, headers or {}, read_s), path, JSON_BYTES)

    def _open(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], read_s: float | None
    ) -> BaseHTTPResponse:
        """Send a request; return the answer with its body unread. Its status is a success."""
        shown = path.partition("?")[0]
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                body=body,
                headers={**self._headers, **headers},
                timeout=urllib3.Timeout(connect=self._connect_s, read=read_s or self._quick_s),
                redirect=False,
                preload_content=False,
            )
        except HTTPError as error:
            raise _unreachable(error, shown) from error
        if 200 <= response.status < 300:
            return response
        rejection = _read_all(response, shown, _ERROR_BYTES)
        raise ComfyStatusError(response.status, status_message(response.status, shown), rejection)


def _unreachable(error: Exception, path: str) -> ComfyError:
    if isinstance(error, (NewConnectionError, ConnectTimeoutError)):
        return ComfyUnreachable("cannot be reached: connecting fails", maybe_received=False)
    if isinstance(error, SSLError):
        return ComfyUnreachable(f"cannot be reached: TLS fails ({error})", maybe_received=False)
    if isinstance(error, ReadTimeoutError):
        return ComfyUnreachable(f"does not answer {path} in time", maybe_received=True)
    return ComfyUnreachable(f"broke the connection off at {path}", maybe_received=True)


def _read_all(response: BaseHTTPResponse, path: str, most: int, *, is_file: bool = False) -> bytes:
    """Read the whole body; the connection returns to the pool, or is closed after an error.

    A file that is cut off raises `TruncatedFile`; another answer that is cut off raises
    `ComfyUnreachable`, as the node may have acted on the request.
    """
    try:
        data = response.read(most + 1)
        while len(data) <= most and (more := response.read(most + 1 - len(data))):
            data += more
    except HTTPError as error:
        response.close()
        if is_file and isinstance(error, ProtocolError):
            raise TruncatedFile(f"broke off in the middle of {path}") from error
        raise _unreachable(error, path) from error
    if len(data) > most:
        response.close()
        raise TruncatedFile(f"sends more than {most} bytes for {path}")
    response.release_conn()
    return data


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
