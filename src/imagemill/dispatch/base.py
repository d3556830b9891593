"""The seam to whatever starts work: a wake-up carries no job, only "there is something in this queue"."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from imagemill.backends.base import Backend, Node
from imagemill.domain.scheduling import REMOTE, Offer


class Dispatcher(Protocol):
    def wake(self, queue: str) -> None:
        """Some slot that serves the queue should look. Never blocks; losing one costs delay, not a job."""
        ...

    def start(self) -> None: ...

    def stop_accepting(self) -> None:
        """Take no more wake-ups; what runs goes on. Never blocks."""
        ...

    def close(self) -> None:
        """Start no more work; return once all slots are idle."""
        ...


NAMED = ("gpu", REMOTE, "render")
"""Each has wake-ups of its own."""

FALLBACK = "celery"
"""Wake-ups for jobs of all other queues: of recipes and nodes that bring their own names."""

BROKERED = (*NAMED, FALLBACK)
"""Where wake-ups lie."""

INGRESS = "generator_queue"
"""Where applications that know nothing but Celery leave their tasks; `imagemill generator` takes them. No
other worker may: Celery throws away what a worker has no task for."""


def route(queue: str) -> str:
    """The broker's queue for wake-ups of jobs in ``queue``."""
    return queue if queue in NAMED else FALLBACK


def served_queues(offered: frozenset[str], chosen: frozenset[str] | None) -> frozenset[str]:
    """What a worker that serves the ``chosen`` queues does of those a node offers; None: all."""
    if chosen is None:
        return offered
    return frozenset(queue for queue in offered if queue in chosen or route(queue) in chosen)


class Offers:
    """``chosen``: queues this process serves; None: all. Remote nodes are served by those who serve the queue
    `REMOTE`, and then with all their queues: so a worker can have them alone, and others none of them."""

    def __init__(
        self, backends: Mapping[str, Backend], *, worker: str, served_queues: frozenset[str] | None
    ) -> None:
        self._backends = backends
        self._worker = worker
        self._served_queues = served_queues
        # Of a kind of backend, not of a node that comes and goes: without one nothing more is looked at.
        self._has_remote = any(node.remote for _, node in self.nodes())

    def nodes(self) -> list[tuple[Backend, Node]]:
        return [(backend, node) for backend in self._backends.values() for node in backend.nodes()]

    def all(self) -> list[Offer]:
        """What each node can take now."""
        return [self.offer_of(node) for _, node in self.nodes() if node.healthy and not node.draining]

    def queues(self) -> frozenset[str]:
        """Whose jobs some node can take now."""
        return frozenset[str]().union(*(offer.queues for offer in self.all()))

    def find(self, backend: str, name: str) -> Offer | None:
        """None when the node is gone, ill or takes no more."""
        node = find(self._backends[backend], name)
        return self.offer_of(node) if node is not None and node.healthy and not node.draining else None

    def offer_of(self, node: Node) -> Offer:
        if not node.remote:
            offer = self._make_offer(node, served_queues(node.queues, self._served_queues))
            return replace(offer, remote_nodes=self._remote_names()) if self._has_remote else offer
        queues = (
            node.queues if self._served_queues is None or REMOTE in self._served_queues else frozenset[str]()
        )
        rivals = tuple(
            self._make_offer(each, each.queues)
            for _, each in self.nodes()
            if each.healthy and not (each.draining or each.remote)
        )
        offer = self._make_offer(node, queues)
        return replace(
            offer, local_first_s=node.local_first_s, local_offers=rivals, remote_nodes=self._remote_names()
        )

    def _remote_names(self) -> frozenset[str]:
        return frozenset(node.name for _, node in self.nodes() if node.remote)

    def _make_offer(self, node: Node, queues: frozenset[str]) -> Offer:
        return Offer(
            worker=self._worker,
            node=node.name,
            backend=node.backend,
            queues=queues,
            labels=node.labels,
            memory_mb=node.memory_mb,
            loaded_models=node.loaded_models,
            available=node.available,
            capacity=node.slots,
            load_s=node.load_s,
        )


def find(backend: Backend, name: str) -> Node | None:
    return next((node for node in backend.nodes() if node.name == name), None)
