"""Queue, history, interrupts, restarts and memory."""

import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.comfyui import graphs
from tests.comfyui.client import PATIENCE_S, Client, listening
from tests.comfyui.node import NEW, TestNode


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.002)


@pytest.fixture
def stalled(node: TestNode, client: Client) -> str:
    """The id of a prompt that runs and goes no further until the node is calmed."""
    node.behave(stalled=True)
    prompt = client.submit(graphs.sd1(seed=99, steps=20))
    wait_for(lambda: node.running == prompt)
    return prompt


def test_pending_prompts_stand_in_heap_order_and_run_by_number(
    node: TestNode, client: Client, stalled: str
) -> None:
    plain = [client.submit(graphs.solid(colour)) for colour in (1, 2)]
    front = client.submit(graphs.solid(3), front=True)
    named = client.submit(graphs.solid(4), number=-1000)
    queue = client.get("/queue").json
    assert [entry[1] for entry in queue["queue_running"]] == [stalled]
    assert sorted(entry[0] for entry in queue["queue_pending"]) == [-1000.0, -3, 1, 2]
    assert queue["queue_pending"][0][:2] == [-1000.0, named]
    assert client.get("/prompt").json == {"exec_info": {"queue_remaining": 5}}
    node.calm()
    wait_for(lambda: len(node.ended) == 5)
    assert node.started == [stalled, named, front, *plain]


def test_equal_numbers_run_in_the_order_of_their_ids(node: TestNode, client: Client, stalled: str) -> None:
    ids = [str(uuid4()) for _ in range(4)]
    for place, prompt in enumerate(ids):
        client.submit(graphs.solid(place), number=5, prompt_id=prompt)
    node.calm()
    wait_for(lambda: len(node.ended) == 5)
    assert node.started[1:] == sorted(ids)


def test_a_tie_of_number_and_id_kills_the_worker_for_good(
    node: TestNode, client: Client, stalled: str
) -> None:
    twice = str(uuid4())
    # In this order of ids the first take leaves the tie alone and the second meets it, as recorded.
    for colour, first in ((1, "0"), (2, "2"), (3, "1")):
        client.submit(graphs.solid(colour), number=5, prompt_id=first + str(uuid4())[1:])
    for colour in (4, 5, 6):
        client.submit(graphs.solid(colour), number=7, prompt_id=twice)
    node.calm()
    wait_for(lambda: node.dead)
    assert client.get("/prompt").json == {"exec_info": {"queue_remaining": 4}}, "one got lost with the worker"
    later = client.submit(graphs.solid(7))
    queue = client.get("/queue").json
    assert (queue["queue_running"], len(queue["queue_pending"])) == ([], 5)
    assert later not in node.started


def test_an_id_sent_twice_runs_twice_and_keeps_the_second(node: TestNode, client: Client) -> None:
    prompt = str(uuid4())
    for colour in (1, 2):
        client.submit(graphs.solid(colour), prompt_id=prompt)
        wait_for(lambda times=colour: node.renders(prompt) == times and not node.running)
    assert client.history(prompt)["prompt"][2] == graphs.solid(2)


def test_a_deleted_prompt_vanishes_without_a_trace(node: TestNode, client: Client, stalled: str) -> None:
    with listening(node) as listener:
        prompt = client.submit(graphs.solid(), listener.client)
        assert client.post("/queue", {"delete": [prompt]}).data == b""
        assert client.post("/queue", {"delete": [stalled, str(uuid4())]}).status == 200
        node.calm()
        heard = listener.until("status", status={"exec_info": {"queue_remaining": 0}})
    assert {event["type"] for event in heard} == {"status", "progress_state", "progress"}
    assert client.get(f"/history/{prompt}").json == {}
    assert (prompt in node.started, node.ended[stalled]) == (False, "success")


def test_clearing_leaves_the_running_prompt(node: TestNode, client: Client, stalled: str) -> None:
    client.submit(graphs.solid())
    client.post("/queue", {"clear": True})
    assert (node.running, node.pending) == (stalled, [])


def test_an_interrupt_hits_only_the_prompt_it_names(node: TestNode, client: Client) -> None:
    node.behave(stalled=True)
    with listening(node) as listener:
        prompt = client.submit(graphs.sd1(steps=20), listener.client)
        listener.until("executing", node="4")
        client.post("/interrupt", {"prompt_id": str(uuid4())})
        node.calm()
        listener.until("progress", value=1)
        events = listener.until_end(prompt)
        assert node.ended[prompt] == "success"
        node.behave(stalled=True)
        again = client.submit(graphs.sd1(seed=7), listener.client)
        listener.until("executing", node="3")
        client.post("/interrupt", {"prompt_id": again})
        node.calm()
        events = listener.until_end(again)
    data = next(event["data"] for event in events if event["type"] == "execution_interrupted")
    assert (data["node_id"], data["node_type"], data["executed"]) == ("3", "KSampler", [])
    status = client.history(again)["status"]
    assert (status["status_str"], status["messages"][-1][0]) == ("error", "execution_interrupted")


def test_an_interrupt_of_an_idle_server_does_not_reach_the_next_prompt(
    node: TestNode, client: Client
) -> None:
    assert client.post("/interrupt").status == 200
    prompt = client.submit(graphs.solid())
    wait_for(lambda: node.ended.get(prompt))
    assert node.ended[prompt] == "success"


def test_the_history_can_be_paged_deleted_and_cleared(node: TestNode, client: Client) -> None:
    prompts = [client.submit(graphs.solid(colour)) for colour in (1, 2, 3)]
    wait_for(lambda: len(node.ended) == 3 and not node.running)
    assert list(client.get("/history").json) == prompts
    assert list(client.get("/history", max_items=2).json) == prompts[1:]
    assert list(client.get("/history", max_items=1, offset=1).json) == [prompts[1]]
    client.post("/history", {"delete": [prompts[0]]})
    assert list(client.get("/api/history").json) == prompts[1:]
    client.post("/history", {"clear": True})
    assert client.get("/history").json == {}


def test_nothing_survives_a_restart_but_files(node: TestNode, client: Client, stalled: str) -> None:
    client.submit(graphs.solid())
    node.files.write("output", "", "kept.png", b"x")
    node.files.write("temp", "", "gone.png", b"x")
    address = node.url
    node.calm()
    node.behave(wedged=True)
    node.restart()
    node.calm()
    assert node.url == address
    assert client.get("/queue").json == {"queue_running": [], "queue_pending": []}
    assert client.get("/history").json == {}
    assert client.get("/view", filename="kept.png").status == 200
    assert client.get("/view", filename="gone.png", type="temp").status == 404
    number = client.post("/prompt", {"prompt": graphs.solid()}).json["number"]
    assert number == 0
    node.restart(wipe=True)
    assert client.get("/view", filename="kept.png").status == 404


def test_a_model_is_loaded_once_until_another_or_until_freed(node: TestNode, client: Client) -> None:
    def run(**how: object) -> None:
        prompt = client.submit(graphs.sd1(**how))
        wait_for(lambda: node.ended.get(prompt) and not node.running)

    run(seed=1)
    run(seed=2)
    run(seed=3, checkpoint="sd1_b.safetensors")
    run(seed=4)
    assert node.loads == ["sd1.safetensors", "sd1_b.safetensors", "sd1.safetensors"]
    assert client.post("/free", {"unload_models": True, "free_memory": True}).status == 200
    run(seed=4)
    assert node.loads[3:] == ["sd1.safetensors"]
    assert len(node.executed) == 5


def test_a_cached_prompt_is_cold_again_after_freeing(node: TestNode, client: Client) -> None:
    for expected in (1, 1, 2):
        if expected == 2:
            client.post("/free", {"free_memory": True})
        prompt = client.submit(graphs.solid())
        wait_for(lambda known=prompt: node.ended.get(known) and not node.running)
        assert len(node.executed) == expected


def test_jobs_exist_on_the_newer_release_only(node: TestNode, client: Client, stalled: str) -> None:
    waiting = client.submit(graphs.solid())
    if node.version != NEW:
        assert client.get("/api/jobs").status == 404
        assert client.post(f"/api/jobs/{waiting}/cancel").status == 405
        return
    assert [job["status"] for job in client.get("/api/jobs", sort_order="asc").json["jobs"]] == [
        "in_progress",
        "pending",
    ]
    assert client.post(f"/api/jobs/{waiting}/cancel").json == {"cancelled": True}
    assert client.get(f"/api/jobs/{waiting}").status == 404
    assert client.post("/api/jobs/cancel", {"job_ids": [stalled]}).json == {"cancelled": True}
    node.calm()
    wait_for(lambda: node.ended.get(stalled) == "interrupted" and not node.running)
    assert client.post(f"/api/jobs/{stalled}/cancel").json == {"cancelled": False}
    assert client.get(f"/api/jobs/{stalled}").json["status"] == "cancelled"
    assert client.get("/api/jobs", status="bogus").status == 400
    assert client.get("/jobs").status == 404


def test_a_finished_job_shows_its_saved_picture(new_node: TestNode, new_client: Client) -> None:
    workflow = {"extra_pnginfo": {"workflow": {"id": "w-1"}}}
    prompt = new_client.submit(graphs.two_outputs(), extra_data=workflow)
    wait_for(lambda: new_node.ended.get(prompt) and not new_node.running)
    (job,) = new_client.get("/api/jobs", workflow_id="w-1", status="completed").json["jobs"]
    assert job["preview_output"] == {
        "filename": "ops_00001_.png",
        "subfolder": "lab",
        "type": "output",
        "nodeId": "4",
        "mediaType": "images",
    }
    assert (job["outputs_count"], job["workflow_id"]) == (2, "w-1")
    assert new_client.get(f"/api/jobs/{prompt}").json["workflow"]["prompt"] == graphs.two_outputs()


def test_only_the_targets_of_a_partial_execution_run(node: TestNode, client: Client) -> None:
    prompt = client.submit(graphs.two_outputs(), partial_execution_targets=["5"])
    wait_for(lambda: node.ended.get(prompt) and not node.running)
    assert list(client.history(prompt)["outputs"]) == ["5"]


def test_work_steps_and_loads_take_their_time() -> None:
    with (
        TestNode(work_s=0.05, step_s=0.01, load_s=0.03) as node,
        Client(node) as client,
        listening(node) as listener,
    ):
        started = time.perf_counter()
        listener.until_end(client.submit(graphs.sd1(steps=4), listener.client))
        assert time.perf_counter() - started >= 0.12
        started = time.perf_counter()
        listener.until_end(client.submit(graphs.sd1(steps=4), listener.client))
        assert time.perf_counter() - started < 0.12, "a cached prompt costs nothing"


@pytest.mark.parametrize("version", [NEW])
def test_the_rate_is_that_of_the_work_when_prompts_wait(version: str) -> None:
    count, work_s = 20, 0.01
    with TestNode(version, work_s=work_s) as node, Client(node) as client, listening(node) as listener:
        prompts = [client.submit(graphs.solid(colour), listener.client) for colour in range(count)]
        began = time.perf_counter()
        listener.until_end(prompts[-1])
        assert time.perf_counter() - began >= (count - 15) * work_s
        assert node.executed == prompts
