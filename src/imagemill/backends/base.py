"""The interface of all backends: the nodes they offer, and a render that is sent, followed and collected."""

import json
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol, runtime_checkable

from imagemill.backends.paid_calls import PaidCalls
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError, ImagemillError
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import RenderSpec, WorkKind
from imagemill.domain.scheduling import Offer
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext

OUTPUT = "output"
"""The detail of a render that is the job's JSON output."""
MOST_VALUES = 64 * 1024
"""Largest JSON output in bytes, as it is kept in the job's event log."""


class ServiceError(ImagemillError):
    """A node or provider did not answer as expected. The message is the end of a sentence that begins with
    its name.

    Backends translate it into an `imagemill.domain.errors.BackendError`.
    """

    code = "backend_unavailable"
    retryable = True


class RenderCanceled(ImagemillError):
    """Raised by `Backend.follow` when its `RenderControl` is stopped and the render has been stopped."""

    code = "canceled"


@dataclass(frozen=True, slots=True)
class Node:
    """One renderer in its present state."""

    name: str
    backend: str
    queues: frozenset[str]
    slots: int
    """Jobs it may have in flight: the second one waits on the node, so that the node is never idle."""
    labels: frozenset[str] = frozenset()
    memory_mb: int | None = None
    """Total memory, not free memory."""
    loaded_models: frozenset[str] = frozenset()
    """Loaded checkpoints (AIRs in lower case)."""
    available: Container[str] | None = None
    """Checkpoints it can load (AIRs in lower case) and requirements it meets (`Backend.requirements`).
    None means any."""
    load_s: float | None = None
    """Seconds it takes to load a checkpoint; 0 means that nothing is ever loaded; None means unknown."""
    healthy: bool = True
    draining: bool = False
    """Whether it finishes its jobs and takes no more."""
    problem: str = ""
    """The reason why it is not healthy, in a sentence."""
    remote: bool = False
    """Whether it belongs to a paid provider: it never gets private jobs, and other jobs only after local
    nodes."""
    local_first_s: float = 0.0
    """Seconds for which a remote node leaves a job to local nodes that could render it."""

    backlog: int = 0
    """Prompts of other clients on it, for which its jobs would wait."""
    at_once: int = 1
    """Its slots that one thread may serve, while its renders are so quick that a thread for each slot would
    take longer than they do; see `QuickBackend`."""
    runs: WorkKind = "pictures"
    """The kind of work it does. A node of another kind than pictures is a worker process itself: it renders
    nothing, and is not listed among the nodes."""

    def offer(self, worker: str = "", queues: frozenset[str] | None = None) -> Offer:
        """The jobs that the node's slots can take, served for ``worker``. ``queues`` None means all of its
        queues."""
        return Offer(
            worker=worker,
            node=self.name,
            backend=self.backend,
            queues=self.queues if queues is None else queues,
            labels=self.labels,
            memory_mb=self.memory_mb,
            loaded_models=self.loaded_models,
            available=self.available,
            capacity=self.slots,
            load_s=self.load_s,
        )


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One render of one attempt of a job, on one node."""

    job_id: str
    attempt: int
    reference: str
    """Imagemill's id of the render, a canonical UUID; re-attaching keeps it."""
    node: str
    work: RenderSpec
    timeout_s: float
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The job's properties, for backends that read hints from them (the simulator's faults)."""
    inputs: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)
    """Encoded pictures that ``work`` names: an image-to-image source, a mask, a control image."""
    leaves_nothing: bool = False
    """Whether the node may keep neither the inputs nor the outputs; see `imagemill.recipes.base.Plan`."""
    previews: bool = False
    """Whether preview frames are wanted."""
    watched: bool = False
    """Whether a client of this process follows the job now."""
    partner: bool = False
    """Whether it may use partner nodes of ComfyUI, which cost money."""
    most_files: int = 256
    """Files that are kept of one render; more are an error."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a render delivered, as the node wrote it."""

    data: bytes
    media_type: str
    """The file's media type; files that are not pictures are passed through."""
    seed: int | None = None
    name: str = ""
    """The file's name on the node, if it had one."""


@dataclass(frozen=True, slots=True)
class RenderResult:
    outputs: tuple[Output, ...]
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Facts for the job's last event: the graph that was sent, the node's answer."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a render: ``step`` of ``total`` sampler steps."""

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
    """The second argument of a backend's factory, besides the settings (entry points
    ``imagemill.backends``)."""

    suffix: str
    """Distinguishes the nodes of several processes, if a backend makes its own nodes."""
    path_of: Callable[[str], str | None]
    """AIR -> the file a node should have for the model; None means unknown. Cheap, as it is cached."""
    calls: PaidCalls
    """The record of paid calls, shared by all workers."""
    run_transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]
    """Run a transform in a confined process. Raises `imagemill.media.layout.InvalidImage` and
    `imagemill.media.sandbox.DecodersBusy`."""
    load_input: Callable[[str], bytes]
    """Return a file by its source, for work that needs many of them in turn. Raises `BackendError` and
    `StorageError`."""


def output_details(name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the details of a result with these values. Raises `BackendError` for more than can be kept."""
    if not values:
        return {}
    size = len(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MOST_VALUES:
        raise BackendError(
            FailureCode.OUTPUT_LIMIT, f"the output of {name} has {size} bytes; at most {MOST_VALUES} are kept"
        )
    return {OUTPUT: dict(values)}


class RenderControl:
    """Connects a render with its follower: progress one way, the request to stop the other. Thread-safe."""

    def __init__(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._detached = False
        self._on_stop: Callable[[], None] = lambda: None

    def progress(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)

    def stop(self, *, detach: bool = False) -> None:
        """Stop the follower. ``detach``: leave the render running, as another attempt follows it now."""
        self._detached = detach
        self._stop.set()
        self._on_stop()

    def call_on_stop(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the follower is stopped, in any thread; at once if it has been."""
        self._on_stop = wake
        if self._stop.is_set():
            wake()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    @property
    def detached(self) -> bool:
        """Whether a render that can outlive its follower is to continue."""
        return self._detached

    def wait(self, seconds: float) -> bool:
        """Sleep; return True at once when the render should stop."""
        return self._stop.wait(seconds)


def renderers(backends: Iterable["Backend"]) -> list[Node]:
    """Return the nodes of the backends that render pictures, without the worker processes themselves."""
    return [node for backend in backends for node in backend.nodes() if node.runs == "pictures"]


def kind_run_by(backend: "Backend") -> WorkKind:
    """Return the kind of work that all nodes of the backend do."""
    for node in backend.nodes():
        return node.runs
    return "pictures"


def is_remote(backend: "Backend") -> bool:
    return any(node.remote for node in backend.nodes())


class Backend(Protocol):
    """A kind of renderer with its nodes.

    Expected failures are raised as `imagemill.domain.errors.BackendError` with a typed cause.
    """

    @property
    def name(self) -> str: ...

    @property
    def survives_worker(self) -> bool:
        """Whether a render continues when the process that sent it ends, and can be found by its
        reference."""
        ...

    @property
    def stage_names(self) -> tuple[Stage, Stage]:
        """The stages of a render that was sent, and of its result, as events and logs name them."""
        ...

    @property
    def renders_in_process(self) -> bool:
        """Whether this process makes the pictures itself, so that they need not be inspected as foreign."""
        ...

    def nodes(self) -> Sequence[Node]:
        """The nodes in their present state; cheap, without network access."""
        ...

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        """The reason why no node of this backend can render this, in one sentence; None if one can."""
        ...

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        """The requirements besides the checkpoint that not every node meets, sorted; see `Node.available`."""
        ...

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        """The error in a job's hints for this backend, in a sentence; None if they are valid."""
        ...

    def send(self, request: RenderRequest) -> str:
        """Start the render and return the backend's reference for it.

        If the node already knows the reference, attach to that render instead of rendering again.
        """
        ...

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        """Block until the render is done. Raises `BackendError`, or `RenderCanceled` after
        ``control.stop``."""
        ...

    def close(self) -> None:
        """Close threads and connections; running renders are abandoned."""
        ...


@runtime_checkable
class InstantBackend(Protocol):
    """A backend whose renders may take no time, so that a thread may follow many of them in turn."""

    def follow_at_once(
        self, request: RenderRequest, reference: str, control: RenderControl
    ) -> RenderResult | None:
        """Return what `Backend.follow` does if it takes a few milliseconds; None, at once, if it does not."""
        ...


@runtime_checkable
class QuickBackend(Protocol):
    """A backend whose nodes may be so quick that a thread sends several renders and then follows them in
    turn; see `Node.at_once`."""

    def follow_briefly(
        self, request: RenderRequest, reference: str, control: RenderControl
    ) -> RenderResult | None:
        """Return what `Backend.follow` does if the render ends soon; None where it takes time, or more than
        about a tenth of a second: then it goes on, for `Backend.follow`."""
        ...


@runtime_checkable
class PaidBackend(Protocol):
    """A backend whose provider bills each render."""

    def bill(self, work: RenderSpec) -> float | None:
        """The dollars that the provider would bill for a render; None when its price is not known, 0 when it
        is not used."""
        ...


@runtime_checkable
class PartnerBackend(Protocol):
    """A backend whose nodes can have parts of a graph made by paid services."""

    def partner_classes(self, work: RenderSpec) -> Sequence[str]:
        """The node classes of a render that a paid service runs, sorted; see `RenderRequest.partner`."""
        ...


@dataclass(frozen=True, slots=True)
class BackendState:
    """A backend, with the facts of its nodes of one moment that submissions ask for again and again."""

    name: str
    backend: Backend
    kind: WorkKind
    """The kind of work that all its nodes do."""
    is_remote: bool
    is_working: bool
    """Whether some node takes jobs; the others are being drained."""


def state_of(name: str, backend: Backend) -> BackendState:
    """Return the state of a backend. Asking for the nodes is cheap, but not for each question of each job."""
    nodes = backend.nodes()
    is_remote = is_working = False
    for node in nodes:
        is_remote = is_remote or node.remote
        is_working = is_working or not node.draining
    return BackendState(name, backend, nodes[0].runs if nodes else "pictures", is_remote, is_working)
