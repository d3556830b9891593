"""Personalised books in the database: facts are read whole, and changed by a decision over them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, field, fields
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from imagemill.db import tables as core
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.db.statements import dump, load
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, NotFound
from imagemill.domain.jobs import TERMINAL, JobStatus
from imagemill.jobs.store.lanes import failure_from
from imagemill.products.books import tables
from imagemill.products.books.book_manifest import BookManifest
from imagemill.products.books.facts import (
    PHOTO_FILES,
    AnalysisFact,
    ApprovalFact,
    BookRow,
    Facts,
    FileFact,
    FileKind,
    JobFact,
    JobKind,
    PhotoFact,
    VersionCause,
    VersionFact,
)

_books, _jobs, _files = tables.personalizations.c, tables.jobs.c, tables.files.c
_CHUNK = 500
_SUBMISSION_US = 10 * SECOND
"""Microseconds after which a job that is written but not submitted was left by a process that died."""
_ENDED = sorted(status.value for status in TERMINAL)
_PERSONAL = (
    "callback_url",
    "consent_who",
    "consent_at",
    "child_name",
    "child_age",
    "child_gender",
    "language",
    "unlocked_by",
    "problem",
    "share_key",
    "share_until",
)
"""The columns that a deletion empties."""
_Fact = TypeVar("_Fact")


@dataclass(frozen=True, slots=True)
class NewPersonalization:
    book: BookRow
    manifest: BookManifest
    photos: Sequence[PhotoFact]


@dataclass(frozen=True, slots=True)
class BookChanges:
    """The writes that a decision asks for."""

    set: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Columns of the personalization."""
    versions: Sequence[VersionFact] = ()
    """New versions."""
    chosen: Mapping[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """When versions were chosen, by page and version."""
    jobs: Sequence[JobFact] = ()
    """New jobs, not submitted yet."""
    seen: Sequence[str] = ()
    """The ids of ended jobs whose consequences these changes are."""
    approval: ApprovalFact | None = None


Decision = Callable[[Facts], BookChanges]
"""Returns what to change. Raises an `ImagemillError` to refuse it; nothing is changed then."""


@dataclass(frozen=True, slots=True)
class DecideBook:
    id: str
    owner: str | None
    """The book is decided for any owner if this is None."""
    decide: Decision


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A request whose jobs were refused is taken back."""

    id: str
    jobs: Sequence[str]
    """The jobs that were not accepted."""
    set: Mapping[str, Any]
    """The former values of the columns that the request had changed."""
    versions: Sequence[tuple[int, int]]
    """The pages and versions that the request had added."""
    approval: int | None = None
    """The number of the approval that it had added."""


@dataclass(frozen=True, slots=True)
class EraseRows:
    id: str
    photo_only: bool
    now: int


@dataclass(frozen=True, slots=True)
class ErasedRows:
    keys: Sequence[str]
    """The keys of the files whose rows are gone."""
    jobs: Sequence[str]
    """The jobs that are to be erased."""


class BookStore:
    def __init__(self, database: Database) -> None:
        self._write, self._read = database.write, database.read
        self._manifests: dict[str, BookManifest] = {}
        # Bound once: the group commit distinguishes kinds of writes by identity.
        self._deciding = self._decide

    # Reads

    def facts(self, id_: str, owner: str | None = None) -> Facts:
        """Return all facts. Raises `NotFound`, for another owner's book too."""
        return self._read(self._one, id_, owner)

    def page(self, owner: str | None, slug: str | None, before: str | None, limit: int) -> list[Facts]:
        """Return the books of an owner, None for all, the newest first, without deleted ones."""
        return self._read(self._page, owner, slug, before, limit)

    def pending(self, now: int, limit: int) -> list[str]:
        """Return the books whose next jobs are to be looked for."""
        return self._read(_pending, now, limit)

    def with_old_photos(self, before: int, limit: int) -> list[str]:
        """Return the books begun before an instant whose photos are still there."""
        return self._read(_with_old_photos, before, limit)

    # Writes

    def create(self, new: NewPersonalization) -> None:
        self._write(_create, new)

    def decide(self, id_: str, owner: str | None, decide: Decision) -> BookChanges:
        """Change a book by a decision over its facts, with no other change in between.

        Raises `NotFound` for another owner's book, and what the decision raises.
        """
        return self._write(self._deciding, DecideBook(id_, owner, decide))

    def remove(self, id_: str) -> None:
        """Remove a book whose first jobs were refused."""
        self._write(_remove, id_)

    def mark_submitted(self, job_ids: Sequence[str]) -> None:
        self._write(_mark_submitted, tuple(job_ids))

    def withdraw(self, withdrawal: Withdrawal) -> bool:
        """Take a request back whose jobs were refused; False if another process has submitted some of them
        meanwhile, which keeps it."""
        return self._write(_withdraw, withdrawal)

    def erase_rows(self, request: EraseRows) -> ErasedRows:
        """Delete the rows about a photo, or all rows with personal data; its jobs' rows stay until
        `forget_jobs`."""
        return self._write(_erase_rows, request)

    def forget_jobs(self, job_ids: Sequence[str]) -> None:
        self._write(_forget_jobs, tuple(job_ids))

    # Facts

    def _one(self, conn: sa.Connection, id_: str, owner: str | None) -> Facts:
        found = self._load(conn, _books.id == id_)
        if not found or (owner is not None and found[0].book.owner != owner):
            raise NotFound(f"there is no personalization {id_[:64]}")
        return found[0]

    def _page(
        self, conn: sa.Connection, owner: str | None, slug: str | None, before: str | None, limit: int
    ) -> list[Facts]:
        conditions: list[sa.ColumnElement[bool]] = [_books.deleted_at.is_(None)]
        if owner is not None:
            conditions.append(_books.owner == owner)
        if slug is not None:
            conditions.append(_books.slug == slug)
        if before is not None:
            conditions.append(_books.id < before)
        chosen = sa.select(_books.id).where(*conditions).order_by(_books.id.desc()).limit(limit)
        return self._load(conn, _books.id.in_(list(conn.scalars(chosen))))

    def _load(self, conn: sa.Connection, condition: Any) -> list[Facts]:
        """Return the facts of some books, the newest first, in seven queries for all of them."""
        chosen = sa.select(tables.personalizations).where(condition).order_by(_books.id.desc())
        rows = [_book_row(row) for row in conn.execute(chosen).mappings()]
        ids = [row.id for row in rows]
        if not ids:
            return []
        self._load_manifests(conn, {row.manifest for row in rows})
        photos = _grouped(conn, tables.photos, ids, _photo)
        analyses = _grouped(conn, tables.analyses, ids, _analysis)
        versions = _grouped(conn, tables.versions, ids, _version)
        jobs = _jobs_of(conn, ids)
        files = _grouped(conn, tables.files, ids, _file)
        approvals = _grouped(conn, tables.approvals, ids, _approval)
        return [
            Facts(
                row,
                self._manifests[row.manifest],
                {each.character: each for each in photos.get(row.id, ())},
                {each.character: each for each in analyses.get(row.id, ())},
                sorted(versions.get(row.id, ()), key=lambda each: (each.page, each.version)),
                jobs.get(row.id, ()),
                files.get(row.id, ()),
                sorted(approvals.get(row.id, ()), key=lambda each: each.number),
            )
            for row in rows
        ]

    def _load_manifests(self, conn: sa.Connection, digests: set[str]) -> None:
        missing = digests - self._manifests.keys()
        if missing:
            stored = tables.manifests.c
            chosen = sa.select(stored.digest, stored.body).where(stored.digest.in_(missing))
            for digest, body in conn.execute(chosen):
                self._manifests[digest] = BookManifest.model_validate_json(body)

    def _decide(self, tx: Tx, requests: Sequence[DecideBook]) -> list[BookChanges | ImagemillError]:
        lock_names(tx, [_lock_name(request.id) for request in requests])
        answers: list[BookChanges | ImagemillError] = []
        for request in requests:
            try:
                changes = request.decide(self._one(tx.conn, request.id, request.owner))
            except ImagemillError as refusal:
                answers.append(refusal)
                continue
            _apply(tx, request.id, changes)
            answers.append(changes)
        return answers


def _lock_name(id_: str) -> str:
    return f"books/{id_}"


def lock_books(tx: Tx, ids: Iterable[str]) -> None:
    """Lock books until the transaction ends, so that their facts stay as they are read."""
    lock_names(tx, [_lock_name(id_) for id_ in ids])


def _grouped(
    conn: sa.Connection, table: sa.Table, ids: Sequence[str], read: Callable[[Any], _Fact]
) -> dict[str, list[_Fact]]:
    found: dict[str, list[_Fact]] = {}
    for row in conn.execute(sa.select(table).where(table.c.personalization_id.in_(ids))).mappings():
        found.setdefault(row["personalization_id"], []).append(read(row))
    return found


def _book_row(row: Any) -> BookRow:
    values = {each.name: row[each.name] for each in fields(BookRow)}
    values["deletion"] = load(values["deletion"]) if values["deletion"] else {}
    return BookRow(**values)


def _photo(row: Any) -> PhotoFact:
    return PhotoFact(row["character_id"], row["key"], row["sha256"], row["media_type"], row["size"])


def _analysis(row: Any) -> AnalysisFact:
    return AnalysisFact(row["character_id"], row["usable"], row["problem"], row["message"])


def _version(row: Any) -> VersionFact:
    values = {each.name: row[each.name] for each in fields(VersionFact)}
    return VersionFact(**{**values, "cause": VersionCause(values["cause"]), "choice": load(values["choice"])})


def _file(row: Any) -> FileFact:
    values = {each.name: row[each.name] for each in fields(FileFact)}
    return FileFact(**{**values, "kind": FileKind(values["kind"]), "body": load(values["body"])})


def _approval(row: Any) -> ApprovalFact:
    values = {each.name: row[each.name] for each in fields(ApprovalFact)}
    return ApprovalFact(**{**values, "pages": load(values["pages"])})


def _jobs_of(conn: sa.Connection, ids: Sequence[str]) -> dict[str, list[JobFact]]:
    chosen = (
        sa.select(tables.jobs, core.jobs.c.status, core.jobs.c.error)
        .join_from(tables.jobs, core.jobs, core.jobs.c.id == _jobs.id, isouter=True)
        .where(_jobs.personalization_id.in_(ids))
        .order_by(_jobs.id)
    )
    found: dict[str, list[JobFact]] = {}
    for row in conn.execute(chosen).mappings():
        fact = JobFact(
            row["id"],
            JobKind(row["kind"]),
            row["page"],
            row["version"],
            row["edition"],
            row["resume"],
            row["submitted"],
            row["seen"],
            row["created_at"],
            JobStatus(row["status"]) if row["status"] is not None else None,
            failure_from(row["error"]).message if row["error"] else None,
        )
        found.setdefault(row["personalization_id"], []).append(fact)
    return found


def _pending(conn: sa.Connection, now: int, limit: int) -> list[str]:
    times = {"now": now, "forgotten_at": now - _SUBMISSION_US, "limit": limit}
    return list(conn.scalars(_pending_books(), times))


@cache  # an idle server asks each second, and making the statement takes longer than running it
def _pending_books() -> sa.CompoundSelect[Any]:
    due = sa.select(_books.id).where(_books.due_at.is_not(None), _books.due_at <= sa.bindparam("now"))
    ended = (
        sa.select(_jobs.personalization_id)
        .join_from(tables.jobs, core.jobs, core.jobs.c.id == _jobs.id, isouter=True)
        .where(
            sa.text("NOT seen"),
            _jobs.submitted,
            sa.or_(core.jobs.c.status.in_(_ENDED), core.jobs.c.id.is_(None)),
        )
    )
    # Written by a process that died before it submitted them; the others have a time to be tried again.
    forgotten = (
        sa.select(_jobs.personalization_id)
        .join_from(tables.jobs, tables.personalizations, _books.id == _jobs.personalization_id)
        .where(
            sa.text("NOT seen"),
            _jobs.submitted.is_(False),
            _jobs.created_at <= sa.bindparam("forgotten_at"),
            _books.due_at.is_(None),
            sa.or_(
                _jobs.kind == JobKind.ERASURE.value,
                _books.canceled_at.is_(None) & _books.deleted_at.is_(None),
            ),
        )
    )
    return sa.union(due, ended, forgotten).limit(sa.bindparam("limit"))


def _with_old_photos(conn: sa.Connection, before: int, limit: int) -> list[str]:
    old = sa.and_(sa.text("photo_deleted_at IS NULL"), _books.created_at < before)
    return list(conn.scalars(sa.select(_books.id).where(old).order_by(_books.created_at).limit(limit)))


def _create(tx: Tx, requests: Sequence[NewPersonalization]) -> list[None]:
    for new in requests:
        manifest = {
            "digest": new.book.manifest,
            "slug": new.book.slug,
            "body": new.manifest.model_dump_json(exclude_defaults=True),
            "created_at": new.book.created_at,
        }
        tx.conn.execute(tx.insert(tables.manifests).values(manifest).on_conflict_do_nothing())
        row = {**asdict(new.book), "deletion": None}
        tx.conn.execute(sa.insert(tables.personalizations).values(row))
        photos = [
            {
                "personalization_id": new.book.id,
                "character_id": each.character,
                "key": each.key,
                "sha256": each.sha256,
                "media_type": each.media_type,
                "size": each.size,
                "created_at": new.book.created_at,
            }
            for each in new.photos
        ]
        if photos:
            tx.conn.execute(sa.insert(tables.photos), photos)
    return [None] * len(requests)


def _remove(tx: Tx, ids: Sequence[str]) -> list[None]:
    for id_ in ids:
        for table in (tables.jobs, tables.photos):
            tx.conn.execute(sa.delete(table).where(table.c.personalization_id == id_))
        tx.conn.execute(sa.delete(tables.personalizations).where(_books.id == id_))
    return [None] * len(ids)


def _apply(tx: Tx, id_: str, changes: BookChanges) -> None:
    if changes.set:
        tx.conn.execute(sa.update(tables.personalizations).where(_books.id == id_).values(dict(changes.set)))
    versions = [
        {"personalization_id": id_, **_plain(asdict(each)), "choice": dump(each.choice)}
        for each in changes.versions
    ]
    if versions:
        tx.conn.execute(sa.insert(tables.versions), versions)
    of_book = tables.versions.c
    for (page, version), at in changes.chosen.items():
        this = sa.and_(of_book.personalization_id == id_, of_book.page == page, of_book.version == version)
        tx.conn.execute(sa.update(tables.versions).where(this).values(chosen_at=at))
    names = [column.name for column in tables.jobs.columns if column.name != "personalization_id"]
    jobs = [
        {"personalization_id": id_, **_plain({name: getattr(each, name) for name in names})}
        for each in changes.jobs
    ]
    if jobs:
        tx.conn.execute(sa.insert(tables.jobs), jobs)
    for start in range(0, len(changes.seen), _CHUNK):
        some = changes.seen[start : start + _CHUNK]
        tx.conn.execute(sa.update(tables.jobs).where(_jobs.id.in_(some)).values(seen=True))
    if changes.approval is not None:
        approval = asdict(changes.approval)
        row = {"personalization_id": id_, **approval, "pages": dump(approval["pages"])}
        tx.conn.execute(sa.insert(tables.approvals).values(row))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that both drivers accept: enumerations as their text."""
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in values.items()}


def _mark_submitted(tx: Tx, requests: Sequence[tuple[str, ...]]) -> list[None]:
    for ids in requests:
        tx.conn.execute(sa.update(tables.jobs).where(_jobs.id.in_(ids)).values(submitted=True))
    return [None] * len(requests)


def _withdraw(tx: Tx, requests: Sequence[Withdrawal]) -> list[bool]:
    lock_books(tx, [request.id for request in requests])
    return [_withdraw_one(tx, request) for request in requests]


def _withdraw_one(tx: Tx, request: Withdrawal) -> bool:
    open_ = sa.and_(_jobs.id.in_(request.jobs), ~_jobs.submitted)
    exists = sa.exists().where(core.jobs.c.id == _jobs.id)
    left = list(tx.conn.scalars(sa.select(_jobs.id).where(open_, ~exists)))
    if len(left) < len(request.jobs):
        return False
    tx.conn.execute(sa.delete(tables.jobs).where(_jobs.id.in_(left)))
    of_book = tables.versions.c
    for page, version in request.versions:
        this = sa.and_(
            of_book.personalization_id == request.id, of_book.page == page, of_book.version == version
        )
        tx.conn.execute(sa.delete(tables.versions).where(this))
    if request.approval is not None:
        of_approval = tables.approvals.c
        this = sa.and_(of_approval.personalization_id == request.id, of_approval.number == request.approval)
        tx.conn.execute(sa.delete(tables.approvals).where(this))
    if request.set:
        tx.conn.execute(
            sa.update(tables.personalizations).where(_books.id == request.id).values(dict(request.set))
        )
    return True


def _erase_rows(tx: Tx, requests: Sequence[EraseRows]) -> list[ErasedRows]:
    lock_books(tx, [request.id for request in requests])
    return [_erase_photo(tx, each) if each.photo_only else _erase_all(tx, each) for each in requests]


def _erase_photo(tx: Tx, request: EraseRows) -> ErasedRows:
    photos = tables.photos.c
    crops = sa.and_(
        _files.personalization_id == request.id, _files.kind.in_([each.value for each in PHOTO_FILES])
    )
    keys = [
        *tx.conn.scalars(sa.select(photos.key).where(photos.personalization_id == request.id)),
        *tx.conn.scalars(sa.select(_files.key).where(crops)),
    ]
    tx.conn.execute(sa.delete(tables.photos).where(photos.personalization_id == request.id))
    tx.conn.execute(sa.delete(tables.files).where(crops))
    analyses = sa.and_(
        _jobs.personalization_id == request.id, _jobs.kind == JobKind.ANALYSIS.value, _jobs.submitted
    )
    return ErasedRows(keys, list(tx.conn.scalars(sa.select(_jobs.id).where(analyses))))


def _erase_all(tx: Tx, request: EraseRows) -> ErasedRows:
    id_ = request.id
    keys: list[str] = []
    counts: dict[str, int] = {}
    for name, table in (("photos", tables.photos), ("files", tables.files)):
        found = list(tx.conn.scalars(sa.select(table.c.key).where(table.c.personalization_id == id_)))
        keys += found
        counts[name] = len(found)
    jobs = sa.and_(_jobs.personalization_id == id_, _jobs.kind != JobKind.ERASURE.value)
    job_ids = list(tx.conn.scalars(sa.select(_jobs.id).where(jobs)))
    counts["jobs"] = len(job_ids)
    counts["versions"] = tx.conn.execute(
        sa.select(sa.func.count()).where(tables.versions.c.personalization_id == id_)
    ).scalar_one()
    for table in (tables.photos, tables.files, tables.versions, tables.analyses, tables.approvals):
        tx.conn.execute(sa.delete(table).where(table.c.personalization_id == id_))
    # Killed after this, the deletion is repeated: then there are no rows left to count.
    first = sa.and_(_books.id == id_, _books.deletion.is_(None))
    tx.conn.execute(sa.update(tables.personalizations).where(first).values(deletion=dump(counts)))
    emptied = dict.fromkeys(_PERSONAL)
    tx.conn.execute(sa.update(tables.personalizations).where(_books.id == id_).values(emptied))
    return ErasedRows(keys, job_ids)


def _forget_jobs(tx: Tx, requests: Sequence[tuple[str, ...]]) -> list[None]:
    for ids in requests:
        for start in range(0, len(ids), _CHUNK):
            tx.conn.execute(sa.delete(tables.jobs).where(_jobs.id.in_(ids[start : start + _CHUNK])))
    return [None] * len(requests)


def referenced_files(conn: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the blob keys that a book refers to."""
    columns = (_files.key, tables.photos.c.key)
    return {key for column in columns for key in conn.scalars(sa.select(column).where(column.in_(keys)))}


# Records of successes


def deleted_books(conn: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Return those of the books that were deleted, or are unknown."""
    wanted = sorted(set(ids))
    alive = sa.select(_books.id).where(_books.id.in_(wanted), _books.deleted_at.is_(None))
    return set(wanted) - set(conn.scalars(alive))


def put_files(tx: Tx, rows: Sequence[tuple[str, FileFact]]) -> None:
    """Write the rows of files that have none yet; a repeated job changes nothing."""
    for id_, each in rows:
        row = {"personalization_id": id_, **_plain(asdict(each)), "body": dump(each.body)}
        tx.conn.execute(tx.insert(tables.files).values(row).on_conflict_do_nothing())


def put_analyses(tx: Tx, rows: Sequence[tuple[str, AnalysisFact]], now: int) -> None:
    for id_, each in rows:
        row = {
            "personalization_id": id_,
            "character_id": each.character,
            "usable": each.usable,
            "problem": each.problem,
            "message": each.message,
            "created_at": now,
        }
        tx.conn.execute(tx.insert(tables.analyses).values(row).on_conflict_do_nothing())


def mark_erased(tx: Tx, id_: str, *, photo_only: bool, now: int) -> None:
    """Record that a photo, or everything, is deleted."""
    photo = sa.and_(_books.id == id_, _books.photo_deleted_at.is_(None))
    tx.conn.execute(sa.update(tables.personalizations).where(photo).values(photo_deleted_at=now))
    if not photo_only:
        whole = sa.and_(_books.id == id_, _books.erased_at.is_(None))
        tx.conn.execute(sa.update(tables.personalizations).where(whole).values(erased_at=now))
