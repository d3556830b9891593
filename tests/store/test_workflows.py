"""The table of workflows and their versions."""

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.db.database import WriteMode
from imagemill.domain.errors import Conflict, NotFound
from imagemill.workflows.store import PutWorkflow, StoredWorkflow, WorkflowText
from tests.store.build import MINUTE, T0, in_threads


def text(body: str = "a", name: str = "portrait") -> WorkflowText:
    return WorkflowText(name, "Portrait", f"manifest {body}", f"digest {body}")


def put(
    store: Stores, what: WorkflowText, mode: WriteMode = WriteMode.CREATE, at: int = T0
) -> StoredWorkflow:
    stored = store.workflows.put(PutWorkflow(what, mode, at))
    assert stored is not None
    return stored


def remove(store: Stores, name: str = "portrait", at: int = T0) -> None:
    assert store.workflows.put(PutWorkflow(text(name=name), WriteMode.DELETE, at)) is None


def test_the_first_version_is_one(store: Stores):
    stored = put(store, text())
    assert stored == StoredWorkflow(text(), 1, T0, None)
    assert store.workflows.get("portrait") == stored


def test_a_change_is_a_new_version_and_the_old_one_stays(store: Stores):
    put(store, text("a"))
    changed = put(store, text("b"), WriteMode.REPLACE, T0 + MINUTE)
    assert changed.version == 2
    assert store.workflows.get("portrait") == changed
    assert store.workflows.get("portrait", 1) == StoredWorkflow(text("a"), 1, T0, None)
    assert [each.version for each in store.workflows.versions("portrait")] == [2, 1]


def test_the_same_text_again_is_no_new_version(store: Stores):
    first = put(store, text())
    assert put(store, text(), WriteMode.REPLACE, T0 + MINUTE) == first


def test_a_name_is_given_once(store: Stores):
    put(store, text("a"))
    with pytest.raises(Conflict, match="portrait"):
        put(store, text("b"))
    assert store.workflows.versions("portrait")[0].text == text("a")


@pytest.mark.parametrize("mode", [WriteMode.REPLACE, WriteMode.DELETE])
def test_a_workflow_that_is_not_there_cannot_be_changed(store: Stores, mode: WriteMode):
    with pytest.raises(NotFound, match="portrait"):
        store.workflows.put(PutWorkflow(text(), mode, T0))
    assert store.workflows.versions("portrait") == []


def test_a_removed_workflow_is_gone_but_its_versions_can_be_read(store: Stores):
    put(store, text())
    remove(store, at=T0 + MINUTE)
    assert store.workflows.get("portrait") is None
    assert store.workflows.heads() == []
    assert store.workflows.get("portrait", 1) == StoredWorkflow(text(), 1, T0, T0 + MINUTE)
    with pytest.raises(NotFound):
        put(store, text("b"), WriteMode.REPLACE)


def test_a_name_used_again_goes_on_counting(store: Stores):
    put(store, text("a"))
    remove(store)
    assert put(store, text("a")).version == 2
    assert [each.version for each in store.workflows.versions("portrait")] == [2, 1]


def test_the_heads_are_the_newest_of_each_name(store: Stores):
    put(store, text("a", "b"))
    put(store, text("a", "a"))
    put(store, text("b", "a"), WriteMode.REPLACE)
    assert [(key.name, key.version, key.digest) for key in store.workflows.heads()] == [
        ("a", 2, "digest b"),
        ("b", 1, "digest a"),
    ]


def test_versions_of_many_who_write_at_once_are_all_different(store: Stores):
    put(store, text())
    answers = in_threads([lambda n=n: put(store, text(str(n)), WriteMode.REPLACE) for n in range(8)])
    versions = sorted(each.version for each in answers if isinstance(each, StoredWorkflow))
    assert versions == list(range(2, 10))
