"""Jobs of several models on simulated nodes that take time to load, through real slots."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.bootstrap.stores import Stores
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.domain.images import ImageSpec
from imagemill.domain.jobs import JobStatus, LaneKey
from imagemill.jobs.runner import Runner
from imagemill.jobs.store.queries import Filter
from imagemill.recipes.base import Plan
from tests.service.build import MemoryBlobs, Square, add, hub, recipe, run_settings, wait_until

STEPS = 4
FOX = ImageSpec("a red fox", "", "", "m.safetensors", "sd1", 64, 64, STEPS, 7.0, "euler", "normal", 1)
MODELS = tuple(f"urn:air:sd1:checkpoint:civitai:{number}@1" for number in (1, 2, 3))


def plan(wanted: Square) -> Plan:
    return Plan(replace(FOX, model=wanted.model), 1, (64, 64))


def loads_of(store: Stores, nodes: int, slots: int, models: list[str]) -> int:
    """Run a job for each of these models to its end; how many loads that took."""
    simulator = Simulator(SimulatorSettings(nodes=nodes, slots=slots, step_ms=5, load_ms=60))
    jobs = [
        add(store, owner=f"owner-{number % 4}", lane=LaneKey("gpu", model), input={"model": model},
            recipe="fox", estimate_s=0.02)
        for number, model in enumerate(models)
    ]  # fmt: skip
    hub_ = hub(store)
    recipes = {"fox": replace(recipe(), name="fox", plan=plan)}
    blobs = MemoryBlobs()
    runner = Runner(store.jobs, recipes, {"simulator": simulator}, blobs, blobs.get, hub_, *run_settings())
    dispatcher = InlineDispatcher(
        runner.run_all, {"simulator": simulator}, worker="w", queues=None, heads=store.jobs.heads, poll_s=0.02
    )  # fmt: skip
    dispatcher.start()
    try:
        wait_until(lambda: all(store.jobs.job(job.id).status.is_terminal for job in jobs), 30.0)
    finally:
        dispatcher.close()
        runner.close(5.0)
        simulator.close()
    assert {store.jobs.job(job.id).status for job in jobs} == {JobStatus.SUCCEEDED}
    return sum(stats.loads for stats in simulator.stats().values())


@pytest.mark.parametrize("slots", [1, 2])
def test_a_node_works_off_one_model_before_it_loads_the_next(store: Stores, slots: int):
    models = [MODELS[number % 3] for number in range(30)]
    assert loads_of(store, 1, slots, models) == 3


def test_nodes_part_the_models_between_them(store: Stores):
    random = Random(7)
    models = [random.choice(MODELS) for _ in range(60)]
    changes = sum(first != second for first, second in pairwise(models))
    loads = loads_of(store, 2, 2, models)
    assert len(set(models)) <= loads <= 8 < changes / 4


def test_the_reasons_of_jobs_say_why_they_are_on_their_node(store: Stores):
    loads_of(store, 1, 1, [MODELS[0]] * 3)
    jobs = [store.jobs.list_jobs(Filter(f"owner-{number}"))[0] for number in range(3)]
    assert sorted(job.reason or "" for job in jobs) == [
        f"loads {MODELS[0]}: 3 jobs wait for it (0 s), no other node serves it",
        f"next by fair share; {MODELS[0]} is loaded",
        f"next by fair share; {MODELS[0]} is loaded",
    ]
