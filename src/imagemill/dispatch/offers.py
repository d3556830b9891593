"""What the nodes of this process can take."""

from collections.abc import Mapping

from imagemill.backends.base import Backend, Node
from imagemill.dispatch.queues import served
from imagemill.domain.scheduling import Offer


class Offers:
    """``chosen``: queues this process serves; None: all."""

    def __init__(
        self, backends: Mapping[str, Backend], *, worker: str, chosen: frozenset[str] | None
    ) -> None:
        self._backends = backends
        self._worker = worker
        self._chosen = chosen

    def nodes(self) -> list[tuple[Backend, Node]]:
        return [(backend, node) for backend in self._backends.values() for node in backend.nodes()]

    def all(self) -> list[Offer]:
        """What each node can take now."""
        return [self.of(node) for _, node in self.nodes() if node.healthy and not node.draining]

    def queues(self) -> frozenset[str]:
        """Whose jobs some node can take now."""
        return frozenset[str]().union(*(offer.queues for offer in self.all()))

    def find(self, backend: str, name: str) -> Offer | None:
        """None when the node is gone, ill or takes no more."""
        node = find(self._backends[backend], name)
        return self.of(node) if node is not None and node.healthy and not node.draining else None

    def of(self, node: Node) -> Offer:
        return Offer(
            worker=self._worker,
            node=node.name,
            backend=node.backend,
            queues=served(node.queues, self._chosen),
            labels=node.labels,
            memory_mb=node.memory_mb,
            resident=node.resident,
            available=node.available,
            capacity=node.slots,
            load_s=node.load_s,
        )


def find(backend: Backend, name: str) -> Node | None:
    return next((node for node in backend.nodes() if node.name == name), None)
