"""The steps of an attempt: prepare, send, follow, check, store."""

from collections.abc import Callable, Mapping
from typing import Any

from imagemill.backends.base import OUTPUT, Backend, RenderCanceled, RenderRequest, RenderResult
from imagemill.blobs.base import BlobStore
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import PARTNER, Claim, Succeeded
from imagemill.jobs import outputs
from imagemill.jobs.attempt import Attempt, Preparation, RunOptions, SentRender, prepared
from imagemill.jobs.hub import Hub
from imagemill.jobs.outputs import CheckedOutputs
from imagemill.recipes.base import Plan, Recipe


@dataclass(frozen=True, slots=True)
class CheckedRender:
    """A finished render whose outputs may be stored."""

    plan: Plan
    files: CheckedOutputs
    details: Mapping[str, Any]


class AttemptSteps:
    """Takes attempts through their steps. All of them raise `BackendError`, `StorageError` and
    `RenderCanceled`.

    ``save_reference`` stores the reference of a render that the backend chose itself; it raises `Superseded`.
    """

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
        backends: Mapping[str, Backend],
        blobs: BlobStore,
        load_input: Callable[[str], bytes],
        hub: Hub,
        options: RunOptions,
        save_reference: Callable[[Claim, str], None],
        preparation: Preparation | None = None,
    ) -> None:
        self._recipes = recipes
        self._backends = backends
        self._blobs = blobs
        self._load_input = load_input
        self._hub = hub
        self.options = options
        self._save_reference = save_reference
        self._preparation = preparation

    def all(self, attempt: Attempt) -> Succeeded:
        """Take an attempt through all steps; one that was sent already goes on from there."""
        sent = attempt.sent or self.send(attempt)
        rendered = sent.backend.follow(sent.request, sent.reference, attempt.control)
        return self.store(attempt, self.check(attempt, sent, rendered))

    def send(self, attempt: Attempt) -> SentRender:
        """Prepare the render and send it to its backend; it is then kept in ``attempt.sent``."""
        job = attempt.claim.job
        recipe = self._recipes.get(job.recipe)
        backend = self._backends.get(job.backend or "")
        if recipe is None or backend is None:
            missing = f"recipe {job.recipe!r}" if recipe is None else f"backend {job.backend!r}"
            raise BackendError(FailureCode.BUG, f"this worker does not have the {missing}")
        plan = recipe.plan(prepared(self._preparation, attempt, recipe))
        request = self._request(attempt.claim, plan)
        attempt.pass_stage(Stage.PROMPT_PREPARED, 2)
        reference = backend.send(request)
        if reference != job.backend_ref:
            self._save_reference(attempt.claim, reference)
        attempt.pass_stage(backend.stage_names[0], 3)
        attempt.sent = SentRender(recipe, plan, backend, request, reference)
        return attempt.sent

    def check(self, attempt: Attempt, sent: SentRender, rendered: RenderResult) -> CheckedRender:
        """Check the outputs of a render."""
        attempt.pass_stage(sent.backend.stage_names[1], 4)
        if attempt.control.stopped:
            raise RenderCanceled
        delivered = () if sent.plan.discards else rendered.outputs
        values = self._values(attempt.claim, sent, rendered)
        limits, seen = self.options.limits, self.options.output_checks
        files = outputs.check(attempt.claim, sent.plan, delivered, limits, seen)
        details = {
            **({"flags": list(files.flags), "flagged": list(files.flagged)} if files.flags else {}),
            **rendered.details,
            **({OUTPUT: values} if values else {}),
        }
        return CheckedRender(sent.plan, files, details)

    def store(self, attempt: Attempt, checked: CheckedRender) -> Succeeded:
        """Store the outputs, and return the outcome of the attempt."""
        patience_s = self.options.limits.patience_s
        upload_ms = outputs.store(self._blobs, checked.files, patience_s, attempt.control)
        return self.succeeded(attempt, checked, upload_ms)

    def succeeded(self, attempt: Attempt, checked: CheckedRender, upload_ms: float) -> Succeeded:
        """Return the outcome of an attempt whose outputs are stored."""
        attempt.pass_stage(Stage.STORED, 5)
        details = {
            "stages": attempt.stages,
            "convertMs": round(checked.files.convert_ms, 3),
            "uploadMs": round(upload_ms, 3),
            **checked.details,
            **attempt.prepared,
        }
        return Succeeded(checked.files.artifacts, details, checked.plan.record)

    def _values(self, claim: Claim, sent: SentRender, rendered: RenderResult) -> Mapping[str, Any] | None:
        """Return the JSON output of the job. Raises `BackendError` for texts that may not be kept."""
        recipe = sent.recipe
        if sent.plan.report is not None:
            return sent.plan.report(claim.job.node or "")
        values: Mapping[str, Any] | None = rendered.details.get(OUTPUT)
        if values and recipe.output_texts is not None and self._preparation is not None:
            texts = recipe.output_texts(values)
            self._preparation.gate.admit_output(texts, recipe.name, claim.job)
        return values

    def _request(self, claim: Claim, plan: Plan) -> RenderRequest:
        job = claim.job
        timeout_s = min(job.timeout_s or self.options.timeout_s, self.options.timeout_s)
        assert job.backend_ref  # noqa: S101 - the claim sets it
        assert job.node  # noqa: S101 - the claim sets it
        return RenderRequest(
            job_id=job.id,
            attempt=claim.attempt,
            reference=job.backend_ref,
            node=job.node,
            work=plan.work,
            timeout_s=timeout_s,
            properties=job.properties,
            inputs={**plan.data, **{name: self._load_input(source) for name, source in plan.inputs.items()}},
            leaves_nothing=plan.leaves_nothing,
            previews=self.options.previews,
            watched=self.options.previews and self._hub.is_watched(job.id, job.owner),
            partner=job.client.get(PARTNER) is True,
            most_files=self.options.limits.files,
        )
