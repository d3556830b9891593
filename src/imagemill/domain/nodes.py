"""ComfyUI servers as their operator describes them, and what is known of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SLOTS = 2
"""Prompts in flight on a node: one renders, the next waits there, so that the GPU never waits for us."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One ComfyUI server. Equal configurations mean the same connection can go on."""

    name: str
    """Unique; letters, digits, ``.``, ``-``, ``_``."""
    url: str
    """``http(s)://host[:port][/prefix]``, without a slash at the end."""
    labels: frozenset[str] = frozenset()
    memory_mb: int | None = None
    """Overrides what the node says of its first device."""
    slots: int = SLOTS
    queues: frozenset[str] = frozenset({"gpu"})
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Sent with every request: a bearer token, Cloudflare Access. Secret: never shown, never logged."""
    verify_tls: bool = True
    ca_file: str | None = None
    """PEM file of the authority that signed the node's certificate; None: the system's."""
    draining: bool = False
    """Finishes what it has and gets no more."""


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a node's examination."""

    level: Level
    subject: str
    """What was looked at: ``address``, ``version``, ``models``, ``socket``, ``queue``, ..."""
    message: str
    """What was found, and what to do about it when it is not well."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a process knows of a node now."""

    name: str
    url: str
    healthy: bool
    problem: str = ""
    """Why it is not healthy, in a sentence."""
    draining: bool = False
    version: str = ""
    """ComfyUI's own."""
    device: str = ""
    memory_mb: int | None = None
    memory_free_mb: int | None = None
    checkpoints: int = 0
    loras: int = 0
    classes: int = 0
    running: int = 0
    """Prompts of ours in flight."""
    queue_remaining: int | None = None
    """Prompts the node has in all, ours and others'."""
    loaded_models: tuple[str, ...] = ()
    seen_at: int | None = None
    """When it last answered, microseconds since the epoch."""
    labels: tuple[str, ...] = ()
    slots: int = SLOTS
