"""What a fleet on a broker promises beyond the contract, on Redis and on RabbitMQ with quorum queues."""

import os
import time
from dataclasses import dataclass
from typing import Any

import pytest
from kombu.connection import Connection

from imagemill.dispatch.celery_broker import make_app
from tests.dispatch.fleet import Fleet
from tests.rabbit import RabbitServer
from tests.redis import RedisServer

SLOW = {"properties": {"simulate": {"step_ms": 100}}, "params": {"steps": 10}}
RUN = "imagemill.run."
TASKS = {RUN + name for name in ("gpu", "remote", "render", "tasks", "other")}
ANSWER_S = 2.0
"""All answers of so long are taken."""
PATIENCE_S = 30.0
"""While Celery starts a child it answers nobody."""


@dataclass
class Brokered:
    fleet: Fleet
    broker: RedisServer | RabbitServer

    def asked(self, question: str) -> dict[str, Any]:
        """What each worker answers, as Flower asks it; some do."""
        app: Any = make_app(self.fleet.server.app.settings)
        end = time.monotonic() + PATIENCE_S
        with app.connection_for_write() as connection:
            inspect = app.control.inspect(timeout=ANSWER_S, connection=connection)
            while not (answers := getattr(inspect, question)()):
                assert time.monotonic() < end, "no worker answers"
        return answers


@pytest.fixture(params=["celery", "rabbit"])
def brokered(request: pytest.FixtureRequest) -> Brokered:
    fleet: Fleet = request.getfixturevalue(f"{request.param}_fleet")
    fleet.ensure(1)
    return Brokered(fleet, request.getfixturevalue("redis" if request.param == "celery" else "rabbit"))


def test_nothing_is_lost_or_run_twice_when_the_broker_is_killed_and_started_again(brokered: Brokered):
    fleet = brokered.fleet
    running = fleet.submit(**SLOW)
    fleet.wait_for(running, "running")
    waiting = [fleet.submit(**SLOW) for _ in range(3)]
    brokered.broker.stop()
    try:
        away = [fleet.submit() for _ in range(3)]
        assert fleet.server.wait(running)["status"] == "succeeded"
    finally:
        brokered.broker.start()
    ids = [running, *waiting, *away]
    assert {fleet.server.wait(job_id, 40)["status"] for job_id in ids} == {"succeeded"}
    assert [fleet.claims(job_id) for job_id in ids] == [1] * len(ids)


def test_workers_and_tasks_have_names_that_say_what_they_are(brokered: Brokered):
    job_id = brokered.fleet.submit()
    brokered.fleet.server.wait(job_id)
    brokered.fleet.ensure(1)
    workers = brokered.asked("registered")
    assert f"{brokered.fleet.server.app.stores.jobs.job(job_id).worker}@imagemill" in workers
    assert all(set(tasks) == TASKS for tasks in workers.values())


def test_celerys_own_command_works_within_the_limits_that_are_set(brokered: Brokered):
    fleet = brokered.fleet
    limits = {"SOFT_TIME_LIMIT_S": "100", "MAX_TASKS_PER_CHILD": "1"}
    with fleet.only_worker(
        **{f"IMAGEMILL_CELERY__{name}": value for name, value in limits.items()}
    ) as worker:
        processes = {process_for_a_job(fleet) for _ in range(2)}
        answers = brokered.asked("stats")
        (stats,) = [answers[name] for name in answers if name.startswith("own@")]
        worker.signal()
        assert worker.ended(60) == os.EX_OK  # a child that is being replaced starts whole first
    assert len(processes) == 2, "a child is replaced after one task"
    assert worker.process.pid not in processes
    assert stats["prefetch_count"] == 1
    assert stats["pool"]["timeouts"] == [100, 160]
    assert stats["pool"]["max-tasks-per-child"] == 1


def test_on_rabbitmq_there_are_quorum_queues_for_wake_ups_and_none_for_delays(
    rabbit_fleet: Fleet, rabbit: RabbitServer
):
    rabbit_fleet.ensure(1)
    rabbit_fleet.server.wait(rabbit_fleet.submit())
    assert has_queue(rabbit, "gpu", "quorum")
    assert not has_queue(rabbit, "gpu", "classic")
    assert not has_queue(rabbit, "celery_delayed_0", "quorum")


def process_for_a_job(fleet: Fleet) -> int:
    job_id = fleet.submit()
    assert fleet.server.wait(job_id, 30)["status"] == "succeeded"
    return fleet.process_of(job_id)


def has_queue(rabbit: RabbitServer, name: str, kind: str) -> bool:
    """Whether there is one of this kind already."""
    with Connection(rabbit.url) as connection:
        channel: Any = connection.default_channel
        try:
            channel.queue_declare(name, passive=True)
            channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-queue-type": kind})
        except connection.channel_errors:
            return False
    return True
