"""Names of files: where a job's outputs lie, and the public name of each."""

import hashlib

PRODUCTS = ("characters/", "library/")
"""Where files lie that outlive the job which made them."""


def blob_key(job_id: str, attempt: int, position: int, extension: str) -> str:
    """Each attempt writes its own files, so a superseded one never overwrites a delivered picture."""
    return f"jobs/{job_id}/{attempt}/{position}.{extension}"


def owner_mark(owner: str) -> str:
    """Names an owner in keys, whatever the characters of the name."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def input_key(owner: str, digest: str, extension: str) -> str:
    """Of a picture a client brought, by the SHA-256 of its bytes."""
    return f"inputs/{owner_mark(owner)}/{digest[:2]}/{digest}.{extension}"


def mark_of(key: str) -> str | None:
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
