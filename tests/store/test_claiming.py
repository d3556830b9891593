"""The claim: whom it serves, in which order, and never twice."""

from collections import Counter
from collections.abc import Iterable

import pytest

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import Claim, JobStatus
from imagemill.domain.placement import PlacementRules
from imagemill.domain.scheduling import PRIORITY_STEP_S
from imagemill.jobs.store.finish import ReclaimLeases
from tests.store.build import (
    LEASE,
    LIFE,
    MINUTE,
    T0,
    add,
    ask,
    claim,
    claim_all,
    claim_together,
    draft,
    event_types,
    in_threads,
    opened,
    retry,
    submit,
    succeed,
)


def served(store: Stores, count: int) -> list[str]:
    """The owners of the next jobs, each finished before the next is taken."""
    owners: list[str] = []
    for _ in range(count):
        next_ = claim(store)
        owners.append(next_.job.owner)
        succeed(store, next_)
    return owners


def test_nothing_is_claimed_from_an_empty_store(store: Stores):
    assert store.jobs.claim_next(ask()) is None


def test_a_claimed_job_runs_and_says_where_and_why(store: Stores):
    add(store)
    request = ask(T0 + 5, node="node-7", worker="w-7", backend="fal")
    taken = store.jobs.claim_next(request)
    assert taken is not None
    job = store.jobs.job(taken.id)
    assert job == taken.job
    assert (job.status, job.attempt, job.node, job.worker, job.backend) == (
        JobStatus.RUNNING, 1, "node-7", "w-7", "fal",
    )  # fmt: skip
    assert (job.started_at, job.lease_until, job.backend_ref) == (T0 + 5, T0 + 5 + LEASE, request.reference)
    assert job.reason == "next by fair share"


def test_a_claim_is_told_in_the_log(store: Stores):
    add(store)
    taken = claim(store, node="node-7")
    (event,) = store.jobs.events_after(taken.id, 1)
    assert (event.seq, event.type.value, event.attempt) == (2, "Claimed", 1)
    assert event.data["node"] == "node-7"
    assert event.data["reason"]


def test_owners_take_turns_whatever_one_of_them_has_queued(store: Stores):
    submit(store, *(draft() for _ in range(10)))
    submit(store, *(draft() for _ in range(3)), owner="bob")
    assert Counter(served(store, 6)) == {"ann": 3, "bob": 3}


def test_owners_share_by_cost_and_not_by_number(store: Stores):
    submit(store, *(draft(estimate_s=4.0) for _ in range(5)))
    submit(store, *(draft(estimate_s=1.0) for _ in range(20)), owner="bob")
    assert Counter(served(store, 10)) == {"ann": 2, "bob": 8}


def test_a_weight_gives_a_larger_share(store: Stores):
    store.jobs.ensure_owner("ann", T0, weight=3.0)
    store.jobs.ensure_owner("bob", T0, weight=1.0)
    submit(store, *(draft() for _ in range(20)))
    submit(store, *(draft() for _ in range(20)), owner="bob")
    assert Counter(served(store, 12)) == {"ann": 9, "bob": 3}


def test_an_owner_who_comes_late_does_not_wait_for_the_queue_of_another(store: Stores):
    submit(store, *(draft() for _ in range(50)))
    served(store, 20)
    add(store, owner="bob")
    assert "bob" in served(store, 2)


def test_an_owner_who_was_idle_has_saved_up_nothing(store: Stores):
    add(store, owner="bob")
    submit(store, *(draft() for _ in range(40)))
    served(store, 30)
    submit(store, *(draft() for _ in range(20)), owner="bob")
    assert 4 <= served(store, 10).count("bob") <= 6


def test_an_urgent_job_overtakes(store: Stores):
    submit(store, *(draft() for _ in range(3)))
    urgent = add(store, priority=-10)
    assert claim(store).id == urgent.id


def test_an_urgent_job_of_another_owner_overtakes_too(store: Stores):
    submit(store, *(draft() for _ in range(3)))
    urgent = add(store, owner="bob", priority=-1)
    assert claim(store).id == urgent.id


def test_a_job_of_low_priority_is_not_starved(store: Stores):
    low = add(store, owner="bob", priority=2)
    overtakers = 0
    while True:
        add(store)
        taken = claim(store)
        succeed(store, taken)
        if taken.id == low.id:
            break
        overtakers += 1
    assert 2 * PRIORITY_STEP_S - 2 <= overtakers <= 2 * PRIORITY_STEP_S + 3


def test_a_loaded_model_is_kept_within_the_bound_and_left_beyond_it(store: Stores):
    other = add(store, owner="bob", model="b")
    submit(store, *(draft(model="a", estimate_s=2.0) for _ in range(20)))
    taken: list[str] = []
    for number in range(21):
        next_ = claim(
            store, T0 + 2 * number * SECOND, rules=PlacementRules(bound_s=9.0), loaded_models=frozenset({"a"})
        )  # fmt: skip
        succeed(store, next_)
        taken.append(next_.id)
    assert taken.index(other.id) == 5  # tags 0 to 8 are within 9 s of the tag 0 of the other
    assert store.jobs.job(other.id).reason.startswith("fairness")


def test_a_second_slot_takes_the_model_that_is_being_loaded(store: Stores):
    submit(store, *(draft(model="a") for _ in range(3)))
    submit(store, *(draft(model="b") for _ in range(9)), owner="bob")
    first = claim(store, capacity=2)
    second = claim(store, capacity=2)
    assert (first.job.lane, "loads" in first.job.reason) == (second.job.lane, True)
    assert second.job.reason.endswith("is loaded")


def test_a_model_that_is_loaded_elsewhere_is_left_there_while_that_is_sooner(store: Stores):
    submit(store, *(draft(model="a") for _ in range(4)))
    submit(store, draft(model="b"), owner="bob")
    assert store.jobs.lane(claim(store, node="node-1", loaded_models=frozenset({"a"})).job.lane).model == "a"
    assert store.jobs.lane(claim(store, node="node-2", loaded_models=frozenset({"c"})).job.lane).model == "b"
    assert store.jobs.claim_next(ask(node="node-3")) is None
    late = claim(store, T0 + 11 * SECOND, node="node-3")
    assert late.job.reason == "loads a: it waited for 11 s, node-1 did not start it"


def test_an_idle_node_with_the_model_is_given_time_to_take_the_job(store: Stores):
    assert store.jobs.claim_next(ask(node="node-1", loaded_models=frozenset({"a"}))) is None
    add(store, model="a")
    assert store.jobs.claim_next(ask(T0 + SECOND, node="node-2")) is None
    assert claim(store, T0 + SECOND, node="node-1", loaded_models=frozenset({"a"})).job.node == "node-1"


def test_an_idle_node_that_is_gone_is_not_waited_for(store: Stores):
    assert store.jobs.claim_next(ask(node="node-1", loaded_models=frozenset({"a"}))) is None
    add(store, model="a")
    assert claim(store, T0 + 4 * SECOND, node="node-2").job.node == "node-2"


def test_owners_are_measured_by_the_node_that_is_least_far(store: Stores):
    submit(store, *(draft(model="a") for _ in range(100)))
    behind = claim(store, node="node-2", loaded_models=frozenset({"a"}))
    for _ in range(50):
        succeed(store, claim(store, node="node-1", loaded_models=frozenset({"a"})))
    assert add(store, owner="bob").tag <= behind.job.tag + 1
    succeed(store, behind)


def test_where_a_queued_job_stands_is_told(store: Stores):
    jobs = submit(store, *(draft(model="a", estimate_s=4.0) for _ in range(4))).jobs
    claim(store, node="node-1")
    standing = store.jobs.queue_position(jobs[3], T0)
    assert (standing.jobs_ahead, standing.seconds_ahead, standing.more) == (2, 8.0, False)
    assert standing.fleet.nodes_with("a") == ["node-1"]


@pytest.mark.parametrize(
    ("job", "cannot", "can"),
    [
        ({"queue": "render"}, {}, {"queues": frozenset({"gpu", "render"})}),
        ({"backends": ("fal", "simulator")}, {}, {"backend": "fal"}),
        (
            {"labels": ("eu", "fast")},
            {"labels": frozenset({"eu"})},
            {"labels": frozenset({"eu", "fast", "x"})},
        ),
        ({"memory_mb": 8000}, {"memory_mb": 7999}, {"memory_mb": 8000}),
        ({"model": "a"}, {"available": frozenset({"b"})}, {"available": frozenset({"a"})}),
    ],
)
def test_only_a_slot_that_fits_takes_a_job(store: Stores, job: dict, cannot: dict, can: dict):
    wanted = add(store, **job)
    assert store.jobs.claim_next(ask(**cannot)) is None
    assert claim(store, **can).id == wanted.id


def test_jobs_that_fit_are_found_behind_those_that_do_not(store: Stores):
    submit(store, *(draft(labels=(f"l{n}",)) for n in range(5)))
    plain = add(store)
    assert [each.id for each in claim_all(store)] == [plain.id]


def test_a_node_never_holds_more_than_its_capacity(store: Stores):
    submit(store, *(draft() for _ in range(5)))
    first = claim(store, capacity=2)
    claim(store, capacity=2, worker="worker-2")
    assert store.jobs.claim_next(ask(capacity=2)) is None
    assert store.jobs.claim_next(ask(capacity=2, node="node-2")) is not None
    succeed(store, first)
    assert store.jobs.claim_next(ask(capacity=2)) is not None


def test_an_expired_job_is_passed_over(store: Stores):
    add(store, expires_at=T0 + SECOND)
    fresh = add(store)
    assert claim(store, T0 + SECOND).id == fresh.id


def test_a_parked_job_is_not_claimed(store: Stores):
    add(store)
    retry(store, claim(store), run_after=T0 + MINUTE)
    assert store.jobs.claim_next(ask(T0 + LIFE // 2)) is None


def test_a_node_to_avoid_is_avoided_for_a_while(store: Stores):
    add(store)
    retry(store, claim(store), avoid_node="node-1", avoid_until=T0 + MINUTE)
    assert store.jobs.claim_next(ask(T0 + SECOND)) is None
    assert store.jobs.claim_next(ask(T0 + MINUTE)) is None
    assert store.jobs.claim_next(ask(T0 + MINUTE + 1)) is not None


def test_another_node_may_take_it_at_once(store: Stores):
    add(store)
    retry(store, claim(store), avoid_node="node-1", avoid_until=T0 + MINUTE)
    assert claim(store, T0, node="node-2").attempt == 2


def test_a_job_to_be_avoided_does_not_hide_the_next_of_its_lane(store: Stores):
    add(store)
    retry(store, claim(store), avoid_node="node-1", avoid_until=T0 + MINUTE)
    second = add(store)
    assert claim(store).id == second.id


def test_a_retry_gets_a_fresh_reference(store: Stores):
    add(store)
    first = claim(store)
    retry(store, first)
    assert claim(store).job.backend_ref != first.job.backend_ref


def test_a_job_that_was_handed_back_is_attached_to_on_the_same_node(store: Stores):
    add(store)
    first = claim(store)
    retry(store, first, counts=False)
    assert claim(store).job.backend_ref == first.job.backend_ref


def test_on_another_node_a_handed_back_job_begins_afresh(store: Stores):
    add(store)
    first = claim(store)
    retry(store, first, counts=False)
    assert claim(store, node="node-2").job.backend_ref != first.job.backend_ref


def test_a_lost_worker_s_job_is_left_to_the_node_that_may_still_render_it(store: Stores):
    add(store)
    first = claim(store)
    store.jobs.reclaim_leases(ReclaimLeases(T0 + MINUTE, ("worker-1",), 10, frozenset({"comfyui"}), MINUTE))
    assert store.jobs.claim_next(ask(T0 + MINUTE, node="node-2")) is None
    again = store.jobs.claim_next(ask(T0 + MINUTE))
    assert again is not None
    assert (again.job.backend_ref, again.attempt) == (first.job.backend_ref, 2)


def test_a_lost_worker_s_job_goes_elsewhere_when_its_node_does_not_come(store: Stores):
    add(store)
    first = claim(store)
    store.jobs.reclaim_leases(ReclaimLeases(T0 + MINUTE, ("worker-1",), 10, frozenset({"comfyui"}), MINUTE))
    again = store.jobs.claim_next(ask(T0 + 2 * MINUTE + 1, node="node-2"))
    assert again is not None
    assert again.job.backend_ref != first.job.backend_ref


def test_a_render_that_may_be_found_again_comes_before_jobs_whose_model_is_loaded(store: Stores):
    lost = add(store, model="a")
    claim(store)
    submit(store, *(draft(model="b") for _ in range(5)))
    store.jobs.reclaim_leases(ReclaimLeases(T0 + 1, ("worker-1",), 10, frozenset({"comfyui"}), MINUTE))
    elsewhere = claim(store, T0 + 1, node="node-2", loaded_models=frozenset({"b"}))
    assert store.jobs.lane(elsewhere.job.lane).model == "b"
    assert store.jobs.claim_next(ask(T0 + 1, queues=frozenset({"render"}))) is None
    assert claim(store, T0 + 1, loaded_models=frozenset({"b"})).id == lost.id


def test_a_render_that_ends_with_its_worker_is_not_waited_for(store: Stores):
    add(store)
    claim(store)
    store.jobs.reclaim_leases(ReclaimLeases(T0 + MINUTE, ("worker-1",), 10, frozenset({"fal"}), MINUTE))
    assert store.jobs.claim_next(ask(T0 + MINUTE, node="node-2")) is not None


# Several claims in one transaction


def ids(claims: Iterable[Claim | None]) -> list[str | None]:
    return [each and each.id for each in claims]


def test_slots_that_claim_together_get_the_first_jobs(store: Stores):
    jobs = submit(store, *(draft() for _ in range(5))).jobs
    asks = [ask(node=f"node-{number}") for number in (1, 2, 1)]
    taken = claim_together(store, *asks)
    assert ids(taken) == [job.id for job in jobs[:3]]
    for each, asked in zip(taken, asks, strict=True):
        assert each is not None
        assert (each.job.node, each.job.backend_ref) == (asked.offer.node, asked.reference)
        assert (each.job.worker, each.attempt, each.job.lease_until) == ("worker-1", 1, T0 + LEASE)
        assert each.job.reason
        assert event_types(store, each) == ["Initialized", "Claimed"]
    assert ids(claim_all(store)) == [job.id for job in jobs[3:]]


def test_as_many_slots_as_there_are_claim_together(store: Stores):
    jobs = submit(store, *(draft() for _ in range(25))).jobs
    taken = claim_together(store, *(ask(node=f"node-{number % 3}") for number in range(20)))
    assert ids(taken) == [job.id for job in jobs[:20]]


def test_fewer_jobs_than_slots_that_claim_together(store: Stores):
    jobs = submit(store, draft(), draft(expires_at=T0 + 1), draft()).jobs
    taken = claim_together(store, *(ask(T0 + 1) for _ in range(4)))
    assert ids(taken) == [jobs[0].id, jobs[2].id, None, None]
    assert claim_together(store, ask(T0 + 1), ask(T0 + 1)) == [None, None]


def test_claims_together_never_overfill_a_node(store: Stores):
    submit(store, *(draft() for _ in range(5)))
    claim(store, capacity=2)
    taken = claim_together(store, *(ask(capacity=2, node=f"node-{n}") for n in (1, 1, 2, 1, 2, 2)))
    assert [each and each.job.node for each in taken] == ["node-1", None, "node-2", None, "node-2", None]


def test_claims_together_leave_a_job_to_the_nodes_that_may_have_it(store: Stores):
    avoiding = add(store)
    retry(store, claim(store), avoid_node="node-1", avoid_until=T0 + MINUTE)
    plain = submit(store, draft(), draft()).jobs
    taken = claim_together(store, *(ask(node=f"node-{number}") for number in (1, 1, 1, 2)))
    assert [each.job.node for each in taken if each and each.id == avoiding.id] == ["node-2"]
    assert {each.job.node for each in taken if each and each.id != avoiding.id} == {"node-1"}
    assert sum(each is not None for each in taken) == 1 + len(plain)


def test_claims_together_attach_to_a_job_that_was_handed_back(store: Stores):
    back = add(store)
    first = claim(store)
    retry(store, first, counts=False)
    submit(store, draft(), draft())
    taken = claim_together(store, ask(), ask(), ask())
    references = {each.id: each.job.backend_ref for each in taken if each is not None}
    assert len(references) == 3
    assert references[back.id] == first.job.backend_ref


def test_claims_together_of_several_lanes_follow_the_order_of_all(store: Stores):
    jobs = submit(store, *(draft(model=model) for model in ("a", "b", "a", "b"))).jobs
    asks = [ask(loaded_models=frozenset({"a", "b"})) for _ in range(3)]
    assert ids(claim_together(store, *asks)) == [job.id for job in jobs[:3]]


def test_many_processes_that_claim_together_never_get_one_job(store: Stores, database_url: str):
    other = build_stores(opened(database_url))
    wanted = [job.id for _ in range(4) for job in submit(store, *(draft() for _ in range(25))).jobs]

    def hammer(stores: Stores, node: str) -> list[str]:
        found: list[str] = []
        while taken := [
            each.id for each in claim_together(stores, *(ask(node=node) for _ in range(6))) if each
        ]:
            found += taken
        return found

    try:
        calls = [lambda n=n: hammer((store, other)[n % 2], f"node-{n}") for n in range(6)]
        taken = [id_ for found in in_threads(calls) for id_ in found]
    finally:
        other.close()
    assert sorted(taken) == sorted(wanted)


# Several processes


def test_two_slots_never_get_one_job(store: Stores, database_url: str):
    other = build_stores(opened(database_url))
    ids = {
        job.id for n in range(6) for job in submit(store, *(draft(model=f"m{n % 3}") for _ in range(20))).jobs
    }
    stores = [store, other] * 4

    def hammer(number: int) -> list[Claim]:
        # With loads for nothing no slot leaves a job to another.
        return claim_all(stores[number], node=f"node-{number % 3}", worker=f"w{number}", load_s=0.0)

    try:
        taken = [each for claims in in_threads([lambda n=n: hammer(n) for n in range(8)]) for each in claims]
    finally:
        other.close()
    assert sorted(each.id for each in taken) == sorted(ids)
    assert {each.attempt for each in taken} == {1}
    assert all(event_types(store, each) == ["Initialized", "Claimed"] for each in taken)


def test_many_workers_never_overfill_a_node(store: Stores, database_url: str):
    other = build_stores(opened(database_url))
    submit(store, *(draft() for _ in range(30)))
    stores = [store, other] * 4
    try:
        taken = in_threads(
            [lambda n=n: claim_all(stores[n], node=f"node-{n % 2}", capacity=3) for n in range(8)]
        )
    finally:
        other.close()
    assert Counter(each.job.node for claims in taken for each in claims) == {"node-0": 3, "node-1": 3}


def test_the_heads_are_the_first_of_each_lane(store: Stores):
    first = add(store, model="a")
    add(store, model="a")
    second = add(store, model="b")
    heads = {head.key.model: head for head in store.jobs.heads()}
    assert set(heads) == {"a", "b"}
    assert (heads["a"].job.tag, heads["b"].job.tag) == (first.tag, second.tag)


def test_a_job_is_found_among_hundreds_of_lanes(store: Stores):
    submit(store, *(draft(model=f"m{n}") for n in range(300)))
    assert len(store.jobs.heads()) == 300
    assert store.jobs.lane(claim(store, available=frozenset({"m299"})).job.lane).model == "m299"
