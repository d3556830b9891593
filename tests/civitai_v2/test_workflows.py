"""Workflows over HTTP: submission, references, reading, changes."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.access.support import ask, guarded, key
from tests.civitai_v2.http_support import WORKFLOWS, errors, found, get, picture, ref, run, send
from tests.conftest import Server
from tests.http.support import until


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


def test_independent_steps_run_at_once_and_a_failed_source_cancels_its_dependents(server: Server):
    ended = run(
        server,
        picture(name="source", metadata={"simulate": {"fault": "missing_model", "times": 9}}),
        picture("closer", name="dependent", sourceImage=ref("source", "output.images[0].url")),
        picture("further", name="third", sourceImage=ref("dependent", "output.images[0].url")),
        picture("alone", name="independent"),
    )

    assert {step["name"]: step["status"] for step in ended["steps"]} == {
        "source": "failed",
        "dependent": "canceled",
        "third": "canceled",
        "independent": "succeeded",
    }
    assert ended["status"] == "failed"
    failed, dependent, *_ = ended["steps"]
    assert failed["jobs"][0]["reason"] == "missing_model"
    assert "is not in the node's list" in failed["output"]["errors"][0]
    assert dependent["jobs"][0]["reason"] == "canceled"
    assert dependent["input"]["sourceImage"] == ref("source", "output.images[0].url")


def test_references_to_arguments_and_inputs_are_values_at_once(server: Server):
    ended = run(
        server,
        picture(ref("$arguments", "words.subject"), seed=ref("$arguments", "seed")),
        picture(ref("0", "input.prompt"), seed=5),
        arguments={"words": {"subject": "a fox"}, "seed": 4},
    )

    assert [step["input"]["prompt"] for step in ended["steps"]] == ["a fox", "a fox"]
    assert ended["steps"][0]["input"]["seed"] == 4
    assert ended["arguments"] == {"words": {"subject": "a fox"}, "seed": 4}


def test_a_step_of_several_pictures_has_a_job_for_each(server: Server):
    ended = run(
        server,
        picture(quantity=2, batchSize=2, seed=10),
        picture(sourceImage=ref("$0", "output.images[3].url")),
    )

    many, closer = ended["steps"]
    assert len(many["jobs"]) == len(many["output"]["images"]) == 4
    assert closer["input"]["sourceImage"] == many["output"]["images"][3]["url"]
    assert len({image["id"] for image in many["output"]["images"]}) == 4


@pytest.mark.parametrize(
    ("steps", "path", "words"),
    [
        ([], "steps", "at least 1 item"),
        ([{"input": {}}], "steps[0].$type", "is required"),
        ([{"$type": "polyGen", "input": {}}], "steps[0].$type", "step type not supported"),
        ([{"$type": "textToImag", "input": {}}], "steps[0].$type", "did you mean textToImage?"),
        ([picture(sourceImage=ref("nobody", "output.images[0].url"))], "steps[0].input", "the steps are $0"),
        ([picture(sourceImage=ref("$0", "output.images[0].url"))], "steps[0].input", "its own output"),
        (
            [picture(quantity=2), picture(sourceImage=ref("$0", "output.images[2].url"))],
            "steps[1].input.sourceImage",
            "the step makes 2",
        ),
        (
            [picture(), picture(prompt=ref("$0", "outputs"))],
            "steps[1].input.prompt",
            "write output.images[0]",
        ),
        ([picture(prompt=ref("$arguments", "missing"))], "steps[0].input.prompt", "no such value"),
        ([picture(prompt={"$ref": "$0"})], "steps[0].input", "its own output"),
        ([picture(prompt={"$ref": 3})], "steps[0].input.prompt", "is no reference"),
        ([picture(name="a"), picture(name="a")], "steps[1].name", "the name of steps[0] too"),
        ([picture(colour=1)], "steps[0].input.colour", "not a field"),
        ([{**picture(), "colour": 1}], "steps[0].colour", "not a field"),
        ([{**picture(), "timeout": "soon"}], "steps[0].timeout", "time span"),
        ([{**picture(), "priority": "urgent"}], "steps[0].priority", "high"),
        ([picture(metadata={"simulate": "nonsense"})], "steps[0].metadata.simulate", "not a fault"),
        ([picture(sourceImage="output:0197-1/0")], "steps[0].input.sourceImage", "no picture of another job"),
    ],
)
def test_a_wrong_workflow_is_refused_with_its_field(server: Server, steps: list[Any], path: str, words: str):
    answer = send(server, *steps)

    found = errors(answer)
    assert path in found, found
    assert words in found[path][0], found


def test_a_circle_of_references_is_refused(server: Server):
    first = picture(name="a", sourceImage=ref("b", "output.images[0].url"))
    second = picture(name="b", sourceImage=ref("a", "output.images[0].url"))

    assert "its own output" in errors(send(server, first, second))["steps[0].input"][0]


def test_a_price_enquiry_stores_nothing_and_an_external_id_is_still_free(server: Server):
    step = picture(width=512, height=512, steps=20, quantity=3)
    body = {"steps": [step], "externalId": "order-1"}
    priced = server.client.post(WORKFLOWS, json=body, params={"whatif": "true"}).json()

    assert "id" not in priced
    assert priced["status"] == "unassigned"
    assert len(priced["steps"][0]["jobs"]) == 3
    assert priced["cost"]["total"] == priced["cost"]["base"] > 0
    assert priced["transactions"] == {"list": [], "insufficientBuzz": False}
    first = server.client.post(WORKFLOWS, json=body).json()
    assert first["cost"]["total"] == priced["cost"]["total"]
    assert first["externalId"] == "order-1"


def test_an_external_id_is_submitted_once(server: Server):
    first = send(server, picture("first"), externalId="twice").json()
    second = send(server, picture("another"), externalId="twice")

    assert second.json()["id"] == first["id"]
    waited = run(server, picture("another"), externalId="twice")
    assert waited["id"] == first["id"]
    assert waited["steps"][0]["input"]["prompt"] == "first"
    server.client.delete(f"{WORKFLOWS}/{first['id']}")
    assert send(server, picture("third"), externalId="twice").json()["id"] != first["id"]


def test_an_ephemeral_workflow_is_gone_at_its_end(server: Server):
    refused = errors(send(server, picture(), ephemeral=True))
    ended = run(server, picture(), ephemeral=True)

    assert "needs a callback" in refused["ephemeral"][0]
    assert ended["ephemeral"]
    assert server.client.get(f"{WORKFLOWS}/{ended['id']}").status_code == 404


def test_a_workflow_is_changed_and_found_by_its_tags_and_metadata(server: Server):
    ended = run(
        server, picture(metadata={"a": 1}), metadata={"title": 'the "red" one'}, tags=["civitai", "red"]
    )
    other = run(server, picture(), tags=["civitai", "blue"])
    at, client = f"{WORKFLOWS}/{ended['id']}", server.client

    assert [each["id"] for each in found(server, tags=["civitai", "red"])] == [ended["id"]]
    assert [each["id"] for each in found(server, query='"RED"')] == [ended["id"]]
    assert client.post(f"{at}/tags", json="favourite").status_code == 204
    assert client.delete(f"{at}/tags/red").status_code == 204
    assert (
        client.put(at, json={"metadata": {"title": "changed"}, "allowMatureContent": True}).status_code == 204
    )
    patch = [
        {"op": "test", "path": "/metadata/title", "value": "changed"},
        {"op": "add", "path": "/metadata/note", "value": None},
        {"op": "add", "path": "/tags/-", "value": "last"},
    ]
    assert client.patch(at, json=patch).status_code == 204
    changed = get(server, ended["id"])
    assert changed["metadata"] == {"title": "changed", "note": None}
    assert changed["tags"] == ["civitai", "favourite", "last"]
    assert changed["allowMatureContent"]
    assert client.put(f"{at}/steps/$0", json={"metadata": {"b": 2}}).status_code == 204
    step_patch = [{"op": "add", "path": "/metadata/c", "value": 3}]
    assert client.patch(f"{at}/steps/$0", json=step_patch).status_code == 204
    assert client.get(f"{at}/steps/0").json()["metadata"] == {"b": 2, "c": 3}
    assert client.delete(f"{at}/tags").status_code == 204
    assert get(server, ended["id"])["tags"] == []
    assert other["id"] in [each["id"] for each in found(server, tags=["civitai"])]


def test_a_wrong_patch_changes_nothing(server: Server):
    ended = run(server, picture(), metadata={"title": "kept"})
    at = f"{WORKFLOWS}/{ended['id']}"
    for patch in (
        [{"op": "replace", "path": "/metadata/title", "value": "x"}, {"op": "remove", "path": "/nothing"}],
        [{"op": "add", "path": "/cost", "value": {}}],
        [{"op": "replace", "path": "/metadata", "value": 3}],
        [{"op": "add", "path": "/tags/-", "value": 3}],
        [{"op": "add", "path": "/status", "value": "processing"}],
        [{"op": "burn", "path": "/metadata"}],
        {"op": "add"},
    ):
        assert server.client.patch(at, json=patch).status_code == 400, patch
    assert get(server, ended["id"])["metadata"] == {"title": "kept"}


def test_workflows_are_listed_page_by_page_in_both_orders(server: Server):
    ids = [run(server, picture(), tags=["pages"])["id"] for _ in range(3)]

    first = server.client.get(WORKFLOWS, params={"tags": "pages", "take": "2"}).json()
    second = server.client.get(
        WORKFLOWS, params={"tags": "pages", "take": "2", "cursor": first["next"]}
    ).json()
    assert [each["id"] for each in (*first["items"], *second["items"])] == ids[::-1]
    assert second["next"] is None
    assert [each["id"] for each in found(server, tags=["pages"], ascending="true")] == ids


def test_failed_workflows_can_be_left_out(server: Server):
    good = run(server, picture(), tags=["mixed"])
    bad = run(server, picture(metadata={"simulate": {"fault": "content", "times": 9}}), tags=["mixed"])

    assert bad["steps"][0]["jobs"][0]["blockedReason"]
    assert len(found(server, tags=["mixed"])) == 2
    assert [each["id"] for each in found(server, tags=["mixed"], excludeFailed="true")] == [good["id"]]


def test_a_running_workflow_is_canceled_by_an_update_and_by_a_patch(server: Server):
    for change in (
        lambda at: server.client.put(at, json={"status": "canceled"}),
        lambda at: server.client.patch(at, json=[{"op": "replace", "path": "/status", "value": "canceled"}]),
    ):
        begun = send(
            server,
            picture(metadata={"simulate": {"step_ms": 5000}}),
            picture(sourceImage=ref("$0", "output.images[0].url")),
        ).json()
        answer = change(f"{WORKFLOWS}/{begun['id']}")
        assert answer.status_code == 204, answer.text
        ended = get(server, begun["id"], wait="20")
        assert ended["status"] == "canceled"
        assert {step["status"] for step in ended["steps"]} == {"canceled"}
        assert ended["completedAt"]


def test_a_deleted_workflow_is_gone_with_its_files(server: Server):
    ended = run(server, picture())
    job = ended["steps"][0]["jobs"][0]["id"]

    assert server.client.delete(f"{WORKFLOWS}/{ended['id']}").status_code == 204
    assert server.client.get(f"{WORKFLOWS}/{ended['id']}").status_code == 404
    assert server.client.delete(f"{WORKFLOWS}/{ended['id']}").status_code == 404
    assert not list(server.app.blobs.list(f"jobs/{job}/"))


def test_a_step_shows_its_place_in_line_and_the_model_it_loads(make_server: Callable[..., Server]):
    server = make_server(simulator={"nodes": 1, "load_ms": 600_000, "slots": 1})
    loading = send(server, picture()).json()
    waiting = send(server, picture()).json()

    def is_loading() -> bool:
        return get(server, loading["id"])["status"] == "preparing"

    until(is_loading)
    step = get(server, loading["id"])["steps"][0]
    assert step["preparation"]["resource"] == "urn:air:sd1:checkpoint:civitai:4384@128713"
    assert step["preparation"]["queuePosition"] == 0
    assert 0 < step["preparation"]["etaSeconds"] <= 600
    queued = get(server, waiting["id"])["steps"][0]
    assert queued["status"] == "scheduled"
    assert queued["queuePosition"]["support"] == "available"
    assert queued["queuePosition"]["precedingJobs"] == 0
    assert queued["jobs"][0]["queuePosition"]["startAt"] == queued["queuePosition"]["estimatedStartAt"]
    for each in (loading, waiting):
        server.client.put(f"{WORKFLOWS}/{each['id']}", json={"status": "canceled"})


def test_another_owner_sees_nothing(make_server: Callable[..., Server]):
    server = guarded(make_server)
    mine, theirs = key(server, "ann"), key(server, "bob")
    id_ = ask(server, mine, "POST", WORKFLOWS, json={"steps": [picture()]}).json()["id"]
    at = f"{WORKFLOWS}/{id_}"

    assert ask(server, mine, "GET", at).status_code in (200, 202)
    for method, path, body in (
        ("GET", at, None),
        ("PUT", at, {"status": "canceled"}),
        ("PATCH", at, []),
        ("DELETE", at, None),
        ("POST", f"{at}/tags", "x"),
        ("GET", f"{at}/steps/$0", None),
        ("PUT", f"{at}/steps/$0", {"metadata": {}}),
    ):
        answer = ask(server, theirs, method, path, **({"json": body} if body is not None else {}))
        assert answer.status_code == 404, (method, path, answer.text)
    assert ask(server, theirs, "GET", WORKFLOWS).json()["items"] == []


def test_faults_of_the_api_and_of_jobs_are_asked_for_in_metadata(server: Server):
    body = {"steps": [picture()], "metadata": {"simulate": {"http": 503, "times": 2, "retryAfter": 1}}}
    first, second, third = (server.client.post(WORKFLOWS, json=body) for _ in range(3))

    assert [first.status_code, second.status_code] == [503, 503]
    assert first.headers["retry-after"] == "1"
    assert third.status_code in (200, 202)
    retried = run(server, picture(metadata={"simulate": {"fault": "server_error", "times": 1}}))
    assert retried["status"] == "succeeded"


def test_the_pictures_of_a_query_come_as_a_zip_file(server: Server):
    ended = run(server, picture(quantity=2), picture(name="b/../c"), tags=["zipped"])
    answer = server.client.get(WORKFLOWS, params={"tags": "zipped"}, headers={"Accept": "application/zip"})

    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == [f"{ended['id']}/{name}.png" for name in ("0-0", "0-1", "bc-0")]
        assert archive.read(archive.namelist()[0]).startswith(b"\x89PNG")
