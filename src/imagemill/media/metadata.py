"""Metadata of generated pictures: EXIF, XMP, and the mark that says a picture is generated.

The mark is IPTC's digital source type ``trainedAlgorithmicMedia``; for a picture of the simulator, which no
model made, ``algorithmicMedia``.
"""

import json
import struct
import unicodedata
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal
from xml.sax.saxutils import escape

from imagemill.domain.dataclass import dataclass
from imagemill.media.pictures import with_png_text

Metadata = Literal["full", "anonymous", "none"]

SOFTWARE = "Imagemill"
AI_MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
DRAWN_MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
NAMESPACE = "urn:imagemill:labels:1"
"""XML namespace of the properties that no standard defines."""

_DESCRIPTION, _SOFTWARE, _CHANGED, _EXIF_IFD = 0x010E, 0x0131, 0x0132, 0x8769
_VERSION, _TAKEN, _ZONE, _COMMENT = 0x9000, 0x9003, 0x9011, 0x9286
_XP_COMMENT = 0x9C9C
_BYTE, _ASCII, _LONG, _UNDEFINED = 1, 2, 4, 7
_Entry = tuple[int, int, bytes]
"""Tag, type and value."""
_NO_XML = {code: None for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: None, 0xFFFF: None}
"""Characters that XML 1.0 cannot express."""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    made_at: int
    """Microseconds since the epoch."""
    prompt: str = ""
    character: str = ""
    job_id: str = ""
    model: str = ""
    seed: int | None = None
    simulated: bool = False

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.made_at // 1_000_000, UTC)


def redacted(meta: ImageMetadata, metadata: Metadata) -> ImageMetadata | None:
    """The metadata that is written: ``full``, ``anonymous`` (time, software and mark), or None for
    ``none``."""
    if metadata == "none":
        return None
    return meta if metadata == "full" else ImageMetadata(meta.made_at, simulated=meta.simulated)


def exif(meta: ImageMetadata) -> bytes:
    """The EXIF block with its ``Exif`` prefix.

    The description is ASCII, as its tag requires; a prompt with other characters is whole in XPComment, in
    UTF-16. The parameters are one JSON object in the user comment. Written by hand, as Pillow gives the user
    comment a wrong type.
    """
    time = meta.time.strftime("%Y:%m:%d %H:%M:%S")
    outer: list[_Entry] = [
        (_SOFTWARE, _ASCII, _null_terminated(SOFTWARE)),
        (_CHANGED, _ASCII, _null_terminated(time)),
    ]
    if meta.prompt:
        outer.insert(0, (_DESCRIPTION, _ASCII, _null_terminated(_ascii(meta.prompt))))
    last: list[_Entry] = []
    if not meta.prompt.isascii():
        last.append((_XP_COMMENT, _BYTE, f"{meta.prompt}\0".encode("utf-16-le", "replace")))
    inner: list[_Entry] = [
        (_VERSION, _UNDEFINED, b"0232"),
        (_TAKEN, _ASCII, _null_terminated(time)),
        (_ZONE, _ASCII, _null_terminated("+00:00")),
    ]
    if parameters := _parameters(meta):
        # ASCII with escapes, so that every reader can read it.
        inner.append((_COMMENT, _UNDEFINED, b"ASCII\0\0\0" + json.dumps(parameters).encode()))
    start = 8
    # The directory's length does not depend on the value of the pointer in it.
    pointer = start + len(_directory([*outer, (_EXIF_IFD, _LONG, bytes(4)), *last], start))
    first = _directory([*outer, (_EXIF_IFD, _LONG, struct.pack("<I", pointer)), *last], start)
    return b"Exif\0\0II*\0" + struct.pack("<I", start) + first + _directory(inner, pointer)


def exif_comment(text: str) -> bytes:
    """The EXIF block with its ``Exif`` prefix whose only entry is a user comment: the generation parameters
    where image tools look for them."""
    start = 8
    pointer = start + len(_directory([(_EXIF_IFD, _LONG, bytes(4))], start))
    first = _directory([(_EXIF_IFD, _LONG, struct.pack("<I", pointer))], start)
    comment = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    inner: list[_Entry] = [(_VERSION, _UNDEFINED, b"0232"), (_COMMENT, _UNDEFINED, comment)]
    return b"Exif\0\0II*\0" + struct.pack("<I", start) + first + _directory(inner, pointer)


def _directory(entries: list[_Entry], start: int) -> bytes:
    """An image file directory (TIFF 6.0) at position ``start``, followed by its values."""
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


def _ascii(text: str) -> str:
    """Return the text without accents, and with a question mark for other characters."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode()


def _null_terminated(text: str) -> bytes:
    return _utf8(text.replace("\0", "")) + b"\0"


def _parameters(meta: ImageMetadata) -> dict[str, str | int | bool]:
    parameters = {
        "prompt": meta.prompt,
        "character": meta.character,
        "seed": meta.seed,
        "model": meta.model,
        "job": meta.job_id,
        "simulated": meta.simulated,
    }
    # Compared by identity, as a seed of 0 equals False.
    return {
        name: value for name, value in parameters.items() if value is not False and value not in ("", None)
    }


def xmp(meta: ImageMetadata) -> bytes:
    """An XMP packet."""
    time = meta.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    properties = [
        _property("Iptc4xmpExt:DigitalSourceType", DRAWN_MARK if meta.simulated else AI_MARK),
        _property("xmp:CreatorTool", SOFTWARE),
        _property("xmp:CreateDate", time),
        _property("Iptc4xmpExt:AISystemUsed", "" if meta.simulated else meta.model),
        _property("Iptc4xmpExt:AIPromptInformation", meta.prompt),
        _property("imagemill:Character", meta.character),
        _property("imagemill:Seed", "" if meta.seed is None else str(meta.seed)),
        _property("imagemill:Model", meta.model),
        _property("imagemill:Job", meta.job_id),
        _property("imagemill:Simulated", "true" if meta.simulated else ""),
    ]
    if meta.prompt:
        text = f'<rdf:Alt><rdf:li xml:lang="x-default">{_text(meta.prompt)}</rdf:li></rdf:Alt>'
        properties.append(f"<dc:description>{text}</dc:description>")
    return _utf8(
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


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def with_metadata(png: bytes, meta: ImageMetadata) -> bytes:
    """The same PNG with the metadata added; its pixels stay unchanged. Pillow's ``xmp=`` has no effect on
    a PNG.

    Raises `InvalidImage` for bytes that are not a PNG.
    """
    written = with_png_text(png, "XML:com.adobe.xmp", xmp(meta).decode())
    block = b"eXIf" + exif(meta).removeprefix(b"Exif\0\0")
    header = 33  # signature and IHDR
    chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
    return written[:header] + chunk + written[header:]


def thumbnail_metadata(meta: ImageMetadata) -> ImageMetadata:
    """The metadata of a thumbnail: it is marked too, but a prompt would make it much larger."""
    return replace(meta, prompt="", character="")
