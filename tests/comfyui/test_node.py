"""The events of prompts: their order, fields and listeners."""

import json
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.comfyui import graphs
from tests.comfyui.client import PATIENCE_S, Client, Event, listening, without_status
from tests.comfyui.node import TestNode


def told(events: list[Event]) -> list[str]:
    """Each event in a word or two: progress states as `1:finished`, the rest by type and node."""
    lines = []
    for event in events:
        data: Any = event["data"]
        if event["type"] == "progress_state":
            lines.append(" ".join(f"{name}:{state['state'][0]}" for name, state in data["nodes"].items()))
        elif event["type"] in ("executing", "executed", "progress"):
            lines.append(f"{event['type']} {data['node']}")
        else:
            lines.append(event["type"])
    return lines


def test_a_prompt_is_told_in_the_recorded_order(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        prompt = client.submit(graphs.solid(), listener.client)
        events = listener.until_end(prompt)
    assert told(events) == [
        "status",
        "status",
        "execution_start",
        "execution_cached",
        "1:r",
        "executing 1",
        "1:f",
        "1:f 2:r",
        "executing 2",
        "executed 2",
        "1:f 2:f",
        "execution_success",
        "status",
        "executing None",
    ]


def test_events_have_the_recorded_fields(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        prompt = client.submit(graphs.sd1(steps=2), listener.client)
        events = listener.until_end(prompt)
    first = {event["type"]: event["data"] for event in reversed(events)}
    assert first["status"] == {"status": {"exec_info": {"queue_remaining": 1}}}
    assert set(first["execution_start"]) == {"prompt_id", "timestamp"}
    assert list(first["execution_cached"]) == ["nodes", "prompt_id", "timestamp"]
    assert first["executing"] == {"node": "4", "display_node": "4", "prompt_id": prompt}
    assert first["progress"] == {"value": 1, "max": 2, "prompt_id": prompt, "node": "3"}
    assert first["executed"] == {
        "node": "9",
        "display_node": "9",
        "output": {"images": [{"filename": "sd1_00001_.png", "subfolder": "lab", "type": "output"}]},
        "prompt_id": prompt,
    }
    assert first["progress_state"]["nodes"]["4"] == {
        "value": 0.0,
        "max": 1.0,
        "state": "running",
        "node_id": "4",
        "prompt_id": prompt,
        "display_node_id": "4",
        "parent_node_id": None,
        "real_node_id": "4",
    }


@pytest.mark.parametrize(
    ("graph", "order"),
    [
        (graphs.sd1(), "4 5 7 6 3 8 9"),
        (graphs.flux(), "3 7 1 10 9 2 5 6 11 8 12 13 14"),
        (graphs.two_outputs(), "1 2 3 5 4"),
    ],
    ids=["sd1", "flux", "two outputs"],
)
def test_nodes_run_in_the_recorded_order(
    node: TestNode, client: Client, graph: dict[str, Any], order: str
) -> None:
    with listening(node) as listener:
        events = listener.until_end(client.submit(graph, listener.client))
    ran = [event["data"]["node"] for event in events if event["type"] == "executing"]
    assert ran == [*order.split(), None]


def test_a_sampler_counts_its_steps_and_then_keeps_them_as_its_state(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        events = listener.until_end(client.submit(graphs.sd1(steps=3), listener.client))
    states = [event["data"]["nodes"].get("3") for event in events if event["type"] == "progress_state"]
    shown = [(state["value"], state["max"], state["state"]) for state in states if state]
    assert shown[:5] == [
        (0.0, 1.0, "running"),
        (1, 3, "running"),
        (2, 3, "running"),
        (3, 3, "running"),
        (3, 3, "finished"),
    ]


def test_a_repeat_is_cached_and_tells_the_same_file(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        first = client.submit(graphs.sd1(), listener.client)
        listener.until_end(first)
        again = client.submit(graphs.sd1(), listener.client)
        events = listener.until_end(again)
    assert told(without_status(events)) == [
        "execution_start",
        "execution_cached",
        "executed 9",
        "9:f",
        "execution_success",
        "executing None",
    ]
    assert events[3]["data"]["nodes"] == ["4", "5", "6", "7", "3", "8", "9"]
    assert client.history(first)["outputs"] == client.history(again)["outputs"]
    assert [len(list(node.files.names("output"))), node.executed] == [1, [first]]


def test_with_another_seed_only_the_sampler_and_what_follows_runs(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        listener.until_end(client.submit(graphs.sd1(seed=1), listener.client))
        events = listener.until_end(client.submit(graphs.sd1(seed=2), listener.client))
    cached = next(event["data"]["nodes"] for event in events if event["type"] == "execution_cached")
    ran = [event["data"]["node"] for event in events if event["type"] == "executing"]
    assert (cached, ran) == (["4", "5", "6", "7"], ["3", "8", "9", None])


def test_only_the_last_prompt_is_cached(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        for graph in (graphs.sd1(), graphs.solid(), graphs.sd1()):
            prompt = client.submit(graph, listener.client)
            events = listener.until_end(prompt)
    assert events[3]["data"]["nodes"] == []
    assert node.renders(prompt) == 1


def test_other_clients_hear_only_the_status(node: TestNode, client: Client) -> None:
    with listening(node) as owner, listening(node) as other:
        owner.until_end(client.submit(graphs.solid(), owner.client))
        heard = other.until("status", status={"exec_info": {"queue_remaining": 0}})
    assert {event["type"] for event in heard} == {"status"}


def test_a_prompt_of_nobody_shows_its_progress_to_all_and_its_end_to_none(
    node: TestNode, client: Client
) -> None:
    with listening(node) as listener:
        client.submit(graphs.sd1(steps=2))
        events = listener.until("status", status={"exec_info": {"queue_remaining": 0}})
        assert listener.silence(0.05)
    assert {event["type"] for event in events} == {"status", "progress_state", "progress"}


def test_an_interrupt_of_a_prompt_of_nobody_is_told_to_all(node: TestNode, client: Client) -> None:
    node.behave(stalled=True)
    with listening(node) as listener:
        client.submit(graphs.sd1())
        listener.until("progress_state")
        client.post("/interrupt")
        node.calm()
        assert listener.until("execution_interrupted")


def test_success_is_told_before_the_history_has_it_and_the_end_after(node: TestNode, client: Client) -> None:
    node.behave(history_lag_s=0.3)
    with listening(node) as listener:
        prompt = client.submit(graphs.solid(), listener.client)
        listener.until("execution_success")
        assert client.history(prompt) is None
        listener.until_end(prompt)
        assert client.history(prompt)["status"]["completed"]


def test_the_history_keeps_prompt_outputs_messages_and_meta(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        prompt = client.submit(graphs.solid(), listener.client, extra_data={"mine": "kept"})
        listener.until_end(prompt)
    entry = client.history(prompt)
    number, known, graph, extra, outputs = entry["prompt"]
    assert (number, known, graph, outputs) == (0, prompt, graphs.solid(), ["2"])
    assert extra.pop("create_time", None) is not None or node.version == "0.3.64"
    assert extra == {"mine": "kept", "client_id": listener.client}
    assert [message for message, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert entry["meta"] == {
        "2": {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}
    }


def test_a_nodes_error_ends_the_prompt_and_carries_server_paths(node: TestNode, client: Client) -> None:
    node.files.write("input", "", "broken.png", b"no picture")
    graph = graphs.sd1_from_picture("broken.png", 64, 64)
    with listening(node) as listener:
        prompt = client.submit(graph, listener.client)
        events = without_status(listener.until_end(prompt))
    failed = events[-2]
    assert failed["type"] == "execution_error"
    assert list(failed["data"]) == [
        "prompt_id",
        "node_id",
        "node_type",
        "executed",
        "exception_message",
        "exception_type",
        "traceback",
        "current_inputs",
        "current_outputs",
        "timestamp",
    ]
    assert failed["data"]["exception_type"] == "PIL.UnidentifiedImageError"
    assert "/srv/comfyui/input/broken.png" in failed["data"]["exception_message"]
    status = client.history(prompt)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert status["messages"][-1][0] == "execution_error"


def test_what_was_saved_before_an_error_stays_in_the_outputs(node: TestNode, client: Client) -> None:
    graph = {
        "1": graphs.node("CheckpointLoaderSimple", ckpt_name="sd1.safetensors"),
        "2": graphs.node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "3": graphs.node("VAEDecode", samples=["2", 0], vae=["1", 2]),
        "4": graphs.node("SaveImage", images=["3", 0], filename_prefix="x"),
        "5": graphs.node("EmptyImage", width=16, height=16, batch_size=1, color=7),
        "6": graphs.node("SaveImage", images=["5", 0], filename_prefix="x"),
    }
    with listening(node) as listener:
        prompt = client.submit(graph, listener.client)
        events = listener.until_end(prompt)
    error = next(event["data"] for event in events if event["type"] == "execution_error")
    assert (error["node_type"], error["executed"]) == ("VAEDecode", ["5", "6", "1", "2"])
    assert "to have 4 channels, but got 16" in error["exception_message"]
    assert list(client.history(prompt)["outputs"]) == ["6"]


def test_a_new_socket_of_the_running_client_hears_the_node_without_the_prompt(
    node: TestNode, client: Client
) -> None:
    node.behave(stalled=True)
    with listening(node) as listener:
        prompt = client.submit(graphs.sd1(), listener.client)
        listener.until("executing", node="4")
    with listening(node, listener.client) as again:
        assert again.next() == {"type": "executing", "data": {"node": "4"}}
        node.calm()
        assert again.until_end(prompt)


def test_the_newer_of_two_sockets_hears_and_closing_the_older_silences_it(
    node: TestNode, client: Client
) -> None:
    with listening(node) as older, listening(node, older.client) as newer:
        newer.until_end(client.submit(graphs.solid(1), newer.client))
        older.socket.close()
        prompt = client.submit(graphs.solid(2), newer.client)
        while node.ended.get(prompt) is None:
            assert newer.silence(0.01)
        assert newer.silence(0.05)
        assert node.sockets == 0


def test_a_socket_without_a_client_id_is_given_one(node: TestNode) -> None:
    with connect(node.url.replace("http", "ws") + "/ws", compression=None) as socket:
        assert len(json.loads(socket.recv(timeout=PATIENCE_S))["data"]["sid"]) == 32


def test_pings_are_answered_and_junk_is_ignored(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        listener.socket.send("junk")
        assert listener.socket.ping().wait(PATIENCE_S)
        assert listener.until_end(client.submit(graphs.solid(), listener.client))


def test_previews_come_after_their_step_for_plain_sockets(client: Client, node: TestNode) -> None:
    with listening(node) as listener:
        prompt = client.submit(
            graphs.sd1(steps=2), listener.client, extra_data={"preview_method": "latent2rgb"}
        )
        events = listener.until_end(prompt)
    types = [event["type"] for event in events if event["type"] in ("progress", "binary")]
    assert types == ["progress", "binary", "progress", "binary"]
    frame = next(event["data"] for event in events if event["type"] == "binary")
    assert (frame[:8], frame[8:10]) == (b"\x00\x00\x00\x01\x00\x00\x00\x01", b"\xff\xd8")


def test_previews_come_before_their_step_with_metadata_for_sockets_that_asked(
    node: TestNode, client: Client
) -> None:
    with listening(node, metadata=True) as listener:
        prompt = client.submit(graphs.sd1(steps=1), listener.client, extra_data={"preview_method": "auto"})
        events = listener.until_end(prompt)
    types = [event["type"] for event in events if event["type"] in ("progress", "binary")]
    assert types == ["binary", "progress"]
    frame = next(event["data"] for event in events if event["type"] == "binary")
    length = int.from_bytes(frame[4:8], "big")
    about = json.loads(frame[8 : 8 + length])
    assert frame[:4] == b"\x00\x00\x00\x04"
    assert (about["node_id"], about["prompt_id"], about["image_type"]) == ("3", prompt, "image/jpeg")
    assert frame[8 + length :][:2] == b"\xff\xd8"


def test_previews_are_off_by_default(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        events = listener.until_end(client.submit(graphs.sd1(), listener.client))
    assert "binary" not in {event["type"] for event in events}


def test_pictures_over_the_socket_come_as_png_frames_and_leave_no_output(
    node: TestNode, client: Client
) -> None:
    graph = {
        "1": graphs.node("EmptyImage", width=32, height=32, batch_size=2, color=174712),
        "2": graphs.node("SaveImageWebsocket", images=["1", 0]),
    }
    with listening(node) as listener:
        prompt = client.submit(graph, listener.client)
        events = listener.until_end(prompt)
    frames = [event["data"] for event in events if event["type"] == "binary"]
    assert [frame[:12] for frame in frames] == [b"\x00\x00\x00\x01\x00\x00\x00\x02\x89PNG"] * 2
    assert client.history(prompt)["outputs"] == {}
    assert "executed" not in {event["type"] for event in events}


def test_with_metadata_a_picture_comes_before_its_step(node: TestNode, client: Client) -> None:
    graph = {
        "1": graphs.node("EmptyImage", width=32, height=32, batch_size=2, color=174712),
        "2": graphs.node("SaveImageWebsocket", images=["1", 0]),
    }
    with listening(node, metadata=True) as listener:
        events = listener.until_end(client.submit(graph, listener.client))
    types = [event["type"] for event in events if event["type"] in ("progress", "binary")]
    assert types == ["binary", "progress"] * 2
    assert next(event["data"] for event in events if event["type"] == "binary")[:4] == b"\x00\x00\x00\x04"
