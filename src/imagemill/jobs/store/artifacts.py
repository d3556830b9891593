"""Artifacts by filter, newest first; their rating and their deletion."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.statements import load
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.domain.jobs import Artifact
from imagemill.jobs.store import listing
from imagemill.jobs.store.lanes import ARTIFACT_COLUMNS, Lanes, artifact_from
from imagemill.jobs.store.queries import Filter

_jobs, _artifacts = tables.jobs.c, tables.artifacts.c

READ_ROWS = 5_000
"""The artifacts that one request compares with a filter of their jobs."""
MOST = 500
"""Artifacts of one page, of one ZIP file and of one contact sheet."""
_FILLED = 500
"""Artifacts of older code whose owner is filled in at once."""

Sort = Literal["newest", "rating"]


@dataclass(frozen=True, slots=True)
class ArtifactFilter:
    """Which artifacts. The fields of ``jobs`` are those of their jobs, and its owner is theirs."""

    jobs: Filter
    ids: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    """Media types, or their first parts, such as ``image``."""
    rating: int = 0
    """The lowest rating; 0 means any and none."""
    created_from: int | None = None
    created_to: int | None = None
    available: bool = True
    """Only those whose file is still there."""
    sort: Sort = "newest"
    before: str | None = None
    """The cursor of an earlier page."""


@dataclass(frozen=True, slots=True)
class GalleryEntry:
    """An artifact with the facts about its job that a gallery shows."""

    artifact: Artifact
    owner: str
    recipe: str
    model: str
    """The checkpoint in lower case, empty without one."""
    node: str | None
    backend: str | None
    name: str | None
    input: Mapping[str, Any]
    rating: int
    """1 to 5, 0 without one."""
    deleted_at: int | None


@dataclass(frozen=True, slots=True)
class FoundArtifacts:
    """A page. ``next``: the cursor of the next one, None on the last.

    ``searched_to``: set where the rows that one request may read were used up: when the last artifact was
    made that was compared.
    """

    entries: list[GalleryEntry] = field(default_factory=list[GalleryEntry])
    next: str | None = None
    searched_to: int | None = None


_ENTRY = (
    *ARTIFACT_COLUMNS,
    _jobs.owner,
    _jobs.recipe,
    _jobs.lane,
    _jobs.node,
    _jobs.backend,
    _jobs.name,
    _jobs.input,
    _artifacts.rating,
    _artifacts.deleted_at,
)
_WITH_JOBS = tables.artifacts.join(tables.jobs, _jobs.id == _artifacts.job_id)


def search(conn: sa.Connection, lanes: Lanes, wanted: ArtifactFilter) -> FoundArtifacts:
    """Return a page of artifacts. Raises `InvalidInput` for a cursor of another list."""
    order = _order(wanted)
    after = _cursor_values(order, wanted.before)
    narrow = (*_narrow(wanted), *(() if after is None else (_before(order, after),)))
    checks = tuple(_checks(conn, lanes, wanted))
    limit = wanted.jobs.limit
    rows: Sequence[sa.Row[Any]] = ()
    floor: tuple[Any, ...] | None = None
    for count in (listing.FIRST_ROWS, READ_ROWS):
        floor = _floor(conn, order, narrow, count) if checks and not _is_short(wanted) else None
        above = () if floor is None else (sa.not_(_before(order, floor)),)
        statement = sa.select(*_ENTRY).select_from(_WITH_JOBS).where(*narrow, *above, *checks)
        ordered = statement.order_by(*(column.desc() for column in order)).limit(limit + 1)
        rows = conn.execute(ordered).all()
        if floor is None or len(rows) > limit:
            break
    entries = [_entry_from(conn, lanes, row) for row in rows]
    if len(entries) > limit:
        return FoundArtifacts(entries[:limit], _cursor_of(order, entries[limit - 1]))
    if floor is None:
        return FoundArtifacts(entries)
    last = sa.select(_artifacts.created_at).where(*(c == v for c, v in zip(order, floor, strict=True)))
    return FoundArtifacts(entries, ".".join(map(str, floor)), conn.execute(last).scalars().first())


def entries_of(
    conn: sa.Connection, lanes: Lanes, owner: str | None, ids: Sequence[str]
) -> list[GalleryEntry]:
    """Return the artifacts with these ids in their order, without those of other owners."""
    mine = () if owner is None else (_jobs.owner == owner,)
    statement = sa.select(*_ENTRY).select_from(_WITH_JOBS).where(_artifacts.id.in_(ids), *mine)
    found = [_entry_from(conn, lanes, row) for row in conn.execute(statement)]
    places = {id_: place for place, id_ in enumerate(ids)}
    return sorted(found, key=lambda entry: places[entry.artifact.id])


def available_places(conn: sa.Connection, job_ids: Sequence[str]) -> set[tuple[str, int]]:
    """Return job and position of those artifacts of the jobs whose files are still there."""
    there = sa.and_(_artifacts.job_id.in_(job_ids), _artifacts.blob_key != "")
    return {
        (job_id, place)
        for job_id, place in conn.execute(sa.select(_artifacts.job_id, _artifacts.position).where(there))
    }


def _entry_from(conn: sa.Connection, lanes: Lanes, row: sa.Row[Any]) -> GalleryEntry:
    count = len(ARTIFACT_COLUMNS)
    owner, recipe, lane, node, backend, name, input_, rating, deleted_at = row[count:]
    return GalleryEntry(
        artifact=artifact_from(row[:count]),
        owner=owner,
        recipe=recipe,
        model=lanes.key_of(conn, lane).model,
        node=node,
        backend=backend,
        name=name,
        input=load(input_),
        rating=rating or 0,
        deleted_at=deleted_at,
    )


# Order: an owner's artifacts are sorted by the time at which they were made, those of all owners by their
# jobs, which needs no further index.


def _order(wanted: ArtifactFilter) -> tuple[sa.Column[Any], ...]:
    if wanted.sort == "rating":
        return (_artifacts.rating, _artifacts.created_at, _artifacts.id)
    if wanted.jobs.owner is None and not wanted.rating:
        return (_artifacts.job_id, _artifacts.position)
    return (_artifacts.created_at, _artifacts.id)


def _before(order: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*order) < sa.tuple_(
        *(sa.bindparam(None, v, c.type) for c, v in zip(order, values, strict=True))
    )


def _cursor_of(order: Sequence[sa.Column[Any]], entry: GalleryEntry) -> str:
    values = {"rating": entry.rating}
    return ".".join(
        str(values.get(column.name, getattr(entry.artifact, column.name, None))) for column in order
    )


def _cursor_values(order: Sequence[sa.Column[Any]], text: str | None) -> list[Any] | None:
    if text is None:
        return None
    parts = text.split(".")
    if len(parts) == len(order):
        try:
            return [
                part if isinstance(column.type, sa.String) else _number(part)
                for column, part in zip(order, parts, strict=True)
            ]
        except ValueError:
            pass
    raise InvalidInput.at(
        "cursor", f"is {text[:40]!r}, not one of this list; take it from the last answer's next"
    )


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 18:
        raise ValueError(text)
    return int(text)


def _narrow(wanted: ArtifactFilter) -> Iterable[sa.ColumnElement[bool] | sa.TextClause]:
    """Yield the conditions that an index answers."""
    if wanted.jobs.owner is not None:
        yield _artifacts.owner == wanted.jobs.owner
    if wanted.jobs.ids:
        yield _artifacts.job_id.in_(wanted.jobs.ids)
    if wanted.ids:
        yield _artifacts.id.in_(wanted.ids)
    if wanted.rating or wanted.sort == "rating":
        yield sa.text("rating IS NOT NULL")
        yield _artifacts.rating >= max(1, wanted.rating)
    if wanted.jobs.owner is not None:
        if wanted.created_from is not None:
            yield _artifacts.created_at >= wanted.created_from
        if wanted.created_to is not None:
            yield _artifacts.created_at <= wanted.created_to


def _is_short(wanted: ArtifactFilter) -> bool:
    """Whether few artifacts are read: those of some jobs, or those that somebody has rated."""
    return bool(wanted.jobs.ids or wanted.ids or wanted.rating or wanted.sort == "rating")


def _floor(
    conn: sa.Connection, order: Sequence[sa.Column[Any]], narrow: Sequence[Any], count: int
) -> tuple[Any, ...] | None:
    """Return the place in the order below which nothing is read, after ``count`` rows; None where all is."""
    places = sa.select(*order).where(*narrow).order_by(*(column.desc() for column in order))
    row = conn.execute(places.offset(count - 1).limit(1)).first()
    return None if row is None else tuple(row)


def _checks(conn: sa.Connection, lanes: Lanes, wanted: ArtifactFilter) -> Iterable[sa.ColumnElement[bool]]:
    """Yield the conditions that are checked on each artifact and its job."""
    yield from listing.conditions(conn, lanes, wanted.jobs)
    if wanted.jobs.batches:
        yield _jobs.batch.in_(wanted.jobs.batches)
    if wanted.jobs.owner is None:
        if wanted.created_from is not None:
            yield _artifacts.created_at >= wanted.created_from
        if wanted.created_to is not None:
            yield _artifacts.created_at <= wanted.created_to
    if wanted.media_types:
        kinds = [
            _artifacts.media_type == kind
            if "/" in kind
            else _artifacts.media_type.startswith(f"{kind}/", autoescape=True)
            for kind in wanted.media_types
        ]
        yield sa.or_(*kinds)
    if wanted.available:
        yield _artifacts.blob_key != ""


# Writes


@dataclass(frozen=True, slots=True)
class RateArtifact:
    id: str
    owner: str | None
    """None means that it may be of any owner."""
    rating: int
    """1 to 5; 0 takes the rating away."""


def rate(tx: Tx, requests: Sequence[RateArtifact]) -> list[NotFound | None]:
    return [_rate_one(tx, request) for request in requests]


def _rate_one(tx: Tx, request: RateArtifact) -> NotFound | None:
    there = _of_owner(request.id, request.owner)
    changed = tx.conn.execute(sa.update(tables.artifacts).where(there).values(rating=request.rating or None))
    return None if changed.rowcount else NotFound(f"there is no artifact {request.id[:64]}")


@dataclass(frozen=True, slots=True)
class DeleteArtifact:
    id: str
    owner: str | None
    """None means that it may be of any owner."""
    now: int


def mark_deleted(tx: Tx, requests: Sequence[DeleteArtifact]) -> list[Artifact | NotFound]:
    """Mark artifacts as deleted; return each as it was, with the key of its file."""
    return [_delete_one(tx, request) for request in requests]


def _delete_one(tx: Tx, request: DeleteArtifact) -> Artifact | NotFound:
    there = _of_owner(request.id, request.owner)
    row = tx.conn.execute(sa.select(*ARTIFACT_COLUMNS).where(there).with_for_update()).first()
    if row is None:
        return NotFound(f"there is no artifact {request.id[:64]}")
    since = sa.func.coalesce(_artifacts.deleted_at, request.now)
    tx.conn.execute(sa.update(tables.artifacts).where(there).values(blob_key="", deleted_at=since))
    return artifact_from(row)


def _of_owner(id_: str, owner: str | None) -> sa.ColumnElement[bool]:
    there = _artifacts.id == id_
    return there if owner is None else sa.and_(there, _artifacts.owner == owner)


def fill_owners(tx: Tx, requests: Sequence[None]) -> list[int]:
    """Set the owner of artifacts that older code has written; return how many, for each request."""
    lacking = sa.select(_artifacts.id).where(_artifacts.owner.is_(None)).limit(_FILLED)
    owner = sa.select(_jobs.owner).where(_jobs.id == _artifacts.job_id).scalar_subquery()
    filled = tx.conn.execute(
        sa.update(tables.artifacts).where(_artifacts.id.in_(lacking.scalar_subquery())).values(owner=owner)
    )
    return [filled.rowcount, *(0 for _ in requests[1:])]


OWNERLESS = sa.select(_artifacts.id).where(_artifacts.owner.is_(None)).limit(1)
