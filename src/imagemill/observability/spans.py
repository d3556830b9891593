"""What a span is, and how its ids follow from the job's trace."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from imagemill.domain.jobs import Job

Value = str | int | float | bool


class Kind(StrEnum):
    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Span:
    """A span that is over. Instants are microseconds since the epoch."""

    name: str
    trace: str
    """32 hexadecimal digits."""
    id: str
    """16 hexadecimal digits."""
    parent: str | None
    start: int
    end: int
    kind: Kind = Kind.INTERNAL
    attributes: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Never a prompt, nor any other words of a user."""
    error: str = ""
    """Its type, when it is one."""


def trace_of(traceparent: str) -> str:
    return traceparent[3:35]


def span_of(traceparent: str) -> str:
    return traceparent[36:52]


def derive_id(*parts: str | int) -> str:
    """The id of the span that these name together, the same in every process."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).hexdigest()
    return digest if int(digest, 16) else "1".zfill(16)  # all zeros is no id


def of_job(job_id: str) -> str:
    """The id of the span of a job's whole life."""
    return derive_id(job_id)


def of_attempt(job_id: str, attempt: int) -> str:
    return derive_id(job_id, attempt)


def job_attributes(job: Job) -> dict[str, Value]:
    """What every span of a job tells of it."""
    return {"imagemill.job.id": job.id, "imagemill.recipe": job.recipe, "imagemill.queue": job.queue}


def placement_attributes(
    worker: str | None, node: str | None, backend: str | None, reason: str | None
) -> dict[str, Value]:
    """Where an attempt ran, and why there."""
    named = {"worker": worker, "node": node, "backend": backend, "reason": reason}
    return {f"imagemill.{name}": value for name, value in named.items() if value}
