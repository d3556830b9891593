"""What every backend keeps, whatever it renders with.

Another backend joins by one more entry in `SUBJECTS`: a factory that yields a `Subject`.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from imagemill.backends.base import (
    Backend,
    Progress,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
)
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.fal.backend import FalBackend
from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec
from imagemill.domain.nodes import NodeConfig
from tests.backends.comfyui.support import settings, wait_well
from tests.backends.fal.support import Book
from tests.backends.fal.support import settings as fal_settings
from tests.comfyui.node import TestNode
from tests.fal_server import FalServer, Reply
from tests.fal_server.server import running

Properties = Mapping[str, Any]

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 2, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "contract"}},
}


@dataclass(frozen=True)
class Subject:
    """A backend under the contract, and how to make its renders slow or fail through job properties."""

    backend: Backend
    slow: Properties = field(default_factory=dict)
    """A render of at least 5 s."""
    stepwise: Properties = field(default_factory=dict)
    """A render that tells its steps."""
    failing: Mapping[FailureCode, Properties] = field(default_factory=dict)
    graphs: bool = True
    """Whether it renders graphs; else it refuses them."""
    formats: tuple[str, ...] = ("png", "jpeg", "webp")
    saves_png: bool = False
    """Whether it delivers PNG whatever is asked for, for the recipe to encode anew."""
    """Those it makes; it refuses others."""


@contextmanager
def simulator() -> Iterator[Subject]:
    backend = Simulator(SimulatorSettings())
    faults = {
        FailureCode.OUT_OF_MEMORY: "out_of_memory",
        FailureCode.MISSING_MODEL: "missing_model",
        FailureCode.MISSING_NODE: "missing_node",
        FailureCode.NODE_LOST: "crash",
        FailureCode.BACKEND_UNAVAILABLE: "server_error",
        FailureCode.BACKEND_REJECTED: "rejected",
        FailureCode.CONTENT_BLOCKED: "content",
    }
    yield Subject(
        backend,
        slow={"simulate": {"step_ms": 5_000}},
        stepwise={"simulate": {"step_ms": 1}},
        failing={code: {"simulate": fault} for code, fault in faults.items()},
    )
    backend.close()


class Hinted(ComfyUI):
    """ComfyUI takes no hints from a job: here they change the order or the node before it is sent."""

    def __init__(self, node: TestNode) -> None:
        super().__init__(settings(cancel_s=1.0))
        self.configure([NodeConfig("gpu-1", node.url)])
        self._node = node

    def send(self, request: RenderRequest) -> str:
        work = request.work
        match request.properties.get("make it"):
            case "slow":
                work = spec(steps=1000)
            case FailureCode.OUT_OF_MEMORY:
                self._node.behave(oom_times=2)
            case FailureCode.INVALID_GRAPH:
                self._node.behave(error_times=1)
            case FailureCode.BACKEND_UNAVAILABLE:
                self._node.answer("/prompt", "500", times=1, method="POST")
            case FailureCode.MISSING_MODEL:
                work = spec(model_path="absent.safetensors")
            case FailureCode.MISSING_NODE:
                work = GraphSpec({**GRAPH, "3": {"class_type": "Absent", "inputs": {}}})
            case _:
                pass
        return super().send(replace(request, work=work))


@contextmanager
def comfyui() -> Iterator[Subject]:
    codes = ("OUT_OF_MEMORY", "INVALID_GRAPH", "BACKEND_UNAVAILABLE", "MISSING_MODEL", "MISSING_NODE")
    with TestNode(models={"checkpoints": [spec().model_path]}, step_s=0.005) as node:
        backend = Hinted(node)
        wait_well(backend)
        yield Subject(
            backend,
            slow={"make it": "slow"},
            saves_png=True,
            failing={FailureCode[code]: {"make it": FailureCode[code]} for code in codes},
        )
        backend.close()


class ScriptedFal(FalBackend):
    """Hints of a job change how the server behaves before the request is sent."""

    def __init__(self, server: FalServer) -> None:
        super().__init__(fal_settings(server), Book())
        self._server = server

    def send(self, request: RenderRequest) -> str:
        self._server.behave()
        match request.properties.get("make it"):
            case "slow":
                self._server.behave(render_s=10.0)
            case "stepwise":
                self._server.behave(queue_s=0.05, render_s=0.3)
            case FailureCode.BACKEND_UNAVAILABLE:
                self._server.answer("submit", Reply(500))
            case FailureCode.BACKEND_REJECTED:
                self._server.answer("submit", Reply(422, [{"loc": ["body", "seed"], "msg": "is too odd"}]))
            case FailureCode.CONTENT_BLOCKED:
                self._server.behave(nsfw=True)
            case _:
                pass
        return super().send(request)


@contextmanager
def fal() -> Iterator[Subject]:
    codes = (FailureCode.BACKEND_UNAVAILABLE, FailureCode.BACKEND_REJECTED, FailureCode.CONTENT_BLOCKED)
    with running() as server:
        backend = ScriptedFal(server)
        yield Subject(
            backend,
            slow={"make it": "slow"},
            stepwise={"make it": "stepwise"},
            failing={code: {"make it": code} for code in codes},
            graphs=False,
            formats=("png", "jpeg"),
        )
        backend.close()


SUBJECTS: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
    "simulator": simulator,
    "comfyui": comfyui,
    "fal": fal,
}


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with SUBJECTS[request.param]() as built:
        yield built


@pytest.fixture
def backend(subject: Subject) -> Backend:
    return subject.backend


def spec(**changes: Any) -> ImageSpec:
    values: dict[str, Any] = {
        "prompt": "a red fox in the snow",
        "negative_prompt": "blurry",
        "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
        "model_path": "sd1/civitai/4384/128713.safetensors",
        "family": "sd1",
        "width": 64,
        "height": 64,
        "steps": 8,
        "cfg_scale": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
        "seed": 7,
    }
    return ImageSpec(**(values | changes))


def order(backend: Backend, work: ImageSpec | GraphSpec | None = None, **changes: Any) -> RenderRequest:
    values: dict[str, Any] = {
        "job_id": f"job-{uuid.uuid4()}",
        "attempt": 1,
        "reference": str(uuid.uuid4()),
        "node": backend.nodes()[0].name,
        "work": work or spec(),
        "timeout_s": 30.0,
    }
    return RenderRequest(**(values | changes))


def render(backend: Backend, asked: RenderRequest, watch: RenderControl | None = None) -> RenderResult:
    return backend.follow(asked, backend.send(asked), watch or RenderControl())


def test_nodes_tell_what_a_slot_needs_to_know(backend: Backend) -> None:
    nodes = backend.nodes()
    assert nodes
    assert len({node.name for node in nodes}) == len(nodes)
    for node in nodes:
        assert node.backend == backend.name
        assert node.slots >= 1
        assert node.queues
        assert all(model == model.lower() for model in node.loaded_models)


def test_a_request_it_can_do_is_not_refused(backend: Backend) -> None:
    assert backend.unsupported_reason(spec()) is None


@pytest.mark.parametrize("format", MEDIA_TYPES)
@pytest.mark.parametrize("count", [1, 3])
def test_outputs_have_the_count_size_and_media_type_asked_for(
    subject: Subject, format: str, count: int
) -> None:
    backend = subject.backend
    if format not in subject.formats:
        assert format in (backend.unsupported_reason(spec(format=format)) or "")
        return
    rendered = render(backend, order(backend, spec(width=72, height=40, count=count, format=format)))
    assert len(rendered.outputs) == count
    for output in rendered.outputs:
        assert output.media_type == MEDIA_TYPES["png" if subject.saves_png else format]
        picture = Image.open(BytesIO(output.data))
        picture.load()
        assert picture.size == (72, 40)


def test_each_output_tells_its_seed(backend: Backend) -> None:
    rendered = render(backend, order(backend, spec(seed=4_294_967_295, count=2)))
    assert [output.seed for output in rendered.outputs] == [4_294_967_295] * 2


def test_a_graph_is_rendered_as_it_stands_or_refused(subject: Subject) -> None:
    backend = subject.backend
    if not subject.graphs:
        assert "graph" in (backend.unsupported_reason(GraphSpec(GRAPH)) or "")
        return
    rendered = render(backend, order(backend, GraphSpec(GRAPH)))
    assert [Image.open(BytesIO(output.data)).size for output in rendered.outputs] == [(64, 48)] * 2


def test_a_graph_without_an_output_is_an_invalid_graph(backend: Backend) -> None:
    with pytest.raises(BackendError) as caught:
        render(backend, order(backend, GraphSpec({"1": GRAPH["1"]})))
    assert caught.value.failure is FailureCode.INVALID_GRAPH


def test_the_details_hold_what_was_sent_and_the_answer(subject: Subject) -> None:
    backend = subject.backend
    details = render(backend, order(backend)).details
    if not subject.graphs:
        assert details["requestId"]
        assert details["path"]
        return
    assert {node["class_type"] for node in details["prompt_request"].values()} >= {"KSampler", "SaveImage"}
    assert details["prompt_response"]


def test_progress_is_monotone_and_ends_complete(subject: Subject) -> None:
    told: list[Progress] = []
    render(subject.backend, order(subject.backend, properties=subject.stepwise), RenderControl(told.append))
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_stop_ends_a_running_render_promptly(subject: Subject) -> None:
    watch = RenderControl()
    asked = order(subject.backend, properties=subject.slow)
    reference = subject.backend.send(asked)
    threading.Timer(0.05, watch.stop).start()
    started = time.monotonic()
    with pytest.raises(RenderCanceled):
        subject.backend.follow(asked, reference, watch)
    assert time.monotonic() - started < 2.0


def test_a_stop_before_the_start_ends_it_too(subject: Subject) -> None:
    watch = RenderControl()
    watch.stop()
    with pytest.raises(RenderCanceled):
        render(subject.backend, order(subject.backend, properties=subject.slow), watch)


def test_a_stop_ends_a_render_that_waits_for_its_node(subject: Subject) -> None:
    backend, first, second = subject.backend, RenderControl(), RenderControl()
    running = order(backend, properties=subject.slow)
    ended = threading.Event()

    def hold() -> None:
        with pytest.raises(RenderCanceled):
            render(backend, running, first)
        ended.set()

    threading.Thread(target=hold, daemon=True).start()
    time.sleep(0.05)
    threading.Timer(0.05, second.stop).start()
    with pytest.raises(RenderCanceled):
        render(backend, order(backend), second)
    first.stop()
    assert ended.wait(2.0)


def test_a_node_goes_on_after_a_stopped_render(subject: Subject) -> None:
    watch = RenderControl()
    watch.stop()
    with pytest.raises(RenderCanceled):
        render(subject.backend, order(subject.backend, properties=subject.slow), watch)
    assert render(subject.backend, order(subject.backend)).outputs


def test_a_known_reference_is_attached_to_and_delivers_the_same(backend: Backend) -> None:
    asked = order(backend, spec(count=2))
    reference = backend.send(asked)
    assert backend.send(asked) == reference
    first = backend.follow(asked, reference, RenderControl())
    later = replace(asked, attempt=2, reference=reference)  # as the store has kept it
    assert backend.send(later) == reference
    assert backend.follow(later, reference, RenderControl()).outputs == first.outputs


def test_two_followers_of_one_reference_get_the_same(subject: Subject) -> None:
    backend = subject.backend
    asked = order(backend, properties=subject.stepwise)
    reference = backend.send(asked)
    results: list[RenderResult] = []
    followers = [
        threading.Thread(target=lambda: results.append(backend.follow(asked, reference, RenderControl())))
        for _ in range(2)
    ]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join(5.0)
    assert len(results) == 2
    assert results[0].outputs == results[1].outputs


def test_an_expected_failure_is_typed(subject: Subject) -> None:
    for code, properties in subject.failing.items():
        with pytest.raises(BackendError) as caught:
            render(subject.backend, order(subject.backend, properties=properties))
        assert caught.value.failure is code
        assert str(caught.value)


def test_a_render_that_takes_too_long_times_out(subject: Subject) -> None:
    with pytest.raises(BackendError) as caught:
        render(subject.backend, order(subject.backend, properties=subject.slow, timeout_s=0.05))
    assert caught.value.failure is FailureCode.TIMEOUT


def test_an_unknown_node_is_a_lost_node(backend: Backend) -> None:
    with pytest.raises(BackendError) as caught:
        render(backend, order(backend, node="nowhere"))
    assert caught.value.failure is FailureCode.NODE_LOST
