"""Requests of the commands about books, and the download of their files."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagemill.cli.client import Client, parse_response, quote_segment
from imagemill.cli.output import UNUSABLE, CliError

BOOKS = "/api/v1/books"
ROOT = "/api/v1/personalizations"
READ_TIMEOUT_S = 45.0
FILES: Mapping[str, tuple[str, str]] = {
    "pdf": ("pdf", "book.pdf"),
    "cover": ("cover.pdf", "cover.pdf"),
    "spreads": ("spreads.pdf", "spreads.pdf"),
    "proof": ("proof.pdf", "proof.pdf"),
    "zip": ("zip", "book.zip"),
}
"""The last part of the path, and the name of the saved file, by kind."""


def read_book(client: Client, id_: str) -> dict[str, Any]:
    return client.get(f"{ROOT}/{quote_segment(id_)}")


def move(client: Client, id_: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask for the next step of a book; return the book."""
    return client.post(f"{ROOT}/{quote_segment(id_)}/{path}", body)


def start_book(
    client: Client,
    slug: str,
    photos: Mapping[str, Path],
    who: str,
    *,
    profile: str | None = None,
    callback: str | None = None,
) -> dict[str, Any]:
    """Send the form with the photos, by the name of their part; return the personalization."""
    import json

    import httpx2

    files: dict[str, tuple[str, bytes, str]] = {}
    for part, path in photos.items():
        try:
            files[part] = ("photo", path.expanduser().read_bytes(), "application/octet-stream")
        except OSError as error:
            raise CliError(f"{path} cannot be read: {error.strerror}", UNUSABLE) from error
    fields = {
        "consent": json.dumps({"who": who, "when": datetime.now(UTC).isoformat()}),
        **({"profile": profile} if profile else {}),
        **({"callbackUrl": callback} if callback else {}),
    }
    try:
        response = client.http.post(
            f"{BOOKS}/{quote_segment(slug)}/personalizations", files=files, data=fields
        )
    except httpx2.HTTPError as error:
        raise client.connection_error(error) from error
    return parse_response(response)


def save_file(client: Client, id_: str, kind: str, path: Path) -> int:
    """Save a file of a book and return its size in bytes."""
    return save(client, f"{ROOT}/{quote_segment(id_)}/{FILES[kind][0]}", path)


def save(client: Client, url: str, path: Path) -> int:
    """Save what the server sends. A file that is there already is replaced only once the new one is whole."""
    import httpx2

    part = path.with_name(f"{path.name}.part")
    try:
        with client.http.stream("GET", url, timeout=READ_TIMEOUT_S) as response:
            if not response.is_success:
                response.read()
                parse_response(response)
            with part.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
        part.replace(path)
    except httpx2.HTTPError as error:
        part.unlink(missing_ok=True)
        raise client.connection_error(error) from error
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}", UNUSABLE) from error
    return path.stat().st_size
