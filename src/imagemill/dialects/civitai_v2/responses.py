"""The answers of v2: workflows and steps, made from the record of a batch and its jobs.

Everything that can be derived from the jobs is derived here; the record holds only what was submitted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from imagemill.dialects.civitai_times import date_time, time_span
from imagemill.dialects.civitai_v2 import step_references
from imagemill.dialects.civitai_v2.blob_ids import blob_document, pending_blob
from imagemill.dialects.civitai_v2.statuses import (
    PREPARING,
    PROCESSING,
    SUCCEEDED,
    UNASSIGNED,
    JobState,
    combined,
    is_final,
)
from imagemill.dialects.civitai_v2.step_references import Reference, find_value
from imagemill.dialects.civitai_v2.steps import registry
from imagemill.dialects.civitai_v2.steps.base import JobResult
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.batches import BatchRecord

REPEAT = "repeat"
"""The step type that runs another one in a loop."""
_PICTURES = ("textToImage", "comfy", "vendorImage")
"""Recipes whose first picture has an id before it is made."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How blobs are addressed in the answers to one request."""

    signer: UrlSigner
    base_url: str
    hides_mature: bool = False
    is_charged: bool = False
    """Whether the jobs are paid for with credits."""


def workflow_document(record: BatchRecord, states: Sequence[JobState], wire: Wire) -> dict[str, Any]:
    """Return a Workflow. ``states``: of all its jobs, in the order of their ids."""
    given, steps = record.document, step_documents(record, states, wire)
    found: dict[str, Any] = {
        "id": record.id,
        "createdAt": date_time(record.created_at),
        "transactions": transactions(record, states, wire),
        "metadata": record.notes.get("metadata", {}),
        "status": combined([step["status"] for step in steps]),
        **_times(states, [step["status"] for step in steps]),
        "tags": list(record.tags),
        "arguments": given.get("arguments", {}),
        "steps": steps,
        "callbacks": given.get("callbacks", []),
        "tips": {"civitai": 0, "creators": 0} | given.get("tips", {}),
        "cost": cost_of([state.job.cost for state in states]),
        "upgradeMode": given.get("upgradeMode", "manual"),
        "currencies": given.get("currencies", []),
        "forceRefunded": False,
    }
    names = ("nsfwLevel", "experimental", "ephemeral", "externalId")
    found |= {name: given[name] for name in names if name in given}
    allowed = record.notes.get("allowMatureContent", given.get("allowMatureContent"))
    return found if allowed is None else {**found, "allowMatureContent": allowed}


def transactions(record: BatchRecord, states: Sequence[JobState], wire: Wire) -> dict[str, Any]:
    """Return what was paid and what was given back for jobs that did not succeed."""
    if not wire.is_charged:
        return {"list": []}
    account = next(iter(record.document.get("currencies", [])), "yellow")
    lost = [each for each in states if is_final(each.status) and each.status != SUCCEEDED]
    entries = [("debit", cost_of([each.job.cost for each in states])["total"])]
    if lost:
        entries.append(("credit", cost_of([each.job.cost for each in lost])["total"]))
    return {
        "list": [
            {"type": kind, "amount": amount, "id": record.id, "accountType": account}
            for kind, amount in entries
        ]
    }


def cost_of(costs: Sequence[float]) -> dict[str, Any]:
    """Return the Cost of jobs: whole numbers, rounded up, in our credits."""
    base = math.ceil(round(sum(costs), 4))
    return {
        "base": base,
        "factors": {},
        "fixed": {},
        "tips": {"civitai": 0, "creators": 0},
        "variable": False,
        "total": base,
    }


def _times(states: Sequence[JobState], statuses: Sequence[str]) -> dict[str, str]:
    started = [state.job.started_at for state in states if state.job.started_at is not None]
    ended = [state.job.finished_at for state in states if state.job.finished_at is not None]
    found = {"startedAt": date_time(min(started))} if started else {}
    if ended and is_final(combined(statuses)):
        found["completedAt"] = date_time(max(ended))
    return found


def step_documents(record: BatchRecord, states: Sequence[JobState], wire: Wire) -> list[dict[str, Any]]:
    """Return the steps, with references to outputs that exist replaced by them."""
    by_step: dict[str, list[JobState]] = {}
    for state in states:
        by_step.setdefault(str(state.job.client.get("step", "")), []).append(state)
    names = [step["name"] for step in record.document["steps"]]
    documents = {
        name: _step(step, by_step.get(name, []), record.notes, wire)
        for name, step in zip(names, record.document["steps"], strict=True)
    }
    outputs = {name: each.get("output") for name, each in documents.items() if each["status"] == "succeeded"}
    for document in documents.values():
        if document["$type"] != REPEAT:
            document["input"] = _filled(document["input"], names, outputs)
            continue
        for round_ in document.get("output", {}).get("steps", ()):
            round_["input"] = _filled(round_["input"], names, outputs)
    return [documents[name] for name in names]


def _step(
    step: Mapping[str, Any], states: Sequence[JobState], notes: Mapping[str, Any], wire: Wire
) -> dict[str, Any]:
    statuses = [state.status for state in states]
    status = combined(statuses)
    found: dict[str, Any] = {
        "$type": step["type"],
        "name": step["name"],
        "priority": step.get("priority", "normal"),
        "status": status,
        "metadata": notes.get("steps", {}).get(step["name"], {}),
        "input": step.get("input"),
        "jobs": [state.document for state in states],
        **_times(states, statuses),
    }
    if "timeout" in step:
        found["timeout"] = time_span(round(step["timeout"] * SECOND))
    if "retries" in step:
        found["retries"] = step["retries"]
    if states and not is_final(status) and status != UNASSIGNED:
        done = [1.0 if is_final(state.status) else state.progress or 0.0 for state in states]
        found["estimatedProgressRate"] = round(sum(done) / len(done), 4)
    if status == PREPARING:
        loading = next((state.preparation for state in states if state.preparation is not None), None)
        found |= {"preparation": dict(loading)} if loading is not None else {}
    place = next((state.place for state in states if state.place is not None), None)
    if place is not None and status != PROCESSING:
        found["queuePosition"] = place.document(of_step=True)
    if (output := output_of(step, states, notes, wire)) is not None:
        found["output"] = output
    return found


def output_of(
    step: Mapping[str, Any], states: Sequence[JobState], notes: Mapping[str, Any], wire: Wire
) -> dict[str, Any] | None:
    """Return the output of a step; None while there is none."""
    if "rounds" in step:
        return _rounds(step, states, notes, wire)
    results = [_result(state, wire) for state in states]
    errors = list(dict.fromkeys(result.error for result in results if result.error))
    has_begun = any(state.job.started_at is not None for state in states)
    kind = registry.find(step["type"])
    if kind is None or not has_begun:
        return {"errors": errors} if errors else None
    if not any(result.blobs or result.values for result in results):
        return {"errors": errors} if errors else None
    output = dict(kind.output(results))
    return output | {"errors": [*output.get("errors", []), *errors]} if errors else output


def _rounds(
    step: Mapping[str, Any], states: Sequence[JobState], notes: Mapping[str, Any], wire: Wire
) -> dict[str, Any]:
    by_round: dict[int, list[JobState]] = {}
    for state in states:
        by_round.setdefault(int(state.job.client.get("round", 0)), []).append(state)
    rounds = enumerate(step["rounds"])
    return {"steps": [_step(each, by_round.get(number, []), notes, wire) for number, each in rounds]}


def _result(state: JobState, wire: Wire) -> JobResult:
    job, view = state.job, state.view
    values = view.last_event.data.get("output") if is_final(state.status) else None
    flagged = set(view.last_event.data.get("flagged", ()))
    blobs = [
        _hidden(blob) if position in flagged and wire.hides_mature else blob
        for position, blob in enumerate(
            blob_document(artifact, wire.signer, wire.base_url) for artifact in view.artifacts
        )
    ]
    if not blobs and job.recipe in _PICTURES and not is_final(state.status):
        blobs = [pending_blob(job.id, 0, f"image/{job.input.get('format', 'png')}")]
    return JobResult(
        tuple(blobs),
        values if isinstance(values, Mapping) else {},
        state.error,
        job.started_at,
        job.finished_at,
        job.cost,
    )


def _hidden(blob: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in blob.items() if name not in ("url", "urlExpiresAt")}
    return {**kept, "available": False, "blockedReason": "matureContent"}


def _filled(value: Any, names: Sequence[str], outputs: Mapping[str, Any]) -> Any:
    """Return an input with the outputs in place of references to them, as far as they exist."""

    def visit(reference: Reference, _: str) -> Any:
        name = step_references.step_named(reference.step, names)
        output = outputs.get(name) if name is not None else None
        found = find_output(output, reference.path.removeprefix("output."))
        return reference.document if found is None else found

    return step_references.walk(value, visit, "")


def find_output(output: Any, path: str) -> Any:
    """Return a value of a step's output; None if there is none.

    ``images`` stands for ``blobs`` or the only blob where a step has no pictures of that name, as a published
    client refers to the pictures of every step by it.
    """
    if not isinstance(output, Mapping):
        return None
    given = dict(output)
    if "images" not in given:
        only = given.get("blob") or given.get("image")
        given["images"] = given.get("blobs", [only] if only else [])
    try:
        return find_value(given, path)
    except KeyError:
        return None
