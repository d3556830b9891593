"""Talking to a server: HTTP, with every refusal told in a sentence."""

import os
import sys
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from imagemill.cli.output import REFUSED, UNUSABLE, CliError, load_settings

TIMEOUT_S = 30.0


class ServerUnreachable(CliError):
    """Nobody answers at the server's address."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(
            f"no server answers at {url}; start one with `imagemill serve`, or name another with --url",
            UNUSABLE,
        )
        self.__cause__ = error


class ApiError(CliError):
    """The server answered with a problem."""

    def __init__(self, status_code: int, body: Mapping[str, Any]) -> None:
        self.status_code = status_code
        fields: Mapping[str, list[str]] = body.get("errors") or {}
        lines = tuple(f"{field}: {message}" for field, messages in fields.items() for message in messages)
        if len(lines) == 1:
            sentence, lines = lines[0], ()
        elif lines:
            sentence = f"{body.get('title') or status_code}: {len(lines)} fields are wrong"
        else:
            sentence = str(
                body.get("detail")
                or body.get("message")
                or body.get("title")
                or f"the server answered {status_code}"
            )
        super().__init__(sentence, REFUSED, details=lines, body=dict(body))


class Client:
    """A server at ``url`` (None: this machine, at the port of the settings)."""

    def __init__(self, url: str | None, token: str) -> None:
        self.url = _checked(url) if url else f"http://127.0.0.1:{load_settings().port}"
        self.http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=not _is_loopback(self.url),  # a proxy of the environment does not know our loopback
        )

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, params=query)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self.call("POST", path, params=query, **({} if body is None else {"json": body}))

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON, None for an empty one. Raises `ServerUnreachable` and `ApiError`."""
        try:
            response = self.http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise self.absent(error) from error
        return read(response)

    def absent(self, error: httpx2.HTTPError) -> CliError:
        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return CliError(f"the server at {self.url} did not answer within {TIMEOUT_S:.0f} s", UNUSABLE)
        return ServerUnreachable(self.url, error)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()


def read(response: httpx2.Response) -> Any:
    """Raises `ApiError`, also for answers that are not of our server."""
    try:
        body = response.json() if response.content else None
    except ValueError:
        body = None
        if response.is_success:
            raise CliError(f"{response.url} answers, but not as Imagemill does", UNUSABLE) from None
    if response.is_success:
        return body
    raise ApiError(
        response.status_code,
        body if isinstance(body, dict) else {"detail": f"{response.status_code} {response.reason_phrase}"},
    )


def segment(text: str) -> str:
    """As one segment of a path."""
    return quote(text, safe="")


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CliError(
            f"--url: {url!r} is not a server's address; one looks like http://127.0.0.1:8700", UNUSABLE
        )
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def secret(text: str, option: str) -> str:
    """``env:VARIABLE``, ``file:PATH``, ``-`` for a line of standard input (asked for on a terminal), or the
    secret itself. Raises `CliError` that names the option and never the secret."""
    kind, _, place = text.partition(":")
    if text == "-":
        found = _from_input(option)
    elif kind == "env" and place:
        found = os.environ.get(place, "")
        if not found:
            raise CliError(f"{option}: the variable {place} is not set", UNUSABLE)
    elif kind == "file" and place:
        try:
            found = Path(place).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CliError(f"{option}: {place} cannot be read: {why}", UNUSABLE) from error
    else:
        found = text
    found = found.strip()
    if not found:
        raise CliError(f"{option}: the secret is empty", UNUSABLE)
    return found


def secrets_of(pairs: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` each, the value read as `secret` does."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise CliError("--header: write NAME=VALUE, such as CF-Access-Client-Secret=env:SECRET", UNUSABLE)
        found[name.strip()] = secret(value, f"--header {name.strip()}")
    return found


def _from_input(option: str) -> str:
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{option}: ")
    return sys.stdin.readline()
