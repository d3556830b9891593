"""The model library in the database: models, versions of templates, and templates under way."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.domain.clock import uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import OPEN, JobStatus
from imagemill.jobs.store.finish import Recorded
from imagemill.products.library import tables as library_tables
from imagemill.products.library.grid import PARAMETERS

_models = library_tables.model_library.c
_reservations = tables.reservations.c
_ABSENT: Mapping[str, Any] = {"version": 1, "prompt": ""} | dict.fromkeys(PARAMETERS, "")
_CHUNK = 500
"""Templates of one statement; SQLite accepts 32,766 parameters."""
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PUBLIC_URL = "publicUrl"
"""The key of a job's ``client`` with the public address of the server, for the URLs in the table."""
_HOLDING = sorted(status.value for status in OPEN | {JobStatus.SUCCEEDED})


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One version of a template. Times are microseconds since the epoch."""

    id: str
    owner: str
    template_id: str
    version: int
    gender: str
    age_range: str
    body_type: str
    pose: str
    style: str
    prompt: str
    metadata: Mapping[str, Any]
    fal_request_id: str | None
    """The provider's own id of the request, of any provider."""
    processing_time_ms: int | None
    created_at: int
    job_id: str
    image_key: str
    """Empty for a row that an application wrote; then ``image_url`` is the only address."""
    thumbnail_key: str
    image_url: str
    thumbnail_url: str | None


_NAMES = tuple(StoredModel.__dataclass_fields__)
_COLUMNS = [_models[name] for name in _NAMES]


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """A filter of an owner's models, the newest first."""

    owner: str
    values: Mapping[str, Sequence[str]]
    """The accepted values by column."""
    latest: bool = False
    """Whether to return only the newest version of each template."""
    before: str | None = None
    """Return models with smaller ids (the cursor)."""
    limit: int = 50


class ModelStore:
    """The model library in the database."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    def page(self, wanted: ModelFilter) -> list[StoredModel]:
        return self._read(_page, wanted)

    def get(self, id_: str, owner: str) -> StoredModel:
        """Return a model. Raises `NotFound`, for another owner's too."""
        found = self._read(_rows, _models.id == id_, _models.owner == owner) if _ID.fullmatch(id_) else ()
        if not found:
            raise NotFound(f"there is no model {id_}")
        return found[0]

    def versions(self, template_id: str, owner: str) -> list[StoredModel]:
        """Return the versions of a template, the newest first."""
        return self._read(_rows, _models.template_id == template_id, _models.owner == owner)

    def of_jobs(self, job_ids: Iterable[str], owner: str) -> dict[str, StoredModel]:
        """Return the models by the job that made them."""
        return self._read(_of_jobs, sorted(set(job_ids)), owner)

    def by_ids(self, ids: Iterable[str], owner: str) -> dict[str, StoredModel]:
        """Return these models by template."""
        return self._read(_by_ids, sorted(set(ids)), owner)

    def latest(self, templates: Iterable[str], owner: str) -> dict[str, str]:
        """Return the id of the newest version for those of the templates that have one."""
        return self._read(_latest, sorted(set(templates)), owner)

    def holders(self, keys: Iterable[str], owner: str) -> dict[str, str]:
        """Return the existing jobs by unique key (`Draft.unique_key`) for these keys."""
        return self._read(_holders, sorted(set(keys)), owner)


def _page(conn: sa.Connection, wanted: ModelFilter) -> list[StoredModel]:
    conditions: list[Any] = [_models.owner == wanted.owner]
    conditions += [_models[name].in_(sorted(set(values))) for name, values in wanted.values.items()]
    if wanted.before is not None:
        conditions.append(_models.id < wanted.before)
    if wanted.latest:
        newer = library_tables.model_library.alias().c
        of_same = sa.and_(newer.owner == _models.owner, newer.template_id == _models.template_id)
        conditions.append(~sa.exists().where(of_same, newer.version > _models.version))
    statement = sa.select(*_COLUMNS).where(*conditions).order_by(_models.id.desc()).limit(wanted.limit)
    return [_stored(row) for row in conn.execute(statement)]


def _rows(conn: sa.Connection, *conditions: Any) -> list[StoredModel]:
    statement = sa.select(*_COLUMNS).where(*conditions).order_by(_models.version.desc())
    return [_stored(row) for row in conn.execute(statement)]


def _of_jobs(conn: sa.Connection, job_ids: Sequence[str], owner: str) -> dict[str, StoredModel]:
    found: dict[str, StoredModel] = {}
    for some in _chunks(job_ids):
        rows = _rows(conn, _models.job_id.in_(some), _models.owner == owner)
        found.update((row.job_id, row) for row in rows)
    return found


def _by_ids(conn: sa.Connection, ids: Sequence[str], owner: str) -> dict[str, StoredModel]:
    found: dict[str, StoredModel] = {}
    for some in _chunks(ids):
        rows = _rows(conn, _models.id.in_(some), _models.owner == owner)
        found.update((row.template_id, row) for row in rows)
    return found


def _latest(conn: sa.Connection, templates: Sequence[str], owner: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in _chunks(templates):
        statement = sa.select(_models.template_id, _models.id).where(
            _models.owner == owner, _models.template_id.in_(some)
        )
        # The last of several versions stays.
        found.update((row[0], row[1]) for row in conn.execute(statement.order_by(_models.version)))
    return found


def _holders(conn: sa.Connection, keys: Sequence[str], owner: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in _chunks(keys):
        statement = (
            sa.select(_reservations.key, _reservations.job_id)
            .join(tables.jobs, tables.jobs.c.id == _reservations.job_id)
            .where(
                _reservations.owner == owner,
                _reservations.key.in_(some),
                tables.jobs.c.status.in_(_HOLDING),
            )
        )
        found.update((row[0], row[1]) for row in conn.execute(statement))
    return found


def _chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]


def _stored(row: Any) -> StoredModel:
    # Applications may leave out what they do not know.
    values: dict[str, Any] = {
        name: _ABSENT.get(name) if value is None else value for name, value in zip(_NAMES, row, strict=True)
    }
    return StoredModel(**values)


_LATEST = sa.select(sa.func.coalesce(sa.func.max(_models.version), 0)).where(
    _models.owner == sa.bindparam("of_owner"), _models.template_id == sa.bindparam("of_template")
)


def record_models(tx: Tx, ended: Sequence[Recorded]) -> None:
    """Write each as the next version of its template."""
    lock_names(tx, [f"library/{each.job.owner}/{each.record.template_id}" for each in ended])
    for each in ended:
        job, entry = each.job, each.record
        place = {"of_owner": job.owner, "of_template": entry.template_id}
        server = job.client.get(PUBLIC_URL, "")
        version = tx.conn.execute(_LATEST, place).scalar_one() + 1
        picture, thumbnail = (each.artifacts * 2)[:2]
        tx.conn.execute(
            sa.insert(library_tables.model_library).values(
                id=uuid7(each.at),
                owner=job.owner,
                template_id=entry.template_id,
                version=version,
                image_url=f"{server}/blobs/{picture.blob_key}",
                thumbnail_url=f"{server}/blobs/{thumbnail.blob_key}",
                gender=entry.gender,
                age_range=entry.age_range,
                body_type=entry.body_type,
                pose=entry.pose,
                style=entry.style,
                prompt=entry.prompt,
                metadata=entry.metadata,
                fal_request_id=each.details.get("requestId"),
                processing_time_ms=(each.at - (job.started_at or each.at)) // 1000,
                created_at=each.at,
                job_id=job.id,
                image_key=picture.blob_key,
                thumbnail_key=thumbnail.blob_key,
            )
        )


def referenced_files(conn: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the blob keys that the library refers to."""
    columns = (_models.image_key, _models.thumbnail_key)
    return {key for column in columns for key in conn.scalars(sa.select(column).where(column.in_(keys)))}
