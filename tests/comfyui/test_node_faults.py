"""Every way in which the test node misbehaves."""

import io
import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.comfyui import control, graphs
from tests.comfyui.certificate import authority_file
from tests.comfyui.client import PATIENCE_S, Client, listening, without_status
from tests.comfyui.faults import How
from tests.comfyui.node import TestNode
from tests.comfyui.test_node_queue import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode() as node:
        yield node


def finished(node: TestNode, prompt: str) -> str:
    wait_for(lambda: node.ended.get(prompt) and node.running != prompt)
    return node.ended[prompt]


@pytest.mark.parametrize(
    ("how", "status", "begins"),
    [
        ("500", 500, b"500"),
        ("html", 200, b"<!doctype"),
        ("garbage", 200, b'{"prompt_id"'),
        ("empty", 200, b""),
    ],
)
def test_a_wrong_answer_comes_as_often_as_asked(
    node: TestNode, client: Client, how: How, status: int, begins: bytes
) -> None:
    node.answer("/prompt", how, times=2, method="POST")
    for _ in range(2):
        answered = client.post("/prompt", {"prompt": graphs.solid()})
        assert (answered.status, answered.data[: len(begins) or None]) == (status, begins)
    assert client.post("/prompt", {"prompt": graphs.solid()}).status == 200
    assert len(node.prompts) == 1


def test_a_wrong_answer_fits_both_spellings_of_a_path_until_calmed(node: TestNode, client: Client) -> None:
    node.answer("/history", "503")
    assert [client.get(path).status for path in ("/history", "/api/history/x", "/queue")] == [503, 503, 200]
    node.calm()
    assert client.get("/history").status == 200


def test_a_request_can_hang_and_the_others_are_answered(node: TestNode, client: Client) -> None:
    node.answer("/queue", "hang")
    with Client(node, timeout_s=0.1) as hasty, pytest.raises(httpx2.ReadTimeout):
        hasty.get("/queue")
    assert client.get("/prompt").status == 200


def test_an_answer_can_be_late(node: TestNode, client: Client) -> None:
    node.answer("/prompt", None, delay_s=0.1, times=1)
    began = time.perf_counter()
    assert client.get("/prompt").status == 200
    assert time.perf_counter() - began >= 0.1


def test_a_prompt_can_be_taken_and_its_answer_lost(node: TestNode, client: Client) -> None:
    node.behave(lose_answers=1)
    prompt = str(uuid4())
    with pytest.raises(httpx2.RemoteProtocolError):
        client.post("/prompt", {"prompt": graphs.solid(), "prompt_id": prompt})
    assert finished(node, prompt) == "success"
    assert client.history(prompt)
    assert client.submit(graphs.solid(2))


def test_a_picture_can_be_shorter_than_promised(node: TestNode, client: Client) -> None:
    prompt = client.submit(graphs.solid(size=64))
    finished(node, prompt)
    node.behave(truncate="short")
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete"):
        client.images(prompt)


def test_a_picture_can_be_half_a_file(node: TestNode, client: Client) -> None:
    prompt = client.submit(graphs.sd1(size=(256, 256)))
    finished(node, prompt)
    node.behave(truncate="half")
    (answered,) = client.images(prompt)
    assert answered.status == 200
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(answered.data)).load()


def test_a_picture_can_be_missing_after_success(node: TestNode, client: Client) -> None:
    node.behave(lose_files=True)
    prompt = client.submit(graphs.solid())
    assert finished(node, prompt) == "success"
    assert [answered.status for answered in client.images(prompt)] == [404]


def test_a_socket_can_be_silent(node: TestNode, client: Client) -> None:
    node.behave(silent=True)
    with listening(node) as listener:
        finished(node, client.submit(graphs.solid(), listener.client))
        assert listener.silence(0.05)


def test_connections_can_be_half_open(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        assert client.get("/prompt").status == 200
        node.behave(frozen=True)
        assert not listener.socket.ping().wait(0.1)
        with Client(node) as fresh:
            finished(node, fresh.submit(graphs.solid(), listener.client))
        assert listener.silence(0.05)


def test_the_whole_node_can_be_out_of_reach(node: TestNode, client: Client) -> None:
    node.behave(unreachable=True)
    with Client(node, timeout_s=0.1) as hasty, pytest.raises(httpx2.ReadTimeout):
        hasty.get("/prompt")
    node.calm()
    with Client(node) as fresh:
        assert fresh.get("/prompt").status == 200


def test_sockets_can_be_dropped_without_a_close(node: TestNode) -> None:
    with listening(node) as listener:
        node.drop_sockets()
        with pytest.raises(ConnectionClosedError) as closed:
            listener.next()
        assert closed.value.rcvd is None
        wait_for(lambda: node.sockets == 0)


def test_sockets_can_be_refused(node: TestNode) -> None:
    node.behave(refuse_sockets=True)
    with pytest.raises(InvalidStatus), listening(node):
        pass


def test_events_can_come_twice(node: TestNode, client: Client) -> None:
    node.behave(duplicate=True)
    with listening(node) as listener:
        prompt = client.submit(graphs.solid(), listener.client)
        listener.until_end(prompt)
        assert listener.next()["data"] == {"node": None, "prompt_id": prompt}


def test_events_can_change_places_and_none_is_lost(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        straight = listener.until_end(client.submit(graphs.sd1(seed=1), listener.client))
        client.post("/free", {"free_memory": True})
        node.behave(disorder=True)
        client.submit(graphs.sd1(seed=1), listener.client)
        crooked = [listener.next() for _ in straight]
        assert listener.silence(0.1)
    types = [event["type"] for event in straight]
    assert [event["type"] for event in crooked] != types
    assert sorted(event["type"] for event in crooked) == sorted(types)


def test_a_wedged_node_takes_prompts_and_runs_none(node: TestNode, client: Client) -> None:
    node.behave(wedged=True)
    with listening(node) as listener:
        prompt = client.submit(graphs.solid(), listener.client)
        assert without_status([listener.next()]) == []
        assert listener.silence(0.1)
        queue = client.get("/queue").json
        assert (queue["queue_running"], len(queue["queue_pending"])) == ([], 1)
        node.calm()
        assert listener.until_end(prompt)


def test_steps_can_be_slow() -> None:
    with TestNode(step_s=0.01) as node, Client(node) as client, listening(node) as listener:
        node.behave(slowness=5.0)
        began = time.perf_counter()
        listener.until_end(client.submit(graphs.sd1(steps=2), listener.client))
        assert time.perf_counter() - began >= 0.1


def test_timestamps_can_be_of_another_clock(node: TestNode, client: Client) -> None:
    node.behave(clock_skew_s=-3600)
    prompt = client.submit(graphs.solid())
    finished(node, prompt)
    ((_, began), *_) = client.history(prompt)["status"]["messages"]
    assert time.time() * 1000 - began["timestamp"] >= 3_590_000


def test_a_foreign_prompt_takes_its_turn(node: TestNode, client: Client) -> None:
    node.behave(stalled=True)
    foreign = node.enqueue_foreign(graphs.sd1())
    with listening(node) as listener:
        ours = client.submit(graphs.solid(), listener.client)
        node.calm()
        events = listener.until_end(ours)
    assert node.started == [foreign, ours]
    assert {event["data"].get("prompt_id", ours) for event in events} == {ours}


def test_memory_runs_out_as_often_as_asked(node: TestNode, client: Client) -> None:
    node.behave(oom_times=1)
    first = client.submit(graphs.sd1(seed=1))
    second = client.submit(graphs.sd1(seed=2))
    assert (finished(node, first), finished(node, second)) == ("error", "success")
    _, error = client.history(first)["status"]["messages"][-1]
    assert error["exception_type"] == "torch.OutOfMemoryError"
    assert error["exception_message"].startswith("Allocation on device")
    assert error["node_type"] == "KSampler"


def test_memory_can_be_short_until_it_is_freed(node: TestNode, client: Client) -> None:
    node.behave(oom_until_freed=True)
    assert finished(node, client.submit(graphs.sd1())) == "error"
    client.post("/free", {"unload_models": True, "free_memory": True})
    assert finished(node, client.submit(graphs.sd1())) == "success"


def test_memory_runs_out_for_chosen_graphs(node: TestNode, client: Client) -> None:
    node.behave(oom_when=lambda graph: graph["5"]["inputs"]["width"] > 100)
    assert finished(node, client.submit(graphs.sd1(size=(128, 64)))) == "error"
    assert finished(node, client.submit(graphs.sd1(size=(64, 64)))) == "success"


def test_memory_runs_out_when_the_pixels_exceed_it() -> None:
    with (
        TestNode(vram_mb=1000, model_mb=500, megapixel_mb=1000, device="cuda:0") as node,
        Client(node) as client,
    ):
        assert client.get("/system_stats").json["devices"][0]["vram_total"] == 1000 * 2**20
        assert finished(node, client.submit(graphs.sd1(size=(512, 512)))) == "success"
        assert client.get("/system_stats").json["devices"][0]["vram_free"] == 500 * 2**20
        assert finished(node, client.submit(graphs.sd1(size=(512, 512), batch=4))) == "error"


def test_prompts_can_fail_in_a_node(node: TestNode, client: Client) -> None:
    node.behave(error_times=1)
    prompt = client.submit(graphs.sd1())
    assert finished(node, prompt) == "error"
    _, error = client.history(prompt)["status"]["messages"][-1]
    assert "/srv/comfyui/" in error["exception_message"]


def test_an_unknown_fault_is_refused(node: TestNode) -> None:
    with pytest.raises(TypeError, match="no such fault: slowly"):
        node.behave(slowly=True)


def test_a_token_is_needed_when_set() -> None:
    with TestNode(token="secret") as node, Client(node) as stranger:
        assert stranger.get("/prompt").status == 401
        with pytest.raises(InvalidStatus), listening(node):
            pass
        shown = {"Authorization": "Bearer secret"}
        with Client(node, shown) as friend, listening(node, headers=shown) as listener:
            assert listener.until_end(friend.submit(graphs.solid(), listener.client))


def test_access_headers_are_needed_when_set() -> None:
    with TestNode(access=("id", "secret")) as node, Client(node) as stranger:
        assert stranger.get("/prompt").status == 403
        shown = {"CF-Access-Client-Id": "id", "CF-Access-Client-Secret": "secret"}
        assert stranger.get("/prompt", headers=shown).status == 200


def test_tls_is_spoken_with_a_certificate_of_its_own() -> None:
    trusting = ssl.create_default_context(cafile=str(authority_file()))
    with TestNode(tls=True) as node:
        answer = httpx2.get(f"{node.url}/prompt", timeout=PATIENCE_S, verify=trusting)
        assert answer.status_code == 200
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx2.get(f"{node.url}/prompt", timeout=PATIENCE_S)
        address = node.url.replace("https", "wss") + "/ws?clientId=a"
        with connect(address, ssl=trusting, compression=None) as socket:
            assert json.loads(socket.recv(timeout=PATIENCE_S))["type"] == "status"


def test_a_killed_node_cuts_its_sockets_and_refuses_new_ones(node: TestNode, client: Client) -> None:
    node.behave(stalled=True)
    with listening(node) as listener:
        prompt = client.submit(graphs.sd1(), listener.client)
        listener.until("executing", node="4")
        node.kill()
        with pytest.raises(ConnectionClosedError):
            listener.until_end(prompt)
    with pytest.raises(httpx2.ConnectError):
        client.get("/prompt")
    node.calm()
    node.restart()
    assert client.get("/queue").json == {"queue_running": [], "queue_pending": []}


def test_a_node_of_its_own_process_can_be_led_and_killed() -> None:
    command = [sys.executable, "-m", "tests.comfyui.node", "--work-ms", "20", "--version", "0.3.64"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        try:
            control.tell(url, "behave", wedged=True)
            call = httpx2.post(f"{url}/prompt", json={"prompt": graphs.solid(), "prompt_id": "one"})
            assert call.json()["prompt_id"] == "one"
            assert control.record(url)["started"] == []
            control.tell(url, "calm")
            wait_for(lambda: control.record(url)["ended"] == {"one": "success"})
            assert control.record(url)["executed"] == ["one"]
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


NOWHERE = [["99", 0], ["red", 3], ["99", True]]


@pytest.mark.parametrize("link", NOWHERE)
def test_a_link_to_nowhere_under_an_undeclared_input_ends_the_worker(
    node: TestNode, client: Client, link: list[object]
) -> None:
    graph = graphs.solid()
    graph["2"]["inputs"]["note"] = link
    prompt = client.submit(graph)
    wait_for(lambda: node.dead)
    client.post("/interrupt", {"prompt_id": prompt})
    behind = client.submit(graphs.solid())
    assert (node.running, node.pending, node.ended) == (prompt, [behind], {})


@pytest.mark.parametrize("output", [7, 0.5])
def test_an_output_that_a_cached_node_does_not_have_ends_the_worker(
    node: TestNode, client: Client, output: float
) -> None:
    finished(node, client.submit(graphs.solid()))
    graph = graphs.solid()
    graph["2"]["inputs"] |= {"note": ["1", output], "filename_prefix": "other"}
    prompt = client.submit(graph)
    wait_for(lambda: node.dead)
    assert node.running == prompt


def test_a_dead_worker_comes_back_with_a_restart(node: TestNode, client: Client) -> None:
    graph = graphs.solid()
    graph["2"]["inputs"]["note"] = ["99", 0]
    client.submit(graph)
    wait_for(lambda: node.dead)
    node.restart()
    assert finished(node, client.submit(graphs.solid())) == "success"


def test_a_class_that_shows_a_text_saves_nothing(node: TestNode, client: Client) -> None:
    graph = graphs.solid()
    graph["2"] = graphs.node("PreviewAny", source=["1", 0])
    prompt = client.submit(graph)
    assert finished(node, prompt) == "success"
    assert list(client.history(prompt)["outputs"]["2"]) == ["text"]


def test_a_file_name_in_any_script_is_served(node: TestNode, client: Client) -> None:
    graph = graphs.solid()
    graph["2"]["inputs"]["filename_prefix"] = "\u65e5\u672c/\U0001f98a_\u00e9"
    prompt = client.submit(graph)
    finished(node, prompt)
    (image,) = client.history(prompt)["outputs"]["2"]["images"]
    answered = httpx2.get(f"{node.url}/view", params=image, timeout=PATIENCE_S)
    assert answered.content.startswith(b"\x89PNG")
    assert image["filename"] in answered.headers["content-disposition"]
