"""Pictures of characters, stories and chats, one active for each type and emotion; cached translations."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The rows of a statement built from a tuple of columns have no static type.

from collections.abc import Sequence
from dataclasses import KW_ONLY, replace

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import Job, JobStatus
from imagemill.jobs.store.finish import Recorded
from imagemill.jobs.store.lanes import JOB_COLUMNS, job_from
from imagemill.jobs.store.listing import owner_to_check
from imagemill.products.characters import tables as characters_tables
from imagemill.products.characters.records import Subject

_images = characters_tables.character_images.c
_jobs = tables.jobs.c
_artifacts = tables.artifacts.c
_translations = characters_tables.translations.c


# Pictures


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A picture that was not deleted. ``character_id`` is the id of the character, story or chat."""

    id: str
    owner: str
    subject: Subject
    character_id: str
    type: str
    emotion: str
    is_active: bool
    job_id: str
    image_key: str
    thumbnail_key: str
    media_type: str
    size: int
    width: int
    height: int
    seed: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """A filter of the pictures of one subject, the newest first. None means any value."""

    owner: str
    character_id: str
    _: KW_ONLY
    subject: Subject = "character"
    type: str | None = None
    emotion: str | None = None
    is_active: bool | None = None
    before: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A client's reference to a picture."""

    owner: str
    character_id: str
    id: str
    now: int = 0
    subject: Subject = "character"


@dataclass(frozen=True, slots=True)
class CharacterSummary:
    """The active pictures of a character, as the list of characters shows them."""

    avatar: StoredImage | None = None
    stickers: int = 0
    """The number of emotions that have a sticker."""


class CharacterStore:
    """Pictures of characters in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def images(self, which: ImageFilter) -> list[StoredImage]:
        return self._read(_list, which)

    def summaries(self, owner: str, ids: Sequence[str]) -> dict[str, CharacterSummary]:
        """Return the active pictures of these characters, by the character's id."""
        return self._read(_summaries, owner, ids) if ids else {}

    def of_jobs(self, owner: str, ids: Sequence[str]) -> dict[str, StoredImage]:
        """Return the pictures by job."""
        return self._read(_of_jobs, owner, ids)

    def activate(self, named: ImageRef) -> StoredImage:
        """Make a picture the active one of its type and emotion. Raises `NotFound`."""
        return self._write(_activate, named)

    def delete(self, named: ImageRef) -> tuple[str, ...]:
        """Delete a picture and return the keys of its files, which the caller must delete.

        The newest remaining picture of its type and emotion becomes active. Raises `NotFound`.
        """
        return self._write(_delete, named)

    def jobs(self, owner: str, dialect: str, since: int, limit: int = 500) -> list[Job]:
        """Return jobs of a dialect that are open or ended after ``since``, the newest first."""
        return self._read(_recent, owner, dialect, since, limit)

    def open_counts(self, owner: str) -> dict[JobStatus, int]:
        return self._read(_open_counts, owner)


_COLUMNS = tuple(_images[name] for name in StoredImage.__dataclass_fields__)
_KEPT = _images.deleted_at.is_(None)


def _list(conn: sa.Connection, which: ImageFilter) -> list[StoredImage]:
    wanted = {"type": which.type, "emotion": which.emotion, "is_active": which.is_active}
    query = sa.select(*_COLUMNS).where(
        _images.owner == which.owner,
        _images.subject == which.subject,
        _images.character_id == which.character_id,
        _KEPT,
        *(_images[name] == value for name, value in wanted.items() if value is not None),
    )
    if which.before is not None:
        query = query.where(_images.id < which.before)
    rows = conn.execute(query.order_by(_images.id.desc()).limit(which.limit))
    return [StoredImage(*row) for row in rows]


def _summaries(conn: sa.Connection, owner: str, ids: Sequence[str]) -> dict[str, CharacterSummary]:
    query = sa.select(*_COLUMNS).where(
        _images.owner == owner,
        _images.subject == "character",
        _images.character_id.in_(ids),
        _images.type.in_(("avatar", "sticker")),
        _images.is_active,
        _KEPT,
    )
    found: dict[str, CharacterSummary] = {}
    for row in conn.execute(query):
        image = StoredImage(*row)
        known = found.get(image.character_id, CharacterSummary())
        if image.type == "avatar":
            found[image.character_id] = replace(known, avatar=image)
        else:
            found[image.character_id] = replace(known, stickers=known.stickers + 1)
    return found


def _of_jobs(conn: sa.Connection, owner: str, ids: Sequence[str]) -> dict[str, StoredImage]:
    query = sa.select(*_COLUMNS).where(_images.owner == owner, _images.job_id.in_(ids), _KEPT)
    return {image.job_id: image for image in (StoredImage(*row) for row in conn.execute(query))}


def _recent(conn: sa.Connection, owner: str, dialect: str, since: int, limit: int) -> list[Job]:
    # Each from an index of its own: in the order of their ids all jobs of the owner would be read.
    mine = sa.and_(owner_to_check(conn) == owner, _jobs.dialect == dialect)
    of_open = sa.select(*JOB_COLUMNS).where(sa.text(tables.OPEN), _jobs.owner == owner, mine)
    of_ended = sa.select(*JOB_COLUMNS).where(_jobs.finished_at.is_not(None), _jobs.finished_at > since, mine)
    found = [
        job_from(row)
        for query, order in ((of_open, _jobs.id.desc()), (of_ended, _jobs.finished_at.desc()))
        for row in conn.execute(query.order_by(order).limit(limit))
    ]
    return sorted(found, key=lambda job: job.id, reverse=True)[:limit]


def _open_counts(conn: sa.Connection, owner: str) -> dict[JobStatus, int]:
    query = (
        sa.select(_jobs.status, sa.func.count())
        .where(sa.text(tables.OPEN), _jobs.owner == owner)
        .group_by(_jobs.status)
    )
    return {JobStatus(status): count for status, count in conn.execute(query)}


def _found(tx: Tx, named: ImageRef) -> StoredImage | None:
    query = sa.select(*_COLUMNS).where(
        _images.id == named.id,
        _images.owner == named.owner,
        _images.subject == named.subject,
        _images.character_id == named.character_id,
        _KEPT,
    )
    row = tx.conn.execute(query).first()
    return None if row is None else StoredImage(*row)


def _activate(tx: Tx, requests: Sequence[ImageRef]) -> list[StoredImage | NotFound]:
    lock_names(tx, [_place(named.owner, named.subject, named.character_id) for named in requests])
    return [_activate_one(tx, named) for named in requests]


def _activate_one(tx: Tx, named: ImageRef) -> StoredImage | NotFound:
    image = _found(tx, named)
    if image is None:
        return _no_image(named)
    _make_active(tx, image)
    return replace(image, is_active=True)


def _make_active(tx: Tx, image: StoredImage) -> None:
    of = {"of_owner": image.owner, "of_subject": image.subject, "of_character": image.character_id}
    tx.conn.execute(_REST, of | {"of_type": image.type, "of_emotion": image.emotion})
    update = sa.update(characters_tables.character_images).where(_images.id == image.id)
    tx.conn.execute(update.values(is_active=True))


def _delete(tx: Tx, requests: Sequence[ImageRef]) -> list[tuple[str, ...] | NotFound]:
    lock_names(tx, [_place(named.owner, named.subject, named.character_id) for named in requests])
    return [_delete_one(tx, named) for named in requests]


def _delete_one(tx: Tx, named: ImageRef) -> tuple[str, ...] | NotFound:
    """Delete the picture, the original of its job and the reservation that reuses the job."""
    image = _found(tx, named)
    if image is None:
        return _no_image(named)
    update = sa.update(characters_tables.character_images).where(_images.id == image.id)
    tx.conn.execute(update.values(deleted_at=named.now, is_active=False))
    of_job = _artifacts.job_id == image.job_id
    kept = set(tx.conn.scalars(sa.select(_artifacts.blob_key).where(of_job, _artifacts.blob_key != "")))
    tx.conn.execute(sa.update(tables.artifacts).where(of_job).values(blob_key=""))
    reservations = tables.reservations
    tx.conn.execute(sa.delete(reservations).where(reservations.c.job_id == image.job_id))
    if image.is_active:
        same = ImageFilter(
            image.owner,
            image.character_id,
            subject=image.subject,
            type=image.type,
            emotion=image.emotion,
            limit=1,
        )
        for newest in _list(tx.conn, same):
            _make_active(tx, newest)
    return tuple(sorted(kept | {image.image_key, image.thumbnail_key}))


def _no_image(named: ImageRef) -> NotFound:
    return NotFound(f"there is no picture {named.id[:64]} of {named.character_id[:64]}")


def _place(owner: str, subject: Subject, id_: str) -> str:
    return f"characters/{owner}/{subject}/{id_}"


_REST = (
    sa.update(characters_tables.character_images)
    .where(
        _images.owner == sa.bindparam("of_owner"),
        _images.subject == sa.bindparam("of_subject"),
        _images.character_id == sa.bindparam("of_character"),
        _images.type == sa.bindparam("of_type"),
        _images.emotion == sa.bindparam("of_emotion"),
        _images.is_active,
    )
    .values(is_active=False)
)


def record_images(tx: Tx, ended: Sequence[Recorded]) -> None:
    """Write each as the active picture of its type and emotion."""
    lock_names(tx, [_place(each.job.owner, each.record.subject, each.record.character_id) for each in ended])
    for each in ended:
        job, image = each.job, each.record
        of = {"of_owner": job.owner, "of_subject": image.subject, "of_character": image.character_id}
        tx.conn.execute(_REST, of | {"of_type": image.type, "of_emotion": image.emotion})
        picture, thumbnail = (each.artifacts * 2)[:2]
        tx.conn.execute(
            sa.insert(characters_tables.character_images).values(
                id=uuid7(each.at),
                owner=job.owner,
                subject=image.subject,
                character_id=image.character_id,
                type=image.type,
                emotion=image.emotion,
                is_active=True,
                job_id=job.id,
                image_key=picture.blob_key,
                thumbnail_key=thumbnail.blob_key,
                media_type=picture.media_type,
                size=picture.size,
                width=picture.width,
                height=picture.height,
                seed=picture.seed,
                created_at=each.at,
            )
        )


def referenced_files(conn: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the blob keys that an image which was not deleted refers to."""
    questions = [
        sa.select(column).where(column.in_(keys), _images.deleted_at.is_(None))
        for column in (_images.image_key, _images.thumbnail_key)
    ]
    return {key for question in questions for key in conn.scalars(question)}


# Translations


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    body: str
    now: int


class TranslationStore:
    """Cached translations in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def get(self, key: str) -> str | None:
        return self._read(_get, key)

    def put(self, key: str, text: str) -> None:
        """Store a translation. The first one is kept, so that all requests get the same."""
        self._write(_put, _Entry(key, text, now_us()))

    def prune(self, before: int) -> int:
        """Delete translations older than ``before``; return their number."""
        return self._write(_prune, before)

    def prune_after(self, days: float) -> int:
        """Delete translations older than ``days`` days; return their number."""
        return self.prune(now_us() - round(days * 86_400 * SECOND))


def _get(conn: sa.Connection, key: str) -> str | None:
    return conn.scalar(sa.select(_translations.body).where(_translations.key == key))


def _put(tx: Tx, entries: Sequence[_Entry]) -> list[None]:
    for entry in entries:
        row = {"key": entry.key, "body": entry.body, "created_at": entry.now}
        tx.conn.execute(tx.insert(characters_tables.translations).values(row).on_conflict_do_nothing())
    return [None] * len(entries)


def _prune(tx: Tx, instants: Sequence[int]) -> list[int]:
    return [
        tx.conn.execute(
            sa.delete(characters_tables.translations).where(_translations.created_at < instant)
        ).rowcount
        for instant in instants
    ]
