"""``/api/v1/doctor``, ``/api/v1/settings`` and the search for nodes."""

import json
from collections.abc import Callable

import httpx2

from imagemill.backends.comfyui.scan import scan_loopback
from tests.access.support import ADMIN_KEY
from tests.comfyui.node import TestNode
from tests.comfyui.processes import free_port
from tests.conftest import Server


def events(answer: httpx2.Response) -> list[tuple[str, dict[str, object]]]:
    frames = [frame.split("\n") for frame in answer.text.strip().split("\n\n")]
    return [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in frames
    ]


def test_the_checks_are_told_one_by_one_or_together(server: Server) -> None:
    whole = server.client.get("/api/v1/doctor").json()
    streamed = server.client.get("/api/v1/doctor", params={"stream": "true"})

    assert streamed.headers["content-type"].startswith("text/event-stream")
    *findings, (last, done) = events(streamed)
    assert (last, done) == ("done", {"ok": whole["ok"]})
    assert [finding["subject"] for _, finding in findings] == [each["subject"] for each in whole["findings"]]
    assert {"settings", "database", "folder", "blobs"} <= {each["subject"] for each in whole["findings"]}


def test_the_examination_of_a_node_is_streamed(make_server: Callable[..., Server]) -> None:
    server = make_server()
    with TestNode() as node:
        server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url}).raise_for_status()
        answer = server.client.post("/api/v1/nodes/attic/doctor", params={"stream": "true"})
    found = events(answer)
    assert found[0][1]["subject"] == "address"
    assert found[-1][0] == "done"
    absent = server.client.post("/api/v1/nodes/absent/doctor", params={"stream": "true"})
    assert absent.status_code == 404


def test_settings_that_differ_are_listed_without_secrets(make_server: Callable[..., Server]) -> None:
    server = make_server(auth={"admin_key": ADMIN_KEY}, job={"retention_days": 3})
    server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"

    answer = server.client.get("/api/v1/settings")

    found = {each["name"]: each for each in answer.json()["items"]}
    retention = found["IMAGEMILL_JOB__RETENTION_DAYS"]
    assert (retention["value"], retention["source"], retention["changed"]) == ("3", "command line", True)
    assert "IMAGEMILL_LIMIT__STREAMS" not in found
    assert ADMIN_KEY not in answer.text
    every = server.client.get("/api/v1/settings", params={"all": "true"}).json()
    assert len(every["items"]) == every["total"] > len(found)
    server.client.headers["Authorization"] = "Bearer wrong"
    assert server.client.get("/api/v1/settings").status_code == 401


def test_servers_of_this_machine_are_found_at_the_ports_that_are_looked_at(server: Server) -> None:
    with TestNode() as node:
        port = int(node.url.rpartition(":")[2])
        (found,) = scan_loopback((port, free_port()))
    assert found.url == f"http://127.0.0.1:{port}"
    assert found.stats.version
    assert server.client.post("/api/v1/nodes/scan").json()["ports"][0] == 8188
