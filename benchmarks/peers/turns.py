"""Peers take turns: each layout is started afresh, warmed up, loaded and stopped, round after round."""

import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from PIL import Image

from benchmarks.peers import usage
from benchmarks.peers.client import Load
from benchmarks.peers.stage import Peer, Running, Stage, UnavailableError

WARM_UP_S = 3.0
"""Node.js compiles its hot code, and pools of connections and processes fill."""
LOOKED_AT = 20
"""How many of the pictures are decoded after a turn."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a layout. ``cpu_ms`` is that of all processes of the peer for a job."""

    load: Load
    cpu_ms: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Standing:
    """The turns of one layout of a peer, one a round; ``reason``: why there are none."""

    peer: Peer
    layout: str
    turns: tuple[Turn, ...]
    reason: str = ""

    @property
    def per_second(self) -> float:
        return median(turn.load.per_second for turn in self.turns)

    @property
    def p50_ms(self) -> float:
        return median(turn.load.p50_ms for turn in self.turns)

    @property
    def p99_ms(self) -> float:
        return median(turn.load.p99_ms for turn in self.turns)

    @property
    def cpu_ms(self) -> float:
        return median(turn.cpu_ms for turn in self.turns)

    @property
    def memory_mb(self) -> float:
        return median(turn.memory_mb for turn in self.turns)

    @property
    def client_cpu_ms(self) -> float:
        return median(turn.load.client_cpu_ms for turn in self.turns)

    def ratio_to(self, other: "Standing") -> float:
        """Return the median over the rounds of its rate against the other's in the same round."""
        return median(
            mine.load.per_second / theirs.load.per_second
            for mine, theirs in zip(self.turns, other.turns, strict=True)
        )


def take_turn(running: Running, seconds: float) -> Turn:
    """Load a running peer. Raises `RuntimeError` if it has not written a picture for each job."""
    warm_up = running.load(WARM_UP_S)
    before = usage.cpu_s(running.roots)
    measured = running.load(seconds)
    cpu_s = usage.cpu_s(running.roots) - before
    if running.pictures is not None:
        check_pictures(running.pictures, warm_up.jobs + measured.jobs)
    return Turn(measured, cpu_s * 1000 / measured.jobs, usage.memory_mb(running.roots))


def check_pictures(folder: Path, jobs: int) -> None:
    """Raises `RuntimeError` unless the folder has a file for each job; some are decoded."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) < jobs:
        raise RuntimeError(f"{jobs} jobs were answered, but only {len(files)} files written")
    for path in files[:: max(1, len(files) // LOOKED_AT)]:
        data = path.read_bytes()
        if not data.startswith(SIGNATURE):
            raise RuntimeError(f"{path.name} is no PNG")
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            if picture.size != (64, 64):
                raise RuntimeError(f"{path.name} has the size {picture.size}")


def run(stage: Stage, peers: Sequence[Peer], rounds: int, seconds: float) -> list[Standing]:
    """Return the standing of each layout of each peer."""
    entries = [(peer, layout) for peer in peers for layout in peer.layouts]
    turns: dict[int, list[Turn]] = {number: [] for number in range(len(entries))}
    reasons: dict[int, str] = {}
    for number, order in itertools.islice(_orders(len(entries)), rounds * len(entries)):
        peer, layout = entries[order]
        if order in reasons:
            continue
        try:
            with peer.layouts[layout](stage) as running:
                turn = take_turn(running, seconds)
        except UnavailableError as error:
            reasons[order] = str(error)
            print(f"{peer.title}, {layout}: {error}", file=sys.stderr)
            continue
        turns[order].append(turn)
        print(
            f"round {number + 1}: {peer.title}, {layout}: {turn.load.per_second:.0f}/s, "
            f"p50 {turn.load.p50_ms:.1f} ms, p99 {turn.load.p99_ms:.1f} ms, CPU {turn.cpu_ms:.2f} ms, "
            f"{turn.memory_mb:.0f} MB, client {turn.load.client_cpu_ms:.3f} ms",
            file=sys.stderr,
        )
    return [
        Standing(peer, layout, tuple(turns[number]), reasons.get(number, ""))
        for number, (peer, layout) in enumerate(entries)
    ]


def _orders(count: int) -> Iterator[tuple[int, int]]:
    """Round and index, each round in the opposite order of the one before, so that drift hits all alike."""
    for number in itertools.count():
        indices = range(count)
        yield from ((number, index) for index in (indices if number % 2 == 0 else reversed(indices)))


def best(standings: Sequence[Standing]) -> list[Standing]:
    """Return the fastest layout of each peer; of a peer without any turn the first layout with its reason."""
    by_peer: dict[str, list[Standing]] = {}
    for standing in standings:
        by_peer.setdefault(standing.peer.title, []).append(standing)
    return [
        max(each, key=lambda standing: standing.per_second if standing.turns else -1.0)
        for each in by_peer.values()
    ]
