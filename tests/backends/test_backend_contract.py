"""All backends keep the contract that plug-ins are held to: `imagemill.testing.backends`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from imagemill.backends.base import Output, RenderControl, RenderRequest, RenderResult
from imagemill.backends.builtin.backend import Builtin
from imagemill.backends.builtin.calls import Task, TaskCall, TaskResult, TaskServices
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.fal.backend import FalBackend
from imagemill.backends.press.backend import Press
from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, PageSpec, TaskSpec
from imagemill.domain.nodes import NodeConfig
from imagemill.testing.backends import BackendContract, BackendSubject
from tests.backends.comfyui.support import settings, wait_well
from tests.backends.fal.support import Book
from tests.backends.fal.support import settings as fal_settings
from tests.comfyui.node import NEW, OLD, TestNode
from tests.fal_server import FalServer, Reply
from tests.fal_server.server import running
from tests.press.works import Fail, Hang, Pages, Rectangle
from tests.service.build import png as make_png

MODEL_PATH = "sd1/civitai/4384/128713.safetensors"
GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 2, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "contract"}},
    "3": {"class_type": "Absent", "inputs": {}},
}


@contextmanager
def simulator() -> Iterator[BackendSubject]:
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
    yield BackendSubject(
        backend,
        slow={"simulate": {"step_ms": 5_000}},
        stepwise={"simulate": {"step_ms": 1}},
        failing={code: {"simulate": fault} for code, fault in faults.items()},
        graphs=True,
        formats=("png", "jpeg", "webp"),
        sizes=((72, 40), (64, 96)),
        details=frozenset({"prompt_request", "prompt_response"}),
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
                work = replace(work, steps=1000)
            case FailureCode.OUT_OF_MEMORY:
                self._node.behave(oom_times=2)
            case FailureCode.INVALID_GRAPH:
                self._node.behave(error_times=1)
            case FailureCode.BACKEND_UNAVAILABLE:
                self._node.answer("/prompt", "500", times=1, method="POST")
            case FailureCode.MISSING_MODEL:
                work = replace(work, model_path="absent.safetensors")
            case FailureCode.MISSING_NODE:
                work = GraphSpec(GRAPH)
            case _:
                pass
        return super().send(replace(request, work=work))


@contextmanager
def comfyui(version: str) -> Iterator[BackendSubject]:
    codes = ("OUT_OF_MEMORY", "INVALID_GRAPH", "BACKEND_UNAVAILABLE", "MISSING_MODEL", "MISSING_NODE")
    with TestNode(version, models={"checkpoints": [MODEL_PATH]}, step_s=0.005) as node:
        backend = Hinted(node)
        wait_well(backend)
        yield BackendSubject(
            backend,
            slow={"make it": "slow"},
            graphs=True,
            formats=("png", "jpeg", "webp"),
            saves_png=True,
            sizes=((72, 40), (64, 96)),
            details=frozenset({"prompt_request", "prompt_response"}),
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
def fal() -> Iterator[BackendSubject]:
    codes = (FailureCode.BACKEND_UNAVAILABLE, FailureCode.BACKEND_REJECTED, FailureCode.CONTENT_BLOCKED)
    with running() as server:
        backend = ScriptedFal(server)
        yield BackendSubject(
            backend,
            slow={"make it": "slow"},
            stepwise={"make it": "stepwise"},
            failing={code: {"make it": code} for code in codes},
            formats=("png", "jpeg"),
            sizes=((72, 40), (64, 96)),
            details=frozenset({"requestId", "path"}),
        )
        backend.close()


class ScriptedTasks(Builtin):
    """Hints of a job name a task of the tests instead of its own."""

    def send(self, request: RenderRequest) -> str:
        return super().send(self._scripted(request))

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        return super().follow(self._scripted(request), reference, control)

    def _scripted(self, request: RenderRequest) -> RenderRequest:
        task = request.properties.get("task")
        return request if task is None else replace(request, work=TaskSpec(task))


def make_square(call: TaskCall) -> TaskResult:
    return TaskResult((Output(make_png(64, 48), "image/png"),))


def fail(code: FailureCode) -> Task:
    def run(call: TaskCall) -> TaskResult:
        raise BackendError(code, "as the test asks")

    return Task(run)


@contextmanager
def builtin() -> Iterator[BackendSubject]:
    over = threading.Event()

    def hang(call: TaskCall) -> TaskResult:
        over.wait(30)
        return TaskResult()

    codes = (FailureCode.BACKEND_UNAVAILABLE, FailureCode.BACKEND_REJECTED, FailureCode.BAD_INPUT)
    failing: dict[str, Task] = {code.value: fail(code) for code in codes}

    def unused(*_: Any) -> Any:
        raise AssertionError("these tasks use no service")

    tasks = {"square": Task(make_square), "hang": Task(hang), **failing}
    yield BackendSubject(
        ScriptedTasks(TaskServices(unused, unused), tasks=tasks),
        pictures=False,
        task=TaskSpec("square"),
        attaches=False,
        slow={"task": "hang"},
        failing={code: {"task": code.value} for code in codes},
        details=frozenset({"task"}),
    )
    over.set()


class ScriptedPress(Press):
    """The press with the work that a job's properties name."""

    def send(self, request: RenderRequest) -> str:
        return super().send(self._scripted(request))

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        return super().follow(self._scripted(request), reference, control)

    def _scripted(self, request: RenderRequest) -> RenderRequest:
        work = request.properties.get("work")
        return request if work is None else replace(request, work=PageSpec("contract", work))


@contextmanager
def press() -> Iterator[BackendSubject]:
    codes = (FailureCode.BACKEND_UNAVAILABLE, FailureCode.BACKEND_REJECTED, FailureCode.BAD_INPUT)
    press = ScriptedPress(1)
    yield BackendSubject(
        press,
        pictures=False,
        task=PageSpec("contract", Rectangle()),
        attaches=False,
        slow={"work": Hang()},
        stepwise={"work": Pages(3)},
        failing={code: {"work": Fail(code.value)} for code in codes},
        details=frozenset({"work"}),
    )
    press.close()


class TestPress(BackendContract):
    @pytest.fixture
    def subject(self) -> Iterator[BackendSubject]:
        with press() as subject:
            yield subject


class TestBuiltin(BackendContract):
    @pytest.fixture
    def subject(self) -> Iterator[BackendSubject]:
        with builtin() as subject:
            yield subject


class TestSimulator(BackendContract):
    @pytest.fixture
    def subject(self) -> Iterator[BackendSubject]:
        with simulator() as subject:
            yield subject


class TestComfyUI(BackendContract):
    """The older release lacks the routes of jobs; the newer one has them."""

    @pytest.fixture(params=[NEW, OLD])
    def subject(self, request: pytest.FixtureRequest) -> Iterator[BackendSubject]:
        with comfyui(request.param) as subject:
            yield subject


class TestFal(BackendContract):
    @pytest.fixture
    def subject(self) -> Iterator[BackendSubject]:
        with fal() as subject:
            yield subject

    def test_a_graph_without_an_output_is_an_invalid_graph(self, subject: BackendSubject) -> None:
        """It takes no graphs at all, so that a graph which reaches it is invalid, too."""
        with pytest.raises(BackendError) as caught:
            subject.render(subject.order(GraphSpec(GRAPH)))
        assert caught.value.failure is FailureCode.INVALID_GRAPH
