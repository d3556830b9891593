"""Which models nodes load now, by the running jobs in the database and their progress."""

from dataclasses import replace

import pytest

from imagemill.backends.base import Node, Progress
from imagemill.bootstrap.stores import Stores
from imagemill.domain.air import Resource, parse
from imagemill.domain.clock import SECOND
from imagemill.domain.placement import loads_model
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.families.availability import classes_of
from imagemill.graphs.families.table import built_in
from imagemill.graphs.node_models import NodeModels
from imagemill.jobs.hub import Hub
from imagemill.jobs.model_states import ModelLoad, is_family_unsupported, is_loaded, model_loads
from imagemill.jobs.store.heartbeat import Heartbeat
from imagemill.model_registry.names import InstalledModels
from imagemill.model_registry.registry import Registry
from tests.store.build import LEASE, T0, add, claim, succeed

MODEL = "urn:air:sdxl:checkpoint:civitai:101055@128078"
LOAD = ModelLoad(MODEL, "node-1", "job", T0, 20.0)


def hub(store: Stores) -> Hub:
    return Hub(store.jobs.progress_of, poll_s=1, most=10)


def test_a_job_on_a_node_without_its_model_loads_it_until_its_first_step(store: Stores):
    watching = hub(store)
    add(store, model=MODEL)
    taken = claim(store)
    (load,) = model_loads(store.jobs, watching, {})
    assert (load.model, load.node, load.job_id, load.started_at) == (MODEL, "node-1", taken.id, T0)
    watching.publish_progress(taken.id, Progress(0, 20))
    assert len(model_loads(store.jobs, watching, {})) == 1
    watching.publish_progress(taken.id, Progress(1, 20))
    assert model_loads(store.jobs, watching, {}) == []


def test_the_progress_of_another_process_is_read_from_the_log(store: Stores):
    add(store, model=MODEL)
    taken = claim(store)
    for step, loads in ((0, 1), (3, 0)):
        update = {"stage": "SENT_TO_COMFY", "step": step, "total": 20, "progress": step / 20}
        store.jobs.record_heartbeats([Heartbeat(taken, T0 + SECOND, T0 + LEASE, update)])
        assert len(model_loads(store.jobs, hub(store), {})) == loads


def test_a_job_on_a_node_with_its_model_loads_nothing(store: Stores):
    add(store, model=MODEL)
    claim(store, loaded_models=frozenset({MODEL}))
    assert model_loads(store.jobs, hub(store), {}) == []


def test_a_job_that_has_ended_loads_nothing(store: Stores):
    add(store, model=MODEL)
    succeed(store, claim(store))
    assert model_loads(store.jobs, hub(store), {}) == []


def test_the_rest_of_a_load_is_estimated_from_the_time_of_a_load():
    assert (LOAD.progress(T0 + 5 * SECOND), LOAD.eta_s(T0 + 5 * SECOND)) == (0.25, 15.0)
    assert (LOAD.progress(T0 + 50 * SECOND), LOAD.eta_s(T0 + 50 * SECOND)) == (0.99, 0.0)
    unknown = replace(LOAD, load_s=None)
    assert (unknown.progress(T0 + 5 * SECOND), unknown.eta_s(T0)) == (0.0, None)


@pytest.mark.parametrize(
    ("model", "air", "is_same"),
    [
        (MODEL, MODEL, True),
        (f"{MODEL}+77", MODEL, True),
        (MODEL, "urn:air:sdxl:checkpoint:civitai:101055@128079", False),
        ("file:sdxl/base.safetensors", MODEL, True),
        ("file:other.safetensors", MODEL, False),
        ("not an air", MODEL, False),
    ],
)
def test_a_load_belongs_to_a_resource(model: str, air: str, is_same: bool):
    resource = Resource(parse(air), {"fileName": "sdxl/base.safetensors"})
    assert replace(LOAD, model=model).is_of(resource) is is_same


def test_a_node_that_loads_a_model_does_not_have_it_yet():
    first, second = (
        Node(name, "comfyui", frozenset({"gpu"}), 1, loaded_models=frozenset({MODEL}))
        for name in ("node-1", "node-2")
    )
    assert not is_loaded(LOAD, [first], [LOAD])
    assert is_loaded(LOAD, [first, second], [LOAD])
    assert not is_loaded(LOAD, [first, replace(second, loaded_models=frozenset())], [LOAD])


@pytest.mark.parametrize(
    ("reason", "loads"),
    [
        (f"loads {MODEL}: 1 job waits for it (5 s), no other node serves it", True),
        (f"fairness: first in fair order and waits for 9 s (bound 5 s); loads {MODEL}", True),
        (f"next by fair share; {MODEL} is loaded", False),
        (f"loads {MODEL}9: 1 job waits for it (5 s), no other node serves it", False),
    ],
)
def test_the_reason_of_a_choice_says_whether_it_loads(reason: str, loads: bool):
    assert loads_model(reason, MODEL) is loads


@pytest.mark.parametrize(
    ("air", "base_model", "is_unsupported"),
    [
        (MODEL, None, False),
        ("urn:air:flux1:lora:civitai:1@2", None, False),
        ("urn:air:other:upscaler:civitai:1@2", None, False),
        ("urn:air:zimageturbo:checkpoint:civitai:1@2", None, False),
        ("urn:air:wanvideo22-ti2v-5b:checkpoint:civitai:1@2", None, False),
        ("urn:air:nosuchfamily:checkpoint:civitai:1@2", None, True),
        ("urn:air:nosuchfamily:lora:civitai:1@2", None, True),
        ("urn:air:other:checkpoint:civitai:1@2", None, True),
        ("urn:air:other:checkpoint:civitai:1@2", "Pony", False),
    ],
)
def test_a_family_without_a_graph_is_unsupported(
    store: Stores, air: str, base_model: str | None, is_unsupported: bool
):
    models = Registry(store.resources, strict=True, is_available=lambda key: False)
    models.add(Resource(parse(air), {"baseModel": base_model} if base_model else {}))
    assert is_family_unsupported(models.get(air), models.installed) is is_unsupported


@pytest.mark.parametrize(("lacks", "is_unsupported"), [("", False), ("ModelSamplingAuraFlow", True)])
def test_a_family_whose_graph_needs_a_class_that_no_node_has_is_unsupported(
    store: Stores, lacks: str, is_unsupported: bool
):
    match = built_in().find("zimageturbo")
    assert match is not None
    nodes = [
        NodeModels(name, Catalogue.read({each: {"input": {}} for each in classes}))
        for name, classes in {
            "new": {"KSampler", *classes_of(match.variant)} - {lacks},
            "old": {"KSampler"},
        }.items()
    ]
    installed = InstalledModels(lambda: nodes)
    models = Registry(store.resources, strict=True, is_available=lambda key: False, installed=installed)
    models.add(Resource(parse(air := "urn:air:zimageturbo:checkpoint:civitai:1@2")))
    assert is_family_unsupported(models.get(air), installed) is is_unsupported
