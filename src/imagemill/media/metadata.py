"""What a picture's file says of how it was made: EXIF, XMP, and the mark of generated pictures.

The mark is IPTC's digital source type ``trainedAlgorithmicMedia``.
"""

import json
import struct
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from xml.sax.saxutils import escape

from imagemill.media.pictures import with_png_text

Metadata = Literal["full", "anonymous", "none"]

SOFTWARE = "Imagemill"
AI_MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
NAMESPACE = "urn:imagemill:labels:1"
"""Of the properties that no standard has a place for."""

_DESCRIPTION, _SOFTWARE, _CHANGED, _EXIF_IFD = 0x010E, 0x0131, 0x0132, 0x8769
_VERSION, _TAKEN, _ZONE, _COMMENT = 0x9000, 0x9003, 0x9011, 0x9286
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
_Entry = tuple[int, int, bytes]
"""Tag, type and value."""
_NO_XML = {code: None for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: None, 0xFFFF: None}
"""Characters that XML 1.0 has no way to write."""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    made_at: int
    """Microseconds since the epoch."""
    prompt: str = ""
    character: str = ""
    job_id: str = ""
    model: str = ""
    seed: int | None = None

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.made_at // 1_000_000, UTC)


def redacted(labels: ImageMetadata, metadata: Metadata) -> ImageMetadata | None:
    """What of it is written: all; time, software and mark alone; or nothing, not even the mark."""
    if metadata == "none":
        return None
    return labels if metadata == "full" else ImageMetadata(labels.made_at)


def exif(labels: ImageMetadata) -> bytes:
    """With its ``Exif`` prefix. Texts are UTF-8; the parameters are one JSON object in the user comment.

    Pillow would give the user comment a type that it must not have.
    """
    time = labels.time.strftime("%Y:%m:%d %H:%M:%S")
    outer: list[_Entry] = [(_SOFTWARE, _ASCII, _ended(SOFTWARE)), (_CHANGED, _ASCII, _ended(time))]
    if labels.prompt:
        outer.insert(0, (_DESCRIPTION, _ASCII, _ended(labels.prompt)))
    inner: list[_Entry] = [
        (_VERSION, _UNDEFINED, b"0232"),
        (_TAKEN, _ASCII, _ended(time)),
        (_ZONE, _ASCII, _ended("+00:00")),
    ]
    if parameters := _parameters(labels):
        # Written in ASCII, by escapes, so that every reader takes it for text.
        inner.append((_COMMENT, _UNDEFINED, b"ASCII\0\0\0" + json.dumps(parameters).encode()))
    start = 8
    # The directory's length does not depend on what the pointer in it says.
    pointer = start + len(_directory([*outer, (_EXIF_IFD, _LONG, bytes(4))], start))
    first = _directory([*outer, (_EXIF_IFD, _LONG, struct.pack("<I", pointer))], start)
    return b"Exif\0\0II*\0" + struct.pack("<I", start) + first + _directory(inner, pointer)


def _directory(entries: list[_Entry], start: int) -> bytes:
    """An image file directory of TIFF 6.0 that lies at ``start``, with its values behind it."""
    head, values = struct.pack("<H", len(entries)), b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        count = len(value) // (4 if kind == _LONG else 1)
        if len(value) <= 4:
            place = value.ljust(4, b"\0")
        else:
            place = struct.pack("<I", behind + len(values))
            values += value + b"\0" * (len(value) % 2)
        head += struct.pack("<HHI", tag, kind, count) + place
    return head + bytes(4) + values


def _ended(text: str) -> bytes:
    return _bytes(text.replace("\0", "")) + b"\0"


def _parameters(labels: ImageMetadata) -> dict[str, str | int]:
    said = {
        "prompt": labels.prompt,
        "character": labels.character,
        "seed": labels.seed,
        "model": labels.model,
        "job": labels.job_id,
    }
    return {name: value for name, value in said.items() if value not in ("", None)}


def xmp(labels: ImageMetadata) -> bytes:
    """An XMP packet."""
    time = labels.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    properties = [
        _property("Iptc4xmpExt:DigitalSourceType", AI_MARK),
        _property("xmp:CreatorTool", SOFTWARE),
        _property("xmp:CreateDate", time),
        _property("Iptc4xmpExt:AISystemUsed", labels.model),
        _property("Iptc4xmpExt:AIPromptInformation", labels.prompt),
        _property("imagemill:Character", labels.character),
        _property("imagemill:Seed", "" if labels.seed is None else str(labels.seed)),
        _property("imagemill:Model", labels.model),
        _property("imagemill:Job", labels.job_id),
    ]
    if labels.prompt:
        text = f'<rdf:Alt><rdf:li xml:lang="x-default">{_text(labels.prompt)}</rdf:li></rdf:Alt>'
        properties.append(f"<dc:description>{text}</dc:description>")
    return _bytes(
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' xmlns:imagemill="{NAMESPACE}/">'
        f"{''.join(properties)}</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    )


def _property(name: str, value: str) -> str:
    return f"<{name}>{_text(value)}</{name}>" if value else ""


def _text(value: str) -> str:
    return escape(value.translate(_NO_XML))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def with_metadata(png: bytes, labels: ImageMetadata) -> bytes:
    """The same PNG with them in it; its pixels are not touched. Pillow's own ``xmp=`` does nothing for a PNG.

    Raises `InvalidImage` for what is no PNG.
    """
    written = with_png_text(png, "XML:com.adobe.xmp", xmp(labels).decode())
    block = b"eXIf" + exif(labels).removeprefix(b"Exif\0\0")
    header = 33  # signature and IHDR
    chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
    return written[:header] + chunk + written[header:]


def of_thumbnail(labels: ImageMetadata) -> ImageMetadata:
    """A thumbnail is marked, but has no room for a prompt."""
    return replace(labels, prompt="", character="")
