"""Why a queued job is not running, in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from imagemill.domain.jobs import LaneKey
from imagemill.domain.placing import Fleet
from imagemill.domain.scheduling import Offer, mismatch


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands in its lane, and what the nodes hold."""

    before: int
    """Jobs of its lane that are before it in fair order."""
    before_s: float
    """Their estimated seconds of work."""
    more: bool
    """Whether there are more than were counted."""
    fleet: Fleet


def explain_wait(offers: Sequence[Offer], key: LaneKey, standing: Standing) -> str:
    """As far as the slots of this process and the running jobs tell."""
    if not offers:
        return "no worker is connected"
    reasons = {offer.node: mismatch(offer, key) for offer in offers}
    able = sorted(node for node, reason in reasons.items() if reason is None)
    if not able:
        why = "; ".join(f"{node} {reason}" for node, reason in sorted(reasons.items()))
        return f"no node can take it: {why}"
    loadless = all(offer.load_s == 0 for offer in offers if offer.node in able)
    if not key.model or loadless:
        return f"waits for a free slot on {_listed(able)}; {_ahead(standing)}"
    servers = standing.fleet.servers(key.model)
    if servers:
        serve = "serves" if len(servers) == 1 else "serve"
        return f"{_listed(servers)} {serve} {key.model}; {_ahead(standing)}"
    return f"waits for a node to load {key.model}: {_ahead(standing)}; {_listed(able)} could"


def _ahead(standing: Standing) -> str:
    if not standing.before:
        return "it is the first of its kind in fair order"
    least = "at least " if standing.more else ""
    jobs = f"{standing.before} {'job' if standing.before == 1 else 'jobs'}"
    return f"{least}{jobs} ({standing.before_s:.0f} s of work) before it"


def _listed(nodes: Sequence[str]) -> str:
    """A large fleet is not spelled out."""
    return ", ".join(nodes) if len(nodes) <= 4 else f"{', '.join(nodes[:3])} and {len(nodes) - 3} more"
