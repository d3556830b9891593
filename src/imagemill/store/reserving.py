"""Work that is not done twice: drafts whose work another job of the owner does, or has done, are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from imagemill.domain.jobs import OPEN, Draft, JobStatus
from imagemill.store import owning, schema
from imagemill.store.admitting import Submission
from imagemill.store.commits import Tx
from imagemill.store.serialising import serialise

_reservations = owning.reservations.c
_CHUNK = 500
"""Keys of one question; SQLite takes 32,766 parameters."""
_HOLDING = sorted(status.value for status in OPEN | {JobStatus.SUCCEEDED})


class _Overlap(Exception):
    """Two requests of one transaction want the same work. Each is run again alone, so that the second sees
    what became of the first."""


def without_taken(
    tx: Tx, submissions: Sequence[Submission]
) -> tuple[list[Submission], Mapping[str, Mapping[str, str]]]:
    """The submissions without the drafts that are left out, and of each batch the jobs that hold their keys.

    Of several drafts of one submission with the same key the first stays. A submission of which nothing is
    left is left out.
    """
    asking = [each for each in submissions if any(draft.sole for draft in each.drafts)]
    if not asking:
        return list(submissions), {}
    serialise(tx, [f"reservations/{each.owner}" for each in asking])
    wanted = [(each.owner, key) for each in asking for key in {draft.sole for draft in each.drafts} if key]
    if len(set(wanted)) < len(wanted):
        raise _Overlap
    taken: dict[str, Mapping[str, str]] = {}
    kept: list[Submission] = []
    for submission in submissions:
        if submission in asking:
            drafts, holders = _divided(submission.drafts, _held(tx, submission))
            taken[submission.batch] = holders
            if drafts:
                kept.append(replace(submission, drafts=drafts))
        else:
            kept.append(submission)
    return kept, taken


def _divided(drafts: Sequence[Draft], held: Mapping[str, str]) -> tuple[tuple[Draft, ...], Mapping[str, str]]:
    """Those that stay, and the holders of the keys of the others."""
    holders = dict(held)
    taken: dict[str, str] = {}
    kept: list[Draft] = []
    for draft in drafts:
        if draft.sole in holders:
            taken[draft.sole] = holders[draft.sole]
            continue
        if draft.sole:
            holders[draft.sole] = draft.id
        kept.append(draft)
    return tuple(kept), taken


def _held(tx: Tx, submission: Submission) -> dict[str, str]:
    """Keys of the submission that jobs hold, with the jobs."""
    keys = sorted({draft.sole for draft in submission.drafts if draft.sole})
    held: dict[str, str] = {}
    for start in range(0, len(keys), _CHUNK):
        statement = (
            sa.select(_reservations.key, _reservations.job_id)
            .join(schema.jobs, schema.jobs.c.id == _reservations.job_id)
            .where(
                _reservations.owner == submission.owner,
                _reservations.key.in_(keys[start : start + _CHUNK]),
                schema.jobs.c.status.in_(_HOLDING),
            )
        )
        held.update((key, job_id) for key, job_id in tx.conn.execute(statement))
    return held


def reserve(tx: Tx, submissions: Sequence[Submission]) -> None:
    """The keys of these drafts; their jobs are written. A key that a lost job had is theirs now."""
    rows = [
        {"owner": submission.owner, "key": draft.sole, "job_id": draft.id}
        for submission in submissions
        for draft in submission.drafts
        if draft.sole
    ]
    if not rows:
        return
    insert = tx.insert(owning.reservations)
    statement = insert.on_conflict_do_update(
        index_elements=["owner", "key"], set_={"job_id": insert.excluded.job_id}
    )
    tx.conn.execute(statement, rows)
