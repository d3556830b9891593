"""Names of files: where a job's outputs lie, and the public name of each."""

import hashlib

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_LONGEST_FOLDER = 96
"""Of a key's 255 characters."""


def blob_key(job_id: str, attempt: int, position: int, extension: str) -> str:
    """Each attempt writes its own files, so a superseded one never overwrites a delivered picture."""
    return f"jobs/{job_id}/{attempt}/{position}.{extension}"


def owner_hash(owner: str) -> str:
    """Names an owner in keys, whatever the characters of the name."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def owner_folder(owner: str) -> str:
    """An owner's name as one part of a key that people read. Two owners never share one.

    What is not plain is written ``_xx`` for each of its bytes; a name that would be too long is ``_-`` and a
    digest.
    """
    plain = "".join(
        chr(byte) if chr(byte) in _PLAIN else f"_{byte:02x}"
        for byte in owner.encode("utf-8", "surrogatepass")
    )
    return plain if len(plain) <= _LONGEST_FOLDER else f"_-{hashlib.sha256(owner.encode()).hexdigest()}"


def input_key(owner: str, digest: str, extension: str) -> str:
    """Of a picture a client brought, by the SHA-256 of its bytes."""
    return f"inputs/{owner_hash(owner)}/{digest[:2]}/{digest}.{extension}"


def owner_hash_of(key: str) -> str | None:
    """The mark of an input picture's owner; None for one of before there were marks."""
    parts = key.split("/")
    return parts[1] if len(parts) == 4 and parts[0] == "inputs" else None


def attempt_of(key: str) -> tuple[str, int] | None:
    """The job and attempt a blob key belongs to, or None for a key of another kind."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] != "jobs" or not parts[2].isdigit():
        return None
    return parts[1], int(parts[2])


def artifact_id(job_id: str, position: int) -> str:
    """64 hexadecimal digits in upper case, known before the picture is made."""
    return hashlib.sha256(f"{job_id}/{position}".encode()).hexdigest().upper()
