"""Counting and looking up, without a server."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from imagemill.blobs.base import BlobStore
from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.metered import MeteredBlobs
from imagemill.bootstrap.observer import Observer
from imagemill.bootstrap.stores import Stores
from imagemill.config import Settings
from imagemill.domain.clock import SECOND, now_us, uuid7, uuid7_us
from imagemill.domain.errors import Conflict, NotFound, StorageError
from imagemill.domain.jobs import LaneKey
from imagemill.observability.collectors import MetricsPortTaken, MetricsServer, QueueCollector, QueueSample
from imagemill.observability.metrics import Metrics, NodeUtilization
from tests.blobs.contract import BlobStoreContract, key
from tests.metrics.scraped import parse, scrape
from tests.service.build import add
from tests.service.build import mill as build_mill


class TestMeteredBlobs(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return MeteredBlobs(LocalBlobs(tmp_path / "blobs"), Metrics().blob)


def test_blob_operations_are_told_with_how_they_ended(tmp_path: Path) -> None:
    meters = Metrics()
    blobs = MeteredBlobs(LocalBlobs(tmp_path), meters.blob)
    blobs.create(key(), b"one", "image/png")
    with pytest.raises(Conflict):
        blobs.create(key(), b"two", "image/png")
    with pytest.raises(NotFound):
        blobs.get(key(position=7))
    with pytest.raises(StorageError):
        blobs.get("../secrets")

    seen, count = scrape(meters.registry), "imagemill_blob_seconds_count"

    assert seen.value(count, operation="create", result="ok") == 1
    assert seen.value(count, operation="create", result="conflict") == 1
    assert seen.value(count, operation="get", result="absent") == 1
    assert seen.value(count, operation="get", result="error") == 1


def test_a_node_with_two_jobs_is_busy_once() -> None:
    occupancy = NodeUtilization()
    start = time.monotonic()
    occupancy.enter("a")
    occupancy.enter("a")
    while time.monotonic() - start < 0.05:
        time.sleep(0.01)
    jobs, busy_s = occupancy.snapshot()["a"]
    passed_s = time.monotonic() - start

    assert jobs == 2
    assert 0.05 <= busy_s <= passed_s


def test_an_idle_node_gets_no_busier() -> None:
    occupancy = NodeUtilization()
    occupancy.enter("a")
    occupancy.leave("a")
    first = occupancy.snapshot()["a"]
    time.sleep(0.02)

    assert occupancy.snapshot()["a"] == first


def test_scrapes_that_come_together_share_one_look() -> None:
    looks: list[int] = []

    def look() -> Sequence[QueueSample]:
        looks.append(1)
        return [QueueSample("gpu", 3, 0, 1, 4.0)]

    registry = CollectorRegistry()
    registry.register(QueueCollector(look, fresh_s=60))
    threads = [threading.Thread(target=scrape, args=(registry,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert scrape(registry).value("imagemill_queue_jobs", queue="gpu", state="queued") == 3
    assert len(looks) == 1


def test_a_database_that_is_away_is_told_and_spoils_no_scrape() -> None:
    def look() -> Sequence[QueueSample]:
        raise StorageError("it is away")

    meters = Metrics()
    meters.registry.register(QueueCollector(look))
    meters.callback_sent("delivered")

    seen = scrape(meters.registry)

    assert seen.matching("imagemill_database_up") == [({}, 0.0)]
    assert seen.matching("imagemill_queue_jobs") == []
    assert seen.value("imagemill_callbacks_total", result="delivered") == 1


def test_queues_are_measured_by_state(store: Stores) -> None:
    store.jobs.ensure_owner("ann", now_us())
    app = build_mill(store)
    for lane in (LaneKey("gpu"), LaneKey("gpu", model="m"), LaneKey("render")):
        add(store, lane=lane, queue=lane.queue)
    before = store.jobs.measure(now_us() + 10 * SECOND)
    app.run()
    app.runner.close(5)

    assert (before["gpu"].queued, before["render"].queued) == (2, 1)
    assert 10 <= before["gpu"].oldest_s < 30
    assert store.jobs.measure(now_us())["gpu"].queued == 1


def test_an_id_knows_when_it_was_made() -> None:
    instant = 1_790_000_000_123_000

    assert uuid7_us(uuid7(instant)) == instant


def test_a_port_that_is_taken_is_refused_with_the_setting_to_change() -> None:
    meters = Metrics()
    first = MetricsServer("127.0.0.1", 0, meters.registry)
    try:
        with pytest.raises(MetricsPortTaken, match="IMAGEMILL_METRICS__PORT"):
            MetricsServer("127.0.0.1", first.port, meters.registry)
        answer = httpx2.get(f"http://127.0.0.1:{first.port}/metrics", verify=False)
        assert parse(answer.text).matching("imagemill_callbacks_total")
    finally:
        first.close()


def test_a_taken_port_ends_only_a_process_that_needs_it() -> None:
    def metering(port: int) -> Observer:
        return Observer(Settings(_env_file=None, metrics={"port": port}).metrics, "abc")

    first = metering(0)
    first.start(needed=False)
    second = metering(first.port or 0)
    try:
        second.start(needed=False)
        assert second.port is None
        with pytest.raises(MetricsPortTaken):
            second.start(needed=True)
    finally:
        second.close()
        first.close()
