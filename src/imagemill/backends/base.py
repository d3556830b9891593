"""The seam to whatever renders: nodes that are offered, and a render that is sent, followed and collected."""

import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from imagemill.backends.paid_calls import PaidCalls
from imagemill.domain.images import RenderSpec


@dataclass(frozen=True, slots=True)
class Node:
    """One renderer as it is now."""

    name: str
    backend: str
    queues: frozenset[str]
    slots: int
    """Jobs it may have in flight (the second one waits on the node, so that it never idles)."""
    labels: frozenset[str] = frozenset()
    memory_mb: int | None = None
    """In all, not what is free now."""
    loaded_models: frozenset[str] = frozenset()
    """Loaded checkpoints, AIRs in lower case."""
    available: Container[str] | None = None
    """Checkpoints it can load (AIRs in lower case) and requirements it meets (`Backend.requirements`).

    None: any."""
    load_s: float | None = None
    """Seconds it takes to load a checkpoint; 0: nothing is ever loaded; None: unknown."""
    healthy: bool = True
    draining: bool = False
    """Finishes what it has and takes no more."""
    problem: str = ""
    """Why it is not healthy, in a sentence."""
    remote: bool = False
    """Somebody else's, and paid for: it never gets private jobs, and others only after local nodes."""
    local_first_s: float = 0.0
    """How long a remote node leaves a job to the local nodes that could do it."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One render: what, for which attempt of which job, and where."""

    job_id: str
    attempt: int
    reference: str
    """Our own id for the render, a canonical UUID; the same across a re-attachment."""
    node: str
    work: RenderSpec
    timeout_s: float
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The job's own properties, for backends that take hints from them (the simulator's faults)."""
    inputs: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """Encoded pictures the work names: the source of an image-to-image, a mask, a control image."""
    previews: bool = False
    """Whether anybody asked for preview frames."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file a render delivered, as the node wrote it."""

    data: bytes
    media_type: str
    """What the bytes are; anything but a picture is passed through as a file."""
    seed: int | None = None
    name: str = ""
    """The file's own name on the node, where it had one."""


@dataclass(frozen=True, slots=True)
class RenderResult:
    outputs: tuple[Output, ...]
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Told in the job's last event: the graph that was sent, the node's answer."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a render stands; ``step`` of ``total``, both from the sampler."""

    step: int
    total: int
    note: str = ""
    preview: bytes | None = None
    preview_type: str = "image/jpeg"

    @property
    def fraction(self) -> float:
        return min(1.0, self.step / self.total) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class BackendContext:
    """What the factory of a backend gets besides the settings (entry points ``imagemill.backends``)."""

    suffix: str
    """Tells the nodes of several processes apart, where a backend makes its own."""
    path_of: Callable[[str], str | None]
    """The file a node should have a model in, by its AIR; None: unknown. Cheap: it remembers."""
    calls: PaidCalls
    """The book of calls that cost money, shared by all workers."""


class RenderCanceled(Exception):
    """Raised by `Backend.follow` once the watch says stop and the render is stopped."""


class RenderControl:
    """How a render and its follower talk: progress one way, the wish to stop the other. Thread-safe."""

    def __init__(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._detached = False

    def progress(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)

    def stop(self, *, detach: bool = False) -> None:
        """``leave``: the render is another attempt's now, which follows it on its node."""
        self._detached = detach
        self._stop.set()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    @property
    def detached(self) -> bool:
        """Whether a render that outlives its follower is to go on."""
        return self._detached

    def wait(self, seconds: float) -> bool:
        """Sleep, or return True at once when the render should stop."""
        return self._stop.wait(seconds)


class Backend(Protocol):
    """A kind of renderer with its nodes.

    Expected failures are raised as `imagemill.domain.errors.BackendError` with a typed cause.
    """

    @property
    def name(self) -> str: ...

    @property
    def survives_worker(self) -> bool:
        """Whether a render goes on, to be found by its reference, when the process that sent it ends."""
        ...

    def nodes(self) -> Sequence[Node]:
        """The nodes as they are now; cheap, no network."""
        ...

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        """Why no node of this backend could ever do it, in one sentence; None when one could."""
        ...

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        """What the work needs besides its checkpoint and not every node has, sorted; see `Node.available`."""
        ...

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        """What is wrong with the hints a job carries for this backend, in a sentence; else None."""
        ...

    def send(self, request: RenderRequest) -> str:
        """Start the render and return the backend's reference for it.

        A reference the node knows already is attached to, not rendered again.
        """
        ...

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        """Block until the render is done. Raises `BackendError`, or `RenderCanceled` after ``watch.stop``."""
        ...

    def close(self) -> None:
        """Let go of threads and connections; running renders are abandoned."""
        ...
