"""The first steps: each is done once there is such a thing of one's own."""

from collections.abc import Callable

from imagemill.domain.clock import now_us
from tests.conftest import Server
from tests.graphs import graph


def done(server: Server) -> dict[str, bool]:
    body = server.client.get("/api/v1/checklist").json()
    assert body["complete"] == all(each["done"] for each in body["items"])
    return {each["name"]: each["done"] for each in body["items"]}


def test_the_steps_of_a_fresh_server_are_done_one_after_the_other(make_server: Callable[..., Server]) -> None:
    server = make_server(allow_networks=["127.0.0.0/8"])
    assert done(server) == dict.fromkeys(("picture", "node", "workflow", "key", "webhook"), False)
    server.submit(wait="true")
    assert done(server)["picture"]
    assert server.client.post("/api/v1/workflows", json={"name": "mine", "graph": graph()}).is_success
    assert server.client.post("/api/v1/webhooks", json={"url": "http://127.0.0.1:9/"}).is_success
    assert server.client.post("/api/v1/nodes", json={"name": "attic", "url": "http://127.0.0.1:9"}).is_success
    made = server.client.post("/api/v1/keys", json={"name": "mine"}).json()
    server.client.headers["Authorization"] = f"Bearer {made['key']}"  # it is needed as soon as there is one
    assert all(done(server).values())


def test_what_others_have_is_not_ones_own(make_server: Callable[..., Server]) -> None:
    server = make_server()
    server.submit(wait="true")
    server.app.stores.jobs.ensure_owner("anna", now_us())
    answer = server.client.get("/api/v1/checklist", params={"owner": "anna"})
    assert answer.status_code == 400  # the steps are the caller's own
