"""What a claim knows of the fleet: small ones anew each time, large ones by what was read a moment ago."""

import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import Engines
from imagemill.jobs.store.lanes import Lanes
from imagemill.jobs.store.node_state import READ_WHOLE, NodeState
from tests.store.build import T0, claim, draft, opened, submit


@pytest.fixture
def database(database_url: str) -> Iterator[Engines]:
    database = opened(database_url)
    yield database
    database.close()


@pytest.fixture
def conn(database: Engines) -> Iterator[sa.Connection]:
    with database.reader.connect() as conn:
        yield conn


@pytest.fixture
def others(database_url: str) -> Iterator[Stores]:
    """Another process."""
    store = build_stores(opened(database_url))
    yield store
    store.close()


def run(store: Stores, node: str, jobs: int = 1) -> None:
    submit(store, *(draft(model=node) for _ in range(jobs)))
    for _ in range(jobs):
        claim(store, node=node)


def busy(places: NodeState, conn: sa.Connection, asking: str) -> frozenset[str]:
    places.read(conn, [asking])
    return places.fleet(conn, T0).busy


def test_a_small_fleet_is_read_anew_for_each_claim(conn: sa.Connection, others: Stores):
    places = NodeState(Lanes())
    assert busy(places, conn, "asking") == set()
    run(others, "other")
    assert busy(places, conn, "asking") == {"other"}


def test_in_a_large_fleet_the_node_that_asks_is_seen_as_it_is(conn: sa.Connection, others: Stores):
    run(others, "large", READ_WHOLE + 1)
    places = NodeState(Lanes())
    assert busy(places, conn, "asking") == {"large"}
    run(others, "asking")
    assert busy(places, conn, "asking") == {"large", "asking"}
    assert places.fleet(conn, T0).models_by_node["asking"] == {"asking"}


def test_in_a_large_fleet_other_nodes_are_seen_soon(conn: sa.Connection, others: Stores):
    run(others, "large", READ_WHOLE + 1)
    places = NodeState(Lanes())
    assert busy(places, conn, "asking") == {"large"}
    run(others, "new")
    end = time.monotonic() + 30
    while busy(places, conn, "asking") != {"large", "new"}:
        assert time.monotonic() < end, "the picture is never renewed"
        time.sleep(0.02)
