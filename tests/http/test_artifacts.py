"""The artifacts of all jobs over HTTP: list, thumbnail, rating, deletion, ZIP file and contact sheet."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from imagemill.bootstrap.stores import Stores
from imagemill.domain.blob_keys import thumbnail_key
from tests.conftest import Server
from tests.http.support import image_job, job_ids

PATH = "/api/v1/artifacts"


def picture_of(server: Server, prompt: str, **params: Any) -> dict[str, Any]:
    """The artifact of a new picture."""
    (job_id,) = job_ids(server.submit(image_job(params={"prompt": prompt, **params}), wait="true"))
    (item,) = server.client.get(PATH, params={"job": job_id}).json()["items"]
    return item


@pytest.fixture(scope="module")
def pictures(server: Server) -> list[dict[str, Any]]:
    return [
        picture_of(server, f"a {animal} in the snow", seed=seed) for seed, animal in enumerate(("fox", "owl"))
    ]


def listed(server: Server, **query: Any) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        page = {"limit": 1} | query | ({"cursor": cursor} if cursor else {})
        body = server.client.get(PATH, params=page).json()
        ids += [item["id"] for item in body["items"]]
        cursor = body["next"]
        if cursor is None:
            return ids


def test_artifacts_are_listed_newest_first_and_narrowed_by_filters(
    server: Server, pictures: list[dict[str, Any]]
) -> None:
    fox, owl = (item["id"] for item in pictures)
    mine = ",".join(item["job"] for item in pictures)

    assert listed(server, job=mine) == [owl, fox]
    assert listed(server, job=mine, owner="*") == [owl, fox]
    assert listed(server, job=mine, text="FOX") == [fox]
    assert listed(server, job=mine, recipe="comfy") == []
    assert listed(server, job=mine, node=pictures[0]["node"], type="image") == [owl, fox]
    assert listed(server, job=mine, type="video,image/gif") == []
    assert listed(server, job=mine, model="*4384@128713") == [owl, fox]
    assert listed(server, job=mine, **{"from": "1h"}) == [owl, fox]
    assert listed(server, job=mine, to="1h") == []
    assert pictures[0]["prompt"] == "a fox in the snow"
    assert pictures[0]["seed"] == 0
    assert pictures[0]["simulated"]
    assert server.client.get(pictures[0]["url"]).content


def test_a_thumbnail_is_small_cached_and_made_once(server: Server, pictures: list[dict[str, Any]]) -> None:
    for width, name in ((128, "128"), (512, "512"), (256, None)):
        answer = server.client.get(pictures[0]["thumbnail"], params={"width": name} if name else {})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/webp"
        assert "immutable" in answer.headers["cache-control"]
        with Image.open(io.BytesIO(answer.content)) as image:
            assert max(image.size) == min(width, max(pictures[0]["width"], pictures[0]["height"]))
    known = {"If-None-Match": answer.headers["etag"]}
    assert server.client.get(pictures[0]["thumbnail"], headers=known).status_code == 304
    key = thumbnail_key(pictures[0]["job"], 1, 0, 256)
    assert server.app.blobs.get(key) == answer.content
    assert server.client.get(pictures[0]["thumbnail"], params={"width": "100"}).status_code == 400


def test_a_rating_sorts_and_filters(server: Server, pictures: list[dict[str, Any]]) -> None:
    fox, owl = (item["id"] for item in pictures)
    mine = ",".join(item["job"] for item in pictures)
    for id_, rating in ((owl, 3), (fox, 5)):
        rated = server.client.patch(f"{PATH}/{id_}", json={"rating": rating})
        assert rated.json()["rating"] == rating

    assert listed(server, job=mine, sort="rating") == [fox, owl]
    assert listed(server, job=mine, rating=4) == [fox]
    server.client.patch(f"{PATH}/{owl}", json={"rating": 0})
    assert listed(server, job=mine, sort="rating") == [fox]
    refused = server.client.patch(f"{PATH}/{owl}", json={"rating": 6})
    assert refused.json()["errors"] == {"rating": ["should be at most 5; it is 6"]}


def test_a_deleted_artifact_is_shown_as_deleted_and_its_files_are_gone(server: Server) -> None:
    item = picture_of(server, "to be deleted")
    server.client.get(item["thumbnail"])
    assert server.client.delete(f"{PATH}/{item['id']}").status_code == 204

    after = server.client.get(f"{PATH}/{item['id']}").json()
    assert (after["available"], after["url"], after["thumbnail"]) == (False, None, None)
    assert after["deletedAt"]
    assert server.client.get(item["thumbnail"]).status_code == 404
    assert server.client.get(item["url"]).status_code == 410
    assert list(server.app.blobs.list(f"jobs/{item['job']}/")) == []
    assert listed(server, job=item["job"]) == []
    assert listed(server, job=item["job"], deleted="true") == [item["id"]]
    assert server.client.delete(f"{PATH}/{item['id']}").status_code == 204
    assert not server.client.get(f"/api/v1/jobs/{item['job']}").json()["artifacts"][0]["available"]


def test_a_zip_file_has_the_pictures_by_date_prompt_and_seed(
    server: Server, pictures: list[dict[str, Any]]
) -> None:
    ids = [item["id"] for item in pictures]
    answer = server.client.post(f"{PATH}/zip", json={"ids": ids})

    assert answer.headers["content-type"] == "application/zip"
    assert "imagemill-" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        day = pictures[0]["createdAt"][:10]
        assert archive.namelist() == [f"{day}-a-fox-in-the-snow-0.png", f"{day}-a-owl-in-the-snow-1.png"]
        assert [archive.read(name) for name in archive.namelist()] == [
            server.client.get(item["url"]).content for item in pictures
        ]
        assert archive.testzip() is None


def test_a_contact_sheet_shows_the_pictures(server: Server, pictures: list[dict[str, Any]]) -> None:
    ids = [item["id"] for item in pictures]
    answer = server.client.post(f"{PATH}/contact-sheet", json={"ids": ids, "title": "Animals", "columns": 2})

    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.width > sheet.height > 160
        colours = sheet.getcolors(sheet.width * sheet.height)
        assert colours is not None
        assert len(colours) > 50


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("zip", {"ids": []}, "ids"),
        ("zip", {"ids": ["x"] * 2}, "ids"),
        ("zip", {"ids": ["unknown"]}, "ids[0]"),
        ("contact-sheet", {"ids": ["unknown"], "columns": 1}, "ids[0]"),
        ("contact-sheet", {"ids": ["unknown"], "columns": 0}, "columns"),
    ],
)
def test_a_wrong_choice_is_explained(server: Server, path: str, body: Any, field: str) -> None:
    answer = server.client.post(f"{PATH}/{path}", json=body)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_a_cursor_of_another_list_is_refused(server: Server) -> None:
    for cursor in ("x", "1.2.3.4", "a.b"):
        answer = server.client.get(PATH, params={"cursor": cursor})
        assert answer.status_code == 400
        assert "not one of this list" in answer.json()["errors"]["cursor"][0]
    assert server.client.get(f"{PATH}/unknown").status_code == 404
    assert server.client.get(f"{PATH}/unknown/thumbnail").status_code == 404
    assert server.client.patch(f"{PATH}/unknown", json={"rating": 1}).status_code == 404


def test_artifacts_of_older_code_get_their_owner(make_server: Callable[..., Server]) -> None:
    import sqlalchemy as sa

    from imagemill.db import tables

    server = make_server(sweep_s=60)
    item = picture_of(server, "of an older worker")
    stores: Stores = server.app.stores

    def forget(tx: Any, requests: Any) -> list[None]:
        tx.conn.execute(sa.update(tables.artifacts).values(owner=None))
        return [None] * len(requests)

    stores.database.write(forget, None)
    assert listed(server) == []
    server.app.sweeper.sweep()
    assert listed(server) == [item["id"]]
