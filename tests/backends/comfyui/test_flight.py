"""What the events of a prompt add up to."""

from typing import Any

import pytest

from imagemill.backends.comfyui.events import Cached, Executed, Executing, Frame, PromptEnded, Started, Step
from imagemill.backends.comfyui.prompt import PROGRESS_S, PromptRun, outline_of

P = "prompt"

TWO_SAMPLERS: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"steps": 6}, "_meta": {"title": "First pass"}},
    "5": {"class_type": "BasicScheduler", "inputs": {"steps": 4}},
    "6": {"class_type": "SamplerCustomAdvanced", "inputs": {"sigmas": ["5", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {}},
}


def flight(graph: dict[str, Any] | None = None, *, previews: bool = True) -> PromptRun:
    graph = graph or TWO_SAMPLERS
    return PromptRun(P, graph, outline_of(graph), frozenset(), previews, sent_at=0.0)


def test_steps_are_counted_over_all_samplers() -> None:
    prompt = flight()
    prompt.apply(Step(P, "3", 6, 6), 1.0)
    prompt.apply(Step(P, "6", 1, 4), 2.0)
    progress = prompt.progress()
    assert (progress.step, progress.total, progress.fraction) == (7, 10, 0.7)


def test_the_note_is_the_title_of_the_node_at_work_or_its_class() -> None:
    prompt = flight()
    prompt.apply(Executing(P, "3"), 1.0)
    assert prompt.progress().note == "First pass"
    prompt.apply(Executing(P, "9"), 1.0)
    assert prompt.progress().note == "SaveImage"


def test_a_cached_sampler_counts_as_done() -> None:
    prompt = flight()
    prompt.apply(Cached(P, ("3", "5")), 1.0)
    assert prompt.progress().step == 6


def test_a_graph_without_a_sampler_counts_whatever_tells_steps() -> None:
    prompt = flight({"1": {"class_type": "ImageUpscaleWithModel", "inputs": {}}})
    prompt.apply(Step(P, "1", 2, 8), 1.0)
    assert prompt.progress().fraction == 0.25


def test_the_first_sign_of_work_starts_its_clock_and_later_ones_do_not() -> None:
    prompt = flight()
    prompt.apply(Executing(P, "3"), 5.0)
    prompt.apply(Started(P), 9.0)
    assert prompt.started_at == 5.0


def test_only_an_executing_without_a_node_says_that_the_history_is_written() -> None:
    prompt = flight()
    prompt.apply(PromptEnded(P), 1.0)
    assert (prompt.ends, prompt.ending) == (0, True)
    prompt.apply(Executing(P, None), 1.0)
    assert prompt.ends == 1


def test_a_preview_is_given_once() -> None:
    prompt = flight()
    prompt.apply(Frame(b"jpeg", "image/jpeg", "3", P), 1.0)
    assert prompt.progress().preview == b"jpeg"
    assert prompt.progress().preview is None


def test_previews_nobody_asked_for_are_not_kept() -> None:
    prompt = flight(previews=False)
    prompt.apply(Frame(b"jpeg", "image/jpeg", "3", P), 1.0)
    assert prompt.progress().preview is None


@pytest.mark.parametrize("picture_first", [True, False])
def test_pictures_sent_over_the_socket_are_all_kept_in_order(picture_first: bool) -> None:
    prompt = flight({"2": {"class_type": "SaveImageWebsocket", "inputs": {}}})
    prompt.apply(Executing(P, "2"), 1.0)
    for value, data in enumerate((b"first", b"second", b"second")):
        pair = [Frame(data, "image/png", "2", P), Step(P, "2", value, 3)]
        for event in pair if picture_first else reversed(pair):
            prompt.apply(event, 1.0)
    assert prompt.frames == {"2": [b"first", b"second", b"second"]}


def test_a_prompt_sent_again_begins_anew() -> None:
    prompt = flight()
    prompt.apply(Step(P, "3", 6, 6), 1.0)
    prompt.restart(TWO_SAMPLERS, 8.0)
    assert prompt.started_at is None
    assert prompt.progress().step == 0


def test_the_load_grows_with_steps_and_pixels() -> None:
    def load(steps: int, side: int) -> float:
        latent = {"class_type": "EmptyLatentImage", "inputs": {"width": side, "height": side}}
        return outline_of({"1": latent, "2": {"class_type": "KSampler", "inputs": {"steps": steps}}}).load

    assert load(20, 1024) == 20.0
    assert load(40, 512) == 10.0


def test_the_load_counts_batches_and_steps_that_nodes_hold() -> None:
    def node(class_type: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": class_type, "inputs": inputs}

    graph = {
        "1": node("EmptyLatentImage", width=1024, height="1024", batch_size=["8", 0]),
        "2": node("RepeatLatentBatch", samples=["1", 0], amount=3),
        "3": node("KSampler", latent_image=["2", 0], steps=["9", 0]),
        "4": node("SaveImage", images=["3", 0]),
        "8": node("PrimitiveInt", value=4),
        "9": node("PrimitiveInt", value=5),
    }
    assert outline_of(graph).load == 60.0


def test_a_layout_survives_nodes_of_any_shape() -> None:
    layout = outline_of({"1": None, "2": {"class_type": "KSampler", "inputs": {"sigmas": ["9", 0]}}, "3": []})
    assert layout.steps == {}


def test_each_node_has_the_time_until_the_next_one_began() -> None:
    prompt = flight()
    prompt.apply(Started(P), 1.0)
    prompt.apply(Cached(P, ("5",)), 1.0)
    prompt.apply(Executing(P, "3"), 1.5)
    prompt.apply(Step(P, "3", 3, 6), 2.0)
    prompt.apply(Executing(P, "6"), 4.0)
    prompt.apply(Executing(P, "9"), 4.5)
    prompt.apply(Executing(P, "6"), 5.0)
    prompt.apply(PromptEnded(P), 5.25)

    times = {"3": [500.0, 2500.0], "6": [3000.0, 750.0], "9": [3500.0, 500.0]}
    assert prompt.times.details(1.0) == {"graphTimes": {"nodes": times, "cached": ["5"]}}
    prompt.restart(TWO_SAMPLERS, 6.0)
    assert prompt.times.details(6.0) == {}


def test_many_events_wake_a_follower_once_in_a_while_and_the_end_at_once() -> None:
    prompt = flight()
    waits = [prompt.apply(Step(P, "3", step, 6), step * 0.01) for step in (1, 2, 3)]
    assert waits == [pytest.approx(PROGRESS_S - 0.01), None, None]
    assert prompt.version == 0
    prompt.show(PROGRESS_S)
    assert prompt.version == 1
    assert prompt.apply(Step(P, "3", 4, 6), 3 * PROGRESS_S) is None
    assert prompt.version == 2
    assert prompt.apply(PromptEnded(P, succeeded=True), 3 * PROGRESS_S + 0.01) is None
    assert prompt.version == 3


def test_the_outputs_are_known_by_events_once_all_output_nodes_and_the_success_were_reported() -> None:
    prompt = flight()
    prompt.output_nodes = frozenset({"9", "10"})
    image = {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}
    prompt.apply(PromptEnded(P, succeeded=True), 1.0)
    prompt.apply(Executed(P, "9", image), 1.0)
    assert prompt.outputs() is None
    prompt.apply(Executed(P, "10", None), 1.0)
    assert prompt.outputs() == {"9": image}
    prompt.restart(prompt.graph, 2.0)
    assert prompt.outputs() is None


def test_the_outputs_of_a_failed_prompt_and_of_unknown_output_nodes_are_not_known_by_events() -> None:
    prompt = flight()
    prompt.apply(PromptEnded(P, succeeded=True), 1.0)
    assert prompt.outputs() is None
    prompt = flight()
    prompt.output_nodes = frozenset()
    prompt.apply(PromptEnded(P), 1.0)
    assert prompt.outputs() is None
