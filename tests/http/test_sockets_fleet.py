"""Sockets of a fleet: real API processes show what a real worker does, over a real Redis."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.cli.programs import Program, image_job, running
from tests.redis import RedisServer

APIS = 2


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Program]]:
    """API processes, the first of which tests may stop; workers only look at what they are told of."""
    folder = tmp_path_factory.mktemp("fleet")
    redis = RedisServer(folder)
    redis.start()
    settings = {
        "IMAGEMILL_DATA_DIR": str(folder / "data"),
        "IMAGEMILL_BROKER_URL": redis.url,
        "IMAGEMILL_CELERY__POLL_S": "60",
        "IMAGEMILL_SHUTDOWN_GRACE_S": "5",
        # So rare that events of other processes which come sooner came over Redis.
        "IMAGEMILL_SCHEDULER_POLL_MS": "60000",
        "IMAGEMILL_JOB__HEARTBEAT_S": "10",
    }
    with ExitStack() as stack:
        apis: list[Program] = []
        for _ in range(APIS):
            apis.append(stack.enter_context(running("api", "--port", "0", cwd=folder, **settings)))
            apis[-1].line("listening on")  # one after the other: the first one makes the database
        stack.enter_context(running("worker", "--queues", "gpu", cwd=folder, **settings)).line(
            "worker started"
        )
        yield apis
    redis.stop()


def submit(api: Program, step_ms: float, steps: int = 4) -> str:
    with api.client() as client:
        job = image_job(steps, properties={"simulate": {"step_ms": step_ms}})
        return client.post("/v1/consumer/jobs", json=job).json()["jobs"][0]["jobId"]


def open_socket(api: Program, job_id: str, query: str = "") -> ClientConnection:
    return connect(f"{api.url.replace('http', 'ws', 1)}/api/v1/jobs/{job_id}/ws?{query}", proxy=None)


def rest(connection: ClientConnection) -> tuple[list[Any], int]:
    told: list[Any] = []
    while True:
        try:
            message = connection.recv(30)
        except ConnectionClosed as closed:
            return told, closed.rcvd.code if closed.rcvd else 1006
        told.append(message if isinstance(message, bytes) else json.loads(message))


def durable(told: list[Any]) -> list[dict[str, Any]]:
    return [each for each in told if isinstance(each, dict) and "seq" in each]


def test_every_api_process_shows_a_job_of_another_process_with_its_previews(fleet: list[Program]) -> None:
    job_id = submit(fleet[0], 100, steps=20)
    with ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(api, job_id, "previews=binary")) for api in fleet]
        followed = [rest(each) for each in sockets]

    for told, code in followed:
        assert code == 1000
        assert [event["type"] for event in durable(told)][-1] == "Succeeded"
        assert durable(told) == durable(followed[0][0])
        progress = [each for each in told if isinstance(each, dict) and each["type"] == "progress"]
        pictures = [each for each in told if isinstance(each, bytes)]
        assert len(progress) >= 5, "it did not come step by step"
        assert pictures
        assert pictures[-1][:2] == b"\xff\xd8"
        sizes = [each["previewBytes"] for each in progress if "previewBytes" in each]
        assert [len(picture) for picture in pictures] == sizes


def test_a_client_of_a_process_that_stops_goes_on_at_another_without_a_gap(fleet: list[Program]) -> None:
    """Leaves the fleet with one process less, so it is the last one."""
    job_id = submit(fleet[1], 150, steps=20)
    before: list[Any] = []
    with open_socket(fleet[0], job_id) as connection:
        while not before or before[-1]["type"] != "progress":
            before.append(json.loads(connection.recv(30)))
        fleet[0].signal()
        told, code = rest(connection)
        before += told
    assert code == 1012

    with open_socket(fleet[1], job_id, f"after={durable(before)[-1]['seq']}") as connection:
        after, code = rest(connection)

    assert code == 1000
    seqs = [event["seq"] for event in [*durable(before), *durable(after)]]
    assert seqs == list(range(1, len(seqs) + 1))
    assert durable(after)[-1]["type"] == "Succeeded"
    assert fleet[0].ended() == 0
