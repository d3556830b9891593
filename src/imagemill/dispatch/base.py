"""The dispatcher's protocol, the queues of wake-ups, and the offers of this process's slots.

A wake-up carries no job; it only says that a queue has work. The claim in the database picks the job.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from imagemill.backends.base import Backend, Node
from imagemill.domain.scheduling import REMOTE, TASKS, Offer


class Dispatcher(Protocol):
    def wake(self, queue: str) -> None:
        """Wake a slot that serves the queue. Never blocks; a lost wake-up only causes a delay."""
        ...

    def wake_own(self, queue: str) -> None:
        """Wake the slots of this process alone; an empty queue means all. Never blocks."""
        ...

    def start(self) -> None: ...

    def stop_accepting(self) -> None:
        """Accept no more wake-ups; running jobs continue. Never blocks."""
        ...

    def close(self) -> None:
        """Start no more work; return once all slots are idle."""
        ...


# Queues of the broker

NAMED = ("gpu", REMOTE, "render", TASKS)
"""Job queues whose wake-ups have a broker queue of their own."""

FALLBACK = "celery"
"""The broker queue for wake-ups of all other job queues, such as those named by recipes and nodes."""

BROKERED = (*NAMED, FALLBACK)
"""All broker queues that hold wake-ups."""

INGRESS = "generator_queue"
"""The broker queue for tasks of applications that only use Celery; `imagemill generator` takes them. Other
workers must not consume it, as Celery discards tasks that a worker does not know."""


def route(queue: str) -> str:
    """Return the broker queue for wake-ups of jobs in ``queue``."""
    return queue if queue in NAMED else FALLBACK


def served_queues(offered: frozenset[str], chosen: frozenset[str] | None) -> frozenset[str]:
    """Return the node's offered queues that a worker with the ``chosen`` queues serves; None means all.

    Every worker serves `TASKS`, which need no node; only a process for the tasks of `INGRESS` does not.
    """
    if chosen is None:
        return offered
    always = {TASKS} if chosen != frozenset({INGRESS}) else frozenset[str]()
    return frozenset(
        queue for queue in offered if queue in always or queue in chosen or route(queue) in chosen
    )


BACKLOG_WAIT_S = 30.0
"""Seconds for which a node with prompts of other clients leaves a job to nodes without."""


class Offers:
    """The offers of the nodes in this process.

    ``paused`` returns whether a node gets no jobs, as an operator has paused it or everything.
    ``served_queues``: queues this process serves; None means all. Remote nodes are served only by processes
    that serve the queue `REMOTE`, and then with all queues of the nodes. So one worker can serve them
    exclusively.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        worker: str,
        served_queues: frozenset[str] | None,
        paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._paused = paused
        self._backends = backends
        self._worker = worker
        self._served_queues = served_queues
        # Whether a backend has remote nodes does not change, so without one no offer has to name them.
        self._has_remote = any(node.remote for _, node in self.nodes())

    def nodes(self) -> list[tuple[Backend, Node]]:
        return [(backend, node) for backend in self._backends.values() for node in backend.nodes()]

    def all(self) -> list[Offer]:
        """Return the current offer of each node."""
        return [self.offer_of(node) for _, node in self.nodes() if self._takes_jobs(node)]

    def states(self) -> list[tuple[Node, bool]]:
        """Return the nodes, and whether each takes jobs; cheaper than their offers."""
        return [(node, self._takes_jobs(node)) for _, node in self.nodes()]

    def queues(self) -> frozenset[str]:
        """Return the queues of which some node can take jobs now."""
        return frozenset[str]().union(*(offer.queues for offer in self.all()))

    def find(self, backend: str, name: str, slot: int = 0) -> Offer | None:
        """Return a node's offer; None when the node is gone, unhealthy, draining or paused, or does not have
        the slot of this number any more."""
        node = find(self._backends[backend], name)
        is_offered = node is not None and slot < node.slots and self._takes_jobs(node)
        return self.offer_of(node) if node is not None and is_offered else None

    def of_thread(self, backend: str, name: str, thread: int) -> list[Offer]:
        """Return the offers of the slots that one of the node's threads serves, if the node takes jobs."""
        node = find(self._backends[backend], name)
        if node is None or not self._takes_jobs(node):
            return []
        return [self.offer_of(node)] * min(node.at_once, node.slots - thread * node.at_once)

    def offer_of(self, node: Node) -> Offer:
        """Return the offer of a node, whatever its state."""
        if not node.remote:
            offer = node.offer(self._worker, served_queues(node.queues, self._served_queues))
            if node.backlog and (rivals := self._rivals(node)):
                offer = replace(
                    offer, backlog=node.backlog, local_first_s=BACKLOG_WAIT_S, local_offers=rivals
                )
            return replace(offer, remote_nodes=self._remote_names()) if self._has_remote else offer
        queues = (
            node.queues if self._served_queues is None or REMOTE in self._served_queues else frozenset[str]()
        )
        rivals = self._rivals(node)
        offer = node.offer(self._worker, queues)
        return replace(
            offer, local_first_s=node.local_first_s, local_offers=rivals, remote_nodes=self._remote_names()
        )

    def _rivals(self, node: Node) -> tuple[Offer, ...]:
        """Return the offers of the local nodes to which this one leaves jobs for a while."""
        return tuple(
            each.offer(self._worker)
            for _, each in self.nodes()
            if self._takes_jobs(each) and not each.remote
            if node.remote or (each.name != node.name and not each.backlog)
        )

    def _takes_jobs(self, node: Node) -> bool:
        return node.healthy and not node.draining and not self._paused(node.name)

    def _remote_names(self) -> frozenset[str]:
        return frozenset(node.name for _, node in self.nodes() if node.remote)


def find(backend: Backend, name: str) -> Node | None:
    """Return the backend's node with this name."""
    return next((node for node in backend.nodes() if node.name == name), None)
