"""Reading requests: JSON bodies as hostile input, query parameters, traces and origins."""

import hashlib
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

from fastapi import Request, Response
from pydantic_core import from_json, to_json
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from imagemill.domain.clock import new_trace
from imagemill.domain.errors import InvalidInput
from imagemill.net import pools

MAX_DEPTH = 100
"""The most nested levels of a body. The parser allows 200, but stored values may be wrapped further."""

CORS_ALLOWED = "imagemill.listed"
"""The scope key of whether the request is from a page of a site that the settings allow."""

_SUSPECT = re.compile(rb"\\u0000|[eE]\+?0*[1-9][0-9]{2}|[0-9]{309}")
"""A NUL, or a number that may exceed a double: such a body is checked value by value."""

_CURSOR = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_HEAVY_BODY = 32 * 1024
"""Bytes from which a body is checked in a thread: pictures or long lists would delay others."""

_LONGEST_KEPT = 64
"""Characters of the longest query whose parameters are kept."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


async def json_body(request: Request) -> Any:
    """Return the JSON body, at most `MAX_DEPTH` deep, without NaN, infinity, NUL. Raises `InvalidInput`."""
    body = await request.body()
    if not body:
        raise InvalidInput.at("", "the body is empty; send a JSON object")
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput.at("", f"the body is not JSON: {error}") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH or _SUSPECT.search(body):
        _look_through(value, "", 1)
    return value


async def checked(
    request: Request,
    check: Callable[_Arguments, _Result],
    *args: _Arguments.args,
    **named: _Arguments.kwargs,
) -> _Result:
    """Call ``check`` on the body's content, in a thread when the body is large."""
    length = header(request, b"content-length") or ""
    if length.isdigit() and int(length) < _HEAVY_BODY:
        return check(*args, **named)
    return await pools.decode(check, *args, **named)


def _look_through(value: Any, path: str, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidInput.at(path, "holds a NUL character (\\u0000), which no text may")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput.at(path, "is too large a number; write one below 1e308")
    elif isinstance(value, (dict, list)):
        if depth > MAX_DEPTH:
            raise InvalidInput.at("", f"the body is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, list):
            for index, item in enumerate(value):
                _look_through(item, f"{path}[{index}]", depth + 1)
        else:
            for key, item in value.items():
                _look_through(key, path, depth + 1)
                _look_through(item, f"{path}.{key}" if path else str(key), depth + 1)


def digest(value: Any) -> str:
    """Return the digest of a JSON value, independent of the order of keys."""
    return hashlib.sha256(to_json(_sorted(value))).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def header(request: HTTPConnection, name: bytes) -> str | None:
    """Return a header by its name in lower case, the first if there are several; None without one."""
    for key, value in request.scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def query_text(request: Request, name: str) -> str | None:
    """Return a query parameter, the last if there are several; None without one."""
    query: bytes = request.scope["query_string"]
    if not query:
        return None
    return (_parsed(query) if len(query) <= _LONGEST_KEPT else request.query_params).get(name)


@lru_cache(maxsize=256)
def _parsed(query: bytes) -> QueryParams:
    """Return the parameters of a short query: most requests have one of few, such as ``wait=true``."""
    return QueryParams(query)


def flag(request: Request, name: str, default: bool = False) -> bool:
    """Return a boolean query parameter: true, false, 1 or 0 in any case. Raises `InvalidInput`."""
    text = query_text(request, name)
    if not text:
        return default
    lowered = text.lower()
    if lowered not in ("true", "false", "1", "0"):
        raise InvalidInput.at(name, f"is {text[:40]!r}; write true or false")
    return lowered in ("true", "1")


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole-number query parameter within bounds. Raises `InvalidInput`."""
    text = query_text(request, name)
    if not text:
        return default
    try:
        value = int(text) if len(text) < 20 else None
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise InvalidInput.at(name, f"is {text[:40]!r}; write a whole number from {low} to {high}")
    return value


def cursor(text: str | None, path: str, source: str) -> str | None:
    """Return the cursor that an earlier answer had as ``source``. Raises `InvalidInput`."""
    if not text:
        return None
    if not _CURSOR.fullmatch(text):
        raise InvalidInput.at(
            path, f"is {text[:40]!r}, not one of ours; take it from the last answer's {source}"
        )
    return text


def is_same_site(request: HTTPConnection) -> bool:
    """Whether a request is not from another site's page, or from a site in the settings.

    For a browser another port of this machine is the same site, but it is not our page. Old browsers do not
    send Sec-Fetch-Site, but at least Origin; clients other than browsers send neither.
    """
    if request.scope.get(CORS_ALLOWED, False):
        return True
    site, origin = header(request, b"sec-fetch-site"), header(request, b"origin")
    if site is None and origin is not None:
        return origin.partition("://")[2] == header(request, b"host")
    return site in (None, "same-origin", "none")


def is_own_page(request: HTTPConnection) -> bool:
    """Whether a request is from a page of this server, or from no page.

    Stricter than `is_same_site`: a page of another port of this machine, or of a site in the settings, is not
    from this server.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2] == addressed_host(request)
    return request.headers.get("sec-fetch-site") in (None, "same-origin", "none")


def idempotency_key(request: Request) -> str | None:
    key = header(request, b"idempotency-key")
    if key is not None and (not 1 <= len(key) <= 200 or not key.isascii() or not key.isprintable()):
        raise InvalidInput.at("Idempotency-Key", "must be 1 to 200 printable ASCII characters")
    return key


def request_trace(request: Request) -> str:
    """Return the trace that the request's jobs continue: its caller's, or its own."""
    return str(request.scope["imagemill.trace"])


def trace_of(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the caller's W3C trace, continued, or a new one."""
    given = inbound_trace(headers)
    return f"00-{given[3:35]}-{new_trace()[36:52]}-00" if given else new_trace()


def inbound_trace(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the traceparent that the caller sent, None for an invalid one."""
    for name, value in headers:
        if name == b"traceparent" and len(value) == 55:
            given = value.decode("ascii", "replace").lower()
            parts = given.split("-")
            if [len(part) for part in parts] == [2, 32, 16, 2] and all(
                set(part) <= set("0123456789abcdef") for part in parts
            ):
                return given if int(parts[1], 16) and int(parts[2], 16) else None
    return None


def base_url(request: HTTPConnection, public_url: str | None) -> str:
    """Return this server's public address, or the one the request was sent to, without a slash at its end."""
    if public_url:
        return public_url
    scheme = str(request.scope.get("scheme", "http")).replace("ws", "http", 1)
    return f"{scheme}://{addressed_host(request)}"


def addressed_host(request: HTTPConnection) -> str:
    """Return the Host of a request; the server's address for HTTP/1.0 without one."""
    # The framework's URL is built from the address when there is no Host.
    return header(request, b"host") or request.url.netloc


def json_response(body: Any, status: int = 200) -> Response:
    return Response(to_json(body), status, media_type="application/json")
