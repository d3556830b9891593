"""What a success leaves besides the job."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores
from imagemill.db.engine import open_unpooled
from imagemill.domain.errors import Superseded
from imagemill.domain.jobs import Succeeded
from imagemill.jobs.store.finish import Finish
from imagemill.products.characters import tables as characters_tables
from imagemill.products.characters.records import CharacterImage
from imagemill.products.library import tables as library_tables
from imagemill.products.library.records import LibraryEntry
from tests.store.build import T0, add, artifact, claim, in_threads

Rows = Callable[[sa.Table], list[Any]]
ENTRY = LibraryEntry("female-20-30", "female", "20-30", "slim", "walking", "casual", "a prompt", {"seed": 4})


def succeed(store: Stores, record: LibraryEntry | CharacterImage, **more: Any) -> str:
    add(store, **more)
    taken = claim(store)
    files = (artifact(taken, 0), artifact(taken, 1))
    store.jobs.finish(Finish(taken, Succeeded(files, {"requestId": "r-1"}, record), T0 + 2_000_000))
    return taken.id


@pytest.fixture
def rows(database_url: str) -> Iterator[Callable[[sa.Table], list[Any]]]:
    engine = open_unpooled(database_url)

    def read(table: sa.Table) -> list[Any]:
        with engine.connect() as conn:
            return list(conn.execute(sa.select(table).order_by(table.c.id)))

    yield read
    engine.dispose()


def test_each_success_is_the_next_version_of_its_template(store: Stores, rows: Rows):
    ids = [succeed(store, ENTRY) for _ in range(3)]
    found = sorted(rows(library_tables.model_library), key=lambda row: row.version)
    assert [(row.version, row.job_id) for row in found] == [(n + 1, id_) for n, id_ in enumerate(ids)]
    assert {row.fal_request_id for row in found} == {"r-1"}
    assert all(row.image_key.endswith("/0.png") and row.thumbnail_key.endswith("/1.png") for row in found)


def test_versions_that_are_made_at_once_get_a_number_each(store: Stores, rows: Rows):
    for _ in range(8):
        add(store)
    claims = [claim(store) for _ in range(8)]

    def finish(taken: Any) -> None:
        store.jobs.finish(Finish(taken, Succeeded((artifact(taken, 0),), {}, ENTRY), T0 + 1))

    in_threads([lambda taken=taken: finish(taken) for taken in claims])
    assert sorted(row.version for row in rows(library_tables.model_library)) == list(range(1, 9))


def test_a_superseded_attempt_leaves_no_row(store: Stores, rows: Rows):
    succeed(store, ENTRY)
    add(store)
    taken = claim(store)
    end = Finish(taken, Succeeded((artifact(taken, 0),), {}, ENTRY), T0 + 1)
    store.jobs.finish(end)
    answers = in_threads([lambda: store.jobs.finish(end)] * 2)
    assert all(isinstance(answer, Superseded) for answer in answers)
    assert len(rows(library_tables.model_library)) == 2


def test_the_newest_picture_of_a_character_is_the_active_one_of_its_kind(store: Stores, rows: Rows):
    avatar, happy, sad = (
        CharacterImage("lyra", "avatar"),
        CharacterImage("lyra", "sticker", "happy"),
        CharacterImage("lyra", "sticker", "sad"),
    )
    made = [succeed(store, record) for record in (avatar, happy, sad, avatar, happy)]
    active = {row.job_id for row in rows(characters_tables.character_images) if row.is_active}
    assert active == {made[2], made[3], made[4]}


def test_pictures_of_one_character_that_are_made_at_once_leave_one_active(store: Stores, rows: Rows):
    for _ in range(6):
        add(store)
    claims = [claim(store) for _ in range(6)]

    def finish(taken: Any) -> None:
        end = Succeeded((artifact(taken, 0),), {}, CharacterImage("lyra", "avatar"))
        store.jobs.finish(Finish(taken, end, T0 + 1))

    in_threads([lambda taken=taken: finish(taken) for taken in claims])
    found = rows(characters_tables.character_images)
    assert (len(found), sum(row.is_active for row in found)) == (6, 1)


def test_files_of_products_are_referred_to_by_their_rows(store: Stores, rows: Rows):
    job_id = succeed(store, CharacterImage("lyra", "avatar"))
    keys = [row.image_key for row in rows(characters_tables.character_images)]
    assert store.jobs.referenced_files([*keys, f"characters/x/{job_id}.webp"]) == set(keys)
