"""Fakes at the seams: a backend that does what a test tells it, blobs in memory, one recipe."""

import atexit
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel

from imagemill.backends.base import Node, Output, RenderCanceled, RenderControl, RenderRequest, RenderResult
from imagemill.blobs.base import BlobInfo, Method, NewBlob
from imagemill.bootstrap.stores import Stores
from imagemill.domain.clock import SECOND, new_trace, now_us, uuid7
from imagemill.domain.credits import Rate
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.events import Stage
from imagemill.domain.images import GraphSpec, RenderSpec
from imagemill.domain.jobs import Draft, Job, LaneKey
from imagemill.domain.scheduling import Offer
from imagemill.jobs.attempt import RunOptions
from imagemill.jobs.hub import Hub
from imagemill.jobs.inputs import InputLimits, InputPictures
from imagemill.jobs.outputs import OutputLimits
from imagemill.jobs.runner import Runner
from imagemill.jobs.store.submit import Submission
from imagemill.media.intake import InputSanitizer, PictureLimits
from imagemill.media.sandbox import DecodeLimits, DecoderPool
from imagemill.net.url_guard import UrlGuard
from imagemill.recipes.base import Plan, Recipe
from imagemill.settings import JobSettings
from tests.tuning import tuned


def png(width: int = 8, height: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def output(data: bytes | None = None) -> Output:
    return Output(png() if data is None else data, "image/png", seed=7)


DECODERS = DecoderPool(DecodeLimits(pixels=10_000))
"""One for all tests of a session: it starts its process when it is first needed."""
atexit.register(DECODERS.close)


Follow = Callable[[RenderRequest, RenderControl], Sequence[Output]]


@dataclass
class FakeBackend:
    """Renders what ``follow`` returns; without one, a red square."""

    follow_with: Follow | None = None
    name: str = "fake"
    refuses: str | None = None
    orders: list[RenderRequest] = field(default_factory=list)
    reference: str | None = None
    names: Sequence[str] = ("node-1", "node-2")
    needed: tuple[str, ...] = ()
    memory_mb: Mapping[str, int] = field(default_factory=dict)
    """By node name."""
    nodes_with: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By node name: fields of `Node`."""
    survives_worker: bool = False
    stage_names: tuple[Stage, Stage] = (Stage.SENT_TO_BACKEND, Stage.BACKEND_RESULT)
    renders_in_process: bool = False

    def nodes(self) -> Sequence[Node]:
        return [
            replace(
                Node(name, self.name, frozenset({"gpu"}), 2, memory_mb=self.memory_mb.get(name)),
                **self.nodes_with.get(name, {}),
            )
            for name in self.names
        ]

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        del properties

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        return self.refuses

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        return self.needed

    def send(self, request: RenderRequest) -> str:
        self.orders.append(request)
        return self.reference or request.reference

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        outputs = self.follow_with(request, control) if self.follow_with else [output()]
        return RenderResult(tuple(outputs), {"reference": reference})

    def close(self) -> None:
        return


class MemoryBlobs:
    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}

    def put(self, key: str, data: bytes, media_type: str) -> None:
        self.files[key] = (data, now_us())

    def create(self, key: str, data: bytes, media_type: str) -> None:
        if self.files.get(key, (data, 0))[0] != data:
            raise Conflict(key)
        self.put(key, data, media_type)

    def create_all(self, blobs: Sequence[NewBlob]) -> None:
        for blob in blobs:
            self.create(blob.key, blob.data, blob.media_type)

    def get(self, key: str) -> bytes:
        if key not in self.files:
            raise NotFound(key)
        return self.files[key][0]

    def read(self, key: str, start: int, stop: int) -> bytes:
        return self.get(key)[start:stop]

    def location(self, key: str) -> Path | None:
        return None

    def presign(self, method: Method, key: str, life_s: float) -> str | None:
        return None

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.files.pop(key, None)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        for key, (data, at) in sorted(self.files.items()):
            if key.startswith(prefix):
                yield BlobInfo(key, len(data), at)

    def close(self) -> None:
        pass

    def ping(self) -> None:
        return


class Square(BaseModel):
    model: str = ""
    side: int = 8
    pictures: int = 1


def recipe() -> Recipe:
    return Recipe(
        name="square",
        input=Square,
        complete=lambda input_, resolver, path: input_,
        plan=lambda input_: Plan(GraphSpec({}), input_.pictures, (input_.side, input_.side)),
        model=lambda input_: input_.model,
        rate=Rate(base=1.0),
    )


def run_settings(**changes: Any) -> tuple[JobSettings, RunOptions]:
    """What a runner is given; quick heartbeats and no pauses between tries, unless a test wants some."""
    values: dict[str, Any] = {"heartbeat_s": 0.05, "retry_base_s": 0.0, "reattach_s": 0.0, **changes}
    given: dict[str, Any] = {"timeout_s": 60.0, "limits": OutputLimits(10_000, 1_000_000, patience_s=0.0)}
    for name in RunOptions.__dataclass_fields__:
        if name in values:
            given[name] = values.pop(name)
    return tuned(JobSettings, validate=False, **values), RunOptions(**given)


def hub(store: Stores, **changes: Any) -> Hub:
    values: dict[str, Any] = {"poll_s": 0.02, "most": 1000, **changes}
    return Hub(store.jobs.progress_of, **values)


@dataclass
class Mill:
    """A runner with fakes around it."""

    store: Stores
    backend: FakeBackend
    blobs: MemoryBlobs
    hub: Hub
    runner: Runner

    def run(self, node: str = "node-1", **changes: Any) -> bool:
        return self.runner.run_next(replace(offer(node), **changes))

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        return thread


def mill(
    store: Stores, follow: Follow | None = None, *, made_by: Recipe | None = None, **changes: Any
) -> Mill:
    backend, blobs, hub_ = FakeBackend(follow), MemoryBlobs(), hub(store)
    recipes = {"square": made_by or recipe()}
    runner = Runner(store.jobs, recipes, {"fake": backend}, blobs, blobs.get, hub_, *run_settings(**changes))
    return Mill(store, backend, blobs, hub_, runner)


def inputs(store: Stores, blobs: MemoryBlobs | None = None, **limits: float) -> InputPictures:
    """Pictures from clients; servers on this machine may be asked."""
    values: dict[str, Any] = {"bytes": 100_000, "pixels": 10_000, "fetch_s": 5.0, **limits}
    guard = UrlGuard([ip_network("127.0.0.0/8")])
    intake = InputSanitizer(PictureLimits(values["bytes"], values["pixels"]), DECODERS)
    given = InputLimits(values["bytes"], values["fetch_s"])
    return InputPictures(store.jobs, blobs or MemoryBlobs(), guard, given, intake)


def offer(node: str = "node-1", worker: str = "worker-1") -> Offer:
    return Offer(worker, node, "fake", frozenset({"gpu"}))


def add(store: Stores, owner: str = "ann", **changes: Any) -> Job:
    """A new job of the recipe ``square``, now."""
    values: dict[str, Any] = {
        "id": uuid7(),
        "recipe": "square",
        "queue": "gpu",
        "lane": LaneKey("gpu"),
        "input": {},
        "expires_at": now_us() + 3600 * SECOND,
        "trace": new_trace(),
        "estimate_s": 1.0,
        "max_failures": 3,
        **changes,
    }
    return store.jobs.submit(Submission(uuid7(), owner, (Draft(**values),), now_us())).jobs[0]


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Look often; fail when it does not come true."""
    pause = threading.Event()
    for _ in range(round(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come true in time")


def types(store: Stores, job: Job) -> list[str]:
    return [event.type.value for event in store.jobs.events_after(job.id, 0)]


class Held:
    """A render that goes on until it is let go or stopped."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        self.begun.set()
        while not self.go.is_set():
            if watch.wait(0.005):
                self.stopped.set()
                raise RenderCanceled
        return [output()]
