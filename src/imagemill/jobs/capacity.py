"""Whether jobs can run now: the nodes that take jobs, the processes that run them, and what is wrong.

All reports of health, and the coverage of models, are made from this.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Literal

from imagemill.backends.base import Backend, Node, renderers
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import SIMULATOR
from imagemill.domain.pauses import Pause, PauseScope
from imagemill.domain.scheduling import REMOTE, RENDER, TASKS

_WORKER_QUEUES = frozenset((RENDER, TASKS))
"""The queues of work that workers do themselves, without a node."""

NO_WORKER = "no worker is running: start `imagemill worker`, or `imagemill serve` in place of the parts"
NO_SCHEDULER = "no scheduler is running: start `imagemill scheduler`"

Queues = frozenset[str] | None
"""The queues a worker serves; None means all."""


@dataclass(frozen=True, slots=True)
class CapacityProblem:
    """A reason why some jobs wait."""

    text: str
    public: str
    """The same without names of machines, for callers that may not read nodes."""


@dataclass(frozen=True, slots=True)
class CapacityReport:
    slots: int
    """Slots of the nodes that take jobs."""
    simulated: bool
    """Whether the simulator is the only backend that takes jobs."""
    problems: tuple[CapacityProblem, ...] = ()

    @property
    def status(self) -> Literal["ok", "degraded"]:
        return "degraded" if self.problems else "ok"


def usable_nodes(backend: Backend) -> list[Node]:
    """Return the nodes that take jobs now. Those of a paused simulator are draining, so they do not count."""
    return [node for node in backend.nodes() if node.healthy and not node.draining]


class Capacity:
    """Reports on the nodes that this process knows and on the processes that the database knows.

    ``queues``: the queues of the recipes. ``workers``: returns the queues of each living worker process, and
    ``serves`` whether one with these queues serves a queue. ``has_scheduler``: returns whether some process
    sweeps and delivers. ``queues_with_work``: returns the queues with claimable jobs. ``pauses``: returns
    what is paused. ``is_idle``: whether a node of this process takes no jobs, as the process runs none.
    ``elsewhere``: returns the nodes that other worker processes have of their own.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        queues: Iterable[str],
        workers: Callable[[], Sequence[Queues]],
        serves: Callable[[Queues, str], bool],
        has_scheduler: Callable[[], bool],
        queues_with_work: Callable[[], Container[str]],
        pauses: Callable[[], Sequence[Pause]] = tuple,
        is_idle: Callable[[Node], bool] = lambda node: False,
        elsewhere: Callable[[], Sequence[Node]] = tuple,
    ) -> None:
        self._is_idle = is_idle
        self._elsewhere = elsewhere
        self._pauses = pauses
        self._backends = backends
        self._queues = tuple(sorted(set(queues)))
        self._workers = workers
        self._serves = serves
        self._has_scheduler = has_scheduler
        self._queues_with_work = queues_with_work

    def report(self) -> CapacityReport:
        """Return what can run. Raises `StorageError` when the database does not answer."""
        usable = [node for node in renderers(self._backends.values()) if node.healthy and not node.draining]
        problems = [*map(_pause_problem, self._pauses()), *self._node_problems(usable)]
        problems += self._process_problems()
        return CapacityReport(
            slots=sum(node.slots for node in usable),
            simulated=bool(usable) and all(node.backend == SIMULATOR for node in usable),
            problems=tuple(problems),
        )

    def nodes(self) -> list[Node]:
        """Return the nodes that render for the installation. Raises `StorageError`."""
        known = [node for node in renderers(self._backends.values()) if not self._is_idle(node)]
        return [*known, *self._elsewhere()]

    def missing_worker(self, queue: str) -> str:
        """Return why no process runs jobs of this queue, and the remedy; empty if one does."""
        workers = self._workers()
        if any(self._serves(served, queue) for served in workers):
            return ""
        if not workers:
            return NO_WORKER
        return f"no running worker serves the queue {queue}: start `imagemill worker --queues {queue}`"

    def missing_scheduler(self) -> str:
        """Return that no process retries jobs, and the remedy; empty if one does."""
        return "" if self._has_scheduler() else NO_SCHEDULER

    def _node_problems(self, usable: Sequence[Node]) -> list[CapacityProblem]:
        nodes = renderers(self._backends.values())
        ill = [node for node in nodes if not node.healthy]
        found = [
            CapacityProblem(node.problem or f"{node.name} is not healthy", "a node takes no jobs now")
            for node in ill[:1]
        ]
        if len(ill) > 1:
            texts = "; ".join(node.problem or f"{node.name} is not healthy" for node in ill)
            found = [CapacityProblem(texts, f"{len(ill)} nodes take no jobs now")]
        if not usable:
            drained = [node.name for node in nodes if node.draining and node.backend != SIMULATOR]
            why = f": {', '.join(drained)} is draining" if drained and not ill else ""
            return [CapacityProblem(f"no node takes jobs{why}", "no node takes jobs"), *found]
        if any(node.remote for node in usable):
            return found
        offered = frozenset[str](_WORKER_QUEUES).union(*(node.queues for node in usable))
        return found + [
            CapacityProblem(f"no node serves the queue {queue}", f"no node serves the queue {queue}")
            for queue in self._queues
            if queue not in offered
        ]

    def _process_problems(self) -> list[CapacityProblem]:
        missing = {queue: self.missing_worker(queue) for queue in (*self._queues, *self._remote_queue())}
        texts = sorted({text for queue, text in missing.items() if text and self._is_needed(queue)})
        if missing_scheduler := self.missing_scheduler():
            texts.append(missing_scheduler)
        return [CapacityProblem(text, text) for text in texts]

    def _is_needed(self, queue: str) -> bool:
        """Whether jobs of the queue are to be expected. A fleet without books needs no worker for pages."""
        return queue not in _WORKER_QUEUES or queue in self._queues_with_work()

    def _remote_queue(self) -> tuple[str, ...]:
        is_remote = any(node.remote for backend in self._backends.values() for node in backend.nodes())
        return (REMOTE,) if is_remote else ()


def _pause_problem(pause: Pause) -> CapacityProblem:
    if pause.scope is PauseScope.ALL:
        return CapacityProblem(f"all jobs are {pause.text}", "all jobs are paused by an operator")
    return CapacityProblem(
        f"the {pause.scope} {pause.name} is {pause.text}", "some jobs are paused by an operator"
    )
