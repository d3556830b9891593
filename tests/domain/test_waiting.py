"""Why a job waits."""

from dataclasses import replace

from imagemill.domain.jobs import LaneKey
from imagemill.domain.placement import Fleet, QueuePosition, explain_wait
from imagemill.domain.scheduling import Offer

OFFER = Offer("w", "node-1", "comfyui", frozenset({"gpu"}))
OTHER = replace(OFFER, node="node-2")
FIRST = QueuePosition(0, 0.0, False, Fleet(0))


def holding(**nodes: str) -> Fleet:
    return Fleet(0, {node.replace("_", "-"): frozenset({model}) for node, model in nodes.items()})


def test_a_wait_without_workers_is_explained():
    assert explain_wait([], LaneKey("gpu"), FIRST) == "no worker is connected"


def test_a_wait_for_a_slot_names_the_nodes_that_fit():
    render = replace(OTHER, queues=frozenset({"render"}))
    text = explain_wait([render, OFFER], LaneKey("gpu"), FIRST)
    assert text == "waits for a free slot on node-1; it is the first of its kind in fair order"


def test_a_wait_no_node_can_end_is_explained_node_by_node():
    render = replace(OTHER, queues=frozenset({"render"}))
    text = explain_wait([render, OFFER], LaneKey("gpu", labels=("eu",)), FIRST)
    assert text == "no node can take it: node-1 lacks the label eu; node-2 serves render, not queue gpu"


def test_a_wait_for_nodes_that_serve_the_model_names_them_and_what_is_before():
    standing = QueuePosition(3, 12.4, False, holding(node_2="a", node_1="a"))
    text = explain_wait([OFFER, OTHER], LaneKey("gpu", "a"), standing)
    assert text == "node-1, node-2 serve a; 3 jobs (12 s of work) before it"


def test_a_wait_for_a_load_names_the_model_the_work_and_the_nodes():
    standing = QueuePosition(1, 4.0, False, holding(node_1="b"))
    text = explain_wait([OFFER, OTHER], LaneKey("gpu", "a"), standing)
    assert text == "waits for a node to load a: 1 job (4 s of work) before it; node-1, node-2 could"


def test_a_wait_behind_more_than_was_counted_says_so():
    standing = QueuePosition(200, 800.0, True, holding(node_1="a"))
    text = explain_wait([OFFER], LaneKey("gpu", "a"), standing)
    assert text == "node-1 serves a; at least 200 jobs (800 s of work) before it"


def test_where_nothing_is_loaded_no_load_is_waited_for():
    text = explain_wait([replace(OFFER, load_s=0.0)], LaneKey("gpu", "a"), FIRST)
    assert text.startswith("waits for a free slot on node-1")


def test_a_large_fleet_is_not_spelled_out():
    offers = [replace(OFFER, node=f"node-{number}") for number in range(1, 8)]
    text = explain_wait(offers, LaneKey("gpu"), FIRST)
    assert text.startswith("waits for a free slot on node-1, node-2, node-3 and 4 more;")


def test_a_wait_for_a_node_that_is_away_names_it_and_its_problem():
    lacking = replace(OFFER, available=frozenset({"b"}))
    away = [(replace(OTHER, available=frozenset({"a"})), "node-2 cannot be reached: connecting fails")]
    text = explain_wait([lacking], LaneKey("gpu", "a"), FIRST, away)
    assert text == (
        "the nodes that could take it are not available: node-2 cannot be reached: connecting fails; "
        "node-1 does not have a"
    )
    text = explain_wait([lacking], LaneKey("gpu", "c"), FIRST, away)
    assert text == "no node can take it: node-1 does not have c"


def test_a_wait_for_the_end_of_an_avoidance_says_so():
    position = replace(FIRST, avoided="node-1", avoided_s=42.2)
    text = explain_wait([OFFER], LaneKey("gpu"), position)
    assert text == "failed on node-1; no other node can take it now, so it is tried there again in 42 s"
    assert "free slot on node-1, node-2" in explain_wait([OFFER, OTHER], LaneKey("gpu"), position)
