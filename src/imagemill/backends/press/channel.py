"""Messages between the press and its child processes: a head as JSON, and any number of files."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import IO, Any

_HEAD = struct.Struct(">I")
_LONGEST_HEAD = 2**20
_SIZES = "sizes"


def write(stream: IO[bytes], head: Mapping[str, Any], files: Sequence[bytes] = ()) -> None:
    """Write a message. The files are not copied together first, as they may be large."""
    text = json.dumps({**head, _SIZES: [len(file) for file in files]}).encode()
    if len(text) > _LONGEST_HEAD:
        raise ValueError(f"the head of a message has {len(text)} bytes")
    stream.write(_HEAD.pack(len(text)) + text)
    for file in files:
        stream.write(file)
    stream.flush()


def read(stream: IO[bytes], most: int) -> tuple[dict[str, Any], list[bytes]] | None:
    """Read a message whose files have at most ``most`` bytes together.

    None at the end of the stream, and for what is no message: a damaged file may control the sender.
    """
    length = stream.read(_HEAD.size)
    if len(length) < _HEAD.size or (size := _HEAD.unpack(length)[0]) > _LONGEST_HEAD:
        return None
    try:
        head: dict[str, Any] = json.loads(stream.read(size))
        sizes = [int(each) for each in head.pop(_SIZES)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if any(each < 0 for each in sizes) or sum(sizes) > most:
        return None
    files = [stream.read(each) for each in sizes]
    return (head, files) if [len(file) for file in files] == sizes else None
