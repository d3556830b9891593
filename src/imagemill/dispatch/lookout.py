"""Whether idle slots should look though nobody told them to: one question to the database for all of them."""

import time
from collections.abc import Callable, Sequence

from imagemill.dispatch.offers import Offers
from imagemill.domain.scheduling import Head, Offer

_SELDOM_S = 2.0
"""Slots look for what waits and cannot be taken once in so long: time alone may have made it takeable, as a
node is avoided for a while and a model loaded only for what has waited long enough."""


class Lookout:
    """``heads``: the first claimable job of each lane. ``poll_s``: how often it is asked."""

    def __init__(self, heads: Callable[[], Sequence[Head]], offers: Offers, poll_s: float) -> None:
        self._heads = heads
        self._offers = offers
        self._poll_s = poll_s
        self._seen: tuple[list[Head], list[Offer]] | None = None
        self._pause_s = poll_s
        self._next = 0.0

    def calls(self) -> bool:
        """Whether all should look: at once where work or nodes have changed, else ever more seldom."""
        heads = self._heads()
        offers = self._offers.all() if heads else []
        served = frozenset[str]().union(*(offer.queues for offer in offers))
        waiting = [head for head in heads if head.key.queue in served]
        if not waiting:
            self._seen = None
            return False
        seen = (waiting, offers)
        if seen != self._seen:
            self._seen, self._pause_s = seen, self._poll_s
        elif time.monotonic() < self._next:
            return False
        else:
            self._pause_s = min(self._pause_s * 2, max(self._poll_s, _SELDOM_S))
        self._next = time.monotonic() + self._pause_s
        return True
