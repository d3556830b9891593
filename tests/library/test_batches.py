"""Batches: what a dry run tells, gaps are filled and nothing is made twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagemill.bootstrap.application import Roles
from imagemill.products.library.grid import list_cells
from tests.conftest import Server
from tests.library.support import GRID, SMALL, finish, order, rows
from tests.money.test_http import ADMIN_KEY, account, post

Make = Callable[..., Server]


@pytest.fixture
def library(make_server: Make) -> Server:
    return make_server(library={"picture": SMALL})


def test_a_dry_run_tells_all_and_sends_nothing(library: Server):
    told = order(library, grid={}, dryRun=True)
    assert (told["new"], told["present"], told["underWay"]) == (288, 0, 0)
    assert told["cost"] > 0
    assert [cell["prompt"] for cell in told["cells"]] == [cell.prompt for cell in list_cells()]
    assert library.client.get("/api/v1/jobs").json()["items"] == []


def test_a_repeated_batch_fills_only_the_gaps(library: Server):
    first = order(library, grid=GRID, count=3)
    assert (first["new"], first["missing"]) == (3, 5)
    finish(library, first["batch"])
    told = order(library, grid=GRID, dryRun=True)
    assert (told["new"], told["present"]) == (5, 3)
    second = order(library, grid=GRID)
    assert (second["new"], second["present"]) == (5, 3)
    finish(library, second["batch"])
    assert order(library, grid=GRID)["batch"] is None
    listed = rows(library)
    assert len({row["templateId"] for row in listed}) == len(listed) == 8
    assert {row["version"] for row in listed} == {1}


def test_what_is_under_way_is_not_begun_again(make_server: Make):
    library = make_server(library={"picture": SMALL}, simulator={"step_ms": 100})
    first = order(library, grid=GRID)
    second = order(library, grid=GRID)
    assert (first["new"], second["new"], second["underWay"]) == (8, 0, 8)
    assert second["batches"] == [first["batch"]]
    assert order(library, grid=GRID, dryRun=True)["underWay"] == 8
    finish(library, first["batch"])
    assert len(rows(library)) == 8


def test_batches_at_once_share_the_cells(library: Server):
    with ThreadPoolExecutor(6) as threads:
        told = [each.result() for each in [threads.submit(order, library, grid=GRID) for _ in range(6)]]
    assert sum(each["new"] for each in told) == 8
    for each in told:
        assert each["new"] + each["underWay"] + each["present"] == 8
        for batch in each["batches"]:
            finish(library, batch)
    assert sorted(row["version"] for row in rows(library)) == [1] * 8


def test_cells_whose_jobs_were_pruned_are_still_there(library: Server):
    finish(library, order(library, grid=GRID)["batch"])
    library.app.stores.jobs.delete_jobs([row["jobId"] for row in rows(library)])
    again = order(library, grid=GRID)
    assert (again["new"], again["present"]) == (0, 8)


def test_cells_that_failed_are_made_by_the_next_batch(make_server: Make):
    rule = {"fault": "rejected", "times": 1000, "prompt": "sitting"}
    library = make_server(library={"picture": SMALL}, simulator={"faults": [rule]})
    told = finish(library, order(library, grid=GRID)["batch"])
    assert told["counts"] == {"succeeded": 6, "failed": 2}
    assert {each["error"]["code"] for each in told["failures"]} == {"backend_rejected"}
    again = order(library, grid=GRID)
    assert (again["new"], again["present"]) == (2, 6)


def test_a_replay_of_a_lost_cell_is_the_one_that_makes_it(make_server: Make):
    library = make_server(library={"picture": SMALL}, simulator={"step_ms": 200})
    wanted = {**GRID, "pose": "sitting", "bodyType": "slim"}
    lost = next(iter(order(library, grid=wanted)["cells"]))["jobId"]
    library.client.post(f"/api/v1/jobs/{lost}/cancel")
    library.wait(lost)
    again = library.client.post(f"/api/v1/jobs/{lost}/replay")
    assert again.status_code == 201
    assert order(library, grid=wanted)["underWay"] == 1
    assert library.client.post(f"/api/v1/jobs/{lost}/replay").status_code == 409
    library.wait(again.json()["id"])
    assert library.client.post(f"/api/v1/jobs/{lost}/replay").status_code == 409
    assert [row["version"] for row in rows(library)] == [1]


def test_the_same_idempotency_key_is_the_same_batch(library: Server):
    key = {"Idempotency-Key": "night-of-the-23rd"}
    first = library.client.post("/api/v1/library/batch", json={"grid": GRID, "count": 2}, headers=key)
    finish(library, first.json()["batch"])
    again = library.client.post("/api/v1/library/batch", json={"grid": GRID, "count": 2}, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["batch"] == first.json()["batch"]
    other = library.client.post("/api/v1/library/batch", json={"grid": {}}, headers=key)
    assert other.status_code == 409
    assert len(rows(library)) == 2


def test_a_key_that_found_nothing_to_do_does_so_again(library: Server):
    finish(library, order(library, grid=GRID)["batch"])
    for _ in range(2):
        answer = library.client.post(
            "/api/v1/library/batch", json={"grid": GRID}, headers={"Idempotency-Key": "k"}
        )
        assert (answer.status_code, answer.json()["new"]) == (200, 0)


def test_without_saving_all_cells_are_made_and_no_row_is(library: Server):
    for _ in range(2):
        told = order(library, grid={**GRID, "pose": "side"}, save=False)
        assert told["new"] == 2
        finish(library, told["batch"])
    assert rows(library) == []


def test_the_whole_grid_is_one_request(library: Server):
    told = order(library, grid={})
    assert told["new"] == 288


def test_a_grid_beyond_a_limit_is_refused_whole(make_server: Make):
    library = make_server(library={"picture": SMALL}, limit={"jobs_per_request": 5})
    answer = library.client.post("/api/v1/library/batch", json={"grid": GRID})
    assert answer.status_code == 400
    assert "at most 5" in answer.json()["detail"]
    assert order(library, grid=GRID, count=5)["new"] == 5


def test_a_batch_that_cannot_be_paid_is_refused_whole(make_server: Make):
    prices = {"fashionModel": {"base": 2.0}}
    library = make_server(
        library={"picture": SMALL},
        credits={"enabled": True, "prices": prices},
        auth={"admin_key": ADMIN_KEY, "remember_s": 0},
    )
    library.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
    with account(library, "ann") as ann:
        quoted = ann.post("/api/v1/library/batch", json={"grid": GRID, "dryRun": True}).json()
        assert (quoted["cost"], quoted["available"], quoted["affordable"]) == (16.0, 0.0, False)
        key = {"Idempotency-Key": "one"}
        refused = ann.post("/api/v1/library/batch", json={"grid": GRID}, headers=key)
        assert (refused.status_code, refused.json()["needed"]) == (402, 16.0)
        post(library.client, "grants", "grant", owner="ann", amount=16)
        paid = ann.post("/api/v1/library/batch", json={"grid": GRID}, headers=key)
        assert (paid.status_code, paid.json()["new"]) == (201, 8)


def test_a_batch_beyond_the_jobs_in_flight_is_refused_whole(make_server: Make):
    library = make_server(
        library={"picture": SMALL},
        quota={"enabled": True, "jobs_in_flight": 5},
        auth={"admin_key": ADMIN_KEY, "remember_s": 0},
    )
    with account(library, "ann") as ann:
        refused = ann.post("/api/v1/library/batch", json={"grid": GRID})
        assert refused.status_code == 429
        assert ann.get("/api/v1/jobs").json()["items"] == []
        assert ann.post("/api/v1/library/batch", json={"grid": GRID, "count": 5}).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "count"),
        ({"count": 0}, "count"),
        ({"count": True}, "count"),
        ({"grid": []}, "grid"),
        ({"grid": {"pose": "flying"}}, "grid.pose"),
        ({"grid": {"pose": []}}, "grid.pose"),
        ({"grid": {"shoes": "red"}}, "grid.shoes"),
        ({"counts": 3}, "counts"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(server: Server, body: dict[str, object], field: str):
    answer = server.client.post("/api/v1/library/batch", json=body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"], answer.text


def test_an_unknown_batch_is_not_found(server: Server):
    assert server.client.get("/api/v1/library/batch/nobody").status_code == 404


def test_the_grid_shows_the_state_of_every_cell(make_server: Make):
    server = make_server(roles=Roles(worker=False))
    everything = server.client.get("/api/v1/library/grid").json()
    assert (everything["present"], everything["missing"], len(everything["cells"])) == (0, 288, 288)
    look = {"gender": "male", "style": "casual", "pose": "side", "bodyType": "slim"}
    ordered = server.client.post("/api/v1/library/batch", json={"grid": look, "count": 1}).json()

    chosen = server.client.get("/api/v1/library/grid", params=look).json()

    assert (chosen["underWay"], chosen["missing"], len(chosen["cells"])) == (1, 2, 3)
    (busy,) = [cell for cell in chosen["cells"] if cell["state"] == "under_way"]
    (made,) = [cell for cell in ordered["cells"] if cell["state"] == "new"]
    assert (busy["templateId"], busy["jobId"]) == (made["templateId"], made["jobId"])
    assert (busy["version"], busy["modelId"]) == (0, None)
