"""The contract of every backend, as tests that a plug-in's own tests inherit.

Subclass `BackendContract` in a test module, override the fixture ``subject``, and let pytest run it.
"""

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
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
    kind_run_by,
)
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, PageSpec, RenderSpec, TaskSpec, WorkerSpec, kind_of

_MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_GRAPH: Mapping[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 2, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "contract"}},
}
_MAX_SEED = 4_294_967_295
_STOP_S = 2.0
"""Seconds within which a stopped render ends."""


@dataclass(frozen=True)
class BackendSubject:
    """A backend under the contract, and its capabilities.

    A test of a capability that it does not have is skipped, or checks that the request is refused.
    """

    backend: Backend
    spec: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of `ImageSpec` that differ from the contract's, such as a model that the backend has."""
    pictures: bool = True
    """Whether it renders from an `ImageSpec`; otherwise it refuses one."""
    graphs: bool = False
    """Whether it renders ComfyUI graphs; otherwise it refuses one."""
    task: WorkerSpec | None = None
    """A task, or page work, that it runs and that delivers a file; None means that it runs none."""
    formats: tuple[str, ...] = ("png",)
    """The formats that it accepts, of png, jpeg and webp; it refuses the others."""
    saves_png: bool = False
    """Whether it delivers PNG whatever format is asked for."""
    most_pictures: int = 3
    """The most pictures of one render."""
    sizes: tuple[tuple[int, int], ...] = ((72, 40),)
    """Widths and heights to ask for."""
    details: frozenset[str] = frozenset()
    """Names of the details that every render returns."""
    attaches: bool = True
    """Whether a second `Backend.send` of one reference attaches to the first render."""
    slow: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Properties of a job whose render takes at least 5 s; empty if there are none."""
    stepwise: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Properties of a job whose render reports its steps."""
    failing: Mapping[FailureCode, Mapping[str, Any]] = field(
        default_factory=dict[FailureCode, Mapping[str, Any]]
    )
    """Properties of jobs that fail, by the code of the failure."""

    def image(self, **changes: Any) -> ImageSpec:
        """Return a small picture to render."""
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
        return ImageSpec(**(values | dict(self.spec) | changes))

    def order(self, work: RenderSpec | None = None, **changes: Any) -> RenderRequest:
        """Return a request for the first node."""
        if work is None:
            work = self.task or (self.image() if self.pictures else GraphSpec(_GRAPH))
        values: dict[str, Any] = {
            "job_id": f"job-{uuid.uuid4()}",
            "attempt": 1,
            "reference": str(uuid.uuid4()),
            "node": self.backend.nodes()[0].name,
            "work": work,
            "timeout_s": 30.0,
        }
        return RenderRequest(**(values | changes))

    def render(self, request: RenderRequest, control: RenderControl | None = None) -> RenderResult:
        return self.backend.follow(request, self.backend.send(request), control or RenderControl())


class BackendContract:
    """The promises that every backend keeps, whatever it renders with."""

    @pytest.fixture
    def subject(self) -> Any:
        """Override this: return or yield a `BackendSubject`."""
        pytest.fail("a subclass overrides this fixture with the backend that it tests")

    def test_nodes_are_complete_and_their_names_differ(self, subject: BackendSubject) -> None:
        nodes = subject.backend.nodes()
        assert nodes
        assert len({node.name for node in nodes}) == len(nodes)
        for node in nodes:
            assert node.backend == subject.backend.name
            assert node.slots >= 1
            assert node.queues
            assert all(model == model.lower() for model in node.loaded_models)

    def test_a_render_it_can_do_is_not_refused(self, subject: BackendSubject) -> None:
        if subject.pictures:
            assert subject.backend.unsupported_reason(subject.image()) is None
        else:
            assert subject.backend.unsupported_reason(subject.image())

    @pytest.mark.parametrize("format", sorted(_MEDIA_TYPES))
    def test_outputs_have_the_media_type_asked_for(self, subject: BackendSubject, format: str) -> None:
        _needs(subject.pictures)
        spec = subject.image(format=format)
        if format not in subject.formats:
            assert format in (subject.backend.unsupported_reason(spec) or "")
            return
        (output,) = subject.render(subject.order(spec)).outputs
        assert output.media_type == _MEDIA_TYPES["png" if subject.saves_png else format]
        assert Image.open(BytesIO(output.data)).size == (64, 64)

    def test_outputs_have_the_count_and_size_asked_for(self, subject: BackendSubject) -> None:
        _needs(subject.pictures)
        for (width, height), count in zip(subject.sizes, _alternating(subject.most_pictures), strict=False):
            rendered = subject.render(subject.order(subject.image(width=width, height=height, count=count)))
            assert [_size(output.data) for output in rendered.outputs] == [(width, height)] * count

    def test_each_output_has_its_seed(self, subject: BackendSubject) -> None:
        _needs(subject.pictures)
        count = min(2, subject.most_pictures)
        rendered = subject.render(subject.order(subject.image(seed=_MAX_SEED, count=count)))
        assert [output.seed for output in rendered.outputs] == [_MAX_SEED] * count

    def test_a_graph_is_rendered_unchanged_or_refused(self, subject: BackendSubject) -> None:
        if not subject.graphs:
            assert "graph" in (subject.backend.unsupported_reason(GraphSpec(_GRAPH)) or "")
            return
        rendered = subject.render(subject.order(GraphSpec(_GRAPH)))
        assert [_size(output.data) for output in rendered.outputs] == [(64, 48)] * 2

    def test_a_task_is_run_and_an_unknown_one_is_refused(self, subject: BackendSubject) -> None:
        if subject.task is None:
            pytest.skip("the backend runs no tasks, and is never asked for one")
        assert subject.backend.unsupported_reason(subject.task) is None
        assert "no-such-task" in (subject.backend.unsupported_reason(TaskSpec("no-such-task")) or "")
        assert subject.render(subject.order(subject.task)).outputs

    def test_the_work_of_another_kind_is_refused(self, subject: BackendSubject) -> None:
        kind = kind_run_by(subject.backend)
        for work in (TaskSpec("anotherTask"), PageSpec("anotherPage", dict)):
            if kind_of(work) != kind:
                assert subject.backend.unsupported_reason(work)

    def test_a_graph_without_an_output_is_an_invalid_graph(self, subject: BackendSubject) -> None:
        _needs(subject.graphs)
        with pytest.raises(BackendError) as caught:
            subject.render(subject.order(GraphSpec({"1": _GRAPH["1"]})))
        assert caught.value.failure is FailureCode.INVALID_GRAPH

    def test_a_render_returns_its_details(self, subject: BackendSubject) -> None:
        details = subject.render(subject.order()).details
        assert {name for name, value in details.items() if value} >= subject.details

    def test_progress_never_falls_and_ends_complete(self, subject: BackendSubject) -> None:
        seen: list[Progress] = []
        subject.render(subject.order(properties=subject.stepwise), RenderControl(seen.append))
        fractions = [progress.fraction for progress in seen]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0

    def test_a_stop_ends_a_running_render_promptly(self, subject: BackendSubject) -> None:
        _needs(subject.slow)
        control = RenderControl()
        request = subject.order(properties=subject.slow)
        reference = subject.backend.send(request)
        threading.Timer(0.05, control.stop).start()
        started = time.monotonic()
        with pytest.raises(RenderCanceled):
            subject.backend.follow(request, reference, control)
        assert time.monotonic() - started < _STOP_S

    def test_a_stop_before_the_start_ends_the_render(self, subject: BackendSubject) -> None:
        _needs(subject.slow)
        control = RenderControl()
        control.stop()
        with pytest.raises(RenderCanceled):
            subject.render(subject.order(properties=subject.slow), control)

    def test_a_stop_ends_a_render_that_waits_for_its_node(self, subject: BackendSubject) -> None:
        _needs(subject.slow)
        first, second = RenderControl(), RenderControl()
        running = subject.order(properties=subject.slow)
        ended = threading.Event()

        def hold() -> None:
            with pytest.raises(RenderCanceled):
                subject.render(running, first)
            ended.set()

        threading.Thread(target=hold, daemon=True).start()
        time.sleep(0.05)
        threading.Timer(0.05, second.stop).start()
        with pytest.raises(RenderCanceled):
            subject.render(subject.order(properties=subject.slow), second)
        first.stop()
        assert ended.wait(_STOP_S)

    def test_a_node_renders_again_after_a_stopped_render(self, subject: BackendSubject) -> None:
        _needs(subject.slow)
        control = RenderControl()
        control.stop()
        with pytest.raises(RenderCanceled):
            subject.render(subject.order(properties=subject.slow), control)
        assert subject.render(subject.order()).outputs

    def test_a_known_reference_is_attached_to_and_delivers_the_same(self, subject: BackendSubject) -> None:
        _needs(subject.attaches)
        request = subject.order()
        reference = subject.backend.send(request)
        assert subject.backend.send(request) == reference
        first = subject.backend.follow(request, reference, RenderControl())
        later = replace(request, attempt=2, reference=reference)  # as the database has kept it
        assert subject.backend.send(later) == reference
        assert subject.backend.follow(later, reference, RenderControl()).outputs == first.outputs

    def test_two_followers_of_one_reference_get_the_same(self, subject: BackendSubject) -> None:
        _needs(subject.attaches)
        request = subject.order(properties=subject.stepwise)
        reference = subject.backend.send(request)
        results: list[RenderResult] = []

        def follow() -> None:
            results.append(subject.backend.follow(request, reference, RenderControl()))

        followers = [threading.Thread(target=follow) for _ in range(2)]
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join(5.0)
        assert len(results) == 2
        assert results[0].outputs == results[1].outputs

    def test_an_expected_failure_is_typed(self, subject: BackendSubject) -> None:
        _needs(subject.failing)
        for code, properties in subject.failing.items():
            with pytest.raises(BackendError) as caught:
                subject.render(subject.order(properties=properties))
            assert caught.value.failure is code
            assert str(caught.value)

    def test_a_render_that_takes_too_long_times_out(self, subject: BackendSubject) -> None:
        _needs(subject.slow)
        with pytest.raises(BackendError) as caught:
            subject.render(subject.order(properties=subject.slow, timeout_s=0.05))
        assert caught.value.failure is FailureCode.TIMEOUT

    def test_an_unknown_node_is_a_lost_node(self, subject: BackendSubject) -> None:
        with pytest.raises(BackendError) as caught:
            subject.render(subject.order(node="nowhere"))
        assert caught.value.failure is FailureCode.NODE_LOST


def _needs(capability: object) -> None:
    if not capability:
        pytest.skip("the backend does not have this capability")


def _alternating(most: int) -> Iterator[int]:
    while True:
        yield most
        yield 1


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        return picture.size
