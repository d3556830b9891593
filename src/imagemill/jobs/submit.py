"""Submission: from job requests to stored jobs."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import field, replace
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError

from imagemill.backends.base import Backend, BackendState, PaidBackend, PartnerBackend, state_of
from imagemill.credits.pricing import Prices
from imagemill.domain.clock import SECOND, new_trace, now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, FieldError, Forbidden, InvalidInput, UnsupportedFamily
from imagemill.domain.field_messages import field_message, field_path, merge_unions
from imagemill.domain.images import GraphSpec, RenderSpec, WorkerSpec, WorkKind, kind_of, render_cost_s
from imagemill.domain.jobs import PARTNER, REPLAY_OF, Draft, Job, JobStatus, LaneKey
from imagemill.domain.operations import Override
from imagemill.domain.scheduling import REMOTE, RENDER, TASKS
from imagemill.graphs.size import measure
from imagemill.jobs import references
from imagemill.jobs.overrides import overridden_input
from imagemill.jobs.references import OutputValue
from imagemill.jobs.store.admission import Submission
from imagemill.jobs.store.batches import BatchRecord
from imagemill.jobs.store.store import JobStore
from imagemill.jobs.store.submit import Accepted
from imagemill.quotas.service import Quotas
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.safety.gates import ApprovedInput, PromptGate

PARTNER_REMEDY = (
    "it needs a key with the scope 'partner', which an administrator makes: imagemill keys create "
    "--owner NAME --scope jobs:read --scope jobs:write --scope partner"
)
_WORKER_QUEUES: Mapping[WorkKind, str] = {"tasks": TASKS, "pages": RENDER}
"""The queues of the work that workers do themselves, whatever the recipe's queue is."""
_SOLE = "sole"
"""The key in `Job.client` of the job's unique key, for resubmission."""


_NO_OVERRIDE = Override()


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One job a client asks for, with the input of its recipe."""

    recipe: str
    input: Mapping[str, Any]
    id: str = ""
    """The id of its job, a UUIDv7 that rises in the order of the job requests; empty draws one."""
    path: str = ""
    """Its path in the client's request, for error messages: ``jobs[0].params.``"""
    name: str | None = None
    after: tuple[str, ...] = ()
    """The names of job requests of the same submission that must succeed first."""
    priority: int = 0
    timeout_s: float | None = None
    max_failures: int | None = None
    expires_at: int | None = None
    client: Mapping[str, Any] = field(default_factory=dict[str, Any])
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    callback_url: str | None = None
    backends: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    rate: str = ""
    """Its key in `Recipe.rates`; empty means the recipe's own price. Never set by clients."""
    unique_key: str = ""
    """See `Draft.unique_key`."""
    private: bool = False
    """Whether it may run on local nodes only."""
    references: tuple[OutputValue, ...] = ()
    """The values that the marks in its input stand for."""


def draw_ids(count: int, now: int) -> list[str]:
    """Return ids that rise, so that the jobs of a submission are listed in the order of the request."""
    return sorted([uuid7(now) for _ in range(count)])


@dataclass(frozen=True, slots=True)
class Resubmission:
    """A job that is being submitted again."""

    future: "Future[Accepted]"
    draft: Draft
    key: str | None

    def result(self) -> Accepted:
        """Wait until the new job is stored. Raises what `Submitter.resubmit` does."""
        accepted = self.future.result()
        if accepted.jobs:
            return accepted
        if twin := accepted.duplicates.get(self.draft.unique_key):
            raise Conflict(f"job {twin} makes the same, or has made it")
        raise Conflict(f"the job of the idempotency key {self.key!r} is gone; use another key")


@dataclass(frozen=True, slots=True)
class SubmitDefaults:
    life_s: float
    max_failures: int
    jobs_per_request: int
    private_owners: frozenset[str] = frozenset()
    """The owners whose jobs are always private; ``*`` means all owners."""

    def keeps(self, owner: str) -> bool:
        return not self.private_owners.isdisjoint((owner, "*"))


class Submitter:
    def __init__(
        self,
        store: JobStore,
        resolver: Callable[[str, frozenset[str]], ResourceResolver],
        recipes: Mapping[str, Recipe],
        backends: Mapping[str, Backend],
        defaults: SubmitDefaults,
        prices: Prices | None = None,
        quotas: Quotas = Quotas(),
        gate: PromptGate | None = None,
        extra_labels: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda properties: (),
        missing_hint: Callable[[RenderSpec], str] = lambda _: "",
        family_refusal: Callable[[RenderSpec], str | None] = lambda _: None,
    ) -> None:
        """``resolver``: returns the resolver for an owner and the ids of the jobs submitted together.
        ``extra_labels``: returns the labels that a job's properties demand of a node.
        ``missing_hint``: returns what to do where no node has the model of a render.
        ``family_refusal``: returns why no graph can be built for the family of a render's model, or None.
        """
        self._gate = gate
        self._extra_labels = extra_labels
        self._missing_hint = missing_hint
        self._family_refusal = family_refusal
        self._store = store
        self._resolver = resolver
        self._recipes = recipes
        self._backends = backends
        # Asked once: asking whether an object has the methods of a protocol takes 0.1 ms.
        self._paid = {name: each for name, each in backends.items() if isinstance(each, PaidBackend)}
        self._defaults = defaults
        self.prices = prices or Prices(recipes)
        self._quotas = quotas

    def prepare(
        self,
        owner: str,
        job_requests: Sequence[JobRequest],
        *,
        dialect: str,
        trace: str | None = None,
        partner: bool = False,
    ) -> tuple[Draft, ...]:
        """Return the jobs complete, checked and priced, but not stored; a price enquiry shows these.

        ``partner``: the caller has the scope `Scope.PARTNER`.

        Raises `InvalidInput` with every fault of the first invalid job request, and `ContentBlocked`. The
        texts of all job requests are checked before an input of any is stored.
        """
        if not job_requests:
            raise InvalidInput.at("jobs", "is empty: at least one job is needed")
        if len(job_requests) > self._defaults.jobs_per_request:
            raise InvalidInput.at(
                "jobs",
                f"asks for {len(job_requests)} jobs; at most {self._defaults.jobs_per_request} a request",
            )
        now = now_us()
        ids = [request.id for request in job_requests if request.id] or draw_ids(len(job_requests), now)
        after = _dependencies(job_requests, ids)
        if self._defaults.keeps(owner):
            job_requests = [replace(job_request, private=True) for job_request in job_requests]
        admitted = self._admitted(owner, job_requests)
        resolver = self._resolver(owner, frozenset(ids))
        backends = [state_of(name, backend) for name, backend in self._backends.items()]
        shared = _Shared(resolver, backends, now, dialect, trace, partner)
        return tuple(
            self._draft(job_request, each, id_, needs, shared)
            for job_request, each, id_, needs in zip(job_requests, admitted, ids, after, strict=True)
        )

    def check_texts(self, owner: str, recipe: str, input_: BaseModel, path: str = "") -> None:
        """Check the texts of an input as a submission does. Raises `ContentBlocked` and `CheckFailed`."""
        if self._gate is not None:
            self._gate.admit(self._recipes[recipe], input_, owner, path)

    def submit_async(
        self,
        owner: str,
        drafts: tuple[Draft, ...],
        *,
        key: str | None = None,
        digest: str = "",
        record: BatchRecord | None = None,
    ) -> "Future[Accepted]":
        """Store the jobs and the safety decisions on them; both are durable once the future is done.

        ``record`` is stored with them, unless the key was used before.
        """
        charged = self.prices.is_charged
        now = now_us()
        if self._quotas.queue is not None:
            self._quotas.queue.check(drafts, now)
        if self._gate is not None:
            self._gate.record(owner, drafts)
        return self._store.begin_submit(
            Submission(
                record.id if record is not None else uuid7(),
                owner,
                drafts,
                now,
                key,
                digest,
                charged,
                self._quotas.terms,
                record,
            )
        )

    def submit(
        self, owner: str, drafts: tuple[Draft, ...], *, key: str | None = None, digest: str = ""
    ) -> Accepted:
        return self.submit_async(owner, drafts, key=key, digest=digest).result()

    def resubmit(
        self, job: Job, trace: str | None = None, key: str | None = None, *, partner: bool = False
    ) -> Accepted:
        """Submit a new job with the same input as ``job``. Its texts are checked by the current rules.
        ``partner``: the caller has the scope `Scope.PARTNER`.

        With an idempotency key, repeating the request returns the job of the first. Raises `Conflict` for a
        job with a unique key that another job holds by now, and for a key that was used for something else.
        """
        return self.begin_resubmit(job, trace, key, partner=partner).result()

    def begin_resubmit(
        self,
        job: Job,
        trace: str | None = None,
        key: str | None = None,
        *,
        override: Override = _NO_OVERRIDE,
        partner: bool = False,
    ) -> "Resubmission":
        """Begin to submit a job again, with the changes of ``override``, if any; see `resubmit`."""
        if override:
            draft = self._changed(job, override, trace, partner=partner)
        else:
            draft = self._repeated(job, trace, partner=partner)
        digest = f"replay {job.id}" if key else ""
        return Resubmission(self.submit_async(job.owner, (draft,), key=key, digest=digest), draft, key)

    def _changed(self, job: Job, override: Override, trace: str | None, *, partner: bool) -> Draft:
        """Return the draft of a job with another model, other labels or other fields of its input."""
        recipe = self._recipes.get(job.recipe)
        if recipe is None:
            raise InvalidInput.at("recipe", f"is {job.recipe!r}, which this server does not have")
        lane = self._store.lane(job.lane)
        client = {name: value for name, value in job.client.items() if name != _SOLE}
        job_request = JobRequest(
            recipe=job.recipe,
            input=overridden_input(recipe.input, job, override),
            path="override.input.",
            name=job.name,
            priority=job.priority,
            timeout_s=job.timeout_s,
            max_failures=job.max_failures,
            client={**client, REPLAY_OF: job.id},
            properties=job.properties,
            callback_url=job.callback_url,
            backends=tuple(name for name in lane.backends if name in self._backends),
            labels=lane.labels if override.labels is None else override.labels,
        )
        (draft,) = self.prepare(job.owner, [job_request], dialect=job.dialect, trace=trace, partner=partner)
        return replace(draft, replay_of=job.id)

    def _repeated(self, job: Job, trace: str | None, *, partner: bool) -> Draft:
        """Return the draft of the same job once more."""
        if job.client.get(PARTNER) and not partner:
            raise Forbidden(f"the job has partner nodes of ComfyUI, which cost money: {PARTNER_REMEDY}")
        recipe = self._recipes.get(job.recipe)
        admitted = ApprovedInput(job.input)
        if self._gate is not None and recipe is not None:
            admitted = self._gate.admit(recipe, _validated(recipe, job.input, ""), job.owner, "")
        return Draft(
            id=uuid7(),
            recipe=job.recipe,
            queue=job.queue,
            lane=self._store.lane(job.lane),
            input=admitted.dumped,
            expires_at=now_us() + round(self._defaults.life_s * SECOND),
            trace=trace or new_trace(),
            estimate_s=job.estimate_s,
            cost=job.cost,
            megapixels=self._megapixels(job),
            priority=job.priority,
            max_failures=job.max_failures,
            timeout_s=job.timeout_s,
            name=job.name,
            dialect=job.dialect,
            client={**job.client, **admitted.job_details, REPLAY_OF: job.id},
            moderation=admitted.records,
            properties=job.properties,
            callback_url=job.callback_url,
            # Resubmitting a job that succeeded asks for a second result, so it is no duplicate.
            unique_key="" if job.status is JobStatus.SUCCEEDED else job.client.get(_SOLE, ""),
            replay_of=job.id,
        )

    def _megapixels(self, job: Job) -> float:
        recipe = self._recipes.get(job.recipe)
        if recipe is None or self._quotas.terms is None:
            return 0.0
        return measure(recipe.plan(recipe.input.model_validate(job.input)).work).pixels

    def _admitted(self, owner: str, job_requests: Sequence[JobRequest]) -> list[ApprovedInput]:
        """Return the validated input of each, with its texts approved."""
        valid = [(self._recipe(job_request), job_request) for job_request in job_requests]
        inputs = [
            (recipe, _validated(recipe, job_request.input, job_request.path), job_request)
            for recipe, job_request in valid
        ]
        if self._gate is None:
            return [ApprovedInput(input_) for _, input_, _ in inputs]
        return [
            self._gate.admit(recipe, input_, owner, job_request.path)
            for recipe, input_, job_request in inputs
        ]

    def _recipe(self, job_request: JobRequest) -> Recipe:
        recipe = self._recipes.get(job_request.recipe)
        if recipe is None:
            known = ", ".join(sorted(self._recipes))
            raise InvalidInput.at(f"{job_request.path}$type", f"{job_request.recipe!r} is not one of {known}")
        return recipe

    def _draft(
        self,
        job_request: JobRequest,
        admitted: ApprovedInput,
        id_: str,
        needs: tuple[str, ...],
        shared: "_Shared",
    ) -> Draft:
        recipe = self._recipes[job_request.recipe]
        completed = recipe.complete(admitted.input, shared.resolver, job_request.path)
        plan = recipe.plan(completed)
        kind = kind_of(plan.work)
        able = self._able(plan, kind, recipe, completed, job_request, shared.backends)
        uses_partners = _check_partners(able, plan.work, job_request, is_allowed=shared.partner)
        size = measure(plan.work)
        queue = REMOTE if all(each.is_remote for each in able) else _WORKER_QUEUES.get(kind, recipe.queue)
        return Draft(
            id=id_,
            recipe=recipe.name,
            queue=queue,
            lane=LaneKey(
                queue=queue,
                model=recipe.model(completed),
                backends=_allowed(job_request, able, queue, shared.backends),
                labels=self._labels(job_request, plan),
                requirements=_shared_needs(able, plan),
            ),
            input=completed.model_dump(exclude_defaults=True),
            expires_at=job_request.expires_at or shared.now + round(self._defaults.life_s * SECOND),
            trace=shared.trace or new_trace(),
            estimate_s=render_cost_s(size),
            cost=self.prices.of(_rate(job_request, recipe, completed), size, [each.name for each in able]),
            megapixels=size.pixels,
            priority=job_request.priority,
            max_failures=job_request.max_failures or self._defaults.max_failures,
            timeout_s=job_request.timeout_s,
            name=job_request.name,
            dialect=shared.dialect,
            client={
                **{key: value for key, value in job_request.client.items() if key != PARTNER},
                **admitted.job_details,
                **({PARTNER: True} if uses_partners else {}),
                **({_SOLE: job_request.unique_key} if job_request.unique_key else {}),
                **({references.KEY: references.stored(used)} if (used := job_request.references) else {}),
            },
            moderation=admitted.records,
            properties=job_request.properties,
            callback_url=job_request.callback_url,
            depends_on=needs,
            unique_key=job_request.unique_key,
            bills=self._bills(able, plan.work),
        )

    def _bills(self, able: Sequence[BackendState], work: RenderSpec) -> dict[str, float | None]:
        """Return the dollars that each paid provider would bill, without those that are not used."""
        bills = {each.name: self._paid[each.name].bill(work) for each in able if each.name in self._paid}
        return {name: dollars for name, dollars in bills.items() if dollars != 0}

    def _labels(self, job_request: JobRequest, plan: Plan) -> tuple[str, ...]:
        """Return the labels that a node must carry; the work of a worker itself needs no node."""
        if isinstance(plan.work, WorkerSpec):
            return ()
        return tuple(sorted({*job_request.labels, *self._extra_labels(job_request.properties)}))

    def _able(
        self,
        plan: Plan,
        kind: WorkKind,
        recipe: Recipe,
        completed: BaseModel,
        job_request: JobRequest,
        backends: Sequence[BackendState],
    ) -> list[BackendState]:
        """Return the backends that can run it. Raises `InvalidInput` when none can, so it need not expire
        first."""
        candidates = _candidates(job_request, kind, backends)
        for each in candidates:
            if problem := each.backend.validate_hints(job_request.properties):
                raise InvalidInput.at(f"{job_request.path}properties", problem)
        # The reasons of a draining backend would not help the client.
        asked = [each for each in candidates if each.is_working] or candidates
        refusals = [each.backend.unsupported_reason(plan.work) for each in asked]
        able = [each for each, refusal in zip(asked, refusals, strict=True) if not refusal]
        if not able:
            if (unsupported := self._family_refusal(plan.work)) is not None:
                raise UnsupportedFamily.at(f"{job_request.path}model", unsupported)
            why = "; ".join(filter(None, refusals)) + self._missing_hint(plan.work)
            if job_request.private:
                raise InvalidInput.at(
                    f"{job_request.path}private", f"keeps the job on local nodes, and {why}"
                )
            field = recipe.work_field
            field = _field_of(plan.work, completed, why) if field is None else field
            raise InvalidInput.at(f"{job_request.path}{field}".rstrip("."), why)
        return able


@dataclass(frozen=True, slots=True)
class _Shared:
    """The values that all jobs of a call of `Submitter.prepare` share."""

    resolver: ResourceResolver
    backends: Sequence[BackendState]
    now: int
    dialect: str
    trace: str | None
    partner: bool


def _candidates(
    job_request: JobRequest, kind: WorkKind, backends: Sequence[BackendState]
) -> list[BackendState]:
    """Return the backends the request allows. Raises `InvalidInput` when it allows none."""
    suited = [each for each in backends if each.kind == kind]
    named = [each for each in suited if not job_request.backends or each.name in job_request.backends]
    if not named:
        known = ", ".join(sorted(each.name for each in suited))
        raise InvalidInput.at(
            f"{job_request.path}providers", f"names no backend of this server; it has {known}"
        )
    if not job_request.private:
        return named
    local = [each for each in named if not each.is_remote]
    if not local:
        names = " and ".join(sorted(each.name for each in named))
        raise InvalidInput.at(
            f"{job_request.path}private",
            f"a private job is made on local nodes only; {names} is not local",
        )
    return local


def _allowed(
    job_request: JobRequest, able: Sequence[BackendState], queue: str, backends: Sequence[BackendState]
) -> tuple[str, ...]:
    """Return the backends of the lane; empty means any.

    A local node checks by itself what it can run, a remote one accepts every job. So once a remote backend
    must not get the job, all allowed ones are named. For a private job they always are: a remote backend may
    be added while the job waits, or be known to workers only. So they are in the queue of page work, which
    nodes may serve as well.
    """
    if queue == RENDER:
        return tuple(sorted(each.name for each in able))
    kept_off = {
        each.name for each in backends if each.is_remote and (job_request.private or each not in able)
    }
    if not kept_off and not job_request.private:
        return tuple(sorted(job_request.backends))
    named = job_request.backends or tuple(each.name for each in backends)
    return tuple(sorted(set(named) - kept_off))


def _check_partners(
    able: Sequence[BackendState], work: RenderSpec, job_request: JobRequest, *, is_allowed: bool
) -> bool:
    """Return whether a render uses partner nodes. Raises `InvalidInput` where the job may not."""
    if not isinstance(work, GraphSpec):
        return False  # only clients' own graphs have them
    backends = [each.backend for each in able if _has_partners(each.backend)]
    names = sorted({name for each in backends for name in each.partner_classes(work)})
    if not names:
        return False
    listed = ", ".join(names)
    if job_request.private:
        raise InvalidInput.at(
            f"{job_request.path}private",
            f"keeps the job on local nodes, and {listed} sends its inputs to a paid service",
        )
    if not is_allowed:
        raise InvalidInput.at(
            f"{job_request.path}{_graph_field(job_request.recipe)}".rstrip("."),
            f"has {listed}, a partner node of ComfyUI that costs money: {PARTNER_REMEDY}",
        )
    return True


def _has_partners(backend: Backend) -> TypeGuard[PartnerBackend]:
    return hasattr(backend, "partner_classes")  # `isinstance` with the protocol takes 0.1 ms


def _graph_field(recipe: str) -> str:
    return "workflow" if recipe == "comfy" else ""


def _rate(job_request: JobRequest, recipe: Recipe, completed: BaseModel) -> str:
    """Return the name of the price of a job."""
    special = recipe.rate_of(completed) if recipe.rate_of is not None else ""
    return job_request.rate or special or recipe.name


def _field_of(work: RenderSpec, completed: BaseModel, why: str) -> str:
    """Return the field of the input that a refusal is about, by the file that it names."""
    if isinstance(work, WorkerSpec):
        return ""
    if isinstance(work, GraphSpec):
        values: Mapping[str, Any] | None = getattr(completed, "values", None)
        if values is None:
            return "workflow"
        return next((name for name, value in values.items() if isinstance(value, str) and value in why), "")
    for network in work.networks:
        if network.air in why or (network.path and network.path in why):
            return f"additionalNetworks[{network.air!r}]"
    for index, control in enumerate(work.controls):
        if control.model_path and control.model_path in why:
            return f"controls[{index}].model"
    return "upscaler" if work.upscale is not None and work.upscale.model_path in why else "model"


def _shared_needs(able: Sequence[BackendState], plan: Plan) -> tuple[str, ...]:
    """Return the requirements of the lane on a node.

    They are empty with several kinds of local backend, where the node's own check decides, and with remote
    ones only, which need none of the local files.
    """
    local = [each.backend for each in able if not each.is_remote]
    return local[0].requirements(plan.work) if len(local) == 1 else ()


def _validated(recipe: Recipe, input_: Mapping[str, Any], path: str) -> BaseModel:
    try:
        return recipe.input.model_validate(input_)
    except ValidationError as error:
        raise InvalidInput(
            [
                FieldError(path + field_path(fault["loc"]), field_message(fault))
                for fault in merge_unions(error.errors(include_url=False))
            ]
        ) from error


def _dependencies(job_requests: Sequence[JobRequest], ids: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the ids each job request waits for. Raises `InvalidInput` for unknown names and circles."""
    if not any(job_request.after for job_request in job_requests):
        return [()] * len(job_requests)
    named: dict[str, list[int]] = {}
    for index, job_request in enumerate(job_requests):
        if job_request.name:
            named.setdefault(job_request.name, []).append(index)
    edges: list[list[int]] = []
    for job_request in job_requests:
        for name in job_request.after:
            if name not in named:
                raise InvalidInput.at(
                    f"{job_request.path}dependencies",
                    f"no job of this request is named {name!r}; give it a `name` with this text",
                )
        edges.append(list(dict.fromkeys(index for name in job_request.after for index in named[name])))
    _refuse_circles(job_requests, edges)
    return [tuple(ids[index] for index in targets) for targets in edges]


def _refuse_circles(job_requests: Sequence[JobRequest], edges: Sequence[Sequence[int]]) -> None:
    open_ = {index: set(targets) for index, targets in enumerate(edges)}
    while free := [index for index, targets in open_.items() if not targets]:
        for index in free:
            del open_[index]
        for targets in open_.values():
            targets.difference_update(free)
    if open_:
        first = job_requests[min(open_)]
        raise InvalidInput.at(f"{first.path}dependencies", f"{first.name!r} depends on itself in a circle")
