"""HTTP client of the commands, and the decorator that gives a command one.

httpx2 is imported where a request is made, so that ``--help`` need not load it.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import typer

from imagemill.cli.output import (
    REFUSED,
    TOKEN,
    UNUSABLE,
    CliError,
    Json,
    Printer,
    Token,
    Url,
    load_settings,
)

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 30.0
_COMPLETION_TIMEOUT_S = 1.0
"""A user has pressed the completion key and waits."""


class ServerUnreachable(CliError):
    """No server answers at the address."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(
            f"no server answers at {url}; start one with `imagemill serve`, or name another with --url",
            UNUSABLE,
        )
        self.__cause__ = error


class ApiError(CliError):
    """The server answered with a problem document."""

    def __init__(self, status_code: int, body: Mapping[str, Any]) -> None:
        self.status_code = status_code
        fields: Mapping[str, list[str]] = body.get("errors") or {}
        lines = tuple(f"{field}: {message}" for field, messages in fields.items() for message in messages)
        if len(lines) == 1:
            message, lines = lines[0], ()
        elif lines:
            message = f"{body.get('title') or status_code}: {len(lines)} fields are wrong"
        else:
            message = str(
                body.get("detail")
                or body.get("message")
                or body.get("title")
                or f"the server answered {status_code}"
            )
        super().__init__(message, REFUSED, details=lines, body=dict(body))


class Client:
    """A server at ``url``; None means this machine, at the port of the settings."""

    def __init__(self, url: str | None, token: str) -> None:
        import httpx2

        self.url = _check_url(url) if url else f"http://127.0.0.1:{load_settings().port}"
        self.http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=not _is_loopback(self.url),  # a proxy of the environment cannot reach our loopback
        )

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, params=query)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self.call("POST", path, params=query, **({} if body is None else {"json": body}))

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Return the response's JSON, None if it is empty. Raises `ServerUnreachable` and `ApiError`."""
        import httpx2

        try:
            response = self.http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise self.connection_error(error) from error
        return parse_response(response)

    def connection_error(self, error: "httpx2.HTTPError") -> CliError:
        import httpx2

        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return CliError(f"the server at {self.url} did not answer within {TIMEOUT_S:.0f} s", UNUSABLE)
        return ServerUnreachable(self.url, error)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()


def parse_response(response: "httpx2.Response") -> Any:
    """Return the JSON of a response. Raises `ApiError`, and `CliError` if the server is not Imagemill."""
    try:
        body = response.json() if response.content else None
    except ValueError:
        body = None
        if response.is_success:
            raise CliError(
                f"{response.url} answers, but not with JSON: it is no Imagemill server", UNUSABLE
            ) from None
    if response.is_success:
        return body
    raise ApiError(
        response.status_code,
        body if isinstance(body, dict) else {"detail": f"{response.status_code} {response.reason_phrase}"},
    )


def quote_segment(text: str) -> str:
    """Quote a text as one segment of a path."""
    return quote(text, safe="")


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CliError(
            f"--url: {url!r} is not a server's address; one looks like http://127.0.0.1:8700", UNUSABLE
        )
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    from ipaddress import ip_address

    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


Reply = tuple[Any, Any]
"""A command's result: the JSON body, and the text for people.

The text is whatever rich can print, or a list of such parts, which are printed one below the other.
"""
_OPTIONS = (
    Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    Parameter("url", Parameter.KEYWORD_ONLY, default=None, annotation=Url),
    Parameter("token", Parameter.KEYWORD_ONLY, default=TOKEN, annotation=Token),
)


def client_command(function: Callable[..., Reply | None]) -> Callable[..., None]:
    """Turn a function into a command with the options ``--json``, ``--url`` and ``--token``.

    The function gets an open `Client` as ``client``, and the `Printer` as ``out`` if it has such a parameter;
    its other parameters are the command's own. It returns a `Reply` to print, or None if it has printed its
    output itself. A `CliError` becomes a message on standard error, or JSON, and the exit status.
    """
    declared = signature(function)
    has_printer = "out" in declared.parameters
    own = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY)
        for name, parameter in declared.parameters.items()
        if name not in ("client", "out")
    ]

    @wraps(function)
    def command(*, as_json: bool, url: str | None, token: str, **arguments: Any) -> None:
        out = Printer(as_json)
        with out.reporting(), Client(url, token) as client:
            if has_printer:
                arguments["out"] = out
            reply = function(client=client, **arguments)
            if reply is not None:
                _print_reply(out, *reply)

    # Typer reads the options of a command from its signature and its annotations.
    options = declared.replace(parameters=[*own, *_OPTIONS], return_annotation=None)
    command.__signature__ = options  # pyright: ignore[reportAttributeAccessIssue]
    command.__annotations__ = {name: each.annotation for name, each in options.parameters.items()}
    return command


def _print_reply(out: Printer, body: Any, text: Any) -> None:
    if out.as_json:
        out.json(body)
        return
    for part in text if isinstance(text, list) else [text]:  # pyright: ignore[reportUnknownVariableType]
        out.say(part)


def complete_node_name(ctx: typer.Context, incomplete: str) -> list[str]:
    return _complete_name(ctx, "/api/v1/nodes", incomplete)


def complete_workflow_name(ctx: typer.Context, incomplete: str) -> list[str]:
    return _complete_name(ctx, "/api/v1/workflows", incomplete)


def _complete_name(ctx: typer.Context, path: str, incomplete: str) -> list[str]:
    """Return the names that a server knows; none if it fails, as a shell shows no errors here."""
    try:
        with Client(ctx.params.get("url"), ctx.params.get("token") or TOKEN) as client:
            items = client.call("GET", path, timeout=_COMPLETION_TIMEOUT_S)["items"]
    except (CliError, KeyError, TypeError):
        return []
    return [item["name"] for item in items if item["name"].startswith(incomplete)]


def read_secret(text: str, option: str) -> str:
    """Return the secret that an option names.

    ``text`` is ``env:VARIABLE``, ``file:PATH``, ``-`` for a line of standard input (prompted for on a
    terminal), or the secret itself. Raises `CliError` that names the option and never the secret.
    """
    kind, _, place = text.partition(":")
    if text == "-":
        found = _read_line(option)
    elif kind == "env" and place:
        found = os.environ.get(place, "")
        if not found:
            raise CliError(f"{option}: the variable {place} is not set", UNUSABLE)
    elif kind == "file" and place:
        try:
            found = Path(place).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CliError(f"{option}: {place} cannot be read: {reason}", UNUSABLE) from error
    else:
        found = text
    found = found.strip()
    if not found:
        raise CliError(f"{option}: the secret is empty", UNUSABLE)
    return found


def read_headers(pairs: Iterable[str]) -> dict[str, str]:
    """Parse ``NAME=VALUE`` pairs; each value is read as `read_secret` does."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise CliError("--header: write NAME=VALUE, such as CF-Access-Client-Secret=env:SECRET", UNUSABLE)
        found[name.strip()] = read_secret(value, f"--header {name.strip()}")
    return found


def _read_line(option: str) -> str:
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{option}: ")
    return sys.stdin.readline()
