"""The seam to whatever renders: nodes that are offered, and a render that is sent, followed and collected."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from imagemill.domain.images import Work


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
    resident: frozenset[str] = frozenset()
    """Loaded checkpoints, AIRs in lower case."""
    available: frozenset[str] | None = None
    """Checkpoints it could load; None: any."""
    healthy: bool = True


@dataclass(frozen=True, slots=True)
class Order:
    """One render: what, for which attempt of which job, and where."""

    job_id: str
    attempt: int
    reference: str
    """Our own id for the render, a canonical UUID; the same across a re-attachment."""
    node: str
    work: Work
    timeout_s: float
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The job's own properties, for backends that take hints from them (the simulator's faults)."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file a render delivered, as the node wrote it."""

    data: bytes
    media_type: str
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
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


class RenderCanceled(Exception):
    """Raised by `Backend.follow` once the watch says stop and the render is stopped."""


class Watch:
    """How a render and its follower talk: progress one way, the wish to stop the other. Thread-safe."""

    def __init__(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._on_progress = on_progress
        self._stop = threading.Event()

    def progress(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)

    def stop(self) -> None:
        self._stop.set()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, or return True at once when the render should stop."""
        return self._stop.wait(seconds)


class Backend(Protocol):
    """A kind of renderer with its nodes.

    Expected failures are raised as `imagemill.domain.errors.BackendError` with a typed cause.
    """

    @property
    def name(self) -> str: ...

    def nodes(self) -> Sequence[Node]:
        """The nodes as they are now; cheap, no network."""
        ...

    def refusal(self, work: Work) -> str | None:
        """Why no node of this backend could ever do it, in one sentence; None when one could."""
        ...

    def complaint(self, properties: Mapping[str, Any]) -> str | None:
        """What is wrong with the hints a job carries for this backend, in a sentence; else None."""
        ...

    def send(self, order: Order) -> str:
        """Start the render and return the backend's reference for it.

        A reference the node knows already is attached to, not rendered again.
        """
        ...

    def follow(self, order: Order, reference: str, watch: Watch) -> Rendered:
        """Block until the render is done. Raises `BackendError`, or `RenderCanceled` after ``watch.stop``."""
        ...

    def close(self) -> None:
        """Let go of threads and connections; running renders are abandoned."""
        ...
