"""A thousand nodes and up to a million jobs on a virtual clock, through the code that places jobs.

`domain.placing.choose` decides; heads, tags and what nodes hold are kept in memory in place of the store's
queries, so the figures are those of the decision alone. ``python -m benchmarks.large_fleet [jobs] [nodes]``.
"""

import heapq
import sys
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from statistics import mean, quantiles

from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import LaneKey
from imagemill.domain.placement import Fleet, PlacementRules, choose
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob

NODES, JOBS, MODELS, OWNERS = 1000, 1_000_000, 50, 100
RENDER_S, LOAD_S = 4.0, 10.0
LOAD = 0.9
"""Arrivals as a share of what the nodes could do without loads."""
POLL_S = 1.0
"""How often an idle node that found nothing looks again."""
_T0 = 1_800_000_000 * SECOND


@dataclass
class World:
    nodes: int
    jobs: int
    draw: Random
    lanes: list[deque[QueuedJob]] = field(default_factory=lambda: [deque[QueuedJob]() for _ in range(MODELS)])
    holding: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    busy: set[str] = field(default_factory=set[str])
    loaded_at: dict[str, int] = field(default_factory=dict[str, int])
    finishes: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Of each owner, where its next job begins in fair order."""
    front: float = 0.0
    waits_s: list[float] = field(default_factory=list[float])
    costs_us: list[float] = field(default_factory=list[float])
    loads: int = 0

    def play(self) -> float:
        """Seconds until the last job has ended."""
        weights = [1 / number for number in range(1, MODELS + 1)]
        every_s = RENDER_S / self.nodes / LOAD
        idle = {f"node-{number}": 0.0 for number in range(self.nodes)}
        agenda: list[tuple[float, int, str]] = [(0.0, 1, "")]
        came, now_s = 0, 0.0
        while agenda:
            now_s, kind, node = heapq.heappop(agenda)
            if kind == 1:
                self._submit(self.draw.choices(range(MODELS), weights)[0], now_s)
                came += 1
                if came < self.jobs:
                    heapq.heappush(agenda, (now_s + every_s, 1, ""))
                asking = self._woken(idle, now_s)
            else:
                self.busy.discard(node)
                idle[node] = 0.0
                asking = [node]
            for each in asking:
                until_s = self._claim(each, now_s)
                if until_s is None:
                    idle[each] = now_s + POLL_S
                else:
                    idle.pop(each, None)
                    heapq.heappush(agenda, (until_s, 0, each))
            if not agenda and any(self.lanes):
                heapq.heappush(agenda, (now_s + POLL_S, 0, next(iter(idle))))
        return now_s

    def _woken(self, idle: Mapping[str, float], now_s: float) -> list[str]:
        """A new job wakes one idle node, as one message does."""
        node = next((name for name, until_s in idle.items() if until_s <= now_s), None)
        return [node] if node else []

    def _submit(self, lane: int, now_s: float) -> None:
        owner = self.draw.randrange(OWNERS) if self.draw.random() < 0.5 else 0
        start = max(self.front, self.finishes[owner])
        self.finishes[owner] = start + RENDER_S
        self.lanes[lane].append(QueuedJob(start, _instant(now_s), RENDER_S))
        # Tags of owners interleave: a lane is kept in their order.
        if len(self.lanes[lane]) > 1 and self.lanes[lane][-2].tag > start:
            self.lanes[lane] = deque(sorted(self.lanes[lane], key=lambda job: (job.tag, job.since)))

    def _claim(self, node: str, now_s: float) -> float | None:
        heads = [LaneHead(number, _KEYS[number], lane[0]) for number, lane in enumerate(self.lanes) if lane]
        held = self.holding.get(node, frozenset[str]())
        offer = Offer("bench", node, "simulator", _QUEUES, loaded_models=held, load_s=LOAD_S)
        start = time.perf_counter()
        fleet = Fleet(_instant(now_s), self.holding, frozenset(self.busy), self.loaded_at)
        choice = choose(offer, heads, fleet, self._peek, _RULES)
        self.costs_us.append((time.perf_counter() - start) * 1e6)
        if choice is None:
            return None
        job = self.lanes[choice.lane].popleft()
        self.front = max(self.front, job.tag)
        self.waits_s.append(now_s - (job.since - _T0) / SECOND)
        self.busy.add(node)
        model = _KEYS[choice.lane].model
        load_s = 0.0 if model in held else LOAD_S
        if load_s:
            self.loads += 1
            self.loaded_at[node] = _instant(now_s)
            self.holding[node] = frozenset({model})
        return now_s + load_s + RENDER_S

    def _peek(self, lanes: Sequence[int], count: int) -> dict[int, list[QueuedJob]]:
        return {lane: list(islice(self.lanes[lane], count)) for lane in lanes}


_KEYS = [LaneKey("gpu", f"model-{number}") for number in range(MODELS)]
_QUEUES = frozenset({"gpu"})
_RULES = PlacementRules()


def _instant(seconds: float) -> int:
    return _T0 + round(seconds * SECOND)


def main(jobs: int = JOBS, nodes: int = NODES) -> int:
    world = World(nodes, jobs, Random(1))
    start = time.perf_counter()
    end_s = world.play()
    costs, waits = quantiles(world.costs_us, n=100), quantiles(world.waits_s, n=100)
    ideal_s = jobs * RENDER_S / nodes
    print(f"{nodes:,} nodes, {jobs:,} jobs, {MODELS} models: {time.perf_counter() - start:.0f} s to play")
    shown = f"p50 {costs[49]:.0f} us, p95 {costs[94]:.0f} us, p99 {costs[98]:.0f} us"
    print(f"{len(world.costs_us):,} decisions: {shown}")
    shown = f"mean {mean(world.waits_s):.1f} s, p50 {waits[49]:.1f} s, p99 {waits[98]:.1f} s"
    print(f"waits: {shown}, longest {max(world.waits_s):.1f} s; {world.loads:,} loads")
    print(f"done after {end_s:,.0f} s; all nodes busy without a load would need {ideal_s:,.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
