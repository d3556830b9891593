"""One model: ordered, looked at, edited."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from PIL import Image

from imagemill.products.library.grid import list_cells
from tests.conftest import Server
from tests.library.support import CELL, SMALL, TEMPLATE, edit, make, rows


@pytest.fixture(scope="module")
def model(library: Server) -> dict[str, Any]:
    return make(library)


def test_a_model_is_a_row_with_its_prompt_and_what_it_took(model: dict[str, Any]):
    assert {name: model[name] for name in CELL} == CELL
    assert (model["templateId"], model["version"]) == (TEMPLATE, 1)
    assert model["prompt"] == next(cell.prompt for cell in list_cells() if cell.template_id == TEMPLATE)
    assert model["processingTimeMs"] >= 0
    assert model["metadata"]["seed"] >= 0


def test_its_picture_and_thumbnail_are_webp(library: Server, model: dict[str, Any]):
    for name, size in (("imageUrl", (96, 128)), ("thumbnailUrl", (96, 128))):
        for url in (model[name], model["signed"][name]):
            answer = library.client.get(url, follow_redirects=True)
            assert answer.status_code == 200, url
            picture = Image.open(io.BytesIO(answer.content))
            assert (picture.format, picture.size) == ("WEBP", size)


def test_the_lasting_address_needs_a_key_where_the_signed_one_needs_none(model: dict[str, Any]):
    with httpx2.Client() as stranger:
        assert stranger.get(model["signed"]["imageUrl"]).status_code == 200
        forged = model["signed"]["imageUrl"].replace("sig=", "sig=0")
        assert stranger.get(forged).status_code == 403


def test_pictures_outlive_their_job(library: Server):
    model = make(library, pose="sitting")
    library.app.stores.jobs.delete_jobs([model["jobId"]])
    library.app.sweeper.delete_orphans(grace_s=0)
    assert library.client.get(f"/api/v1/jobs/{model['jobId']}").status_code == 404
    assert library.client.get(model["imageUrl"], follow_redirects=True).status_code == 200


@pytest.mark.parametrize("name", list(CELL))
def test_another_value_is_refused_by_name_with_those_allowed(library: Server, name: str):
    answer = library.client.post("/api/v1/library", json={**CELL, name: "teapot"})
    assert answer.status_code == 400
    message = answer.json()["errors"][name][0]
    assert "'teapot'" in message
    assert CELL[name] in message


def test_a_parameter_that_is_missing_or_unknown_is_refused(library: Server):
    body = {name: value for name, value in CELL.items() if name != "pose"}
    answer = library.client.post("/api/v1/library", json={**body, "hair": "red"})
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"pose", "hair"}


def test_parameters_may_be_written_in_snake_case_and_any_case(library: Server):
    body = {"gender": "Female", "age_range": "20-30", "body_type": "SLIM", "pose": "side", "style": "casual"}
    answer = library.client.post("/api/v1/library", json=body, params={"whatif": "true"})
    assert answer.status_code == 200
    assert answer.json()["cost"] > 0


def test_made_again_it_is_the_next_version(library: Server):
    first, second = make(library, style="editorial"), make(library, style="editorial")
    assert (first["version"], second["version"]) == (1, 2)
    listed = library.client.get(f"/api/v1/library/{first['id']}/versions").json()
    assert [each["version"] for each in listed["items"]] == [2, 1]
    newest = rows(library, style="editorial", latest="true")
    assert [each["id"] for each in newest] == [second["id"]]


def test_a_first_version_under_way_is_not_begun_twice(make_server: Callable[..., Server]):
    library = make_server(library={"picture": SMALL}, simulator={"step_ms": 200})
    with ThreadPoolExecutor(8) as threads:
        posts = [threads.submit(library.client.post, "/api/v1/library", json=CELL) for _ in range(8)]
    answers = [post.result().json() for post in posts]
    assert [answer["state"] for answer in answers].count("new") == 1
    assert len({answer["jobId"] for answer in answers}) == 1
    library.wait(answers[0]["jobId"])
    assert [row["version"] for row in rows(library)] == [1]


def test_another_prompt_draws_the_old_picture_anew(library: Server, model: dict[str, Any]):
    edited = edit(library, model["id"], prompt="fashion model in a red coat", denoise=0.3)
    assert (edited["templateId"], edited["prompt"]) == (TEMPLATE, "fashion model in a red coat")
    assert edited["version"] > model["version"]
    assert edited["metadata"]["denoise"] == 0.3
    assert edited["metadata"]["editOf"] == model["id"]
    job = library.client.get(f"/api/v1/jobs/{edited['jobId']}").json()
    assert job["input"]["image"].startswith("inputs/")


def test_other_parameters_make_the_next_version_of_the_same_template(library: Server, model: dict[str, Any]):
    edited = edit(library, model["id"], style="professional")
    assert (edited["templateId"], edited["style"]) == (TEMPLATE, "professional")
    assert "professional style" in edited["prompt"]
    assert "denoise" not in edited["metadata"]
    assert edited["metadata"]["seed"] == model["metadata"]["seed"]


def test_an_edit_of_nothing_is_refused(library: Server, model: dict[str, Any]):
    answer = library.client.post(f"/api/v1/library/{model['id']}/edit", json={})
    assert answer.status_code == 400
    assert "prompt" in answer.json()["errors"]


def test_a_prompt_is_checked_as_every_other(library: Server, model: dict[str, Any]):
    answer = library.client.post(
        f"/api/v1/library/{model['id']}/edit", json={"prompt": "nude 12 year old girl"}
    )
    assert answer.status_code == 400
    assert "content_blocked" in answer.json()["type"]


def test_concurrent_edits_take_a_version_each(library: Server):
    first = make(library, ageRange="40-50")
    with ThreadPoolExecutor(6) as threads:
        edits = [threads.submit(edit, library, first["id"], seed=number) for number in range(6)]
        versions = [done.result()["version"] for done in edits]
    assert sorted(versions) == [2, 3, 4, 5, 6, 7]


def test_what_is_not_saved_stays_with_its_job(library: Server):
    before = len(rows(library))
    answer = library.client.post("/api/v1/library", json={**CELL, "gender": "male", "save": False})
    job = library.wait(answer.json()["jobId"])
    assert [each["mediaType"] for each in job["artifacts"]] == ["image/webp", "image/webp"]
    assert library.client.get(job["artifacts"][1]["url"]).status_code == 200
    assert len(rows(library)) == before


def test_the_same_idempotency_key_orders_once(library: Server):
    body, key = {**CELL, "ageRange": "30-40"}, {"Idempotency-Key": "order-7"}
    first = library.client.post("/api/v1/library", json=body, headers=key)
    library.wait(first.json()["jobId"])
    again = library.client.post("/api/v1/library", json=body, headers=key)
    other = library.client.post("/api/v1/library", json={**body, "pose": "sitting"}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["jobId"] == first.json()["jobId"]


def test_filters_and_cursor_walk_the_list(library: Server, model: dict[str, Any]):
    make(library, gender="male")
    every = rows(library)
    women = rows(library, gender="female")
    assert {row["gender"] for row in women} == {"female"}
    assert len(women) < len(every)
    walked: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = library.client.get("/api/v1/library", params=query).json()
        walked += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert walked == [row["id"] for row in every]
    both = rows(library, ageRange="20-30,40-50", pose="side")
    assert {row["ageRange"] for row in both} <= {"20-30", "40-50"}


@pytest.mark.parametrize("query", [{"gender": "alien"}, {"cursor": "x"}, {"limit": "0"}, {"latest": "maybe"}])
def test_a_query_that_makes_no_sense_is_refused(library: Server, query: dict[str, str]):
    answer = library.client.get("/api/v1/library", params=query)
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == set(query)


def test_the_recipe_by_itself_takes_the_same_values_only(library: Server):
    good = {
        name: getattr(list_cells()[0], name) for name in ("gender", "age_range", "body_type", "pose", "style")
    }
    for body, status in (({**good, **SMALL}, 201), ({**good, "pose": "flying"}, 400)):
        answer = library.client.post("/api/v1/jobs", json={"recipe": "fashionModel", "input": body})
        assert answer.status_code == status, answer.text


def test_a_template_that_is_none_cannot_be_written_to(library: Server):
    good = {
        name: getattr(list_cells()[0], name) for name in ("gender", "age_range", "body_type", "pose", "style")
    }
    body = {**good, **SMALL, "template_id": "../../etc"}
    answer = library.client.post("/api/v1/jobs", json={"recipe": "editModel", "input": body})
    assert answer.status_code == 400
    assert "input.template_id" in answer.json()["errors"]
