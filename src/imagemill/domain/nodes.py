"""ComfyUI nodes: their configuration, and reports on their state."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from imagemill.domain.dataclass import dataclass

SLOTS = 2
"""Default number of prompts in flight on a node: one renders, the next is queued, so the GPU is never idle.
"""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One ComfyUI server. While the configuration stays equal, the connection is kept."""

    name: str
    """Unique; letters, digits, ``.``, ``-``, ``_``."""
    url: str
    """``http(s)://host[:port][/prefix]``, without a slash at the end."""
    labels: frozenset[str] = frozenset()
    memory_mb: int | None = None
    """Megabytes of memory; overrides the size that the node reports of its first device."""
    slots: int = SLOTS
    queues: frozenset[str] = frozenset({"gpu"})
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Headers of every request, such as a bearer token. They are secret: never shown, never logged."""
    verify_tls: bool = True
    ca_file: str | None = None
    """PEM file of the authority that signed the node's certificate; None means the system's authorities."""
    draining: bool = False
    """Whether the node finishes its running jobs and gets no new ones."""


_ROUTES = ("/prompt", "/ws")
"""Routes at the end of addresses that users copy from the settings of other programs."""


def server_address(url: str) -> str:
    """Return the address of a server, also from that of one of its routes or of its WebSocket."""
    scheme, separator, rest = url.partition("://")
    scheme = {"ws": "http", "wss": "https"}.get(scheme.lower(), scheme)
    rest = rest.rstrip("/")
    for route in _ROUTES:
        rest = rest.removesuffix(route).rstrip("/")
    return f"{scheme}{separator}{rest}"


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a node's check-up."""

    level: Level
    subject: str
    """The checked part: ``address``, ``version``, ``models``, ``socket``, ``queue``, ..."""
    message: str
    """The result, and for a problem how to solve it."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """The state of a node as one process knows it."""

    name: str
    url: str
    healthy: bool
    problem: str = ""
    """The reason why it is not healthy, in a sentence."""
    draining: bool = False
    version: str = ""
    """ComfyUI's version."""
    device: str = ""
    memory_mb: int | None = None
    memory_free_mb: int | None = None
    checkpoints: int = 0
    loras: int = 0
    classes: int = 0
    running: int = 0
    """Our prompts in flight."""
    queue_remaining: int | None = None
    """All prompts on the node, ours and those of other clients."""
    loaded_models: tuple[str, ...] = ()
    seen_at: int | None = None
    """Time of its last response, microseconds since the epoch."""
    labels: tuple[str, ...] = ()
    slots: int = SLOTS
