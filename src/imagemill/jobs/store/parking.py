"""Parked jobs: queued ones that cannot be claimed, as their owner or recipe is paused.

Their ``run_after`` is `PARKED`, plus the time of their retry where they wait for one. Parked jobs are in no
lane, so they cost a claim nothing.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.statements import BoundStatement, Statement
from imagemill.domain.dataclass import dataclass
from imagemill.domain.pauses import PARKED, PauseScope

_jobs = tables.jobs.c

_free = sa.func.coalesce(_jobs.run_after, 0) < PARKED

CHUNK = 500
"""Jobs that are parked or released in one transaction, for which other writes wait about 10 ms."""

_NAMES = Statement(
    sa.text(
        f"SELECT scope, name FROM pauses WHERE scope IN ('{PauseScope.OWNER}', '{PauseScope.RECIPE}')"  # noqa: S608
    )
)
IS_PAUSED = (
    f"EXISTS (SELECT 1 FROM pauses WHERE (scope = '{PauseScope.OWNER}' AND name = jobs.owner) "  # noqa: S608
    f"OR (scope = '{PauseScope.RECIPE}' AND name = jobs.recipe))"
)
"""The condition of jobs that have to be parked while they are queued."""


@dataclass(frozen=True, slots=True)
class PausedNames:
    owners: frozenset[str] = frozenset()
    recipes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.owners or self.recipes)

    def park(self, owner: str, recipe: str, run_after: int | None) -> int | None:
        """Return the ``run_after`` of a queued job that could be claimed from ``run_after`` on."""
        if owner in self.owners or recipe in self.recipes:
            return PARKED + (run_after or 0)
        return run_after

    def holds(self) -> sa.ColumnElement[bool]:
        return sa.or_(_jobs.owner.in_(sorted(self.owners)), _jobs.recipe.in_(sorted(self.recipes)))


NOBODY = PausedNames()


def reading_names() -> BoundStatement:
    """Return the statement whose rows `names_from` takes."""
    return _NAMES.call()


def names_from(rows: Iterable[Sequence[str]]) -> PausedNames:
    found = list(rows)
    if not found:
        return NOBODY
    owners = frozenset(name for scope, name in found if scope == PauseScope.OWNER)
    return PausedNames(owners, frozenset(name for scope, name in found if scope == PauseScope.RECIPE))


def read_names(conn: sa.Connection) -> PausedNames:
    return names_from(_NAMES.run(conn))


def to_park(conn: sa.Connection, names: PausedNames, limit: int) -> list[str]:
    """Return the ids of queued jobs that are paused and not parked."""
    # Two statements with the conditions of two indexes: that of the open jobs of owners, and of idle jobs.
    of_owners = sa.select(_jobs.id).where(
        sa.text("status IN ('waiting', 'queued', 'running') AND status = 'queued'"),
        _jobs.owner.in_(sorted(names.owners)),
        _free,
    )
    of_recipes = sa.select(_jobs.id).where(
        sa.text("status IN ('waiting', 'queued') AND status = 'queued'"),
        _jobs.recipe.in_(sorted(names.recipes)),
        _free,
    )
    found: list[str] = []
    for wanted, statement in ((names.owners, of_owners), (names.recipes, of_recipes)):
        if wanted and len(found) < limit:
            found.extend(conn.execute(statement.limit(limit - len(found))).scalars())
    return found


def to_release(conn: sa.Connection, names: PausedNames, limit: int) -> list[str]:
    """Return the ids of parked jobs that nothing pauses any more."""
    parked = sa.text(f"run_after IS NOT NULL AND run_after >= {PARKED}")
    held = names.holds() if names else sa.false()
    return list(conn.execute(sa.select(_jobs.id).where(parked, ~held).limit(limit)).scalars())


@dataclass(frozen=True, slots=True)
class Settle:
    """Park or release those of these jobs for which it is right by the pauses there are now."""

    ids: tuple[str, ...]
    now: int


def settle(tx: Tx, requests: Sequence[Settle]) -> list[None]:
    for request in requests:
        _settle_one(tx, request)
    return [None] * len(requests)


def _settle_one(tx: Tx, request: Settle) -> None:
    queued = sa.text("status = 'queued'")
    these = sa.select(_jobs.id).where(_jobs.id.in_(request.ids), queued).order_by(_jobs.id)
    # Locked in order, so that no two transactions wait for each other.
    ids = tx.conn.execute(these.with_for_update()).scalars().all()
    tx.conn.execute(
        sa.update(tables.jobs)
        .where(_jobs.id.in_(ids), _free, sa.text(IS_PAUSED))
        .values(run_after=sa.func.coalesce(_jobs.run_after, 0) + PARKED)
    )
    retry = _jobs.run_after - PARKED
    freed = tx.conn.execute(
        sa.update(tables.jobs)
        .where(_jobs.id.in_(ids), _jobs.run_after >= PARKED, sa.text(f"NOT {IS_PAUSED}"))
        .values(run_after=sa.case((retry > request.now, retry), else_=sa.null()))
        .returning(_jobs.queue)
    )
    tx.queues_with_work.update(freed.scalars())
