"""Keys of the blob store, and the public ids of artifacts."""

import hashlib

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_LONGEST_FOLDER = 96
"""Characters of an owner's folder; a whole key has at most 255."""


def blob_key(job_id: str, attempt: int, position: int, extension: str) -> str:
    """Return the key of an output. Each attempt has its own keys, so a superseded attempt never overwrites a
    delivered picture."""
    return f"jobs/{job_id}/{attempt}/{position}.{extension}"


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
