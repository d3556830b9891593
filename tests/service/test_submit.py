"""From wishes to durable jobs."""

from functools import partial
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import Conflict, InvalidInput
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.inputs import OwnerResources
from imagemill.jobs.submit import JobRequest, SubmitDefaults, Submitter
from imagemill.model_registry.registry import Registry
from tests.service.build import FakeBackend, inputs, mill, recipe


def submitter(store: Stores, backend: FakeBackend | None = None) -> Submitter:
    registry = Registry(store.resources, strict=True, is_available=lambda key: False)
    backend = backend or FakeBackend()
    resolver = partial(OwnerResources, registry, inputs(store))
    return Submitter(
        store.jobs, resolver, {"square": recipe()}, {backend.name: backend}, SubmitDefaults(3600.0, 5, 10)
    )


def wish(**changes: Any) -> JobRequest:
    return JobRequest(**{"recipe": "square", "input": {}, "path": "jobs[0].", **changes})


def drafted(store: Stores, *wishes: JobRequest) -> Any:
    return submitter(store).prepare("local", wishes, dialect="native")


def fault(store: Stores, *wishes: JobRequest) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refused:
        drafted(store, *wishes)
    return refused.value.errors[0].path, refused.value.errors[0].message


def test_a_wish_becomes_a_complete_draft(store: Stores):
    (draft,) = drafted(store, wish(input={"side": 16, "model": "m"}, labels=("b", "a"), timeout_s=3.0))
    assert (draft.recipe, draft.queue, draft.cost, draft.dialect) == ("square", "gpu", 1.0, "native")
    assert (draft.lane.model, draft.lane.labels, draft.max_failures, draft.timeout_s) == (
        "m",
        ("a", "b"),
        5,
        3.0,
    )
    assert draft.input == {"side": 16, "model": "m"}


def test_an_enquiry_stores_nothing(store: Stores):
    drafted(store, wish())
    assert store.jobs.depths()["queued"] == 0


def test_jobs_list_in_the_order_they_were_asked_for(store: Stores):
    drafts = drafted(store, *(wish(name=str(number)) for number in range(10)))
    jobs = submitter(store).submit("ann", drafts).jobs
    assert [job.name for job in jobs] == [str(number) for number in range(10)]
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)


def test_nothing_and_too_much_are_refused(store: Stores):
    assert fault(store)[0] == "jobs"
    assert "at most 10" in fault(store, *(wish() for _ in range(11)))[1]


def test_an_unknown_recipe_is_refused_and_the_known_are_named(store: Stores):
    path, message = fault(store, wish(recipe="circle"))
    assert path == "jobs[0].$type"
    assert "square" in message


def test_a_wrong_input_is_refused_field_by_field(store: Stores):
    with pytest.raises(InvalidInput) as refused:
        drafted(store, wish(input={"side": "wide", "pictures": None}))
    assert [error.path for error in refused.value.errors] == ["jobs[0].side", "jobs[0].pictures"]


def test_what_no_backend_can_do_is_refused_at_once(store: Stores):
    with pytest.raises(InvalidInput, match="no such node"):
        submitter(store, FakeBackend(refuses="no such node")).prepare("local", [wish()], dialect="native")


def test_a_backend_that_does_not_exist_is_refused_at_once(store: Stores):
    fault(store, wish(backends=("nowhere",)))


def test_names_become_dependencies(store: Stores):
    drafts = drafted(store, wish(after=("a", "b")), wish(name="a"), wish(name="b", after=("a",)))
    assert set(drafts[0].depends_on) == {drafts[1].id, drafts[2].id}
    assert drafts[2].depends_on == (drafts[1].id,)
    jobs = submitter(store).submit("ann", drafts).jobs
    assert [job.status for job in jobs] == [JobStatus.WAITING, JobStatus.QUEUED, JobStatus.WAITING]


def test_a_name_that_several_jobs_have_means_all_of_them(store: Stores):
    drafts = drafted(store, wish(name="a"), wish(name="a"), wish(after=("a",)))
    assert set(drafts[2].depends_on) == {drafts[0].id, drafts[1].id}


def test_a_dependency_that_is_named_twice_counts_once(store: Stores):
    drafts = drafted(store, wish(name="a"), wish(after=("a", "a")))
    jobs = submitter(store).submit("ann", drafts).jobs
    assert [job.status for job in jobs] == [JobStatus.QUEUED, JobStatus.WAITING]


def test_an_unknown_name_is_refused(store: Stores):
    path, message = fault(store, wish(name="a"), wish(path="jobs[1].", after=("b",)))
    assert path == "jobs[1].dependencies"
    assert "'b'" in message


@pytest.mark.parametrize(
    "wishes",
    [
        [wish(name="a", after=("a",))],
        [wish(name="a", after=("b",)), wish(name="b", after=("a",))],
        [wish(name="a", after=("c",)), wish(name="b", after=("a",)), wish(name="c", after=("b",)), wish()],
    ],
)
def test_a_circle_is_refused(store: Stores, wishes: list[JobRequest]):
    assert "circle" in fault(store, *wishes)[1]


def test_a_key_makes_a_request_repeatable(store: Stores):
    service = submitter(store)
    first = service.submit("ann", drafted(store, wish()), key="k", digest="d")
    again = service.submit("ann", drafted(store, wish()), key="k", digest="d")
    assert again.repeated
    assert again.jobs[0].id == first.jobs[0].id


def test_a_replay_asks_for_the_same_again(store: Stores):
    service = submitter(store)
    (job,) = service.submit(
        "ann", drafted(store, wish(input={"side": 16}, priority=3, properties={"a": 1}))
    ).jobs
    store.jobs.delete_jobs([])
    (replay,) = service.resubmit(job).jobs
    assert replay.id != job.id
    assert (replay.input, replay.lane, replay.priority, replay.owner, replay.properties) == (
        job.input, job.lane, 3, "ann", {"a": 1},
    )  # fmt: skip
    assert replay.client["replayOf"] == job.id
    assert replay.trace != job.trace


def test_a_replay_with_a_key_is_made_once(store: Stores):
    service = submitter(store)
    job, other = service.submit("ann", drafted(store, wish(), wish())).jobs
    first = service.resubmit(job, key="k")
    again = service.resubmit(job, key="k")
    assert (first.repeated, again.repeated) == (False, True)
    assert again.jobs[0].id == first.jobs[0].id
    with pytest.raises(Conflict):
        service.resubmit(other, key="k")
    with pytest.raises(Conflict):
        service.submit("ann", drafted(store, wish()), key="k", digest="d")


def test_a_replay_of_a_job_with_dependencies_runs_at_once(store: Stores):
    service = submitter(store)
    first, second = service.submit("ann", drafted(store, wish(name="a"), wish(after=("a",)))).jobs
    for _ in range(2):
        mill(store).run()
    assert store.jobs.job(second.id).status is JobStatus.SUCCEEDED
    assert service.resubmit(store.jobs.job(second.id)).jobs[0].status is JobStatus.QUEUED
    assert first.status is JobStatus.QUEUED
