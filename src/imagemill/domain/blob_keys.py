"""Keys of the blob store, and the public ids of artifacts."""

import hashlib
import re
import uuid

from imagemill.domain.dataclass import dataclass

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_LONGEST_FOLDER = 96
"""Characters of an owner's folder; a whole key has at most 255."""


THUMBNAIL_WIDTHS = (128, 256, 512)
"""Pixels of the longer side of a thumbnail."""


def blob_key(job_id: str, attempt: int, position: int, extension: str) -> str:
    """Return the key of an output. Each attempt has its own keys, so a superseded attempt never overwrites a
    delivered picture."""
    return f"jobs/{job_id}/{attempt}/{position}.{extension}"


def thumbnail_key(job_id: str, attempt: int, position: int, width: int) -> str:
    """Return the key of a thumbnail, beside the outputs of its attempt, so that it is deleted with them."""
    return f"jobs/{job_id}/{attempt}/{position}-{width}.webp"


def thumbnail_keys(job_id: str, attempt: int, position: int) -> list[str]:
    """Return the keys of all thumbnails that a picture may have."""
    return [thumbnail_key(job_id, attempt, position, width) for width in THUMBNAIL_WIDTHS]


def thumbnail_place(key: str) -> tuple[str, int] | None:
    """Return the job and the position of a thumbnail's picture, or None for a key of another kind."""
    attempt = attempt_of(key)
    position, dash, _ = key.rpartition("/")[2].partition("-")
    return (attempt[0], int(position)) if attempt is not None and dash and position.isdigit() else None


def owner_hash(owner: str) -> str:
    """Return 16 hexadecimal digits that stand for an owner in keys, whatever the characters of the name."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def owner_folder(owner: str) -> str:
    """Return a readable folder name for an owner. Two owners never share one.

    A special character is written ``_xx`` for each of its bytes; a name that would be too long becomes ``_-``
    and a digest.
    """
    plain = "".join(
        chr(byte) if chr(byte) in _PLAIN else f"_{byte:02x}"
        for byte in owner.encode("utf-8", "surrogatepass")
    )
    return plain if len(plain) <= _LONGEST_FOLDER else f"_-{hashlib.sha256(owner.encode()).hexdigest()}"


def input_key(owner: str, digest: str, extension: str) -> str:
    """Return the key of a client's input picture, from the SHA-256 of its bytes."""
    return f"{input_folder(owner)}{digest[:2]}/{digest}.{extension}"


def input_folder(owner: str) -> str:
    """Return the prefix of the keys of an owner's input pictures."""
    return f"inputs/{owner_hash(owner)}/"


def owner_hash_of(key: str) -> str | None:
    """Return the owner's hash in an input picture's key; None for older keys, which have none."""
    parts = key.split("/")
    return parts[1] if len(parts) == 4 and parts[0] == "inputs" else None


def attempt_of(key: str) -> tuple[str, int] | None:
    """Return the job and attempt of an output's key, or None for a key of another kind."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] != "jobs" or not parts[2].isdigit():
        return None
    return parts[1], int(parts[2])


def artifact_id(job_id: str, position: int) -> str:
    """Return 64 hexadecimal digits in upper case; the id is known before the picture is made."""
    return hashlib.sha256(f"{job_id}/{position}".encode()).hexdigest().upper()


# Ids of Civitai v2: known before the file is made, and short


_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 without I, L, O and U, which are mistaken for others."""
_ID_DIGITS = 26
_OUTPUT_ID = re.compile(rf"([{_DIGITS}]{{{_ID_DIGITS}}})(?:-([1-9][0-9]{{0,3}}))?\.[a-z0-9]{{1,8}}")
_UPLOAD_ID = re.compile(r"([0-9a-f]{64})\.(png|jpeg|webp)")


@dataclass(frozen=True, slots=True)
class OutputId:
    """The blob id of a job's file."""

    job_id: str
    position: int

    @property
    def artifact_id(self) -> str:
        return artifact_id(self.job_id, self.position)


@dataclass(frozen=True, slots=True)
class UploadId:
    """The blob id of an uploaded picture."""

    digest: str
    extension: str

    def key(self, owner_hash: str) -> str:
        """Return the key of an owner's upload; see `owner_hash`."""
        return f"inputs/{owner_hash}/{self.digest[:2]}/{self.digest}.{self.extension}"


def blob_id(job_id: str, position: int, extension: str) -> str:
    """Return the id of a job's file: 26 digits, ``-N`` for position N above 0, and the extension."""
    value = uuid.UUID(job_id).int
    digits = "".join(_DIGITS[value >> shift & 31] for shift in range(5 * (_ID_DIGITS - 1), -1, -5))
    return f"{digits}-{position}.{extension}" if position else f"{digits}.{extension}"


def parse_blob_id(text: str) -> OutputId | UploadId | None:
    """Return what a blob id names; None for a text that is no blob id. The extension is not compared."""
    if found := _UPLOAD_ID.fullmatch(text):
        return UploadId(found[1], found[2])
    name, dot, extension = text.partition(".")
    found = _OUTPUT_ID.fullmatch(f"{name.upper()}{dot}{extension.lower()}")
    if found is None:
        return None
    value = 0
    for digit in found[1]:
        value = value * 32 + _DIGITS.index(digit)
    return OutputId(str(uuid.UUID(int=value)), int(found[2] or 0)) if value < 1 << 128 else None
