"""fal's published client with its retries disabled, and the download of pictures.

The published client repeats any request whose connection broke, even a submission, which could be paid
twice. It does so for the errors of its HTTP library. Here a transport below it reads answers whole and
raises `FalError`s, which the client does not catch. This module is imported when fal is first used.
"""

import base64
import binascii
import ssl
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx
from fal_client import auth
from fal_client.client import (
    USER_AGENT,
    BackupDomainTransport,
    Completed,
    InProgress,
    Queued,
    Status,
    SyncClient,
    SyncRequestHandle,
)

from imagemill.backends.fal.errors import BadResponse, FalUnreachable, bad_status
from imagemill.graphs.json_access import is_object

__all__ = ["Completed", "FalClient", "InProgress", "Queued", "Status", "SyncRequestHandle"]

_CONNECT_S = 10.0
_REDIRECTS = 3
_MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class FalClient(SyncClient):
    """The client of one account. Methods raise `imagemill.backends.fal.errors.FalError`. Thread-safe."""

    def __init__(self, key: str, *, host: str | None, ca_file: Path | None, timeout_s: float) -> None:
        super().__init__(key=key, default_timeout=timeout_s)
        # The client is a frozen dataclass.
        vars(self).update(_host=host, _ca_file=ca_file)

    @cached_property
    def _client(self) -> httpx.Client:
        """The HTTP client that the published client sends all requests with."""
        return httpx.Client(
            transport=_NoRetryTransport(self._tls, vars(self)["_host"]),
            headers={"Authorization": f"Key {self.key}", "User-Agent": USER_AGENT},
            timeout=self.default_timeout,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        """The TLS context; None means the authorities of the system, or of SSL_CERT_FILE."""
        ca_file: Path | None = vars(self)["_ca_file"]
        return ssl.create_default_context(cafile=str(ca_file)) if ca_file is not None else None

    @cached_property
    def _pictures(self) -> httpx.Client:
        """The HTTP client for pictures, which are on other hosts: it does not send the key."""
        return httpx.Client(
            headers={"User-Agent": USER_AGENT},
            timeout=httpx.Timeout(self.default_timeout, connect=_CONNECT_S),
            verify=self._tls or True,
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            event_hooks={"request": [_refuse_plain]},
        )

    def prepare(self) -> None:
        """Build the shared HTTP clients before threads use them: reading the authorities takes a while."""
        _ = self._client, self._pictures

    def submit_once(self, path: str, arguments: Mapping[str, Any], priority: str) -> SyncRequestHandle:
        """Submit a request with one POST, which is never repeated."""
        try:
            return self.submit(path, dict(arguments), priority="low" if priority == "low" else None)
        except (KeyError, TypeError, ValueError) as error:
            # It accepted the request without stating its id.
            raise FalUnreachable(
                f"accepted a request without an id: {error!r}", maybe_received=True
            ) from error

    def status_of(self, handle: SyncRequestHandle) -> Status:
        try:
            return handle.status(with_logs=True)
        except (KeyError, TypeError, ValueError) as error:
            raise BadResponse(f"returns an invalid status: {error!r}") from error

    def result_of(self, handle: SyncRequestHandle) -> Mapping[str, Any]:
        """The result of a completed request."""
        try:
            result: Any = handle.get()
        except (KeyError, TypeError, ValueError) as error:
            raise BadResponse(f"returns an invalid result: {error!r}") from error
        if not is_object(result):
            raise BadResponse("returns a result that is not an object")
        return result

    def fetch(self, url: str, most: int) -> tuple[bytes, str]:
        """A picture of at most ``most`` bytes, from a data URL or an https address, and its media type."""
        data = _inline(url) if url.startswith("data:") else self._download(url, most)
        if len(data) > most:
            raise BadResponse(f"delivers a file above {most} bytes (IMAGEMILL_FAL__PICTURE_BYTES)")
        return data, _media_type(data)

    def _download(self, url: str, most: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            with self._pictures.stream("GET", url) as response:
                if not response.is_success:
                    response.read()
                    raise bad_status(
                        response.status_code, response.headers, "the picture cannot be downloaded"
                    )
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > most:
                        break
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise _unreachable(error) from error
        return b"".join(chunks)

    def close(self) -> None:
        for name in ("_client", "_pictures"):
            if (client := vars(self).get(name)) is not None:
                client.close()


class _NoRetryTransport(httpx.BaseTransport):
    """Sends each request once, reads the answer whole, and raises `FalError`s.

    It falls back to fal's second domain as the published client does: a refused connection carried no
    request.
    """

    def __init__(self, tls: ssl.SSLContext | None, host: str | None) -> None:
        own = httpx.HTTPTransport(verify=tls) if tls is not None else None
        self._inner = BackupDomainTransport(transport=own)
        self._queue = httpx.URL(f"https://{auth.FAL_QUEUE_RUN_HOST}")
        self._instead = httpx.URL(f"https://{host}") if host else None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._instead is not None and request.url.netloc == self._queue.netloc:
            request.url = request.url.copy_with(netloc=self._instead.netloc)
            request.headers["Host"] = self._instead.netloc.decode()
        try:
            response = self._inner.handle_request(request)
            response.read()
        except (httpx.HTTPError, ssl.SSLError) as error:
            raise _unreachable(error) from error
        if response.status_code >= 300:
            raise bad_status(response.status_code, response.headers, _body(response))
        return response

    def close(self) -> None:
        self._inner.close()


def _unreachable(error: Exception) -> FalUnreachable:
    certain = isinstance(
        error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
    )
    return FalUnreachable(f"cannot be reached: {error or type(error).__name__}", maybe_received=not certain)


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _refuse_plain(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise httpx.UnsupportedProtocol("a picture's address is not https", request=request)


def _inline(url: str) -> bytes:
    head, separator, body = url.partition(",")
    try:
        if not separator:
            raise ValueError("no comma")
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise BadResponse(f"delivers a data URL that is damaged: {error}") from error


def _media_type(data: bytes) -> str:
    """The media type by the file's first bytes."""
    for mark, media_type in _MEDIA_TYPES.items():
        if data.startswith(mark):
            return media_type
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else "application/octet-stream"
