"""The rows of a file or URL of ``imagemill resources import``, with the lines they begin on."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from imagemill.cli.output import UNUSABLE, CliError
from imagemill.domain.dataclass import dataclass

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 256 * 2**20
"""The largest file that is read, 256 MiB."""
LONGEST_ROW = 3 * 2**20
"""Characters of the longest row, as bodies may have 4 MiB by default."""
_TIMEOUT_S = 60.0
_MOST_REDIRECTS = 5
_LARGE = ("images", "stats", "creator")
"""Fields of models of Civitai's site that are long and say nothing about the model."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    line: int
    """The line on which it begins, from 1."""
    text: str
    """The row as JSON; empty if it cannot be read."""
    error: str = ""
    """Why it cannot be read; empty otherwise."""


def read_source(source: str) -> list[SourceRow]:
    """Return the rows of a file, a URL, or ``-`` for standard input. Raises `CliError`."""
    if urlsplit(source).scheme in ("http", "https"):
        data = _download(source)
    elif "://" in source:
        raise CliError(f"{source}: only http and https addresses are read", UNUSABLE)
    else:
        data = _read_file(source)
    text = _decode(data, source)
    if text.lstrip()[:1] == "<":
        raise CliError(
            f"{source} is a web page, not JSON; Civitai's site has the JSON of a model at /api/v1/models/ID",
            UNUSABLE,
        )
    rows = list(read_rows(text))
    if not rows:
        raise CliError(f"{source} has no rows", UNUSABLE)
    return rows


def read_rows(text: str) -> Iterator[SourceRow]:
    """Yield the rows of a JSON list, of JSON lines, or of JSON objects that follow each other."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    position, line, counted = _skip(text, 0), 1, 0
    in_list = text[position : position + 1] == "["
    position = _skip(text, position + in_list)
    while position < len(text):
        line, counted = line + text.count("\n", counted, position), position
        if in_list and text[position] == "]":
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            yield SourceRow(line, "", _syntax_error(error))
            after = text.find("\n", position)
            if in_list or after < 0:
                return  # where the next row of a list begins is not known
            position = _skip(text, after)
            continue
        yield _row(line, value)
        position = _skip(text, position)


def _row(line: int, value: Any) -> SourceRow:
    if not isinstance(value, dict):
        return SourceRow(line, "", "is not an object")
    document = cast("dict[str, Any]", value)
    versions = document.get("modelVersions")
    if isinstance(versions, list):
        lean = [_lean(each) for each in cast("list[Any]", versions)]
        document = {**_lean(document), "modelVersions": lean}
    elif "modelId" in document:
        document = _lean(document)
    made = json.dumps(document)
    if len(made) > LONGEST_ROW:
        return SourceRow(line, "", f"is longer than {LONGEST_ROW // 2**20} MiB")
    return SourceRow(line, made)


def _lean(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in cast("dict[str, Any]", value).items() if name not in _LARGE}


def _skip(text: str, position: int) -> int:
    """Return the position after white space and commas."""
    while position < len(text) and (text[position].isspace() or text[position] == ","):
        position += 1
    return position


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _syntax_error(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return (
            f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]} (line {error.lineno}, column {error.colno})"
        )
    return "is nested too deep" if isinstance(error, RecursionError) else f"is not JSON: {error}"


def _decode(data: bytes, source: str) -> str:
    """Return the text of UTF-8, or of UTF-16 with a byte order mark, as shells of Windows write it."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise CliError(f"{source} is not text in UTF-8", UNUSABLE) from error


def _read_file(name: str) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CliError(f"{name} cannot be read: {error.strerror or error}", UNUSABLE) from error
    _check_size(len(data), name)
    return data


def _download(url: str) -> bytes:
    import httpx2

    with httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=True, max_redirects=_MOST_REDIRECTS) as client:
        try:
            with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
                return _read_response(response, url)
        except httpx2.HTTPError as error:
            raise CliError(f"{url} cannot be read: {error or type(error).__name__}", UNUSABLE) from error


def _read_response(response: "httpx2.Response", url: str) -> bytes:
    if not response.is_success:
        raise CliError(f"{url} answered {response.status_code} {response.reason_phrase}", UNUSABLE)
    data = bytearray()
    for part in response.iter_bytes():
        data += part
        _check_size(len(data), url)
    return bytes(data)


def _check_size(size: int, source: str) -> None:
    if size > MOST_BYTES:
        raise CliError(f"{source} is larger than {MOST_BYTES // 2**20} MiB; split it", UNUSABLE)
