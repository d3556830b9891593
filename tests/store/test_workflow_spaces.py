"""Workflows of owners beside those of everybody, in the table."""

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate
from imagemill.db.database import WriteMode
from imagemill.db.engine import open_unpooled
from imagemill.domain.errors import Conflict, NotFound
from imagemill.workflows.store import SHARED, PutWorkflow, StoredWorkflow, WorkflowText
from tests.store.build import T0, opened


def put(store: Stores, body: str, space: str = SHARED, mode: WriteMode = WriteMode.CREATE) -> StoredWorkflow:
    text = WorkflowText("portrait", "Portrait", f"manifest {body}", f"digest {body}")
    stored = store.workflows.put(PutWorkflow(text, mode, T0, space))
    assert stored is not None
    return stored


def test_owners_give_the_same_name_without_meeting(store: Stores):
    shared, anns, bens = put(store, "s"), put(store, "a", "ann"), put(store, "b", "ben")
    assert [each.version for each in (shared, anns, bens)] == [1, 1, 1]
    assert store.workflows.get("portrait", None, ("ann", SHARED)) == anns
    assert store.workflows.get("portrait", None, ("ben", SHARED)) == bens
    assert store.workflows.get("portrait", None, ("eve", SHARED)) == shared
    assert store.workflows.get("portrait", 1, ("ben",)) == bens


def test_the_first_space_that_has_a_name_decides_whatever_the_names(store: Stores):
    users, accounts = put(store, "u", "b"), put(store, "a", "z")
    assert store.workflows.get("portrait", None, ("b", "z", SHARED)) == users
    assert store.workflows.get("portrait", None, ("z", "b", SHARED)) == accounts


def test_a_change_or_removal_touches_its_own_space_only(store: Stores):
    shared = put(store, "s")
    with pytest.raises(NotFound):
        put(store, "a", "ann", WriteMode.REPLACE)
    put(store, "a", "ann")
    assert put(store, "b", "ann", WriteMode.REPLACE).version == 2
    with pytest.raises(Conflict):
        put(store, "c", "ann")
    store.workflows.put(PutWorkflow(WorkflowText("portrait", "", "", ""), WriteMode.DELETE, T0, "ann"))
    assert store.workflows.get("portrait", None, ("ann", SHARED)) == shared
    assert [each.version for each in store.workflows.versions("portrait", "ann")] == [2, 1]


def test_only_the_spaces_asked_for_are_listed(store: Stores):
    put(store, "s"), put(store, "a", "ann"), put(store, "b", "ben")
    assert [key.space for key in store.workflows.heads(("ann", SHARED))] in (["ann", ""], ["", "ann"])
    assert [key.space for key in store.workflows.heads()] == [SHARED]


def test_what_was_there_before_owners_is_everybodys(empty_database_url: str):
    url = empty_database_url
    migrate.upgrade(url, "0006")
    add = sa.text(
        "INSERT INTO workflows (name, version, title, manifest, digest, created_at)"
        " VALUES (:name, 1, 't', 'm', 'd', 1)"
    )
    engine = open_unpooled(url)
    with engine.begin() as conn:
        conn.execute(add, {"name": "before"})
    migrate.upgrade(url)
    with engine.begin() as conn:
        conn.execute(add, {"name": "meanwhile"})  # by code that knows no owners of workflows
    engine.dispose()
    store = build_stores(opened(url))
    assert [(key.name, key.space) for key in store.workflows.heads()] == [("before", ""), ("meanwhile", "")]
    store.close()
