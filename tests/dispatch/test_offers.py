"""What the slots of a process offer."""

from dataclasses import replace
from typing import Any

from imagemill.backends.base import Node
from imagemill.dispatch.base import BACKLOG_WAIT_S, Offers

FREE = Node("free", "comfyui", frozenset({"gpu"}), 2)
BUSY = replace(FREE, name="busy", backlog=5)


class Nodes:
    def __init__(self, *nodes: Node) -> None:
        self._nodes = nodes

    def nodes(self) -> tuple[Node, ...]:
        return self._nodes


def offers(*nodes: Node) -> dict[str, Any]:
    backends: Any = {"comfyui": Nodes(*nodes)}
    return {offer.node: offer for offer in Offers(backends, worker="w", served_queues=None).all()}


def test_a_node_with_prompts_of_others_leaves_jobs_to_nodes_without() -> None:
    made = offers(BUSY, FREE, replace(FREE, name="drained", draining=True))
    assert (made["busy"].local_first_s, made["busy"].backlog) == (BACKLOG_WAIT_S, 5)
    assert [rival.node for rival in made["busy"].local_offers] == ["free"]
    assert (made["free"].local_first_s, made["free"].local_offers) == (0.0, ())


def test_when_all_nodes_have_prompts_of_others_none_waits_for_another() -> None:
    made = offers(BUSY, replace(BUSY, name="also", backlog=1))
    assert {offer.local_first_s for offer in made.values()} == {0.0}


def test_only_the_slots_that_a_node_has_now_are_offered() -> None:
    backends: Any = {"comfyui": Nodes(FREE)}
    made = Offers(backends, worker="w", served_queues=None)
    assert [made.find("comfyui", "free", slot) is not None for slot in range(4)] == [True, True, False, False]
