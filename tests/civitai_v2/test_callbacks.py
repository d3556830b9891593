"""Callbacks of workflows: three scopes, in order, one at a time."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagemill.config import Settings
from imagemill.domain.jobs import Job
from imagemill.jobs.store.store import JobStore
from tests.civitai_v2.http_support import WORKFLOWS, errors, get, picture, ref, send
from tests.conftest import Server, running_server
from tests.http.support import Receiver, running_receiver, until


@pytest.fixture
def receiver():
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def reaching(make_server: Callable[..., Server]) -> Server:
    """A server that may call this machine."""
    return make_server(allow_networks=["127.0.0.0/8"], webhook={"retry_base_s": 0.01})


def bodies(receiver: Receiver, id_: str) -> list[dict[str, Any]]:
    """The messages of a workflow, also those that were refused."""
    return [body for _, body, _ in receiver.calls if body["workflowId"] == id_]


def callback(receiver: Receiver, *types: str, **more: Any) -> dict[str, Any]:
    return {"url": receiver.url, "type": list(types), **more}


def ended(receiver: Receiver, id_: str) -> bool:
    final = ("succeeded", "failed", "canceled", "expired")
    return any(body["$type"] == "workflow" and body["status"] in final for body in bodies(receiver, id_))


def test_all_scopes_are_reported_in_order(reaching: Server, receiver: Receiver):
    begun = send(
        reaching,
        picture(quantity=2),
        picture(sourceImage=ref("$0", "output.images[0].url")),
        callbacks=[callback(receiver, "workflow:*", "step:*", "job:*")],
    ).json()

    until(lambda: ended(receiver, begun["id"]))
    told = bodies(receiver, begun["id"])
    assert {body["$type"] for body in told} == {"workflow", "step", "job"}
    workflow = [body["status"] for body in told if body["$type"] == "workflow"]
    assert workflow[0] == "unassigned"
    assert workflow[-1] == "succeeded"
    assert set(workflow[1:-1]) <= {"processing"}
    for name in ("$0", "$1"):
        steps = [body["status"] for body in told if body["$type"] == "step" and body["name"] == name]
        assert steps[0] == "unassigned"
        assert steps[-1] == "succeeded"
    jobs = [body for body in told if body["$type"] == "job"]
    assert len({body["jobId"] for body in jobs}) == 3
    for id_ in {body["jobId"] for body in jobs}:
        words = [body["status"] for body in jobs if body["jobId"] == id_]
        assert words[0] == "unassigned"
        assert words[-1] == "succeeded"
    last_of_first = max(n for n, body in enumerate(told) if body.get("name", body.get("stepName")) == "$0")
    begins_second = next(
        n for n, body in enumerate(told) if body.get("stepName") == "$1" and body["status"] == "processing"
    )
    assert last_of_first < begins_second
    assert told[-1]["$type"] == "workflow"


def test_a_callback_gets_only_what_it_asks_for_with_details(reaching: Server, receiver: Receiver):
    begun = send(
        reaching,
        picture("a fox"),
        metadata={"order": 7},
        callbacks=[callback(receiver, "workflow:succeeded", "STEP:succeeded", detailed=True)],
    ).json()

    until(lambda: ended(receiver, begun["id"]))
    step, workflow = bodies(receiver, begun["id"])
    assert (step["$type"], step["name"], step["status"]) == ("step", "$0", "succeeded")
    assert step["details"]["output"]["images"][0]["available"]
    assert step["details"]["output"]["images"][0]["url"].startswith(reaching.url)
    assert step["details"]["retries"] == 0
    assert workflow["details"]["metadata"] == {"order": 7}
    assert workflow["details"]["steps"][0]["input"]["prompt"] == "a fox"
    assert workflow["timestamp"].endswith("Z")


def test_a_refused_message_is_sent_again_before_the_next(reaching: Server, receiver: Receiver):
    receiver.script = [500, 503]
    begun = send(reaching, picture(), callbacks=[callback(receiver, "job:*")]).json()

    until(lambda: any(body["status"] == "succeeded" for body in bodies(receiver, begun["id"])))
    words = [body["status"] for body in bodies(receiver, begun["id"])]
    assert words[:3] == ["unassigned"] * 3
    assert words[3:] == sorted(words[3:], key=["processing", "succeeded"].index)


def test_a_failed_job_says_why(reaching: Server, receiver: Receiver):
    begun = send(
        reaching,
        picture(metadata={"simulate": {"fault": "content", "times": 9}}),
        callbacks=[callback(receiver, "job:failed", "workflow:failed")],
    ).json()

    until(lambda: ended(receiver, begun["id"]))
    job, workflow = bodies(receiver, begun["id"])
    assert job["reason"] == "blocked"
    assert "content filter" in job["blockedReason"]
    assert workflow["status"] == "failed"


def test_a_message_has_the_state_of_its_event(
    reaching: Server, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    read = JobStore.batch

    def read_early(store: JobStore, owner: str, batch: str) -> list[Job]:
        found = read(store, owner, batch)
        time.sleep(0.1)  # the job goes on before its events are read
        return found

    monkeypatch.setattr(JobStore, "batch", read_early)
    begun = send(
        reaching,
        picture(metadata={"simulate": {"fault": "content", "times": 9}}),
        callbacks=[callback(receiver, "job:*")],
    ).json()

    until(lambda: any(body["status"] == "failed" for body in bodies(receiver, begun["id"])))
    told = bodies(receiver, begun["id"])
    assert told[-1]["reason"] == "blocked"


def test_a_callback_into_a_private_network_is_refused(server: Server):
    found = errors(
        send(server, picture(), callbacks=[{"url": "http://127.0.0.1:9/x", "type": ["workflow:*"]}])
    )
    assert "callbacks[0].url" in found
    found = errors(
        send(server, picture(), callbacks=[{"url": "https://a.example", "type": ["job:preparing"]}])
    )
    assert "callbacks[0].type[0]" in found


def test_a_deleted_workflow_is_not_reported_any_more(reaching: Server, receiver: Receiver):
    slow = picture(metadata={"simulate": {"step_ms": 300}})
    begun = send(reaching, slow, callbacks=[callback(receiver, "workflow:*")]).json()
    until(lambda: bodies(receiver, begun["id"]))

    reaching.client.delete(f"{WORKFLOWS}/{begun['id']}")

    outbox = reaching.app.batch_callbacks
    until(lambda: outbox.is_idle)
    assert {body["status"] for body in bodies(receiver, begun["id"])} <= {
        "unassigned",
        "processing",
        "canceled",
    }


def test_what_was_not_delivered_is_sent_by_the_next_process(tmp_path: Path, receiver: Receiver):
    def settings(retry_s: float) -> Settings:
        given: dict[str, Any] = {"webhook": {"retry_base_s": retry_s}, "sweep_s": 0.05}
        return Settings(_env_file=None, data_dir=tmp_path, allow_networks=["127.0.0.0/8"], **given)

    receiver.script = [500] * 1000
    with running_server(settings(0.5)) as first:
        begun = send(first, picture(), callbacks=[callback(receiver, "workflow:*")]).json()
        get(first, begun["id"], wait="20")
        until(lambda: bodies(receiver, begun["id"]))
    assert not ended(receiver, begun["id"])
    receiver.script = []

    with running_server(settings(0.01)) as second:
        until(lambda: ended(receiver, begun["id"]))
        assert get(second, begun["id"])["status"] == "succeeded"
