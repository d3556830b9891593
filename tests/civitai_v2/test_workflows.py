"""Workflows over HTTP: submission, references, reading, changes."""

from tests.civitai_v2.http_support import picture, ref, run
from tests.conftest import Server


def test_a_workflow_of_two_steps_runs_in_the_order_of_its_references(server: Server):
    ended = run(
        server, picture(seed=7), picture("closer", sourceImage=ref("$0", "output.images[0].url"), seed=8)
    )

    assert ended["status"] == "succeeded"
    first, second = ended["steps"]
    assert [first["name"], second["name"]] == ["$0", "$1"]
    made = first["output"]["images"][0]
    assert made["available"]
    assert second["input"]["sourceImage"] == made["url"]
    assert second["startedAt"] >= first["completedAt"]
    fetched = server.client.get(made["url"], follow_redirects=True, headers={"Authorization": ""})
    assert fetched.headers["content-type"] == "image/png"
