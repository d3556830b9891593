"""The table `model_library`, as applications use it by SQL."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import build_stores
from imagemill.db import migrate
from imagemill.db.engine import Engines, normalise, open_engines, open_unpooled
from imagemill.domain.clock import SECOND, now_us
from imagemill.products.library.store import ModelFilter, ModelStore
from tests.conftest import Server

_INSERT = (
    "INSERT INTO model_library (template_id, version, image_url, gender, style)"
    " VALUES ('female-20', 3, 'https://pictures.example/a.jpg', 'female', 'casual')"
)


@pytest.fixture
def engines(database_url: str) -> Iterator[Engines]:
    engines = open_engines(database_url)
    yield engines
    engines.close()


def test_an_application_writes_only_what_it_knows(engines: Engines, database_url: str):
    with engines.writer.begin() as conn:
        conn.execute(sa.text(_INSERT))
        conn.execute(
            sa.text("INSERT INTO model_library (template_id, image_url) VALUES ('x', 'https://a/b')")
        )
    stores = build_stores(open_engines(database_url))
    found = {each.template_id: each for each in ModelStore(stores.database).page(ModelFilter("local", {}))}
    first = found["female-20"]
    assert ModelStore(stores.database).get(first.id, "local") == first
    stores.close()
    assert (first.version, first.gender, first.style, first.pose, first.prompt) == (
        3, "female", "casual", "", "",
    )  # fmt: skip
    assert (first.metadata, first.image_key, first.image_url) == ({}, "", "https://pictures.example/a.jpg")
    assert abs(now_us() - first.created_at) < 60 * SECOND
    assert found["x"].version == 1


def test_queries_of_an_application_work_on_postgresql(kept_postgres_url: str):
    engine = sa.create_engine(normalise(kept_postgres_url))
    with engine.begin() as conn:
        conn.execute(sa.text(_INSERT))
        conn.execute(sa.text("UPDATE model_library SET metadata = '{\"seed\": 42}'"))
        found = conn.execute(
            sa.text(
                "SELECT metadata->>'seed', pg_typeof(id)::text, pg_typeof(created_at)::text"
                " FROM model_library WHERE created_at > now() - interval '1 day'"
            )
        ).one()
    engine.dispose()
    assert tuple(found) == ("42", "uuid", "timestamp with time zone")


def test_rows_of_the_former_table_are_kept(empty_database_url: str):
    migrate.upgrade(empty_database_url, "0009")
    engine = open_unpooled(empty_database_url)
    id_, at = "01a2238c-4a37-7e4e-8fe9-c660c98ffd28", 1_800_000_000_123_456
    row = {
        "id": id_, "owner": "ann", "template_id": "t", "version": 2, "image_url": "/blobs/a",
        "thumbnail_url": "/blobs/b", "gender": "male", "age_range": "20-30", "body_type": "slim",
        "pose": "side", "style": "casual", "prompt": "p", "metadata": '{"seed": 7}', "created_at": at,
        "job_id": "j", "image_key": "library/t/a.webp", "thumbnail_key": "library/t/b.webp",
    }  # fmt: skip
    with engine.begin() as conn:
        names = ", ".join(row)
        conn.execute(
            sa.text(f"INSERT INTO model_library ({names}) VALUES ({', '.join(f':{n}' for n in row)})"), row
        )
    engine.dispose()
    migrate.upgrade(empty_database_url)
    stores = build_stores(open_engines(empty_database_url))
    kept = ModelStore(stores.database).get(id_, "ann")
    stores.close()
    assert (kept.id, kept.created_at, kept.metadata, kept.version) == (id_, at, {"seed": 7}, 2)


@pytest.mark.parametrize("id_", ["nonsense", "01a2238c-4a37-7e4e-8fe9-c660c98ffd2", "é"])
def test_an_id_that_is_none_is_not_found(make_server: Callable[..., Server], id_: str):
    assert make_server().client.get(f"/api/v1/library/{id_}").status_code == 404


def test_the_address_in_the_table_is_public(make_server: Callable[..., Server]):
    server = make_server(public_url="http://shop.example", library={"picture": {"width": 64, "height": 96}})
    order = {
        "gender": "female", "ageRange": "20-30", "bodyType": "slim", "pose": "side", "style": "casual",
    }  # fmt: skip
    headers = {"Host": "shop.example"}
    job = server.client.post("/api/v1/library", json=order, headers=headers).json()
    server.wait(job["jobId"])
    with server.app.stores.database.engines.reader.connect() as conn:
        url = conn.execute(sa.text("SELECT image_url FROM model_library")).scalar_one()
        thumbnail = conn.execute(sa.text("SELECT thumbnail_url FROM model_library")).scalar_one()
    for each in (url, thumbnail):
        assert each.startswith("http://shop.example/blobs/library/")
        path = each.removeprefix("http://shop.example")
        answer = server.client.get(path, headers={"Authorization": "", "Host": "shop.example"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")
        assert server.client.get(f"{path}?exp=9999999999&sig=wrong", headers=headers).status_code == 403
    plain = server.client.get("/blobs/library/female-20-30-slim-side-casual/1-1.webp", headers=headers)
    assert plain.status_code == 403


def test_a_row_of_an_application_leads_to_its_own_picture(make_server: Callable[..., Server]):
    server = make_server()
    with server.app.stores.database.engines.writer.begin() as conn:
        conn.execute(sa.text(_INSERT))
    (model,) = server.client.get("/api/v1/library").json()["items"]
    assert model["signed"]["imageUrl"] == "https://pictures.example/a.jpg"
    for what in ("image", "thumbnail"):
        answer = server.client.get(f"/api/v1/library/{model['id']}/{what}", follow_redirects=False)
        assert answer.headers["Location"] == "https://pictures.example/a.jpg"
    edit = server.client.post(f"/api/v1/library/{model['id']}/edit", json={"prompt": "in the rain"})
    assert edit.status_code == 400
