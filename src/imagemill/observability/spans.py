"""Spans, and the derivation of their ids from the job."""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import Job

Value = str | int | float | bool


class Kind(StrEnum):
    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Span:
    """A finished span. Instants are microseconds since the epoch."""

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
    """Attributes; they never contain a prompt or other text of a user."""
    error: str = ""
    """Type of the error; empty without one."""


def trace_of(traceparent: str) -> str:
    """Return the trace id of a traceparent."""
    return traceparent[3:35]


def span_of(traceparent: str) -> str:
    """Return the span id of a traceparent."""
    return traceparent[36:52]


def derive_id(*parts: str | int) -> str:
    """Return the span id for these parts; it is the same in every process."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).hexdigest()
    return digest if int(digest, 16) else "1".zfill(16)  # an id must not be all zeros


def of_job(job_id: str) -> str:
    """Return the id of the span of a job's whole life."""
    return derive_id(job_id)


def of_attempt(job_id: str, attempt: int) -> str:
    """Return the id of the span of an attempt."""
    return derive_id(job_id, attempt)


def job_attributes(job: Job) -> dict[str, Value]:
    """Return the attributes that every span of a job has."""
    return {"imagemill.job.id": job.id, "imagemill.recipe": job.recipe, "imagemill.queue": job.queue}


def placement_attributes(
    worker: str | None, node: str | None, backend: str | None, reason: str | None
) -> dict[str, Value]:
    """Return the attributes for the place where an attempt ran, and the reason for it."""
    named = {"worker": worker, "node": node, "backend": backend, "reason": reason}
    return {f"imagemill.{name}": value for name, value in named.items() if value}
