"""The nodes that processes report as their own, on both databases."""

import json

import sqlalchemy as sa

from imagemill.backends.base import Node
from imagemill.bootstrap.stores import Stores
from imagemill.db import tables
from imagemill.domain.clock import now_us
from imagemill.jobs.processes import Process


def process(name: str) -> Process:
    return Process(name, ("worker",), None, "host", 1, "1.0", now_us(), now_us())


def test_nodes_are_read_as_they_were_reported(store: Stores) -> None:
    node = Node(
        "sim-0",
        "simulator",
        frozenset({"gpu", "cpu"}),
        2,
        loaded_models=frozenset({"urn:air:sd1:checkpoint:civitai:4384@128713"}),
        healthy=False,
        draining=True,
        problem="it is paused",
    )
    store.processes.report(process("a"), [node])
    store.processes.report(process("b"))

    assert store.processes.nodes(["a", "b"]) == [node]
    assert store.processes.nodes(["b"]) == []


def test_what_a_later_version_adds_to_a_node_is_left_out(store: Stores) -> None:
    store.processes.report(process("later"), [Node("sim-0", "simulator", frozenset({"gpu"}), 2)])
    columns = tables.processes.c
    with store.database.engines.writer.begin() as conn:
        (row,) = json.loads(conn.execute(sa.select(columns.nodes)).scalar_one())
        conn.execute(sa.update(tables.processes).values(nodes=json.dumps([{**row, "altitude": 9}])))

    assert store.processes.nodes(["later"]) == [Node("sim-0", "simulator", frozenset({"gpu"}), 2)]
