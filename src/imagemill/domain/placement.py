"""The choice of the job that an idle slot takes: fair order between jobs, weighed against loading models.

A job's weight is 1 at the front of the fair order and decays with the virtual seconds the job is behind the
front. The worth of a model is the weighted seconds of work waiting for it, divided by the seconds that this
work takes together with the load. A load counts `LOAD_PAYS` times, and work that other nodes with the model
would start before the load ends does not count. The slot stays with a loaded model while no other is worth
more.

On its own, that rule would let a rare model starve behind many jobs of other models. So a job is also taken
when it is first in fair order, has waited longer than a bound and no node is about to serve it, once the node
has worked for the time of `DWELL_LOADS` loads with its present model. The wait is bounded, and forced loads
use only a small share of the time.

The end of the module explains a job's wait to its owner.
"""

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import field

from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import LaneKey
from imagemill.domain.scheduling import (
    LaneHead,
    Offer,
    QueuedJob,
    mismatch_reason,
    open_to_remote_since,
    priority_offset_s,
)

LOAD_PAYS = 1.5
"""Factor on the time of a load: a load often costs another one, back to the model that is left now."""
DWELL_LOADS = 12.0
"""Loads' time a node works before the bound may force a load; so forced loads take at most 1/13 of its time.
"""
LOOKAHEAD = 8
"""Number of a model's jobs that are weighed. More tell little: 4 did nearly as well, 16 no better."""
MOST_PEEKED = 64
"""Maximum number of jobs read from a lane; bounds the cost when many nodes serve its model."""

_LEAST_S = 0.1
"""Minimum seconds counted for a job, however small its estimate: handling it takes time too."""


@dataclass(frozen=True, slots=True)
class PlacementRules:
    load_s: float = 10.0
    """Assumed seconds of a load when the node reports none."""
    bound_s: float = 150.0
    """Seconds that the first job in fair order may wait before a load is forced."""
    horizon_s: float = 400.0
    """Virtual seconds behind the front of the fair order at which a job's weight is 1/e, about a third."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The models that the nodes have or are loading, from their running jobs and their last offers."""

    now: int
    models_by_node: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Node -> its models."""
    busy: frozenset[str] = frozenset()
    """Nodes with jobs in flight."""
    loaded_at: Mapping[str, int] = field(default_factory=dict[str, int])
    """Node -> instant at which its latest load was decided, where that is known."""

    def without(self, nodes: frozenset[str]) -> "Fleet":
        """Return the fleet without these nodes."""
        holding = {node: held for node, held in self.models_by_node.items() if node not in nodes}
        return Fleet(self.now, holding, self.busy - nodes, self.loaded_at)

    def nodes_with(self, model: str, without: str = "") -> list[str]:
        return sorted(node for node, held in self.models_by_node.items() if model in held and node != without)

    def nodes_by_model(self, models: Container[str], without: str) -> dict[str, list[str]]:
        """Return model -> nodes that have it; one pass over a large fleet, however many models there are."""
        nodes: dict[str, list[str]] = {}
        for node, held in self.models_by_node.items():
            for model in held:
                if model in models and node != without:
                    nodes.setdefault(model, []).append(node)
        return nodes


@dataclass(frozen=True, slots=True)
class Choice:
    lane: int
    reason: str
    loads: bool = False
    """Whether the node has to load a model for the job."""


Peek = Callable[[Sequence[int], int], Mapping[int, Sequence[QueuedJob]]]
"""Returns lane -> its first claimable jobs in order, for the given lanes and the maximum number per lane."""

Policy = Callable[[Offer, Iterable[LaneHead], Fleet, Peek, PlacementRules], Choice | None]


def choose(
    offer: Offer, heads: Iterable[LaneHead], fleet: Fleet, peek: Peek, rules: PlacementRules
) -> Choice | None:
    """Return the lane from which the slot should take a job, and the reason.

    None means that no job fits the slot, or that every one is better left to other nodes.
    """
    fitting = [head for head in heads if mismatch_reason(offer, head.key) is None]
    if offer.local_first_s > 0:
        fitting = [head for head in fitting if _is_due(offer, head, fleet.now)]
    if not fitting:
        return None
    first = min(fitting, key=_order)
    if offer.local_first_s > 0 and not offer.backlog:
        return Choice(first.lane, _overflow_reason(offer, first, fleet.now))
    if offer.remote_nodes:
        fleet = fleet.without(offer.remote_nodes)
    load_s = rules.load_s if offer.load_s is None else offer.load_s
    held = (
        offer.loaded_models
        if offer.node not in fleet.busy
        else fleet.models_by_node.get(offer.node, frozenset())
    )
    here = [head for head in fitting if not head.key.model or head.key.model in held or load_s <= 0]
    stay = min(here, key=_order, default=None)
    if stay is not None and stay is first:
        return Choice(stay.lane, _stay_reason(stay, "next by fair share", held))
    place = _SlotView(offer, fleet, rules, load_s, first.job.tag)
    away = [head for head in fitting if head not in here]
    if stay and place.has_dwelt and (due := place.overdue_choice(away, stay)):
        return due
    worth = place.worth_of_staying(here, stay, away, peek) if stay else 0.0
    rivals = place.candidates(away, worth) if stay else away
    best = min(place.loads(rivals, peek), key=lambda load: (-load.worth, load.head.order), default=None)
    if stay and (best is None or best.worth <= worth):
        return Choice(stay.lane, _stay_reason(stay, "worth more than any load", held))
    if best is None:
        return place.unserved_choice(away)
    if place.leaves_to_idle_nodes(best.head):
        return None
    if due := place.overdue_choice(away, best.head):
        return due
    return Choice(best.head.lane, best.reason(), loads=True)


@dataclass(frozen=True, slots=True)
class PlacementScore:
    """The claim of a lane's next job by a node, weighed against everything else that waits.

    ``worth``: of the lane, from 0 to 1; None when the node cannot take it. ``best``: of what the node would
    take now.
    """

    mismatch: str | None
    """The reason why the node cannot take it."""
    is_loaded: bool = False
    load_s: float = 0.0
    worth: float | None = None
    best: float | None = None
    choice: Choice | None = None
    """The job that a free slot of the node would take now; None means none."""


def score(
    offer: Offer, lane: int, heads: Sequence[LaneHead], fleet: Fleet, peek: Peek, rules: PlacementRules
) -> PlacementScore:
    """Return how a free slot would weigh the next job of this lane; the lane has one among ``heads``."""
    head = next(head for head in heads if head.lane == lane)
    if (reason := mismatch_reason(offer, head.key)) is not None:
        return PlacementScore(reason)
    fitting = [each for each in heads if mismatch_reason(offer, each.key) is None]
    load_s = rules.load_s if offer.load_s is None else offer.load_s
    held = fleet.models_by_node.get(offer.node, offer.loaded_models)
    place = _SlotView(offer, fleet, rules, load_s, min(fitting, key=_order).job.tag)
    choice = choose(offer, heads, fleet, peek, rules)
    chosen = next((each for each in fitting if choice is not None and each.lane == choice.lane), None)
    is_here = not head.key.model or head.key.model in held or load_s <= 0
    return PlacementScore(
        None,
        is_here,
        0.0 if is_here else load_s,
        place.worth_of(head, peek, is_here=is_here),
        None if chosen is None or choice is None else place.worth_of(chosen, peek, is_here=not choice.loads),
        choice,
    )


@dataclass(frozen=True, slots=True)
class _Load:
    """A model that could be loaded."""

    head: LaneHead
    worth: float
    jobs: int
    more: bool
    """Whether there are more jobs than were read."""
    work_s: float
    servers: Sequence[str]

    def reason(self) -> str:
        least = "at least " if self.more else ""
        jobs = f"{least}{self.jobs} {'job waits' if self.jobs == 1 else 'jobs wait'}"
        others = f"{', '.join(sorted(self.servers))} would not get to it sooner" if self.servers else ""
        return (
            f"{_load_text(self.head.key.model)}: {jobs} for it ({self.work_s:.0f} s), "
            f"{others or 'no other node serves it'}"
        )


@dataclass(frozen=True, slots=True)
class _SlotView:
    """The work from the point of view of one node."""

    offer: Offer
    fleet: Fleet
    rules: PlacementRules
    load_s: float
    front: float
    """The smallest tag among the jobs that the node could take."""

    def weight(self, job: QueuedJob) -> float:
        return math.exp((self.front - job.tag) / self.rules.horizon_s)

    def best_worth(self, head: LaneHead) -> float:
        """Return the worth of a load for this job if many jobs like it are waiting."""
        work_s = LOOKAHEAD * head.job.estimate_s
        return self.weight(head.job) * work_s / (work_s + LOAD_PAYS * self.load_s)

    def candidates(self, away: Sequence[LaneHead], worth: float) -> list[LaneHead]:
        """Return the lanes of models that may be worth more; only their jobs have to be read."""
        models = {head.key.model for head in away if self.best_worth(head) > worth}
        return [head for head in away if head.key.model in models]

    def worth_of_staying(
        self, here: Sequence[LaneHead], stay: LaneHead, away: Sequence[LaneHead], peek: Peek
    ) -> float:
        """Return the worth of staying with the loaded model.

        It is at least the weight of the next job; often that already decides.
        """
        least = self.weight(stay.job)
        if not self.candidates(away, least):
            return least
        jobs = _merge(peek([head.lane for head in here], LOOKAHEAD))
        return self._worth(jobs[:LOOKAHEAD], 0.0)

    def loads(self, away: Sequence[LaneHead], peek: Peek) -> list[_Load]:
        """Return every model that could be loaded and has work its present nodes would not start soon."""
        lanes: dict[str, list[LaneHead]] = {}
        for head in away:
            lanes.setdefault(head.key.model, []).append(head)
        if not away:
            return []
        servers = self.fleet.nodes_by_model(lanes, self.offer.node)
        least_s = max(_LEAST_S, min(head.job.estimate_s for head in away))
        taken = max(map(len, servers.values()), default=0) * math.ceil(self.load_s / least_s)
        count = min(MOST_PEEKED, LOOKAHEAD + taken)
        seen = peek([head.lane for head in away], count)
        loads: list[_Load] = []
        for model, heads in lanes.items():
            jobs = _merge({head.lane: seen.get(head.lane, ()) for head in heads})
            full = any(len(seen.get(head.lane, ())) >= count for head in heads)
            left = self._without_served(jobs, len(servers.get(model, ())) * self.load_s, full)
            if not left:
                continue
            worth = self._worth(left[:LOOKAHEAD], LOAD_PAYS * self.load_s)
            work_s = sum(job.estimate_s for job in jobs)
            head = min(heads, key=_order)
            loads.append(_Load(head, worth, len(jobs), full, work_s, servers.get(model, ())))
        return loads

    def worth_of(self, head: LaneHead, peek: Peek, *, is_here: bool) -> float:
        """Return the worth of a lane alone: its weighted seconds of work divided by all seconds it takes."""
        jobs = peek([head.lane], LOOKAHEAD).get(head.lane, ())
        return self._worth(jobs, 0.0 if is_here else LOAD_PAYS * self.load_s)

    @property
    def has_dwelt(self) -> bool:
        """Whether the node has worked long enough since its last load for a forced one."""
        since = self.fleet.loaded_at.get(self.offer.node)
        dwelt_s = math.inf if since is None else (self.fleet.now - since) / SECOND
        return dwelt_s >= (1 + DWELL_LOADS) * self.load_s

    def overdue_choice(self, away: Sequence[LaneHead], other: LaneHead) -> Choice | None:
        """Return the load that the waiting bound forces instead of this other job, if any."""
        due = [head for head in away if head.order < other.order and self._is_overdue(head)]
        if not due:
            return None
        head = min(due, key=_order)
        return Choice(
            head.lane,
            f"fairness: first in fair order and waits for {self._age_s(head):.0f} s "
            f"(bound {self.rules.bound_s:.0f} s); {_load_text(head.key.model)}",
            loads=True,
        )

    def unserved_choice(self, away: Sequence[LaneHead]) -> Choice | None:
        """Return the first job that its nodes should have started by now, if any: a node may have died, or
        may work longer than estimated."""
        late = [head for head in away if self._age_s(head) > self.load_s]
        if not late:
            return None
        head = min(late, key=_order)
        servers = ", ".join(self.fleet.nodes_with(head.key.model, self.offer.node))
        return Choice(
            head.lane,
            f"{_load_text(head.key.model)}: it waited for {self._age_s(head):.0f} s, "
            f"{servers} did not start it",
            loads=True,
        )

    def leaves_to_idle_nodes(self, head: LaneHead) -> bool:
        """Whether this busy node leaves the job to idle nodes: a new job that needs a load, for a load's
        time."""
        idle = self.fleet.models_by_node.keys() - self.fleet.busy - {self.offer.node}
        return bool(idle) and self.offer.node in self.fleet.busy and self._age_s(head) <= self.load_s

    def _is_overdue(self, head: LaneHead) -> bool:
        patience_s = self._age_s(head) - priority_offset_s(head.job.priority)
        served = self.fleet.nodes_with(head.key.model, self.offer.node)
        return patience_s > self.rules.bound_s and not served

    def _age_s(self, head: LaneHead) -> float:
        return (self.fleet.now - head.job.since) / SECOND

    def _without_served(self, jobs: Sequence[QueuedJob], served_s: float, full: bool) -> Sequence[QueuedJob]:
        """Drop the jobs that others will start while the model loads.

        When more jobs are waiting than were read (``full``), the last one stands for the rest.
        """
        for number, job in enumerate(jobs):
            if served_s <= 0:
                return jobs[number:]
            served_s -= job.estimate_s
        return jobs[-1:] if full else ()

    def _worth(self, jobs: Iterable[QueuedJob], load_s: float) -> float:
        """Return weighted seconds of work divided by all seconds, for the best number of first jobs."""
        best, weighted_s, spent_s = 0.0, 0.0, load_s
        for job in jobs:
            work_s = max(job.estimate_s, _LEAST_S)
            weighted_s += self.weight(job) * work_s
            spent_s += work_s
            best = max(best, weighted_s / spent_s)
        return best


def _is_due(offer: Offer, head: LaneHead, now: int) -> bool:
    since = open_to_remote_since(offer, head.key, now)
    return since is None or head.job.since <= since


def _overflow_reason(offer: Offer, head: LaneHead, now: int) -> str:
    if open_to_remote_since(offer, head.key, now) is None:
        return "no local node can do it"
    waited_s = (now - head.job.since) / SECOND
    return f"waited {waited_s:.0f} s for a local node (bound {offer.local_first_s:.0f} s)"


def _order(head: LaneHead) -> tuple[float, int, int]:
    return head.order


def _merge(lanes: Mapping[int, Sequence[QueuedJob]]) -> list[QueuedJob]:
    jobs = [job for lane in lanes.values() for job in lane]
    return sorted(jobs, key=lambda job: (job.tag, job.since))


def _load_text(model: str) -> str:
    return f"loads {model}"


def loads_model(reason: str, model: str) -> bool:
    """Whether the reason of a `Choice` says that the node loads this model for the job."""
    text = _load_text(model)
    return reason.endswith(text) or f"{text}: " in reason


def _stay_reason(head: LaneHead, order: str, held: frozenset[str]) -> str:
    return f"{order}; {head.key.model} is loaded" if head.key.model in held else order


# Why a job waits


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """A queued job's position in its lane, and the models on the nodes."""

    jobs_ahead: int
    """Jobs of its lane that are before it in fair order."""
    seconds_ahead: float
    """Their estimated seconds of work."""
    more: bool
    """Whether there are more jobs than were counted."""
    fleet: Fleet
    avoided: str = ""
    """The node on which it failed and which it avoids; empty if it avoids none."""
    avoided_s: float = 0.0
    """Seconds for which it still avoids that node."""


def explain_wait(
    offers: Sequence[Offer],
    key: LaneKey,
    position: QueuePosition,
    unavailable: Sequence[tuple[Offer, str]] = (),
) -> str:
    """Explain a job's wait from the slots of this process and the running jobs.

    ``unavailable``: the offers that nodes without free slots would make, each with the node's problem.
    """
    if not offers and not unavailable:
        return "no worker is connected"
    reasons = {offer.node: mismatch_reason(offer, key) for offer in offers}
    able = sorted(node for node, reason in reasons.items() if reason is None)
    if not able:
        away = [problem for offer, problem in unavailable if mismatch_reason(offer, key) is None]
        why = [f"{node} {reason}" for node, reason in sorted(reasons.items())]
        if away:
            return f"the nodes that could take it are not available: {'; '.join([*sorted(away), *why])}"
        return f"no node can take it: {'; '.join(why)}"
    if able == [position.avoided]:
        rest = "no other node can take it now, so it is tried there again"
        return f"failed on {position.avoided}; {rest} in {position.avoided_s:.0f} s"
    loadless = all(offer.load_s == 0 for offer in offers if offer.node in able)
    if not key.model or loadless:
        return f"waits for a free slot on {_join_names(able)}; {_describe_ahead(position)}"
    servers = position.fleet.nodes_with(key.model)
    if servers:
        serve = "serves" if len(servers) == 1 else "serve"
        return f"{_join_names(servers)} {serve} {key.model}; {_describe_ahead(position)}"
    return f"waits for a node to load {key.model}: {_describe_ahead(position)}; {_join_names(able)} could"


def _describe_ahead(position: QueuePosition) -> str:
    if not position.jobs_ahead:
        return "it is the first of its kind in fair order"
    least = "at least " if position.more else ""
    jobs = f"{position.jobs_ahead} {'job' if position.jobs_ahead == 1 else 'jobs'}"
    return f"{least}{jobs} ({position.seconds_ahead:.0f} s of work) before it"


def _join_names(nodes: Sequence[str]) -> str:
    """Join node names; of more than four, only the first three are named."""
    return ", ".join(nodes) if len(nodes) <= 4 else f"{', '.join(nodes[:3])} and {len(nodes) - 3} more"
