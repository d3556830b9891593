"""What was paid for is collected, whoever is killed: real processes, fal's own client, a fal over TLS."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.programs import running
from tests.fal_server import FalServer
from tests.fal_server.server import running as running_fal

FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"
INPUT = {"model": FLUX, "prompt": "a lighthouse", "width": 256, "height": 256, "steps": 20}


@pytest.fixture
def fal() -> Iterator[FalServer]:
    with running_fal() as server:
        yield server


def settings(fal: FalServer) -> dict[str, str]:
    return fal.environment | {
        "IMAGEMILL_SWEEP_S": "0.1",
        "IMAGEMILL_FAL__POLL_S": "0.1",
        "IMAGEMILL_JOB__HEARTBEAT_S": "0.2",
        "IMAGEMILL_SHUTDOWN_GRACE_S": "0",
    }


def until(condition: Callable[[], object], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def finished(client: httpx2.Client, job: str) -> dict[str, Any]:
    def get() -> dict[str, Any]:
        return client.get(f"/api/v1/jobs/{job}").json()

    until(lambda: get()["finishedAt"])
    return get()


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_the_next_worker_collects_what_the_last_one_paid_for(
    tmp_path: Path, fal: FalServer, kill: bool
) -> None:
    fal.behave(queue_s=0.5, render_s=2.5)
    serve = ("serve", "--port", "0")
    with running(*serve, cwd=tmp_path, **settings(fal)) as first:
        with first.client() as client:
            answer = client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": INPUT})
            assert answer.status_code == 201, answer.text
            job = answer.json()["id"]
            until(lambda: fal.asked("status") >= 2)
        if kill:
            first.process.kill()
        else:
            first.signal()
        first.ended()
    (paid,) = fal.requests.values()
    assert not paid.canceled
    with running(*serve, cwd=tmp_path, **settings(fal)) as second, second.client() as client:
        done = finished(client, job)
        events = client.get(f"/api/v1/jobs/{job}/events").text
    assert done["status"] == "succeeded", done["error"]
    assert done["attempt"] == 2
    assert fal.submits == 1
    assert f'"requestId":"{paid.id}"' in events
