"""Celery tasks for applications that use only Celery: orders of the model library and their outcome.

An order is found by the id of its task, so a task that is delivered twice or retried is charged once.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from imagemill.domain.clock import random_fraction
from imagemill.domain.errors import (
    ImagemillError,
    InvalidInput,
    NotFound,
    ShuttingDown,
    StorageError,
    TryLater,
)
from imagemill.domain.images import MAX_SEED
from imagemill.domain.jobs import Artifact, Job
from imagemill.jobs.capacity import Capacity
from imagemill.jobs.store.store import JobStore
from imagemill.products.library.grid import PARAMETERS, Cell, list_cells, make_cell
from imagemill.products.library.service import (
    LibraryService,
    ModelEdit,
    OrderContext,
    OrderOutcome,
    OrderPlan,
    PlacedOrder,
)
from imagemill.products.library.store import ModelStore, StoredModel

log = logging.getLogger(__name__)

_LOOK_S = 0.25
"""Seconds between polls of an outcome: this process has no event hub."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 20.0
Answer = dict[str, Any]


class LibraryTasks:
    """The tasks, independent of Celery. ``task`` is a task's id; answers are JSON.


    After ``time_limit_s`` seconds a task answers with the state at that time. Links to pictures begin with
    ``base_url``.
    """

    def __init__(
        self,
        jobs: JobStore,
        models: ModelStore,
        library: LibraryService,
        *,
        owner: str,
        time_limit_s: float,
        base_url: str,
        sign: Callable[[Artifact], str],
        capacity: Capacity,
    ) -> None:
        self._jobs = jobs
        self._models = models
        self._library = library
        self._owner = owner
        self._time_limit_s = time_limit_s
        self._base_url = base_url
        self._sign = sign
        self._capacity = capacity
        self._leaving = threading.Event()
        self._idle = threading.Condition()
        self._running = 0

    def stop_accepting(self, patience_s: float) -> None:
        """End running tasks with `ShuttingDown` and start no more."""
        self._leaving.set()
        with self._idle:
            self._idle.wait_for(lambda: not self._running, patience_s)

    def run(self, name: str, task_id: str, arguments: Mapping[str, Any]) -> Answer:
        """Run a task and log its outcome in one line."""
        started = time.monotonic()
        try:
            answer = self._run(name, task_id, _with_names(name, arguments))
        except InvalidInput as error:
            answer = _refused(error)
        took_ms = round((time.monotonic() - started) * 1000)
        outcome = answer.get("status") or ("ok" if answer.get("ok") else "failed")
        log.info("task %s %s: %s in %d ms", name, task_id, outcome, took_ms, extra={"ms": took_ms})
        return answer

    def _run(self, name: str, task_id: str, arguments: Mapping[str, Any]) -> Answer:
        match name:
            case "generate_model":
                return self.generate(task_id, arguments)
            case "batch_generate":
                return self.batch(task_id, arguments)
            case "edit_model":
                return self.edit(task_id, arguments)
            case _:
                return self.health()

    def generate(self, task: str, given: Mapping[str, Any]) -> Answer:
        """Order one cell. ``given``: the five parameters, and `seed`, `save`, `wait`."""

        def plan(client: OrderContext, asked: "_TaskArguments") -> OrderPlan:
            look = make_cell(asked.texts(PARAMETERS))
            return self._library.planned_one(client, look, save=asked.flag("save", True), seed=asked.seed())

        return self._answered(task, given, {*PARAMETERS, "seed", "save", "wait"}, plan)

    def batch(self, task: str, given: Mapping[str, Any]) -> Answer:
        """Order missing cells. ``given``: `count` or `grid` or both, and `save`, `dry_run`, `wait`."""

        def plan(client: OrderContext, asked: "_TaskArguments") -> OrderPlan:
            cells = asked.cells()
            return self._library.plan(client, cells, count=asked.count(), save=asked.flag("save", True))

        return self._answered(task, given, {"count", "grid", "save", "dry_run", "wait"}, plan)

    def edit(self, task: str, given: Mapping[str, Any]) -> Answer:
        """Order an edit. ``given``: `model_id`, and `prompt`, parameters, `seed`, `wait`."""

        def plan(client: OrderContext, asked: "_TaskArguments") -> OrderPlan:
            values = asked.texts([name for name in PARAMETERS if name in given])
            for name, value in values.items():
                if value not in PARAMETERS[name]:
                    raise InvalidInput.at(name, f"should be one of {', '.join(PARAMETERS[name])}")
            change = ModelEdit(values, asked.text("prompt"), seed=asked.seed())
            return self._library.planned_edit(client, asked.text("model_id") or "", change)

        return self._answered(task, given, {*PARAMETERS, "model_id", "prompt", "seed", "wait"}, plan)

    def health(self) -> Answer:
        try:
            depths = self._jobs.depths()
            found = self._capacity.report()
        except StorageError as error:
            return {"ok": False, "database": str(error), "queue": {}}
        problems = [each.text for each in found.problems]
        return {"ok": True, "status": found.status, "problems": problems, "database": "ok", "queue": depths}

    def _answered(
        self,
        task: str,
        given: Mapping[str, Any],
        known: set[str],
        plan: Callable[[OrderContext, "_TaskArguments"], OrderPlan],
    ) -> Answer:
        end = time.monotonic() + self._time_limit_s
        with self._idle:
            self._running += 1
        try:
            asked = _TaskArguments(given, known)
            client = OrderContext(self._owner, key=f"celery/{_digest(task)}", digest=_digest(given))
            if asked.flag("dry_run", False):
                return _quoted(self._retrying(end, lambda: plan(client, asked)))
            planned = self._retrying(end, lambda: plan(client, asked))
            placed = self._retrying(end, lambda: self._library.place(client, planned))
            return self._followed(placed, end if asked.flag("wait", True) else 0.0)
        except ImagemillError as error:
            return _refused(error)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _retrying(self, end: float, act: Callable[[], Any]) -> Any:
        """Retry while the database is unavailable or the queue is full, until the task's time limit."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return act()
            except (StorageError, TryLater) as error:
                # With jitter, so that refused tasks do not all retry at once.
                wait_s = pause_s * (0.5 + 0.5 * random_fraction())
                if isinstance(error, TryLater):
                    wait_s = max(wait_s, error.after_s)
                if time.monotonic() + wait_s > end:
                    raise
                log.warning("an order waits: %s", error)
            self._pause(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _followed(self, placed: PlacedOrder, end: float) -> Answer:
        """Wait until the order has ended, or the time limit, and return its outcome."""
        job_ids = [*placed.accepted, *placed.stock.under_way.values()]
        while True:
            outcome = self._retrying(end, lambda: self._library.outcome(self._owner, job_ids))
            if outcome.is_over or time.monotonic() >= end:
                return self._outcome_answer(placed, outcome)
            self._pause(_LOOK_S)

    def _outcome_answer(self, placed: PlacedOrder, outcome: OrderOutcome) -> Answer:
        models = [self._model(row) for row in outcome.models.values()]
        if not outcome.jobs and len(placed.stock.present) == 1:
            # The cell was under way when the task was first delivered and is finished by now.
            (id_,) = placed.stock.present.values()
            models = [self._model(self._models.get(id_, self._owner))]
        return {
            "status": _status(outcome),
            "batch": placed.batch or None,
            "counts": outcome.counts,
            "present": len(placed.stock.present),
            "jobs": [_job(job) | self._addresses(outcome, job) for job in outcome.jobs],
            "models": models,
        }

    def _addresses(self, outcome: OrderOutcome, job: Job) -> dict[str, str | None]:
        """Return the signed addresses of a job's picture and its thumbnail, saved in the library or not."""
        urls = [self._sign(each) for each in outcome.artifacts.get(job.id, ()) if each.available]
        picture, thumbnail, *_ = [*urls, None, None]
        return {"image_url": picture, "thumbnail_url": thumbnail}

    def _model(self, row: StoredModel) -> Answer:
        place = f"{self._base_url}/api/v1/library/{row.id}"
        return {
            "id": row.id,
            "template_id": row.template_id,
            "version": row.version,
            **{name: getattr(row, name) for name in PARAMETERS},
            "prompt": row.prompt,
            "image_url": f"{place}/image",
            "thumbnail_url": f"{place}/thumbnail",
            "metadata": dict(row.metadata),
            "fal_request_id": row.fal_request_id,
            "processing_time_ms": row.processing_time_ms,
            "job_id": row.job_id,
        }

    def _pause(self, seconds: float) -> None:
        if self._leaving.wait(seconds):
            raise ShuttingDown


_POSITIONAL = "*"
"""The key of arguments without names; see `imagemill.dispatch.celery_broker.POSITIONAL`."""
_ORDERS: Mapping[str, Sequence[str]] = {
    "generate_model": (*PARAMETERS, "seed", "save"),
    "batch_generate": ("count", "grid", "save", "dry_run"),
    "edit_model": ("model_id", "prompt"),
}
"""Task -> the order of its arguments when they are sent without names."""


def _with_names(task: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments by name. Raises `InvalidInput`."""
    if _POSITIONAL not in given:
        return given
    order, values = _ORDERS.get(task, ()), given[_POSITIONAL]
    named = {name: value for name, value in given.items() if name != _POSITIONAL}
    if len(values) > len(order):
        most = f"at most {len(order)} may have no name: {', '.join(order)}" if order else "it takes none"
        raise InvalidInput.at("arguments", f"there are {len(values)}; {most}")
    for name, value in zip(order, values, strict=False):
        if name in named:
            raise InvalidInput.at(name, "is given twice, by its place and by its name")
        named[name] = value
    return named


class _TaskArguments:
    """The arguments of a task. Raises `InvalidInput` with the wrong ones."""

    def __init__(self, given: Mapping[str, Any], known: set[str]) -> None:
        for name in given:
            if name not in known:
                raise InvalidInput.at(
                    name[:40], f"is not an argument; the arguments are {', '.join(sorted(known))}"
                )
        self._given = given

    def text(self, name: str) -> str | None:
        value = self._given.get(name)
        if value is not None and (not isinstance(value, str) or not value.strip() or "\0" in value):
            raise InvalidInput.at(name, "should be a text")
        return value

    def texts(self, names: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
        return {name: value for name in names if (value := self.text(name)) is not None}

    def flag(self, name: str, default: bool) -> bool:
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise InvalidInput.at(name, "should be true or false")
        return value

    def seed(self) -> int | None:
        return self._whole("seed", 0, MAX_SEED)

    def count(self) -> int | None:
        return self._whole("count", 1, len(list_cells()))

    def cells(self) -> tuple[Cell, ...]:
        wanted = self._given.get("grid")
        if wanted is None and self._given.get("count") is None:
            raise InvalidInput.at("count", "is required, or a grid; {} means the whole grid")
        if wanted is not None and not isinstance(wanted, dict):
            raise InvalidInput.at("grid", "should be an object of parameters and values")
        # Its values are checked by `list_cells`.
        chosen = cast("Mapping[str, str | Sequence[str]] | None", wanted)
        return list_cells(chosen)

    def _whole(self, name: str, low: int, high: int) -> int | None:
        value = self._given.get(name)
        if value is None:
            return None
        if type(value) is not int or not low <= value <= high:
            raise InvalidInput.at(name, f"should be a whole number from {low} to {high}")
        return value


def _status(outcome: OrderOutcome) -> str:
    """Return the status of an order; ``failed`` if at least one of its jobs ended without a picture."""
    if not outcome.is_over:
        return "running"
    return "succeeded" if set(outcome.counts) <= {"succeeded"} else "failed"


def _job(job: Job) -> Answer:
    error = None
    if job.error is not None and job.status.is_terminal:
        error = {"code": job.error.code.value, "message": job.error.message}
    return {"id": job.id, "template_id": job.name, "status": job.status.value, "error": error}


def _quoted(planned: OrderPlan) -> Answer:
    chosen = {each.template_id for each in planned.chosen}
    return {
        "status": "dry_run",
        "count": len(planned.drafts),
        "cost": round(sum(draft.cost for draft in planned.drafts), 4),
        "present": sorted(planned.stock.present),
        "under_way": sorted(planned.stock.under_way),
        "prompts": {
            each.template_id: each.prompt for each in planned.stock.missing if each.template_id in chosen
        },
    }


def _refused(error: ImagemillError) -> Answer:
    """Return a refusal as a result, since the application has no class for our exceptions."""
    fields: dict[str, list[str]] = {}
    if isinstance(error, InvalidInput):
        for fault in error.errors:
            fields.setdefault(fault.path, []).append(fault.message)
    code = "not_found" if isinstance(error, NotFound) else error.code
    return {"status": "refused", "error": {"code": code, "message": str(error), "fields": fields}}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
