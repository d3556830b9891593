"""What may be used in a job, and what a short form means."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.air import Resource, parse
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.model_registry.registry import SEED, Registry
from tests.store.build import in_threads

CHECKPOINT = "urn:air:sdxl:checkpoint:civitai:101055@128078"
LORA = "urn:air:sd1:lora:civitai:82098@87153"


def registry(store: Stores, *, strict: bool = True, available: bool = False) -> Registry:
    return Registry(store.resources, strict=strict, is_available=lambda key: available)


def resource(air: str = CHECKPOINT, **body: Any) -> Resource:
    return Resource(parse(air), body)


def complaint(call: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        call()
    assert refused.value.errors[0].path == "model"
    return refused.value.errors[0].message


@pytest.mark.parametrize(
    "spelling",
    [
        CHECKPOINT,
        CHECKPOINT.upper(),
        CHECKPOINT[8:],
        "@civitai/128078",
        "civitai:101055@128078",
        "checkpoint:civitai:101055@128078",
        f"{CHECKPOINT}.safetensors",
        f"{CHECKPOINT}+12345.safetensors",
        f"{CHECKPOINT}.gguf",
        "urn:air:sdxl:diffusionmodel:civitai:101055@128078",
        "unet:civitai:101055@128078",
        "urn:air:pony:checkpoint:civitai:101055@128078",
    ],
)
def test_a_registered_resource_is_found_by_any_of_its_names(store: Stores, spelling: str):
    models = registry(store)
    models.add(resource())
    assert str(models.lookup("model", spelling, kind="checkpoint").air) == CHECKPOINT
    assert str(models.get(spelling).air) == CHECKPOINT


def test_the_file_of_a_version_is_no_part_of_its_identity(store: Stores):
    models = registry(store)
    models.add(resource(f"{CHECKPOINT}+111"))
    assert str(models.get(f"{CHECKPOINT}+222").air) == f"{CHECKPOINT}+111"
    with pytest.raises(Conflict):
        models.add(resource(f"{CHECKPOINT}+222"))


@pytest.mark.parametrize("spelling", ["urn:air:sdxl:lycoris:civitai:5@6", "dora:civitai:5@6"])
def test_words_for_one_loader_name_one_lora(store: Stores, spelling: str):
    models = registry(store)
    models.add(resource("urn:air:sdxl:lora:civitai:5@6"))
    assert models.lookup("model", spelling).air.type == "lora"


def test_a_second_name_for_the_ecosystem_registers_nothing_new(store: Stores):
    models = registry(store)
    models.add(resource(modelName="a"))
    pony = resource("urn:air:pony:checkpoint:civitai:101055@128078", modelName="a")
    found, is_new = models.register(pony)
    assert (str(found.air), is_new) == (CHECKPOINT, False)
    assert models.page("", 1, 10)[0] == 1


@pytest.mark.parametrize(
    "other",
    [
        "civitai:7@128078",
        "urn:air:sd1:checkpoint:civitai:101055@128078.safetensors",
        "urn:air:sdxl:lora:civitai:101055@128078.safetensors",
    ],
)
def test_an_air_that_contradicts_a_registered_one_is_another_model(store: Stores, other: str):
    models = registry(store)
    models.add(resource())
    assert models.find("model", other) is None


def test_part_of_an_unknown_air_is_refused_with_a_whole_one(store: Stores):
    message = complaint(lambda: registry(store, strict=False, available=True).lookup("model", "civitai:7@8"))
    assert "write its whole AIR, such as urn:air:" in message


def test_an_unknown_checkpoint_is_refused_with_the_remedy(store: Stores):
    message = complaint(lambda: registry(store).lookup("model", CHECKPOINT, kind="checkpoint"))
    assert "is not registered" in message
    assert "imagemill resources add" in message


def test_an_unknown_short_form_is_refused_with_the_remedy(store: Stores):
    message = complaint(lambda: registry(store).lookup("model", "@civitai/999", kind="checkpoint"))
    assert "is not registered" in message


@pytest.mark.parametrize("kind", ["checkpoint", None])
def test_a_wrong_ecosystem_or_type_is_refused_with_the_air_that_is_registered(
    store: Stores, kind: str | None
):
    models = registry(store)
    models.add(resource(LORA))
    wrong = LORA.replace("sd1", "sdxl")
    message = complaint(lambda: models.lookup("model", wrong, kind=kind))
    assert f"{wrong} is not registered, but {LORA};" in message


def test_what_is_no_air_is_refused_with_an_example(store: Stores):
    assert "one looks like urn:air:" in complaint(lambda: registry(store).lookup("model", "dreamshaper"))


def test_a_lora_is_no_checkpoint(store: Stores):
    models = registry(store)
    models.add(resource(LORA))
    assert "is a lora, not a checkpoint" in complaint(lambda: models.lookup("model", LORA, kind="checkpoint"))
    assert models.lookup("model", LORA)


@pytest.mark.parametrize(
    ("strict", "available", "kind", "found"),
    [
        (True, True, None, False),
        (False, True, None, True),
        (False, False, None, False),
        (False, True, "checkpoint", False),
    ],
)
def test_what_nobody_registered_may_be_used_only_where_that_is_allowed(
    store: Stores, strict: bool, available: bool, kind: str | None, found: bool
):
    models = registry(store, strict=strict, available=available)
    if found:
        assert models.lookup("model", LORA, kind=kind) == Resource(parse(LORA))
    else:
        assert "is not registered" in complaint(lambda: models.lookup("model", LORA, kind=kind))


def test_a_short_form_with_two_meanings_is_refused_and_names_both(store: Stores):
    models = registry(store)
    models.add(resource())
    models.add(resource("urn:air:sd1:lora:civitai:7@128078"))
    message = complaint(lambda: models.lookup("model", "@civitai/128078"))
    assert CHECKPOINT in message
    assert "urn:air:sd1:lora:civitai:7@128078" in message


def test_a_change_is_seen_at_once_in_its_own_process(store: Stores):
    models = registry(store)
    models.add(resource(modelName="a"))
    assert models.get(CHECKPOINT).body == {"modelName": "a"}
    models.replace(resource(modelName="b"))
    assert models.get(CHECKPOINT).body == {"modelName": "b"}
    models.remove(CHECKPOINT)
    with pytest.raises(NotFound):
        models.get(CHECKPOINT)


def test_a_new_resource_is_found_right_after_it_was_missed(store: Stores):
    models = registry(store)
    with pytest.raises(NotFound):
        models.get(CHECKPOINT)
    models.add(resource())
    assert models.get(CHECKPOINT)


def test_a_resource_is_added_once_and_changed_only_where_it_is(store: Stores):
    models = registry(store)
    with pytest.raises(NotFound):
        models.replace(resource())
    with pytest.raises(NotFound):
        models.remove(CHECKPOINT)
    models.add(resource())
    with pytest.raises(Conflict):
        models.add(resource(CHECKPOINT.upper()))


def test_a_replaced_resource_keeps_its_age(store: Stores):
    models = registry(store)
    added = models.add(resource(modelName="a"))
    answered = models.replace(resource(modelName="b"))
    assert models.get(CHECKPOINT).created_at == added.created_at
    assert answered.created_at == added.created_at


def test_an_empty_registry_is_seeded_once(store: Stores):
    models = registry(store)
    assert models.seed() == len(SEED)
    assert models.seed() == 0
    total, page = models.page("", 1, 100)
    assert total == len(SEED)
    assert {str(each.air) for each in page} == {str(each.air) for each in SEED}


def test_processes_that_seed_at_once_seed_once(store: Stores):
    added = in_threads([registry(store).seed] * 4)
    assert sum(added) == len(SEED)


def test_a_registry_in_use_is_not_seeded(store: Stores):
    models = registry(store)
    models.add(resource("urn:air:sd1:lora:civitai:7@8"))
    assert models.seed() == 0


def test_pages_are_counted_from_one(store: Stores):
    models = registry(store)
    models.seed()
    first, second = models.page("", 1, 2)[1], models.page("", 2, 2)[1]
    assert len(first) == len(second) == 2
    assert not {each.air for each in first} & {each.air for each in second}


def test_a_resource_of_its_own_file_has_that_path():
    own = replace(resource(), body={"fileName": "my/model.ckpt"})
    assert own.path == "my/model.ckpt"
    assert resource().path == "sdxl/civitai/101055/128078.safetensors"
