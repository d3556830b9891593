"""The forecast of a queue: when each waiting job will start, by the scheduler's own policy run on a copy.

Nodes are given with the work they have, and jobs with their estimated seconds. The policy that chooses jobs
for real slots chooses here as well, on nodes whose state advances from one end of a job to the next. New
jobs, failures and retries are unknown, so the estimates are those of the queue as it is now.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import LaneKey
from imagemill.domain.placement import Choice, Fleet, PlacementRules, Policy, choose
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob, mismatch_reason

MOST_JOBS = 500
"""Most waiting jobs that are forecast, in fair order."""
_MOST_TURNS = 20_000
"""Most choices of a forecast; the jobs that are left then have no estimate."""
_LEAST_S = 0.05
"""Least seconds of a job, as handling it takes time too."""
_TICK_S = 5.0
"""Seconds until a free slot that took nothing asks again, when nothing else happens before. Each further time
it asks after twice as long, up to `_LONGEST_TICK_S`."""
_LONGEST_TICK_S = 600.0
_IDLE_TICKS = 200
"""Instants in a row without a choice after which nothing more is expected to start."""
_LEAST_MEASURED = 3
"""Jobs from which the speed of a node is measured."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    id: str
    lane: int
    job: QueuedJob
    ready_at: int = 0
    """When it may be claimed: a retry waits until then."""


@dataclass(frozen=True, slots=True)
class NodeWork:
    """A node with what it does now. ``running_s``: the seconds that each of its running jobs still needs."""

    offer: Offer
    slots: int
    running_s: tuple[float, ...] = ()
    speed: float = 1.0
    """Measured seconds of work for each estimated second."""
    load_s: float = 0.0
    serial: bool = True
    """Whether it renders one job at a time, whatever its slots: the others wait on the node."""


@dataclass(frozen=True, slots=True)
class ExpectedStart:
    node: str
    at: int
    """When its work begins."""
    end_at: int
    loads: bool
    """Whether the node loads its model first."""
    reason: str


@dataclass(frozen=True, slots=True)
class Forecast:
    starts: Mapping[str, ExpectedStart]
    """Job -> its expected start; a job that no node takes is absent."""
    impossible: Mapping[str, str]
    """Job -> why no node can take it."""
    complete: bool
    """Whether every job has a start or a reason."""

    @property
    def done_at(self) -> int | None:
        """When the last of the jobs will have ended."""
        return max((start.end_at for start in self.starts.values()), default=None)


@dataclass(slots=True)
class _SimulatedSlots:
    """A node whose state advances with the forecast."""

    work: NodeWork
    free_at: int
    """When a node that renders one job at a time has done all it has."""
    ends: list[int]
    loaded: frozenset[str]
    loaded_at: int | None = None

    def offer(self) -> Offer:
        return replace(self.work.offer, loaded_models=self.loaded, load_s=self.work.load_s)

    def has_slot(self, now: int) -> bool:
        self.ends = [end for end in self.ends if end > now]
        return len(self.ends) < self.work.slots

    def take(self, job: QueuedJob, choice: Choice, model: str, now: int) -> ExpectedStart:
        begin = max(now, self.free_at) if self.work.serial else now
        load_us = round(self.work.load_s * SECOND) if choice.loads else 0
        work_us = round(max(_LEAST_S, job.estimate_s * self.work.speed) * SECOND)
        end = begin + load_us + work_us
        if choice.loads:
            self.loaded, self.loaded_at = frozenset({model}), now
        self.free_at = max(self.free_at, end)
        self.ends.append(end)
        return ExpectedStart(self.work.offer.node, begin, end, choice.loads, choice.reason)


@dataclass(slots=True)
class _QueueCopy:
    """The waiting jobs by lane, in fair order."""

    keys: Mapping[int, LaneKey]
    lanes: dict[int, list[WaitingJob]] = field(default_factory=dict[int, list[WaitingJob]])

    def heads(self, now: int) -> list[LaneHead]:
        found: list[LaneHead] = []
        for lane, jobs in self.lanes.items():
            ready = next((each for each in jobs if each.ready_at <= now), None)
            if ready is not None:
                found.append(LaneHead(lane, self.keys[lane], ready.job))
        return found

    def peek(self, lanes: Sequence[int], count: int, now: int) -> dict[int, list[QueuedJob]]:
        return {
            lane: [each.job for each in self.lanes.get(lane, ()) if each.ready_at <= now][:count]
            for lane in lanes
        }

    def take(self, lane: int, now: int) -> WaitingJob:
        jobs = self.lanes[lane]
        found = next(each for each in jobs if each.ready_at <= now)
        jobs.remove(found)
        if not jobs:
            del self.lanes[lane]
        return found

    def next_ready(self, now: int) -> int | None:
        later = (each.ready_at for jobs in self.lanes.values() for each in jobs if each.ready_at > now)
        return min(later, default=None)


def forecast(
    now: int,
    waiting: Sequence[WaitingJob],
    keys: Mapping[int, LaneKey],
    nodes: Sequence[NodeWork],
    rules: PlacementRules,
    policy: Policy = choose,
) -> Forecast:
    """Return when each of the waiting jobs will start. ``keys``: lane -> its requirements."""
    impossible = _impossible(waiting, keys, [node.offer for node in nodes])
    queue = _QueueCopy(keys)
    for each in sorted(waiting, key=lambda each: (each.job.tag, each.job.since, each.id)):
        if each.id not in impossible:
            queue.lanes.setdefault(each.lane, []).append(each)
    slots = [_simulated(node, now) for node in sorted(nodes, key=lambda node: node.offer.node)]
    starts: dict[str, ExpectedStart] = {}
    turns = idle = 0
    while queue.lanes and slots and turns < _MOST_TURNS and idle < _IDLE_TICKS:
        took = False
        for node in slots:
            while node.has_slot(now) and turns < _MOST_TURNS:
                turns += 1
                choice = _choose(node, queue, slots, now, rules, policy)
                if choice is None:
                    break
                found = queue.take(choice.lane, now)
                starts[found.id] = node.take(found.job, choice, keys[found.lane].model, now)
                took = True
        idle = 0 if took else idle + 1
        now = _next(now, slots, queue, idle)
    return Forecast(starts, impossible, complete=len(starts) + len(impossible) == len(waiting))


def _simulated(node: NodeWork, now: int) -> _SimulatedSlots:
    ends: list[int] = []
    reached = now
    for seconds in node.running_s:
        end = (reached if node.serial else now) + round(seconds * SECOND)
        reached = max(reached, end)
        ends.append(end)
    return _SimulatedSlots(node, reached, ends, node.offer.loaded_models)


def _choose(
    node: _SimulatedSlots,
    queue: _QueueCopy,
    slots: Iterable[_SimulatedSlots],
    now: int,
    rules: PlacementRules,
    policy: Policy,
) -> Choice | None:
    heads = queue.heads(now)
    if not heads:
        return None
    fleet = Fleet(
        now,
        {each.work.offer.node: each.loaded for each in slots},
        frozenset(each.work.offer.node for each in slots if any(end > now for end in each.ends)),
        {each.work.offer.node: each.loaded_at for each in slots if each.loaded_at is not None},
    )
    return policy(node.offer(), heads, fleet, lambda lanes, count: queue.peek(lanes, count, now), rules)


def _next(now: int, slots: Iterable[_SimulatedSlots], queue: _QueueCopy, idle: int) -> int:
    """Return the next instant at which a slot may take a job."""
    tick_s = min(_LONGEST_TICK_S, _TICK_S * 2 ** min(idle, 10))
    ends = [end for node in slots for end in node.ends if end > now]
    ready = queue.next_ready(now)
    return min([*ends, *([ready] if ready is not None else []), now + round(tick_s * SECOND)])


def _impossible(
    waiting: Iterable[WaitingJob], keys: Mapping[int, LaneKey], offers: Sequence[Offer]
) -> dict[str, str]:
    """Return job -> why no node can take it."""
    reasons: dict[int, str | None] = {}
    for lane in {each.lane for each in waiting}:
        key = keys[lane]
        why = [(offer.node, mismatch_reason(offer, key)) for offer in offers if key.queue in offer.queues]
        fits = any(reason is None for _, reason in why)
        text = "; ".join(f"{node} {reason}" for node, reason in why[:5]) or "no node takes jobs now"
        reasons[lane] = None if fits else text
    return {each.id: reason for each in waiting if (reason := reasons[each.lane]) is not None}


# Measured speeds


@dataclass(frozen=True, slots=True)
class FinishedWork:
    """A job that succeeded lately."""

    node: str
    started_at: int
    finished_at: int
    estimate_s: float
    has_loaded: bool = False


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds of work for each estimated second, by node and of all nodes together."""

    by_node: Mapping[str, float] = field(default_factory=dict[str, float])
    overall: float = 1.0

    def of(self, node: str) -> float:
        return self.by_node.get(node, self.overall)


def measure_speeds(done: Iterable[FinishedWork], load_s: Mapping[str, float]) -> Speeds:
    """Return the measured speeds. ``load_s``: node -> seconds of a load, which do not count as work.

    Jobs of a node overlap, as one waits on it while another renders, so the time that they cover counts.
    """
    by_node: dict[str, list[FinishedWork]] = {}
    for each in done:
        by_node.setdefault(each.node, []).append(each)
    found: dict[str, float] = {}
    all_worked_s = all_estimated_s = 0.0
    for node, jobs in by_node.items():
        estimated_s = sum(each.estimate_s for each in jobs)
        loads_s = load_s.get(node, 0.0) * sum(each.has_loaded for each in jobs)
        worked_s = max(0.0, _covered_s(jobs) - loads_s)
        if len(jobs) < _LEAST_MEASURED or estimated_s <= 0:
            continue
        found[node] = worked_s / estimated_s
        all_worked_s, all_estimated_s = all_worked_s + worked_s, all_estimated_s + estimated_s
    return Speeds(found, all_worked_s / all_estimated_s if all_estimated_s else 1.0)


def _covered_s(jobs: Iterable[FinishedWork]) -> float:
    covered = reached = 0
    for each in sorted(jobs, key=lambda each: each.started_at):
        covered += max(0, each.finished_at - max(each.started_at, reached))
        reached = max(reached, each.finished_at)
    return covered / SECOND
