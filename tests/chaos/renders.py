"""What was rendered more than once, and why.

A job needs one render. Another is needed only when the one before was lost with its node or spoiled by it:
the attempt was rejected for the node's fault, or the node was killed before its picture was fetched. That a
worker was killed, or lost the database, the broker or the store, is no reason: the node has the render, or
its picture, and the next attempt finds it there. Renders of the simulator are made by the worker itself and
end with it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.nodes import Death, Render
from tests.chaos.records import Entry, Found

_NODE_FAULTS = {"node_lost", "backend_unavailable", "bad_output"}
_NOT_THE_NODES = {"worker_lost", "storage"}
"""Of attempts that failed for another reason than their node's: its render is as good as before."""


@dataclass(frozen=True, slots=True)
class Attempt:
    backend: str
    node: str
    begin: int
    end: int
    code: str
    """Why it was not the last one; empty for the last."""


@dataclass(frozen=True, slots=True)
class Account:
    jobs: int
    """Ended on a node that outlives its workers."""
    renders: int
    spoiled: int
    """Renders whose attempt was rejected for its node's fault."""
    killed: int
    """Renders that a killed node took with it."""
    needless: dict[str, int]
    """Renders without such a reason, by job."""
    interrupted: list[str]
    """Jobs whose render was stopped on its node, though nobody cancelled them."""
    found_again: int
    """Attempts whose worker was lost, or had no store for a picture, and whose render served the next one."""
    simulated: Counter[str]
    """Attempts on simulated nodes, by how they ended."""

    def lines(self) -> list[str]:
        simulated = ", ".join(f"{number} {how or 'done'}" for how, number in self.simulated.most_common())
        return [
            f"{self.jobs} jobs done by ComfyUI nodes with {self.renders} renders: {self.spoiled} again for "
            f"a node's fault, {self.killed} for a killed node, {sum(self.needless.values())} needless",
            f"{self.found_again} renders found again after their worker or its store was lost, "
            f"{len(self.interrupted)} stopped for nothing",
            f"attempts on simulated nodes: {simulated}",
        ]


def attempts_of(entries: Sequence[Entry]) -> Iterator[Attempt]:
    begun: Entry | None = None
    for entry in entries:
        if entry.type == "Claimed":
            begun = entry
        elif begun is not None and entry.type != "Updated":
            code = str(entry.data.get("error", {}).get("code", ""))
            yield Attempt(begun.data["backend"], begun.data["node"], begun.at, entry.at, code)
            begun = None


def account(found: Found, renders: Sequence[Render], deaths: Sequence[Death]) -> Account:
    by_job: dict[str, list[Render]] = defaultdict(list)
    for render in renders:
        by_job[render.job_id].append(render)
    spoiled = killed = jobs = found_again = 0
    needless: dict[str, int] = {}
    simulated: Counter[str] = Counter()
    for job_id, entries in found.events.items():
        attempts = list(attempts_of(entries))
        simulated.update(one.code for one in attempts if one.backend == "simulator")
        real = [one for one in attempts if one.backend == "comfyui"]
        here = attempts[-1].backend == "comfyui"
        jobs += here
        extra = len(by_job[job_id]) - here
        rejected = sum(one.code in _NODE_FAULTS for one in real)
        lost = [one for one in real if one.code in _NOT_THE_NODES]
        died = sum(_died(one, entries[-1].at, deaths) for one in lost)
        spoiled += min(extra, rejected)
        killed += min(max(0, extra - rejected), died)
        found_again += max(0, len(lost) - died) if extra <= rejected else 0
        if extra > rejected + died:
            needless[job_id] = extra - rejected - died
    interrupted = [render.job_id for render in renders if render.ended == "interrupted"]
    return Account(jobs, len(renders), spoiled, killed, needless, interrupted, found_again, simulated)


def _died(lost: Attempt, until: int, deaths: Sequence[Death]) -> bool:
    """Whether its node was killed before the job was done."""
    return any(death.node == lost.node and lost.begin <= death.at <= until for death in deaths)
