"""What becomes of what a render delivered, and of a render that ran out of memory."""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from imagemill.backends.base import Output, RenderControl, RenderRequest
from imagemill.bootstrap.stores import Stores
from imagemill.domain.clock import now_us
from imagemill.domain.errors import BackendError, StorageError
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.outputs import OutputLimits
from imagemill.jobs.store.finish import Cancel
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import OutputFile, TransformContext
from tests.service.build import Mill, add, offer, output, png, recipe

S = JobStatus


def test_a_job_that_ran_out_of_memory_waits_for_a_larger_node(store: Stores, make: Any):
    def follow(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        if request.node == "node-1":
            raise BackendError(FailureCode.OUT_OF_MEMORY, "no memory left")
        return [output()]

    it, job = make(follow), add(store)
    it.backend.memory_mb = {"node-1": 8_000, "node-2": 24_000}
    it.run()
    assert store.jobs.lane(store.jobs.job(job.id).lane).memory_mb == 8_001
    assert it.runner.run_next(replace(offer("node-1"), memory_mb=8_000)) is False
    assert it.runner.run_next(replace(offer("node-2"), memory_mb=24_000)) is True
    assert store.jobs.job(job.id).status is S.SUCCEEDED


@pytest.mark.parametrize(("tried", "attempts"), [(False, 2), (True, 1)])
def test_out_of_memory_on_the_largest_node_is_tried_once_more_unless_the_backend_did(
    store: Stores, make: Any, tried: bool, attempts: int
):
    def follow(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        raise BackendError(FailureCode.OUT_OF_MEMORY, "no memory left", tried=tried)

    it, job = make(follow, avoid_node_s=0.0), add(store)
    it.backend.memory_mb = {"node-1": 24_000, "node-2": 8_000}
    while it.run():
        pass
    found = store.jobs.job(job.id)
    assert (found.status, found.attempt) == (S.FAILED, attempts)
    assert found.error is not None
    assert found.error.code is FailureCode.OUT_OF_MEMORY


def test_a_file_that_is_no_picture_is_passed_through(store: Stores, make: Any):
    video = Output(b"not looked into", "video/mp4", name="clip.mp4")
    it, job = make(lambda request, watch: [output(), video]), add(store)
    it.run()
    picture, file = store.jobs.view(job.id).artifacts
    assert (picture.media_type, picture.width) == ("image/png", 8)
    assert (file.media_type, file.width, file.blob_key) == ("video/mp4", 0, f"jobs/{job.id}/1/1.mp4")
    assert it.blobs.get(file.blob_key) == b"not looked into"


def test_a_file_beyond_the_limit_is_refused_before_anything_is_stored(store: Stores, make: Any):
    large = Output(b"x" * 1001, "video/mp4")
    it, job = make(lambda request, watch: [output(), large], limits=OutputLimits(10_000, 1000)), add(store)
    it.run()
    assert it.blobs.files == {}
    error = store.jobs.job(job.id).error
    assert error is not None
    assert "at most 1000 are kept" in error.message


class Away:
    """A blob store's `create` that fails a few times, then hands on."""

    def __init__(self, create: Callable[[str, bytes, str], None], times: int) -> None:
        self._create = create
        self.times = times
        self.tried = threading.Event()

    def __call__(self, key: str, data: bytes, media_type: str) -> None:
        self.tried.set()
        if self.times:
            self.times -= 1
            raise StorageError("away")
        self._create(key, data, media_type)


def test_a_render_waits_for_a_blob_store_that_is_away(store: Stores, make: Any):
    it, job = make(limits=OutputLimits(10_000, 1_000_000, patience_s=30.0)), add(store)
    it.blobs.create = Away(it.blobs.create, times=2)
    it.run()
    found = store.jobs.job(job.id)
    assert (found.status, found.attempt, found.failures) == (S.SUCCEEDED, 1, 0)
    assert len(it.backend.orders) == 1


@pytest.mark.parametrize("outlives", [True, False])
def test_a_picture_that_could_not_be_stored_is_looked_for_on_its_node(
    store: Stores, make: Any, outlives: bool
):
    it, job = make(reattach_s=60.0), add(store)
    it.backend.survives_worker = outlives
    it.blobs.create = Away(it.blobs.create, times=1)
    it.run("node-1")
    assert it.run("node-2") is not outlives, "it is left to the node that may still have it"
    it.run("node-1")
    first, second = it.backend.orders
    assert (second.attempt, store.jobs.job(job.id).status) == (2, S.SUCCEEDED)
    assert (second.reference == first.reference) is outlives


def test_a_job_that_is_cancelled_while_its_render_waits_is_stopped(store: Stores, make: Any):
    it, job = make(limits=OutputLimits(10_000, 1_000_000, patience_s=30.0)), add(store)
    away = it.blobs.create = Away(it.blobs.create, times=1000)
    thread = it.start()
    assert away.tried.wait(10)
    store.jobs.cancel(Cancel(job.id, "ann", now_us()))
    thread.join(10)
    assert not thread.is_alive()
    assert store.jobs.job(job.id).status is S.CANCELED


def test_a_picture_of_an_earlier_attempt_with_its_number_is_not_replaced(store: Stores, make: Any):
    """As after the database was restored from a backup, or a power loss has undone a claim and left its file.

    The job is tried again under another name, and none of its failures is used up.
    """
    it, job = make(), add(store, max_failures=1)
    it.blobs.put(f"jobs/{job.id}/1/0.png", b"another picture", "image/png")
    it.run()
    error = store.jobs.job(job.id).error
    assert error is not None
    assert error.code is FailureCode.STORAGE
    it.run()
    found = store.jobs.job(job.id)
    assert (found.status, found.attempt, found.failures) == (S.SUCCEEDED, 2, 0)
    assert it.blobs.get(f"jobs/{job.id}/1/0.png") == b"another picture"


class _Halves:
    """A craft: the picture as it is and a smaller one."""

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        self.facts = context
        return [
            OutputFile(data, "image/png", 8, 8),
            OutputFile(png(4, 4), "image/png", 4, 4, role="thumbnail"),
        ]


class _Nothing:
    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        raise InvalidImage("has nothing on it")


def crafted(make: Any, **plan: Any) -> Mill:
    square = recipe()
    return make(made_by=replace(square, plan=lambda input_: replace(square.plan(input_), **plan)))


def test_what_a_craft_makes_of_a_picture_is_kept_instead_of_it(store: Stores, make: Any):
    craft = _Halves()
    it, job = crafted(make, transform=craft, keys={"thumbnail": "library/{ms}.png"}), add(store)
    it.run()
    picture, thumbnail = store.jobs.view(job.id).artifacts
    started_ms = (store.jobs.job(job.id).started_at or 0) // 1000
    assert picture.blob_key == f"jobs/{job.id}/1/0.png"
    assert (thumbnail.blob_key, thumbnail.width) == (f"library/{started_ms}.png", 4)
    assert {picture.blob_key, thumbnail.blob_key} == set(it.blobs.files)
    assert (craft.facts.job_id, craft.facts.seed, craft.facts.ms) == (job.id, 7, started_ms)


def test_a_picture_a_craft_refuses_is_a_failure_and_nothing_of_it_is_kept(store: Stores, make: Any):
    it, job = crafted(make, transform=_Nothing()), add(store, max_failures=1)
    it.run()
    error = store.jobs.job(job.id).error
    assert error is not None
    assert (error.code, error.message) == (FailureCode.BAD_OUTPUT, "the picture has nothing on it")
    assert it.blobs.files == {}


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (OutputLimits(10_000, 1_000_000, files=2), "3 files were delivered; at most 2 are kept"),
        (OutputLimits(10_000, 1_000_000, all_pixels=100), "2 of them have 128 pixels; at most 100"),
        (OutputLimits(10_000, 10), r"file 0 has \d+ bytes; at most 10"),
    ],
)
def test_a_job_that_delivers_too_much_fails_at_once_and_stores_nothing(
    store: Stores, make: Any, limits: OutputLimits, why: str
):
    it = make(lambda request, watch: [output()] * 3, limits=limits)
    job = add(store)
    it.run()
    found = store.jobs.job(job.id)
    assert (found.status, found.attempt) == (S.FAILED, 1)
    assert found.error is not None
    assert found.error.code is FailureCode.OUTPUT_LIMIT
    assert re.search(why, found.error.message)
    assert it.blobs.files == {}
