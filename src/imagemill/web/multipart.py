"""The one file of a form (RFC 7578)."""

import re

from imagemill.domain.errors import InvalidInput

_BOUNDARY = re.compile(
    r'multipart/form-data\s*;.*\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE
)
_FILE = re.compile(rb"content-disposition\s*:[^\r\n]*\bfilename", re.IGNORECASE)
_MOST_PARTS = 20


def is_form(content_type: str) -> bool:
    return content_type.lower().startswith("multipart/")


def file_of(content_type: str, body: bytes) -> bytes:
    """Raises `InvalidInput`."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise InvalidInput.at("Content-Type", "must be multipart/form-data with a boundary, or the picture's")
    mark = b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")
    parts = (b"\r\n" + body).split(mark, _MOST_PARTS)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise InvalidInput.at("", "is no whole form: it is cut off, or has more than a few fields")
    files: list[bytes] = []
    for part in parts[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        if _FILE.search(head):
            files.append(data)
    if len(files) != 1:
        raise InvalidInput.at("file", f"is there {len(files)} times; send one file a request")
    return files[0]
