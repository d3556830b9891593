"""The outbox of callbacks and the registry's table."""

from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.db.database import WriteMode
from imagemill.domain.air import Resource, parse
from imagemill.domain.errors import Conflict, NotFound
from imagemill.webhooks.outbox import Delivered
from tests.store.build import (
    MINUTE,
    T0,
    add,
    claim_all,
    draft,
    in_threads,
    running,
    submit,
    succeed,
)


def due(store: Stores, at: int = T0, limit: int = 10) -> list[tuple[str, int]]:
    return [(each.job.id, each.event.seq) for each in store.callbacks.due(at, limit)]


def test_a_job_without_a_callback_has_nothing_to_deliver(store: Stores):
    succeed(store, running(store))
    assert due(store) == []
    assert store.callbacks.next_due() is None


def test_events_are_delivered_one_after_the_other(store: Stores):
    taken = running(store, callback_url="https://example.com/x")
    succeed(store, taken)
    seen: list[str] = []
    while deliveries := store.callbacks.due(T0, 10):
        (only,) = deliveries
        assert only.url == "https://example.com/x"
        seen.append(only.event.type.value)
        store.callbacks.record(Delivered(only, T0))
    assert seen == ["Initialized", "Claimed", "Succeeded"]
    assert store.callbacks.next_due() is None


def test_jobs_do_not_wait_for_each_other_s_deliveries(store: Stores):
    jobs = [add(store, callback_url="https://example.com/") for _ in range(3)]
    assert sorted(due(store)) == sorted((job.id, 1) for job in jobs)
    assert len(due(store, limit=2)) == 2


def test_a_failed_delivery_waits_and_holds_back_what_follows(store: Stores):
    taken = running(store, callback_url="https://example.com/")
    (first,) = store.callbacks.due(T0, 10)
    store.callbacks.record(Delivered(first, T0, "500", again_at=T0 + MINUTE))
    assert due(store, T0 + MINUTE - 1) == []
    (again,) = store.callbacks.due(T0 + MINUTE, 10)
    assert (again.event.seq, again.tries) == (1, 1)
    store.callbacks.record(Delivered(again, T0 + MINUTE))
    assert due(store, T0 + MINUTE) == [(taken.id, 2)]


def test_what_is_given_up_lets_the_next_go(store: Stores):
    taken = running(store, callback_url="https://example.com/")
    (first,) = store.callbacks.due(T0, 10)
    store.callbacks.record(Delivered(first, T0, "500"))
    assert due(store) == [(taken.id, 2)]


def test_the_next_delivery_says_when_to_look(store: Stores):
    add(store, callback_url="https://example.com/")
    assert store.callbacks.next_due() == T0
    (first,) = store.callbacks.due(T0, 10)
    store.callbacks.record(Delivered(first, T0, "500", again_at=T0 + MINUTE))
    assert store.callbacks.next_due() == T0 + MINUTE


def test_what_may_not_be_sent_yet_is_not_announced_as_due(store: Stores):
    running(store, callback_url="https://example.com/")
    (first,) = store.callbacks.due(T0, 10)
    store.callbacks.record(Delivered(first, T0, "500", again_at=T0 + MINUTE))
    assert store.callbacks.next_due() == T0 + MINUTE


# The registry's table

AIR = "urn:air:sdxl:checkpoint:civitai:101055@128078"


def resource(air: str = AIR, **body: Any) -> Resource:
    return Resource(parse(air), body)


def put(store: Stores, what: Resource, mode: WriteMode = WriteMode.CREATE, now: int = T0) -> Resource:
    return store.resources.put(what, mode, now)


def test_a_resource_is_found_in_any_case(store: Stores):
    put(store, resource(AIR.upper().replace("URN:AIR", "urn:air"), modelName="SD XL"))
    found = store.resources.get(AIR.lower())
    assert found is not None
    assert (found.body, found.created_at, found.updated_at) == ({"modelName": "SD XL"}, T0, T0)
    assert store.resources.get("urn:air:sdxl:checkpoint:civitai:1@1") is None


def test_a_resource_is_registered_once(store: Stores):
    put(store, resource(modelName="a"))
    with pytest.raises(Conflict):
        put(store, resource(AIR.upper(), modelName="b"))
    found = store.resources.get(AIR)
    assert found is not None
    assert found.body == {"modelName": "a"}


def test_one_of_many_who_register_the_same_at_once_wins(store: Stores):
    answers = in_threads([lambda n=n: put(store, resource(modelName=str(n))) for n in range(6)])
    assert sum(isinstance(answer, Conflict) for answer in answers) == 5


def test_a_resource_is_replaced_and_keeps_its_age(store: Stores):
    put(store, resource(modelName="a"))
    put(store, resource(modelName="b"), WriteMode.REPLACE, T0 + 9)
    found = store.resources.get(AIR)
    assert found is not None
    assert (found.body, found.created_at, found.updated_at) == ({"modelName": "b"}, T0, T0 + 9)


@pytest.mark.parametrize("mode", [WriteMode.REPLACE, WriteMode.DELETE])
def test_what_is_not_there_cannot_be_changed(store: Stores, mode: WriteMode):
    with pytest.raises(NotFound):
        put(store, resource(), mode)
    assert store.resources.get(AIR) is None


def test_a_deleted_resource_is_gone(store: Stores):
    put(store, resource())
    put(store, resource(), WriteMode.DELETE)
    assert store.resources.get(AIR) is None
    assert store.resources.by_version("128078") == []


def test_a_short_form_finds_all_it_may_mean(store: Stores):
    put(store, resource())
    put(store, resource("urn:air:sd1:lora:civitai:7@128078"))
    put(store, resource("urn:air:sd1:lora:civitai:128078@7"))
    put(store, resource("urn:air:sd1:lora:huggingface:a/b@128078"))
    assert len(store.resources.by_version("128078")) == 2


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("DREAM", 1),
        ("sdxl", 1),
        ("base", 2),
        ("nothing", 0),
        ("%", 1),
        ("_", 0),
        ("100%", 1),
        ("'", 0),
    ],
)
def test_resources_are_searched_by_any_word_without_case(store: Stores, query: str, count: int):
    put(store, resource(modelName="XL", tags=["base"]))
    put(store, resource("urn:air:sd1:checkpoint:civitai:4384@128713", modelName="DreamShaper", tags=["base"]))
    put(store, resource("urn:air:sd1:lora:civitai:82098@87153", versionName="100% detail"))
    total, page = store.resources.page(query, 0, 10)
    assert (total, len(page)) == (count, count)


def test_resources_are_paged_in_the_order_of_their_airs(store: Stores):
    for number in (3, 1, 2):
        put(store, resource(f"urn:air:sd1:lora:civitai:{number}@{number}"))
    total, page = store.resources.page("", 1, 1)
    assert total == 3
    assert [str(each.air) for each in page] == ["urn:air:sd1:lora:civitai:2@2"]


@pytest.mark.parametrize(
    "air",
    [
        "urn:air:sd1:lora:civitai:" + "1" * 480,
        "urn:air:sd1:" + "t" * 300 + ":civitai:1@2",
        "urn:air:sd1:lora:civitai:1@" + "2" * 400,
        "civitai:" + "1" * 504,
    ],
)
def test_an_air_that_is_accepted_can_be_stored_and_read(store: Stores, air: str):
    try:
        what = resource(air)
    except ValueError:
        return  # refused before it comes here
    put(store, what)
    assert store.resources.page("", 0, 10)[1][0].air == what.air


def test_claims_leave_room_for_all_reads(store: Stores):
    submit(store, *(draft() for _ in range(40)))
    answers = in_threads([lambda: len(claim_all(store))] * 2 + [lambda: store.jobs.depths()["waiting"]] * 14)
    assert sum(answers[:2]) == 40
