"""Lanes: the requirements of jobs on a slot. Rows never change, so they are safe to keep in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

import sqlalchemy as sa
from pydantic_core import from_json

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.statements import dump, load
from imagemill.domain.events import Event, EventType
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Artifact, Job, JobStatus, LaneKey

JOB_COLUMNS: tuple[sa.Column[Any], ...] = tuple(tables.jobs.c[field.name] for field in fields(Job))
EVENT_COLUMNS: tuple[sa.Column[Any], ...] = tuple(tables.events.c[field.name] for field in fields(Event))
ARTIFACT_COLUMNS: tuple[sa.Column[Any], ...] = tuple(
    tables.artifacts.c[field.name] for field in fields(Artifact)
)

_POSITION = {column.name: index for index, column in enumerate(JOB_COLUMNS)}
_STATUS = _POSITION["status"]
_ERROR = _POSITION["error"]
_JSON = tuple(_POSITION[name] for name in ("input", "client", "properties"))
_EVENT_TYPE, _EVENT_DATA = 2, 5
_SEED = [column.name for column in ARTIFACT_COLUMNS].index("seed")
_SEED_RANGE = 2**64


def job_from(row: Sequence[Any]) -> Job:
    """Return the job of a row of `JOB_COLUMNS`."""
    values = list(row)
    values[_STATUS] = JobStatus(values[_STATUS])
    for index in _JSON:
        values[index] = from_json(values[index])
    if values[_ERROR] is not None:
        values[_ERROR] = failure_from(values[_ERROR])
    return Job(*values)


def event_from(row: Sequence[Any]) -> Event:
    """Return the event of a row of `EVENT_COLUMNS`."""
    values = list(row)
    values[_EVENT_TYPE] = EventType(values[_EVENT_TYPE])
    values[_EVENT_DATA] = from_json(values[_EVENT_DATA])
    return Event(*values)


def artifact_from(row: Sequence[Any]) -> Artifact:
    """Return the artifact of a row of `ARTIFACT_COLUMNS`."""
    values = list(row)
    if values[_SEED] is not None and values[_SEED] < 0:
        values[_SEED] += _SEED_RANGE
    return Artifact(*values)


def artifact_row(artifact: Artifact, owner: str) -> dict[str, Any]:
    """Return the row of a new artifact of an owner's job.

    Seeds go up to 2^64 - 1 and the column holds signed numbers, so the upper half is stored as negative ones.
    """
    row: dict[str, Any] = {column.name: getattr(artifact, column.name) for column in ARTIFACT_COLUMNS}
    row |= {"owner": owner, "kept_from": None, "rating": None, "deleted_at": None}
    if artifact.seed is not None and artifact.seed >= _SEED_RANGE // 2:
        row["seed"] = artifact.seed - _SEED_RANGE
    return row


def failure_to(failure: Failure) -> str:
    return dump({"code": failure.code.value, "message": failure.message})


def failure_from(text: str) -> Failure:
    data = load(text)
    return Failure(FailureCode(data["code"]), data["message"])


def lane_to(key: LaneKey) -> str:
    """Return the canonical text of a lane: equal keys have equal texts."""
    parts = [key.queue, key.model, key.backends, key.labels, key.memory_mb]
    # Left out when empty, so that lanes stored before there were requirements keep their text.
    return dump([*parts, key.requirements] if key.requirements else parts)


def lane_from(text: str) -> LaneKey:
    queue, model, backends, labels, memory_mb, *needs = cast(
        tuple[str, str, list[str], list[str], int, list[str]], from_json(text)
    )
    return LaneKey(queue, model, tuple(backends), tuple(labels), memory_mb, tuple(needs[0] if needs else ()))


def job_row(job: Job) -> Mapping[str, Any]:
    """Return the insert parameters of a new job."""
    values = {name: getattr(job, name) for name in _POSITION}
    values["status"] = job.status.value
    for name in ("input", "client", "properties"):
        values[name] = dump(values[name])
    values["error"] = failure_to(job.error) if job.error else None
    return values


class Lanes:
    def __init__(self) -> None:
        self._ids: dict[LaneKey, int] = {}
        self._keys: dict[int, LaneKey] = {}

    def id_of(self, tx: Tx, key: LaneKey) -> int:
        known = self._ids.get(key)
        return known if known is not None else self._create(tx, key)

    def known(self, lane: int) -> LaneKey | None:
        """Return the key of a lane that was read before."""
        return self._keys.get(lane)

    def key_of(self, conn: sa.Connection, lane: int) -> LaneKey:
        if lane not in self._keys:
            text = conn.execute(sa.select(tables.lanes.c.key).where(tables.lanes.c.id == lane)).scalar_one()
            self._keys[lane] = lane_from(text)
        return self._keys[lane]

    def all(self, conn: sa.Connection) -> Mapping[int, LaneKey]:
        """Return the lanes that there are, by their ids."""
        rows = conn.execute(sa.select(tables.lanes.c.id, tables.lanes.c.key))
        return {lane: self._keys.get(lane) or lane_from(text) for lane, text in rows}

    def _create(self, tx: Tx, key: LaneKey) -> int:
        text = lane_to(key)
        tx.conn.execute(tx.insert(tables.lanes).values(key=text).on_conflict_do_nothing())
        lane = tx.conn.execute(sa.select(tables.lanes.c.id).where(tables.lanes.c.key == text)).scalar_one()
        # Remembered only after the commit: a transaction that is rolled back must leave no id.
        tx.on_commit.append(lambda: self._remember(lane, key))
        return lane

    def _remember(self, lane: int, key: LaneKey) -> None:
        self._ids[key] = lane
        self._keys[lane] = key
