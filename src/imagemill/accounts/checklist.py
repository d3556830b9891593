"""The first steps of an owner, and which of them are done."""

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.domain.dataclass import dataclass

_RECENT = 500
"""Newest jobs of the owner among which a picture is looked for."""


@dataclass(frozen=True, slots=True)
class FirstSteps:
    has_picture: bool
    has_workflow: bool
    has_key: bool
    has_webhook: bool


class FirstStepReader:
    def __init__(self, database: Database) -> None:
        self._read = database.read

    def of(self, owner: str) -> FirstSteps:
        """Return what the owner has already, by one statement."""
        return self._read(_read, owner)


def _read(conn: sa.Connection, owner: str) -> FirstSteps:
    jobs, workflows = tables.jobs.c, tables.workflows.c
    keys, endpoints = tables.api_keys.c, tables.endpoints.c
    recent = (
        sa.select(jobs.id, jobs.status)
        .where(jobs.owner == owner)
        .order_by(jobs.id.desc())
        .limit(_RECENT)
        .subquery()
    )
    artifacts = tables.artifacts.c
    picture = sa.exists().where(recent.c.status == "succeeded", artifacts.job_id == recent.c.id)
    workflow = sa.exists().where(workflows.owner.in_(("", owner)), workflows.deleted_at.is_(None))
    key = sa.exists().where(keys.owner == owner, keys.revoked_at.is_(None))
    row = conn.execute(sa.select(picture, workflow, key, sa.exists().where(endpoints.owner == owner))).one()
    return FirstSteps(*map(bool, row))
