"""A JSON Patch of a workflow's status cancels it."""

from tests.civitai_v2.http_support import WORKFLOWS, errors, get, picture, send
from tests.conftest import Server

SLOW = {"simulate": {"step_ms": 500}}


def patch(server: Server, id_: str, *operations: dict[str, object]):
    return server.client.patch(f"{WORKFLOWS}/{id_}", json=list(operations))


def test_a_patch_cancels_and_changes_at_once(server: Server):
    id_ = send(server, picture(metadata=SLOW)).json()["id"]
    status = get(server, id_)["status"]
    answer = patch(
        server,
        id_,
        {"op": "test", "path": "/status", "value": status},
        {"op": "replace", "path": "/status", "value": "canceled"},
        {"op": "add", "path": "/tags/-", "value": "late"},
    )
    assert (answer.status_code, answer.content) == (204, b"")
    ended = get(server, id_, wait="20")
    assert (ended["status"], ended["tags"]) == ("canceled", ["late"])


def test_no_other_status_can_be_patched(server: Server):
    id_ = send(server, picture(metadata=SLOW)).json()["id"]
    answer = patch(
        server,
        id_,
        {"op": "replace", "path": "/status", "value": "succeeded"},
        {"op": "add", "path": "/tags/-", "value": "late"},
    )
    assert "canceled" in errors(answer)["status"][0]
    assert get(server, id_)["tags"] == []
    server.client.put(f"{WORKFLOWS}/{id_}", json={"status": "canceled"})
