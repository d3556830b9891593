"""Pictures of characters in the database: which is active, whose they are; on both databases."""

from itertools import count
from typing import Any

import pytest

from imagemill.domain.clock import now_us
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import CharacterImage, JobStatus, Succeeded
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.store.store import Store
from imagemill.products.characters.store import ImageFilter, ImageRef, StoredImage
from tests.store.build import T0, add, artifact, claim

_instants = count(1)


def keep(store: Store, owner: str, type_: str = "avatar", emotion: str = "", **more: Any) -> StoredImage:
    add(store, owner=owner, **more)
    taken = claim(store)
    files = (artifact(taken, 0), artifact(taken, 1))
    outcome = Succeeded(files, {}, CharacterImage("lia", type_, emotion))
    # Later than all before, as ids are ordered by it.
    store.finish(Finish(taken, outcome, T0 + next(_instants) * 1000))
    return store.characters.of_jobs(owner, [taken.id])[taken.id]


def active(store: Store, owner: str, **which: Any) -> list[str]:
    return [image.id for image in store.characters.images(ImageFilter(owner, "lia", is_active=True, **which))]


def test_any_picture_can_be_the_active_one(store: Store):
    first, second = keep(store, "ann"), keep(store, "ann")
    happy = keep(store, "ann", "sticker", "happy")
    assert active(store, "ann", type="avatar") == [second.id]
    assert store.characters.activate(ImageRef("ann", "lia", first.id)).is_active
    assert active(store, "ann", type="avatar") == [first.id]
    assert active(store, "ann", type="sticker") == [happy.id]


@pytest.mark.parametrize("named", [("bob", "lia"), ("ann", "leo")])
def test_what_is_somebody_elses_is_not_there(store: Store, named: tuple[str, str]):
    image = keep(store, "ann")
    for act in (store.characters.activate, store.characters.delete):
        with pytest.raises(NotFound):
            act(ImageRef(*named, image.id, now_us()))
    assert store.characters.of_jobs("bob", [image.job_id]) == {}
    assert store.characters.images(ImageFilter(*named)) == []


def test_a_deleted_picture_leaves_the_newest_other_active(store: Store):
    first, second, third = keep(store, "ann"), keep(store, "ann"), keep(store, "ann")
    keys = store.characters.delete(ImageRef("ann", "lia", third.id, now_us()))
    assert {third.image_key, third.thumbnail_key} <= set(keys)
    assert active(store, "ann") == [second.id]
    store.characters.delete(ImageRef("ann", "lia", first.id, now_us()))
    assert active(store, "ann") == [second.id]
    with pytest.raises(NotFound):
        store.characters.delete(ImageRef("ann", "lia", third.id, now_us()))
    assert store.referenced_files([*keys, second.image_key]) == {second.image_key}


def test_jobs_of_a_dialect_are_those_open_or_ended_since(store: Store):
    ended = keep(store, "ann", dialect="characters").job_id
    open_ = add(store, owner="ann", dialect="characters").id
    add(store, owner="ann")
    add(store, owner="bob", dialect="characters")
    assert [job.id for job in store.characters.jobs("ann", "characters", 0)] == [open_, ended]
    assert [job.id for job in store.characters.jobs("ann", "characters", T0 + next(_instants) * 1000)] == [
        open_
    ]
    assert store.characters.open_counts("ann") == {JobStatus.QUEUED: 2}


def test_the_first_translation_stays_until_it_is_old(store: Store):
    store.translations.put("a" * 64, "one")
    store.translations.put("a" * 64, "two")
    assert store.translations.get("a" * 64) == "one"
    assert store.translations.prune(0) == 0
    assert store.translations.prune(now_us() + 1) == 1
    assert store.translations.get("a" * 64) is None
