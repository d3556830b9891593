"""Scheduling over nodes on a virtual clock, through the real store: submit, claim, finish.

Only the world is modelled: when jobs come, how long a render takes, that a node without the model loads it.
`benchmarks.scheduling_pictures` draws the pictures of ``docs/scheduling.md``.
"""

import heapq
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import mean

from benchmarks.processes import Row
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate
from imagemill.db.engine import open_engines
from imagemill.domain.clock import SECOND, new_trace, uuid7
from imagemill.domain.jobs import Claim, Draft, LaneKey, Succeeded
from imagemill.domain.placement import PlacementRules, Policy, choose
from imagemill.domain.scheduling import Offer
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.store.submit import Submission

NODES = 8
JOBS = 2000
ARRIVE_S = 600.0
OWNERS = 10
MODELS = 12
RENDER_S = 4.0
LOAD_S = 10.0
SEEDS = range(5)
POLL_S = 1.0
"""How often an idle node looks again; a real one does so several times a second."""

_T0 = 1_800_000_000 * SECOND
_BIG = "owner-0"


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float
    owner: str
    model: str


@dataclass(frozen=True, slots=True)
class Span:
    """One job on a node; ``load_s`` of it, at its start, went into loading its model."""

    node: str
    model: str
    owner: str
    start_s: float
    load_s: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class Played:
    spans: tuple[Span, ...]

    @property
    def makespan_s(self) -> float:
        return max(span.start_s + span.load_s + RENDER_S for span in self.spans)

    @property
    def loads(self) -> int:
        return sum(span.load_s > 0 for span in self.spans)

    def wait_s(self, owner: str) -> float:
        return mean(span.wait_s for span in self.spans if span.owner == owner)


@dataclass(frozen=True, slots=True)
class Figure:
    """One policy on one trace, against the same trace in fair order without loads."""

    ratio: float
    small_wait_s: float
    """Of the worst-off small owner: mean wait, less its mean wait in the ideal schedule."""
    loads: int


def trace(seed: int) -> list[Arrival]:
    """One owner sends half, the others share the rest; models by Zipf(1)."""
    random = Random(seed)
    models = [f"model-{number:02}" for number in range(1, MODELS + 1)]
    weights = [1 / number for number in range(1, MODELS + 1)]
    owners = [
        _BIG if random.random() < 0.5 else f"owner-{random.randint(1, OWNERS - 1)}" for _ in range(JOBS)
    ]
    drawn = random.choices(models, weights, k=JOBS)
    return [
        Arrival(number * ARRIVE_S / JOBS, owner, model)
        for number, (owner, model) in enumerate(zip(owners, drawn, strict=True))
    ]


@dataclass
class World:
    """Eight nodes and a store that believes the virtual clock."""

    store: Stores
    arrivals: Sequence[Arrival]
    rules: PlacementRules
    load_s: float
    fair: bool
    """Whether owners are told apart; else all jobs are of one, so the first to come is the first served."""
    resident: dict[str, str] = field(default_factory=dict[str, str])
    running: dict[str, Claim | None] = field(
        default_factory=lambda: {f"node-{number}": None for number in range(1, NODES + 1)}
    )
    loads_cost: bool = True
    by_job: dict[str, Arrival] = field(default_factory=dict[str, Arrival])
    spans: list[Span] = field(default_factory=list[Span])

    def play(self) -> Played:
        """Events in order of time; what ends comes before what begins at the same instant."""
        agenda = [(arrival.at_s, 1, number, "") for number, arrival in enumerate(self.arrivals)]
        heapq.heapify(agenda)
        polled = False
        while agenda:
            now_s, kind, number, node = heapq.heappop(agenda)
            if kind == 0:
                self._finish(node, now_s)
            elif kind == 1:
                self._submit(self.arrivals[number], now_s)
            else:
                polled = False
            for free in [name for name, claim in self.running.items() if claim is None]:
                until_s = self._claim(free, now_s)
                if until_s is not None:
                    heapq.heappush(agenda, (until_s, 0, 0, free))
            if not polled and len(self.spans) < len(self.by_job):
                polled = True
                heapq.heappush(agenda, (now_s + POLL_S, 2, 0, ""))
        return Played(tuple(self.spans))

    def _submit(self, arrival: Arrival, now_s: float) -> None:
        now, job = _instant(now_s), uuid7(_instant(now_s) + len(self.by_job))
        lane = LaneKey("gpu", arrival.model)
        draft = Draft(
            job, "textToImage", "gpu", lane, {}, now + 86_400 * SECOND, new_trace(), estimate_s=RENDER_S
        )
        self.by_job[job] = arrival
        self.store.jobs.submit(Submission(uuid7(), arrival.owner if self.fair else "all", (draft,), now))

    def _claim(self, node: str, now_s: float) -> float | None:
        held = frozenset({self.resident[node]}) if node in self.resident else frozenset[str]()
        offer = Offer("bench", node, "simulator", frozenset({"gpu"}), loaded_models=held, load_s=self.load_s)
        now = _instant(now_s)
        claim = self.store.jobs.claim_next(ClaimRequest(offer, uuid7(), now, now + 3600 * SECOND, self.rules))
        if claim is None:
            return None
        self.running[node], arrival = claim, self.by_job[claim.id]
        loads = self.resident.get(node) != arrival.model
        self.resident[node] = arrival.model
        load_s = LOAD_S if loads and self.loads_cost else 0.0
        self.spans.append(Span(node, arrival.model, arrival.owner, now_s, load_s, now_s - arrival.at_s))
        return now_s + load_s + RENDER_S

    def _finish(self, node: str, now_s: float) -> None:
        claim, self.running[node] = self.running[node], None
        assert claim is not None
        self.store.jobs.finish(Finish(claim, Succeeded(()), _instant(now_s)))


def _instant(seconds: float) -> int:
    return _T0 + round(seconds * SECOND)


def play(
    root: Path,
    arrivals: Sequence[Arrival],
    *,
    rules: PlacementRules = PlacementRules(),
    policy: Policy = choose,
    load_s: float = LOAD_S,
    loads_cost: bool = True,
    fair: bool = True,
) -> Played:
    with tempfile.TemporaryDirectory(dir=root) as folder:
        url = f"sqlite:///{folder}/scheduling.db"
        migrate.upgrade(url)
        store = build_stores(open_engines(url), policy=policy)
        try:
            return World(store, arrivals, rules, load_s, fair, loads_cost=loads_cost).play()
        finally:
            store.close()


def play_ideal(root: Path, arrivals: Sequence[Arrival]) -> Played:
    """The same trace in fair order, loads costing nothing."""
    return play(root, arrivals, load_s=0.0, loads_cost=False)


def play_fifo(root: Path, arrivals: Sequence[Arrival]) -> Played:
    """Whoever came first, whatever is loaded."""
    return play(root, arrivals, load_s=0.0, fair=False)


def compare(played: Played, ideal: Played) -> Figure:
    small = {span.owner for span in ideal.spans} - {_BIG}
    return Figure(
        played.makespan_s / ideal.makespan_s,
        max(played.wait_s(owner) - ideal.wait_s(owner) for owner in small),
        played.loads,
    )


def measure(root: Path) -> list[Row]:
    fifo: list[Figure] = []
    ours: list[Figure] = []
    rows: list[Row] = []
    for seed in SEEDS:
        arrivals = trace(seed)
        ideal = play_ideal(root, arrivals)
        fifo.append(compare(play_fifo(root, arrivals), ideal))
        ours.append(compare(play(root, arrivals), ideal))
        rows.append((f"scheduling, seed {seed}", _shown(ours[-1]), ""))
    return [
        (f"scheduling, first in first out, mean of {len(fifo)}", _shown(_mean(fifo)), "about 3.05, 1,390 s"),
        *rows,
        (f"scheduling, mean of {len(ours)}", _shown(_mean(ours)), ""),
        (f"scheduling, worst of {len(ours)}", _shown(_worst(ours)), "at most 1.2, 60 s"),
    ]


def _mean(figures: Sequence[Figure]) -> Figure:
    return Figure(
        mean(each.ratio for each in figures),
        mean(each.small_wait_s for each in figures),
        round(mean(each.loads for each in figures)),
    )


def _worst(figures: Sequence[Figure]) -> Figure:
    return Figure(
        max(each.ratio for each in figures),
        max(each.small_wait_s for each in figures),
        max(each.loads for each in figures),
    )


def _shown(figure: Figure) -> str:
    return f"{figure.ratio:.2f}, +{figure.small_wait_s:,.0f} s, {figure.loads:,} loads"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name, value, aim in measure(Path(folder)):
            print(f"{name:<45}  {value:>30}  {aim}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
