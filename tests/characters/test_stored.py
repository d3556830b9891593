"""Pictures of characters in the database: which is active, whose they are; on both databases."""

from itertools import count
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.clock import now_us
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import JobStatus, Succeeded
from imagemill.jobs.store.finish import Finish
from imagemill.products.characters.records import CharacterImage
from imagemill.products.characters.store import (
    CharacterStore,
    ImageFilter,
    ImageRef,
    StoredImage,
    TranslationStore,
)
from tests.store.build import T0, add, artifact, claim

_instants = count(1)


def keep(store: Stores, owner: str, type_: str = "avatar", emotion: str = "", **more: Any) -> StoredImage:
    add(store, owner=owner, **more)
    taken = claim(store)
    files = (artifact(taken, 0), artifact(taken, 1))
    outcome = Succeeded(files, {}, CharacterImage("lia", type_, emotion))
    # Later than all before, as ids are ordered by it.
    store.jobs.finish(Finish(taken, outcome, T0 + next(_instants) * 1000))
    return CharacterStore(store.database).of_jobs(owner, [taken.id])[taken.id]


def active(store: Stores, owner: str, **which: Any) -> list[str]:
    return [
        image.id
        for image in CharacterStore(store.database).images(ImageFilter(owner, "lia", is_active=True, **which))
    ]


def test_any_picture_can_be_the_active_one(store: Stores):
    first, second = keep(store, "ann"), keep(store, "ann")
    happy = keep(store, "ann", "sticker", "happy")
    assert active(store, "ann", type="avatar") == [second.id]
    assert CharacterStore(store.database).activate(ImageRef("ann", "lia", first.id)).is_active
    assert active(store, "ann", type="avatar") == [first.id]
    assert active(store, "ann", type="sticker") == [happy.id]


@pytest.mark.parametrize("named", [("bob", "lia"), ("ann", "leo")])
def test_what_is_somebody_elses_is_not_there(store: Stores, named: tuple[str, str]):
    image = keep(store, "ann")
    for act in (CharacterStore(store.database).activate, CharacterStore(store.database).delete):
        with pytest.raises(NotFound):
            act(ImageRef(*named, image.id, now_us()))
    assert CharacterStore(store.database).of_jobs("bob", [image.job_id]) == {}
    assert CharacterStore(store.database).images(ImageFilter(*named)) == []


def test_a_deleted_picture_leaves_the_newest_other_active(store: Stores):
    first, second, third = keep(store, "ann"), keep(store, "ann"), keep(store, "ann")
    keys = CharacterStore(store.database).delete(ImageRef("ann", "lia", third.id, now_us()))
    assert {third.image_key, third.thumbnail_key} <= set(keys)
    assert active(store, "ann") == [second.id]
    CharacterStore(store.database).delete(ImageRef("ann", "lia", first.id, now_us()))
    assert active(store, "ann") == [second.id]
    with pytest.raises(NotFound):
        CharacterStore(store.database).delete(ImageRef("ann", "lia", third.id, now_us()))
    assert store.jobs.referenced_files([*keys, second.image_key]) == {second.image_key}


def test_jobs_of_a_dialect_are_those_open_or_ended_since(store: Stores):
    ended = keep(store, "ann", dialect="characters").job_id
    open_ = add(store, owner="ann", dialect="characters").id
    add(store, owner="ann")
    add(store, owner="bob", dialect="characters")
    assert [job.id for job in CharacterStore(store.database).jobs("ann", "characters", 0)] == [open_, ended]
    assert [
        job.id
        for job in CharacterStore(store.database).jobs("ann", "characters", T0 + next(_instants) * 1000)
    ] == [open_]
    assert CharacterStore(store.database).open_counts("ann") == {JobStatus.QUEUED: 2}


def test_the_first_translation_stays_until_it_is_old(store: Stores):
    TranslationStore(store.database).put("a" * 64, "one")
    TranslationStore(store.database).put("a" * 64, "two")
    assert TranslationStore(store.database).get("a" * 64) == "one"
    assert TranslationStore(store.database).prune(0) == 0
    assert TranslationStore(store.database).prune(now_us() + 1) == 1
    assert TranslationStore(store.database).get("a" * 64) is None
