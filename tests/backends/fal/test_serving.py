"""fal behind the whole server: preferred last, never for private jobs, paid once."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from imagemill.backends.fal.settings import FalSettings
from imagemill.bootstrap.application import Roles
from tests.conftest import TOKEN, Server
from tests.fal_server import FalServer, Reply
from tests.fal_server.server import KEY
from tests.tuning import tuned

FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"


def settings(fal: FalServer, **changes: Any) -> dict[str, Any]:
    own = {"key": KEY, "host": fal.host, "ca_file": fal.ca_file, "poll_s": 0.02, "smallest_side": 64}
    return {"fal": tuned(FalSettings, **(own | changes)), "scheduler_poll_ms": 20}


@pytest.fixture
def serve(make_server: Callable[..., Server], fal: FalServer) -> Callable[..., Server]:
    def start(simulator: str = "never", faults: Any = (), **changes: Any) -> Server:
        sim = {"enabled": simulator, "faults": faults}
        return make_server(simulator=sim, **settings(fal, **changes))

    return start


def submit(server: Server, expect: int = 201, **changes: Any) -> dict[str, Any]:
    input_ = {"model": FLUX, "prompt": "a fox", "width": 64, "height": 64, "steps": 4}
    body = {"recipe": "textToImage", "input": input_ | changes.pop("input", {}), **changes}
    answer = server.client.post("/api/v1/jobs", json=body, headers=TOKEN)
    assert answer.status_code == expect, answer.text
    return answer.json()


def test_a_picture_of_fal_is_kept_and_metered(serve: Callable[..., Server], fal: FalServer) -> None:
    server = serve()
    job = server.wait(submit(server)["id"])
    assert job["status"] == "succeeded", job["error"]
    assert (job["node"], job["queue"]) == ("fal", "remote")
    assert len(job["artifacts"]) == 1
    assert fal.submits == 1
    metrics = server.client.get("/metrics").text
    assert 'imagemill_provider_calls_total{outcome="succeeded",provider="fal"} 1.0' in metrics
    assert 'imagemill_provider_cost_total{provider="fal"} 0.025' in metrics


def test_local_nodes_are_preferred_until_they_have_let_it_wait(
    serve: Callable[..., Server], fal: FalServer
) -> None:
    server = serve("always", spill_after_s=0.6)
    assert server.wait(submit(server)["id"])["node"] != "fal"
    assert fal.submits == 0
    slow = {"simulate": {"step_ms": 60_000}}
    held = [submit(server, properties=slow)["id"] for _ in range(2)]  # both slots of the node
    assert server.wait(submit(server)["id"])["node"] == "fal"
    for job in held:
        server.client.post(f"/api/v1/jobs/{job}/cancel")


def test_a_private_job_is_made_at_home_or_refused(serve: Callable[..., Server], fal: FalServer) -> None:
    server = serve("always", spill_after_s=0.0)
    job = server.wait(submit(server, private=True)["id"])
    assert job["node"] != "fal"
    assert fal.submits == 0


def test_without_a_local_node_a_private_job_is_refused(serve: Callable[..., Server], fal: FalServer) -> None:
    problem = submit(serve(), 400, private=True)
    assert "local nodes" in str(problem["errors"]["private"])
    assert fal.asked("submit") == 0


def test_a_failure_that_passes_is_tried_again(serve: Callable[..., Server], fal: FalServer) -> None:
    fal.answer("submit", Reply(500), Reply(503, text="<center>nginx</center>"))
    server = serve()
    job = server.wait(submit(server)["id"])
    assert (job["status"], job["failures"]) == ("succeeded", 2)
    assert fal.submits == 1


def test_a_blocked_prompt_is_not_tried_again(serve: Callable[..., Server], fal: FalServer) -> None:
    fal.answer("submit", Reply(422, "no", error_type="content_policy_violation"))
    server = serve()
    job = server.wait(submit(server)["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "content_blocked")
    assert fal.asked("submit") == 1


@pytest.mark.parametrize("fault", [{"cut": True}, {"size": (128, 64)}])
def test_a_damaged_picture_is_a_failure_of_the_picture(
    serve: Callable[..., Server], fal: FalServer, fault: dict[str, Any]
) -> None:
    fal.behave(**fault)
    server = serve(cost_per_job=0.06)
    job = server.wait(submit(server)["id"])
    assert job["status"] == "failed"
    # Two pictures were paid for; a third would be above the job's ceiling.
    assert fal.submits == 2
    assert "limit" in job["error"]["message"]


def test_a_full_minute_makes_jobs_wait_and_fails_none(serve: Callable[..., Server], fal: FalServer) -> None:
    server = serve(per_minute=2)
    jobs = [submit(server)["id"] for _ in range(4)]
    done = [server.wait(job) for job in jobs[:1]]
    assert done[0]["status"] == "succeeded"
    reached = threading.Event()
    for _ in range(200):
        waiting = [server.client.get(f"/api/v1/jobs/{job}").json() for job in jobs]
        if sum(job["status"] == "queued" for job in waiting) == 2:
            break
        reached.wait(0.05)
    assert fal.submits == 2
    assert [job["failures"] for job in waiting] == [0] * 4
    (held,) = {job["waits"] for job in waiting if job["status"] == "queued"}
    assert "2 times in a minute" in held


def test_a_worker_for_the_queue_remote_serves_fal_alone(
    serve: Callable[..., Server], make_server: Callable[..., Server], fal: FalServer
) -> None:
    """Jobs of the queue gpu among them; local nodes that are well are left their time and never served."""
    given = settings(fal, spill_after_s=0.3) | {"simulator": {"enabled": "always"}}
    front = make_server(**given, roles=Roles(worker=False))
    make_server(**given, roles=Roles(scheduler=False, queues=frozenset({"remote"})))
    private = submit(front, private=True)["id"]
    job = front.wait(submit(front)["id"])
    assert (job["queue"], job["node"]) == ("gpu", "fal")
    assert "for a local node (bound 0 s)" in job["reason"]
    assert front.client.get(f"/api/v1/jobs/{private}").json()["status"] == "queued"
