"""The simulator's nodes: what is loaded, how long it takes, who waits, and what a graph asks for."""

import subprocess
import sys
import threading
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from imagemill.backends.base import Progress, RenderCanceled, RenderControl, RenderRequest, RenderResult
from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.request_graphs import request_of
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, RenderSpec
from tests.backends.simulated import VirtualTime, simulated

SD1 = "urn:air:sd1:checkpoint:civitai:4384@128713"
SDXL = "urn:air:sdxl:checkpoint:civitai:101055@128078"
FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"
FOX = ImageSpec("a red fox", "", SD1, "sd1.safetensors", "sd1", 64, 64, 8, 7.0, "euler", "normal", 1)


def order(work: RenderSpec = FOX, job: str = "job", **changes: Any) -> RenderRequest:
    values: dict[str, Any] = {"attempt": 1, "reference": job, "node": "sim-1", "timeout_s": 600.0}
    return RenderRequest(job_id=job, work=work, **(values | changes))


def render(simulator: Simulator, asked: RenderRequest, watch: RenderControl | None = None) -> RenderResult:
    return simulator.follow(asked, simulator.send(asked), watch or RenderControl())


def render_models(simulator: Simulator, *models: str) -> list[bool]:
    """Whether each had to be loaded."""
    return [
        render(simulator, order(replace(FOX, model=model), job=f"{number}")).details["loaded"]
        for number, model in enumerate(models)
    ]


def test_settings_are_read_without_loading_pillow() -> None:
    code = (
        "import sys, imagemill.backends.simulator.settings as s; s.SimulatorSettings();"
        "sys.exit('PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "wrong",
    [{"nodes": 0}, {"slots": 0}, {"jitter": 1.5}, {"step_ms": -1}, {"resident_models": 0}, {"gpus": 4}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SimulatorSettings(**wrong)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in SimulatorSettings.model_fields.values())


def test_nodes_are_numbered_and_told_apart_by_suffix() -> None:
    simulator = Simulator(
        SimulatorSettings(nodes=2, slots=3, labels=("fast",), memory_mb=8192), name="sim", suffix="ab"
    )
    first, second = simulator.nodes()
    assert (first.name, second.name) == ("sim-1.ab", "sim-2.ab")
    assert (first.backend, first.slots, first.memory_mb) == ("sim", 3, 8192)
    assert (first.queues, first.labels) == ({"gpu"}, {"fast"})
    assert (first.loaded_models, first.available) == (frozenset(), None)


def test_a_node_lists_the_models_it_has() -> None:
    simulator = simulated(models=(SD1, SDXL.upper()))
    assert simulator.nodes()[0].available == {SD1, SDXL}
    assert simulator.unsupported_reason(FOX) is None
    assert simulator.unsupported_reason(replace(FOX, model=SD1.upper())) is None


def test_an_absent_model_is_refused_with_those_present() -> None:
    simulator = simulated(models=(SD1,))
    work = replace(FOX, model=SDXL)
    assert simulator.unsupported_reason(work) == f"{SDXL} is on no simulated node; present: {SD1}"
    with pytest.raises(BackendError, match="on no simulated node") as caught:
        render(simulator, order(work))
    assert caught.value.failure is FailureCode.MISSING_MODEL


def test_a_graphs_checkpoint_is_known_by_its_file_too() -> None:
    simulator = simulated(models=(SD1,))
    file = "sd1/civitai/4384/128713.safetensors"
    assert simulator.unsupported_reason(GraphSpec({}, models=(file,))) is None
    assert simulator.unsupported_reason(GraphSpec({}, models=("other.safetensors",))) is not None
    render(simulator, order(GraphSpec(request_of(replace(FOX, model_path=file)), models=(file,))))
    assert simulator.nodes()[0].loaded_models == {SD1}


def test_a_model_is_loaded_once_while_it_stays() -> None:
    simulator = simulated()
    assert render_models(simulator, SD1, SD1.upper(), SD1) == [True, False, False]
    assert simulator.nodes()[0].loaded_models == {SD1}


def test_one_resident_model_makes_room_for_the_next() -> None:
    assert render_models(simulated(), SD1, SDXL, SD1) == [True, True, True]


def test_the_least_recently_used_model_goes_first() -> None:
    simulator = simulated(resident_models=2)
    assert render_models(simulator, SD1, SDXL, SD1, FLUX, SD1, SDXL) == [True, True, False, True, False, True]
    assert simulator.nodes()[0].loaded_models == {SD1, SDXL}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([SD1, SDXL, FLUX, "a", "b"]), max_size=25), st.integers(1, 4))
def test_loads_are_those_of_a_least_recently_used_cache(models: list[str], room: int) -> None:
    kept: list[str] = []
    expected: list[bool] = []
    for model in models:
        expected.append(model not in kept)
        kept = [*[other for other in kept if other != model], model][-room:]
    simulator = simulated(resident_models=room)
    assert render_models(simulator, *models) == expected
    assert simulator.nodes()[0].loaded_models == set(kept)
    assert simulator.stats()["sim-1"].loads == sum(expected)


def test_nodes_load_for_themselves() -> None:
    simulator = simulated(nodes=2)
    render(simulator, order(job="a"))
    render(simulator, order(job="b", node="sim-2"))
    assert {name: stats.loads for name, stats in simulator.stats().items()} == {"sim-1": 1, "sim-2": 1}


def test_time_is_a_load_and_the_steps() -> None:
    time = VirtualTime()
    simulator = simulated(time, step_ms=50, load_ms=1_000)
    render(simulator, order(job="a"))
    assert time.now == pytest.approx(1.4)
    render(simulator, order(job="b"))
    assert time.now == pytest.approx(1.8)
    stats = simulator.stats()["sim-1"]
    assert (stats.loads, stats.renders, round(stats.busy_s, 6)) == (1, 2, 1.8)


def test_a_job_may_bring_its_own_times() -> None:
    time = VirtualTime()
    hint = {"simulate": {"step_ms": 10, "load_ms": 500}}
    render(simulated(time, step_ms=1_000, load_ms=9_000), order(properties=hint))
    assert time.now == pytest.approx(0.58)


def test_a_failed_render_was_busy_but_is_no_render() -> None:
    simulator = simulated(step_ms=100)
    with pytest.raises(BackendError):
        render(simulator, order(properties={"simulate": "crash"}))
    stats = simulator.stats()["sim-1"]
    assert (stats.loads, stats.renders, round(stats.busy_s, 6)) == (1, 0, 0.4)


def test_jitter_is_the_same_for_the_same_seed_job_and_attempt() -> None:
    def taken(job: str, attempt: int = 1, seed: int = 5) -> float:
        time = VirtualTime()
        render(simulated(time, step_ms=100, jitter=0.5, seed=seed), order(job=job, attempt=attempt))
        return time.now

    assert taken("a") == taken("a")
    assert len({taken("a"), taken("b"), taken("a", attempt=2), taken("a", seed=6)}) == 4
    assert all(0.4 <= taken(f"{number}") <= 1.2 for number in range(20))


def test_progress_is_told_for_every_step() -> None:
    told: list[Progress] = []
    render(simulated(step_ms=10, load_ms=10), order(), RenderControl(told.append))
    assert [(each.step, each.total) for each in told] == [(step, 8) for step in range(9)]
    assert told[0].note == f"loads {SD1}"


def test_an_instant_render_tells_the_last_step_only() -> None:
    told: list[Progress] = []
    render(simulated(), order(), RenderControl(told.append))
    assert told == [Progress(8, 8, note="samples")]


@pytest.mark.parametrize("steps", [1, 8, 20, 21, 150])
def test_there_are_some_previews_and_at_most_twenty(steps: int) -> None:
    told: list[Progress] = []
    render(simulated(step_ms=10), order(replace(FOX, steps=steps)), RenderControl(told.append))
    previews = [each.preview for each in told if each.preview]
    assert 1 <= len(previews) <= 20
    assert Image.open(BytesIO(previews[0])).format == "JPEG"


def test_previews_can_be_turned_off() -> None:
    told: list[Progress] = []
    render(simulated(step_ms=10, previews=False), order(), RenderControl(told.append))
    assert not any(each.preview for each in told)


def test_a_stop_between_two_steps_is_obeyed_at_the_next() -> None:
    time, told = VirtualTime(), list[Progress]()

    def stop_at_three(progress: Progress) -> None:
        told.append(progress)
        if progress.step == 3:
            watch.stop()

    watch = RenderControl(stop_at_three)
    with pytest.raises(RenderCanceled):
        render(simulated(time, step_ms=100), order(), watch)
    assert told[-1].step == 3


def test_the_time_allowed_ends_a_render() -> None:
    time = VirtualTime()
    with pytest.raises(BackendError, match=r"not finished after 0\.25 s") as caught:
        render(simulated(time, step_ms=100), order(timeout_s=0.25))
    assert caught.value.failure is FailureCode.TIMEOUT
    assert time.now == pytest.approx(0.25)


def test_a_node_renders_one_order_at_a_time_in_the_order_they_came() -> None:
    simulator = Simulator(SimulatorSettings(slots=3, step_ms=1))
    running: set[str] = set()
    most, ended = list[int](), list[str]()

    def follow(job: str) -> None:
        def told(progress: Progress) -> None:
            running.add(job)
            most.append(len(running))
            if progress.step == progress.total:
                running.discard(job)

        render(simulator, order(job=job), RenderControl(told))
        ended.append(job)

    threads = [threading.Thread(target=follow, args=(f"{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == ["0", "1", "2"]
    assert max(most) == 1


def test_an_attached_reference_is_not_rendered_again() -> None:
    simulator = simulated(step_ms=10)
    first = render(simulator, order())
    told: list[Progress] = []
    again = render(simulator, order(), RenderControl(told.append))
    assert again.outputs == first.outputs
    assert told == []
    assert simulator.stats()["sim-1"].renders == 1


def test_a_failed_reference_starts_anew_when_it_is_sent_again() -> None:
    simulator = simulated(step_ms=100)
    with pytest.raises(BackendError):
        render(simulator, order(timeout_s=0.1))
    assert render(simulator, order()).outputs
    assert simulator.stats()["sim-1"].renders == 1


def test_old_references_are_forgotten() -> None:
    simulator = simulated()
    for number in range(257):
        render(simulator, order(job=f"{number}"))
    with pytest.raises(BackendError, match="the render 0 is not known") as caught:
        simulator.follow(order(job="0"), "0", RenderControl())
    assert caught.value.failure is FailureCode.NODE_LOST
    assert simulator.follow(order(job="1"), "1", RenderControl()).outputs


def test_a_closed_simulator_knows_no_reference() -> None:
    simulator = simulated()
    reference = simulator.send(order())
    simulator.close()
    with pytest.raises(BackendError):
        simulator.follow(order(), reference, RenderControl())


@pytest.mark.parametrize(
    "wrong",
    [{"format": "gif"}, {"width": 0}, {"height": 100_000}, {"count": 0}, {"background": "green"}],
)
def test_what_cannot_be_painted_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(BackendError) as caught:
        render(simulated(), order(replace(FOX, **wrong)))
    assert caught.value.failure is FailureCode.BACKEND_REJECTED


def test_the_details_tell_graph_answer_and_load() -> None:
    details = render(simulated(), order(replace(FOX, count=2))).details
    assert details["prompt_request"] == request_of(replace(FOX, count=2))
    assert details["prompt_response"] == {"prompt_id": "job", "outputs": 2, "node_errors": {}}
    assert (details["node"], details["loads"], details["loaded"]) == ("sim-1", 1, True)


# Renders that take no time


def at_once(simulator: Simulator, asked: RenderRequest) -> RenderResult | None:
    return simulator.follow_at_once(asked, simulator.send(asked), RenderControl())


def test_a_small_picture_without_simulated_time_is_made_at_once() -> None:
    now, later = at_once(simulated(), order()), render(simulated(), order())
    assert now is not None
    assert now.outputs == later.outputs
    assert now.details["loaded"] is True


@pytest.mark.parametrize(
    ("settings", "work"),
    [
        ({"step_ms": 1.0}, FOX),
        ({"load_ms": 1.0}, FOX),
        ({}, replace(FOX, width=512, height=512)),
        ({}, replace(FOX, width=256, height=256, count=2)),
    ],
)
def test_what_takes_time_is_left_to_a_thread_that_follows_it(
    settings: dict[str, Any], work: RenderSpec
) -> None:
    simulator = simulated(**settings)
    assert at_once(simulator, order(work)) is None
    assert render(simulator, order(work)).outputs


def test_a_model_that_is_loaded_takes_no_time() -> None:
    simulator = simulated(load_ms=1.0)
    assert at_once(simulator, order(job="first")) is None
    render(simulator, order(job="first"))
    assert at_once(simulator, order(job="second")) is not None


@pytest.mark.parametrize(
    "hint", [{"fault": "hang"}, {"fault": "slow_load"}, {"fault": "crash"}, {"step_ms": 5}]
)
def test_a_job_that_asks_for_time_or_faults_is_not_made_at_once(hint: dict[str, Any]) -> None:
    assert at_once(simulated(), order(properties={"simulate": hint})) is None


def test_nothing_waits_for_a_node_that_renders() -> None:
    simulator = Simulator(SimulatorSettings(slots=2))
    begun, watch = threading.Event(), RenderControl(lambda _: begun.set())
    slow = order(job="slow", properties={"simulate": {"step_ms": 60_000}})
    control = RenderControl()

    def follow() -> None:
        with pytest.raises(RenderCanceled):
            simulator.follow(slow, simulator.send(slow), control)

    thread = threading.Thread(target=follow)
    thread.start()
    while not simulator._nodes["sim-1"].lock._taken:  # pyright: ignore[reportPrivateUsage]
        begun.wait(0.005)
    assert simulator.follow_at_once(order(), simulator.send(order()), watch) is None
    control.stop()
    thread.join(30)
    assert simulator.follow_at_once(order(), simulator.send(order()), watch) is not None


def test_a_render_that_was_stopped_is_not_made_at_once() -> None:
    simulator, control = simulated(), RenderControl()
    control.stop()
    with pytest.raises(RenderCanceled):
        simulator.follow_at_once(order(), simulator.send(order()), control)
    assert at_once(simulator, order()) is not None


def test_a_finished_render_is_not_made_again_at_once() -> None:
    simulator = simulated()
    assert at_once(simulator, order()) is not None
    assert at_once(simulator, order()) is None
    assert render(simulator, order()).outputs
